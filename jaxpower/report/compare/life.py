"""What the stages of a model's life spent, as far as records tell.

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
from jaxpower.report.compare.costs import SECONDS, all_known, costs, ran
from jaxpower.report.compare.statistics import Cost, Estimate, median, ratio


@dataclass(frozen=True)
class Use:
  """Energy, and how long the machine was held for it; None: unknown."""

  joules: Estimate | None
  seconds: Estimate | None

  def times(self, factor: float) -> "Use":
    """Multiplies both."""
    return Use(scaled(self.joules, factor), scaled(self.seconds, factor))


def spent(records: Sequence[TrialRecord]) -> Use:
  """Adds up all that trials spent, in every phase, however they ended.

  A phase or a trial that the meter did not see makes the sum a lower bound; a
  sum of nothing but such is unknown.
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
  given = {
    str(r.pretrained.get("path")): r.pretrained.get("joules")
    for r in (*trials, *origins)
    if r.pretrained is not None
  }
  parts = [
    Estimate(float(joules)) if isinstance(joules, int | float) else None
    for joules in given.values()
  ]
  parts += [measured.joules] if origins else []
  missing = {record.init_from for record in trials} - {None}
  missing -= {record.trial_id for record in (*trials, *origins)}
  parts += [None] if missing else []
  return Use(added(parts), measured.seconds) if parts else None


def one_training(group: Group) -> Use:
  """Returns the train phase to the target, medians over seeds."""
  return Use(group.joules, median(costs(group.records, SECONDS) or ()))


def one_inference(group: Group) -> Use:
  """Returns one example through the trained network, medians over seeds."""
  seconds = _costs(map(_seconds_per_inference, ran(group.records)))
  return Use(median(_inference_costs(group)), median(seconds))


def inferences_per_training(group: Group) -> Estimate | None:
  """Divides E_train by E_inference: at so many, training is half of both."""
  return ratio(costs(group.records) or (), _inference_costs(group))


def gpus_per_trial(records: Iterable[TrialRecord]) -> int | None:
  """Counts the GPUs of each trial; None where not known or not equal."""
  counts = {_gpus(record) for record in ran(records)}
  return counts.pop() if len(counts) == 1 else None


def added(parts: Iterable[Estimate | None]) -> Estimate | None:
  """Adds estimates; a lower bound where a part is one or is unknown.

  Ends of intervals are added too: no narrower than the true interval.
  """
  parts = tuple(parts)
  known = [part for part in parts if part is not None]
  if not known:
    return None
  at_least = len(known) < len(parts) or any(part.at_least for part in known)
  total = Estimate(math.fsum(part.value for part in known), at_least)
  if at_least or all(part.low is None for part in known):
    return total
  return replace(
    total,
    low=math.fsum(p.value if p.low is None else p.low for p in known),
    high=math.fsum(p.value if p.high is None else p.high for p in known),
  )


def scaled(part: Estimate | None, factor: float) -> Estimate | None:
  """Multiplies an estimate, its interval with it."""
  if part is None:
    return None
  return replace(
    part,
    value=part.value * factor,
    low=None if part.low is None else part.low * factor,
    high=None if part.high is None else part.high * factor,
  )


def _total(values: Iterable[float | None]) -> Estimate | None:
  return added(None if v is None else Estimate(v) for v in values)


def _costs(values: Iterable[float | None]) -> tuple[Cost, ...]:
  """Makes costs of values; none at all where one is unknown."""
  return tuple(map(Cost, all_known(values) or ()))


def _inference_costs(group: Group) -> tuple[Cost, ...]:
  return _costs(r.infer_joules_per_example for r in ran(group.records))


def _seconds_per_inference(record: TrialRecord) -> float | None:
  seconds = record.seconds_by_phase.get("infer")
  if seconds is None or not record.infer_examples:
    return None
  return seconds / record.infer_examples


def _seconds_held(record: TrialRecord) -> float | None:
  """How long a trial held the machine, waits between phases included."""
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
