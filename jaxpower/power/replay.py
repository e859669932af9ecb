"""A recorded timeline, played back as a source of readings."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jaxpower.power.reading import Domain, Kind, MeterError, Method, Reading


@dataclass(frozen=True)
class Sample:
  """One row of a timeline: what one domain said at one instant."""

  domain: str
  seconds: float
  joules: float | None = None
  watts: float | None = None


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
    rows = list(timeline)
    self._samples = [row for row in rows if row.domain == domain]
    if not self._samples:
      domains = ", ".join(sorted({row.domain for row in rows})) or "none"
      reason = f"the timeline has no domain {domain!r}: it has {domains}"
      raise MeterError(reason)
    self._samples.sort(key=lambda sample: sample.seconds)
    self._seconds = [sample.seconds for sample in self._samples]
    has_counter = any(s.joules is not None for s in self._samples)
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
    sample = self._samples[i]
    return (Reading(name, begin, begin, sample.joules, sample.watts),)

  def describe(self) -> dict[str, object]:
    """Says how much is recorded."""
    seconds = self._seconds[-1] - self._seconds[0]
    return {
      "source": "replay",
      "samples": len(self._samples),
      "seconds": seconds,
    }

  def close(self) -> None:
    """Does nothing: nothing was opened."""
