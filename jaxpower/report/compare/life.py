"""What the stages of a model's life spent, as far as records say.

A search and pretraining spent all phases of all their trials, however those
ended: none of it would have been spent otherwise. One training and one
inference are medians over the seeds of a setting. Where the meter missed
something a sum is a lower bound, so that nothing unseen counts as zero.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Group
from jaxpower.report.compare.costs import SECONDS, costs, exact_costs, ran
from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  converted,
  median,
  ratio,
)


@dataclass(frozen=True)
class Use:
  """Energy, and how long the machine was held for it; None: unknown."""

  joules: Estimate | None
  seconds: Estimate | None

  def times(self, factor: float) -> "Use":
    """Multiplies joules and seconds."""
    return Use(scaled(self.joules, factor), scaled(self.seconds, factor))


def spent(records: Sequence[TrialRecord]) -> Use:
  """Adds up all that trials spent, in every phase, however they ended.

  A phase or a trial without joules makes the sum a lower bound; a sum of
  nothing but such is unknown.
  """
  joules = [j for r in records for j in r.joules_by_phase.values() or (None,)]
  return Use(_total(joules), _total(map(_seconds_held, records)))


def spent_on_pretraining(
  trials: Sequence[TrialRecord], origins: Sequence[TrialRecord]
) -> Use | None:
  """Adds up what was spent on all that trials began from, given weights too.

  None where trials began from one another alone: their search counts it.
  """
  measured = spent(origins)
  joules_of_weights = {
    str(r.pretrained.get("path")): r.pretrained.get("joules")
    for r in (*trials, *origins)
    if r.pretrained is not None
  }
  spent_on_each = [
    Estimate(float(joules)) if isinstance(joules, int | float) else None
    for joules in joules_of_weights.values()
  ]
  spent_on_each += [measured.joules] if origins else []
  missing = {record.init_from for record in trials} - {None}
  missing -= {record.trial_id for record in (*trials, *origins)}
  spent_on_each += [None] if missing else []
  if not spent_on_each:
    return None
  return Use(added(spent_on_each), measured.seconds)


def one_training(group: Group) -> Use:
  """Returns the train phase to the target, medians over seeds."""
  return Use(group.joules, median(costs(group.records, SECONDS) or ()))


def one_inference(group: Group) -> Use:
  """Returns one example through the trained network, medians over seeds."""
  seconds = exact_costs(map(_seconds_per_inference, ran(group.records)))
  return Use(median(_inference_costs(group)), median(seconds))


def inferences_per_training(group: Group) -> Estimate | None:
  """Divides the energy of training by that of one inference."""
  return ratio(costs(group.records) or (), _inference_costs(group))


def gpus_per_trial(records: Iterable[TrialRecord]) -> int | None:
  """Counts the GPUs of each trial; None where not known or not equal."""
  counts = {_gpus(record) for record in ran(records)}
  return counts.pop() if len(counts) == 1 else None


def added(summands: Iterable[Estimate | None]) -> Estimate | None:
  """Adds estimates; a lower bound where one of them is one or is unknown.

  Ends of intervals are added too: no narrower than the true interval.
  """
  summands = tuple(summands)
  present = [estimate for estimate in summands if estimate is not None]
  if not present:
    return None
  at_least = len(present) < len(summands) or any(e.at_least for e in present)
  total = Estimate(math.fsum(e.value for e in present), at_least)
  if at_least or all(e.low is None for e in present):
    return total
  return replace(
    total,
    low=math.fsum(e.value if e.low is None else e.low for e in present),
    high=math.fsum(e.value if e.high is None else e.high for e in present),
  )


def scaled(estimate: Estimate | None, factor: float) -> Estimate | None:
  """Multiplies an estimate and its interval."""
  if estimate is None:
    return None
  return converted(estimate, lambda number: number * factor)


def _total(values: Iterable[float | None]) -> Estimate | None:
  return added(None if v is None else Estimate(v) for v in values)


def _inference_costs(group: Group) -> list[Cost]:
  return exact_costs(r.infer_joules_per_example for r in ran(group.records))


def _seconds_per_inference(record: TrialRecord) -> float | None:
  seconds = record.seconds_by_phase.get("infer")
  if seconds is None or not record.infer_examples:
    return None
  return seconds / record.infer_examples


def _seconds_held(record: TrialRecord) -> float | None:
  """Returns how long a trial held the machine, waits between phases too."""
  if record.wall_seconds is not None:
    return record.wall_seconds
  return math.fsum(record.seconds_by_phase.values()) or None


def _gpus(record: TrialRecord) -> int | None:
  devices = record.provenance.get("devices")
  if isinstance(devices, list) and devices:
    return sum(device.get("platform") != "cpu" for device in devices)
  domains = record.meter.get("domains") or ()
  gpus = sum(domain.get("kind") == "gpu" for domain in domains)
  # A meter that saw no GPU does not say that none trained.
  return gpus or None
