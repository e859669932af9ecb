"""What a trial shared with trials beside it, and what their company cost it.

Trials at once have their own GPUs or cores, and share the rest: memory and its
bus, the power budget and the air of the machine. Whether that matters is not
known beforehand, so a short trial is run twice in one place: alone, then while
the other places work. Both do the same work to the bit, so their segments can
be compared one by one.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from scipy.special import stdtrit

from jaxpower.config import Trial
from jaxpower.records import TrialRecord

CHECKS = "checks"  # the folder of both runs, in a run folder
ALONE, TOGETHER = "alone", "together"
SEGMENTS = 10  # of the short trial, at most: chosen, for an interval
CONFIDENCE = 0.95
SHARED_BY = "shared_by"  # as `power.shared` describes a source


@dataclasses.dataclass(frozen=True)
class Interference:
  """By how much more a trial took in company than alone; shares, so 0.03.

  Attributes:
    of: What: joules, or seconds where joules would not tell.
    more: The geometric mean over segments, less 1.
    low: The lower end of its 95 % interval; None for a single segment.
    high: The upper end.
    segments: How many were compared.
    trials: How many trials ran at once.
  """

  of: Literal["joules", "seconds"]
  more: float
  low: float | None
  high: float | None
  segments: int
  trials: int


def short(trials: Iterable[Trial]) -> Trial | None:
  """Makes the trial of the check: of the first that starts from nothing.

  It trains for SEGMENTS evaluations, whatever accuracy it has reached. None
  where every trial starts from another.
  """
  for trial in trials:
    if trial.transfer.init_from is None:
      most = SEGMENTS * trial.evaluate_every_examples
      return dataclasses.replace(
        trial,
        budget_examples=min(trial.budget_examples, most),
        stop_at_target=False,
        patience=0,
      )
  return None


def compare(
  alone: TrialRecord, together: TrialRecord, trials: int
) -> Interference | None:
  """Compares two runs of a trial, segment by segment; None where nothing can.

  By seconds where a domain is shared: its joules were divided by agreement, and
  what of them is due to company is not known.
  """
  joules = None
  if not shared(together):
    joules = _logs(
      [point.train_joules for point in alone.curve],
      [point.train_joules for point in together.curve],
    )
  logs = joules or _logs(
    [point.train_seconds for point in alone.curve],
    [point.train_seconds for point in together.curve],
  )
  if not logs:
    return None
  low, middle, high = _interval(logs)
  return Interference(
    of="joules" if joules else "seconds",
    more=math.expm1(middle),
    low=None if low is None else math.expm1(low),
    high=None if high is None else math.expm1(high),
    segments=len(logs),
    trials=trials,
  )


def _logs(
  before: Sequence[float | None], after: Sequence[float | None]
) -> list[float] | None:
  """Returns the log ratio of each step of two sums; None where unknown."""
  known = [
    (a, b)
    for a, b in zip(before, after, strict=False)
    if a is not None and b is not None
  ]
  if len(known) < max(len(before), len(after)):
    return None
  steps = [(a - a0, b - b0) for (a0, b0), (a, b) in itertools.pairwise(known)]
  if any(a <= 0 or b <= 0 for a, b in steps):
    return None
  return [math.log(b / a) for a, b in steps]


def _interval(
  values: Sequence[float],
) -> tuple[float | None, float, float | None]:
  """Returns the mean with the interval of Student's t; one value has none."""
  middle = math.fsum(values) / len(values)
  if len(values) < 2:
    return None, middle, None
  squares = math.fsum((value - middle) ** 2 for value in values)
  error = math.sqrt(squares / (len(values) - 1) / len(values))
  off = error * float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
  return middle - off, middle, middle + off


def shared(record: TrialRecord) -> tuple[str, ...]:
  """Names the domains of which a trial was billed a part."""
  return tuple(
    str(domain["domain"])
    for domain in record.meter.get("domains") or ()
    if domain.get(SHARED_BY) and domain.get("counted")
  )


def said(found: Interference) -> str:
  """Says in one line what company cost: "took 3.1 % more joules (...)"."""
  more = f"{abs(100 * found.more):.1f} %"
  than = f"{more} {'more' if found.more >= 0 else 'fewer'} {found.of}"
  if found.low is None or found.high is None:
    interval = "one segment tells no interval"
  else:
    interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f} %"
  return f"in company of {found.trials - 1} a trial took {than} ({interval})"


def facts(
  record: TrialRecord,
  at_once: int | None,
  gpus: Sequence[str] = (),
  cores: Sequence[int] = (),
  check: str | None = None,
  interference: Interference | None = None,
) -> dict[str, Any]:
  """Returns `company` of a record: with how many it ran, what they shared."""
  told = None if interference is None else dataclasses.asdict(interference)
  return {
    "at_once": at_once,
    "gpus": list(gpus),
    "cores": list(cores),
    "shared": list(shared(record)),
    "check": check,
    "interference": told,
  }
