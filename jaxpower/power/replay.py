"""A recorded timeline, played back as a source of readings."""

import math
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable

from jaxpower.power.reading import Domain, Kind, MeterError, Method, Reading
from jaxpower.power.recording import Sample


class ReplaySource:
  """Shows one domain of a timeline as if it happened now.

  The first sample is shown when the source is made. Between samples the last
  one stands, as a sensor would show it; after the last one there is nothing,
  and the readings say so. Raises MeterError for a domain not in the timeline.
  """

  def __init__(
    self,
    timeline: Iterable[Sample],
    domain: str,
    *,
    kind: Kind = "gpu",
    estimated: bool = False,
    clock: Callable[[], float] = time.monotonic,
  ):
    known = set()
    rows = array("d"), array("d"), array("d")
    for sample in timeline:
      known.add(sample.domain)
      if sample.domain != domain:
        continue
      values = sample.seconds, sample.joules, sample.watts
      for column, value in zip(rows, values, strict=True):
        column.append(math.nan if value is None else value)
    if not rows[0]:
      domains = ", ".join(sorted(known)) or "none"
      reason = f"the timeline has no domain {domain!r}: it has {domains}"
      raise MeterError(reason)
    order = sorted(range(len(rows[0])), key=rows[0].__getitem__)
    self._seconds, self._joules, self._watts = (
      array("d", (column[i] for i in order)) for column in rows
    )
    has_counter = not all(map(math.isnan, self._joules))
    method: Method = "counter" if has_counter else "power_instant"
    self._domain = Domain(
      domain, kind, method, "replayed timeline", estimated=estimated
    )
    self._clock = clock
    self._offset = clock() - self._seconds[0]

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The one replayed domain."""
    return (self._domain,)

  def read(self) -> tuple[Reading]:
    """Returns the last sample at or before now."""
    begin = self._clock()
    recorded = begin - self._offset
    name = self._domain.name
    if recorded > self._seconds[-1]:
      failure = "the recorded timeline is over"
      return (Reading(name, begin, begin, failure=failure),)
    i = max(0, bisect_right(self._seconds, recorded) - 1)
    joules, watts = self._joules[i], self._watts[i]
    return (
      Reading(
        name,
        begin,
        begin,
        None if math.isnan(joules) else joules,
        None if math.isnan(watts) else watts,
      ),
    )

  def describe(self) -> dict[str, object]:
    """Says how much is recorded."""
    seconds = self._seconds[-1] - self._seconds[0]
    return {
      "source": "replay",
      "samples": len(self._seconds),
      "seconds": seconds,
    }

  def close(self) -> None:
    """Does nothing: nothing was opened."""
