"""What the stages of a model's life spent, as far as records say.

A search spent all phases of all its trials, however those ended: none of it
would have been spent otherwise. One training, one pretraining and one inference
are medians over the seeds of a setting.

A training is a whole one, from its set-up to its checkpoint: what it cost to
reach the target, with set-up, compiling, warm-up, evaluation and checkpoint.
Idling before it and inference after it are there for measuring, and are no part
of it. Compiling counts as by a process that has nothing compiled yet.

Where the meter missed something a sum is a lower bound, so that nothing unseen
counts as zero.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Group
from jaxpower.report.compare.costs import (
  Counting,
  add,
  costs,
  exact_costs,
  ran,
)
from jaxpower.report.compare.origins import chain, invested
from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  converted,
  median,
  ratio,
)

# What a training spends beside compiling and training. The pass that computes
# features is counted with training (`accounting`).
AROUND = ("setup", "warmup", "eval", "test", "checkpoint")


def _sum_of(
  by_phase: Mapping[str, float | None], phases: Iterable[str]
) -> float | None:
  """Adds up the phases that there were; None where one is unknown."""
  return add(0.0, *(by_phase[name] for name in phases if name in by_phase))


def _joules_around(record: TrialRecord) -> float | None:
  compiling = record.compile and record.compile.joules
  return add(compiling, _sum_of(record.joules_by_phase, AROUND))


def _seconds_around(record: TrialRecord) -> float | None:
  compiling = record.compile and record.compile.seconds
  return add(compiling, _sum_of(record.seconds_by_phase, AROUND))


WHOLE_TRAINING = Counting(
  lambda r: add(r.joules_to_accuracy, _joules_around(r)),
  lambda r: add(r.train_joules, _joules_around(r)),
)

WHOLE_TRAINING_SECONDS = Counting(
  lambda r: add(r.seconds_to_accuracy, _seconds_around(r)),
  lambda r: add(r.train_seconds, _seconds_around(r)),
)


@dataclass(frozen=True)
class Use:
  """Energy, and how long the machine was held for it; None: unknown."""

  joules: Estimate | None
  seconds: Estimate | None

  def times(self, factor: float) -> "Use":
    """Multiplies joules and seconds."""
    return Use(scaled(self.joules, factor), scaled(self.seconds, factor))


@dataclass(frozen=True)
class Pretraining:
  """What one model began from, and what these records' sum has of it.

  `spent` differs from `use` where a trial took a program that another one had
  compiled, and for weights made elsewhere. `trials` counts the trainings, one
  after another.
  """

  use: Use
  spent: Use
  trials: int


def spent(records: Sequence[TrialRecord]) -> Use:
  """Adds up all that trials spent, in every phase, however they ended.

  A phase or a trial without joules makes the sum a lower bound; a sum of
  nothing but such is unknown.
  """
  joules = [j for r in records for j in r.joules_by_phase.values() or (None,)]
  return Use(_total(joules), _total(map(_seconds_held, records)))


def one_pretraining(
  group: Group, records: Sequence[TrialRecord]
) -> Pretraining | None:
  """Returns what one model began from cost, medians over the seeds.

  Whole trainings of an origin and of all before it, beyond their targets too;
  for weights made elsewhere the joules that were given, and no time. None where
  the group began from random weights.
  """
  trials = [record for record in ran(group.records) if _has_origin(record)]
  if not trials:
    return None
  joules = [invested(r, records, WHOLE_TRAINING).joules for r in trials]
  chains = [chain(record, records) for record in trials]
  seconds = _median_of_chains(chains, WHOLE_TRAINING_SECONDS.bound)
  phases = (*AROUND, "compile", "features", "train")
  return Pretraining(
    Use(_median_of_distinct(joules), seconds),
    Use(
      _median_of_chains(chains, lambda r: _sum_of(r.joules_by_phase, phases)),
      _median_of_chains(chains, lambda r: _sum_of(r.seconds_by_phase, phases)),
    ),
    max(map(len, chains)),
  )


def without(search: Use, pretraining: Use) -> Use:
  """Takes one pretraining, a median, out of what a search spent."""
  return Use(
    _difference(search.joules, pretraining.joules),
    _difference(search.seconds, pretraining.seconds),
  )


def whole_trainings(group: Group) -> tuple[Cost, ...]:
  """Returns the joules of each whole training; none where one is unknown."""
  return costs(group.records, WHOLE_TRAINING) or ()


def one_training(group: Group) -> Use:
  """Returns a whole training to the target, medians over seeds."""
  return Use(
    median(whole_trainings(group)),
    median(costs(group.records, WHOLE_TRAINING_SECONDS) or ()),
  )


def one_inference(group: Group) -> Use:
  """Returns one example through the trained network, medians over seeds."""
  seconds = exact_costs(map(_seconds_per_inference, ran(group.records)))
  return Use(median(_inference_costs(group)), median(seconds))


def inferences_per_training(group: Group) -> Estimate | None:
  """Divides the energy of a whole training by that of one inference."""
  return ratio(whole_trainings(group), _inference_costs(group))


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


def _difference(
  whole: Estimate | None, part: Estimate | None
) -> Estimate | None:
  """Subtracts a part that is known; a bound stays a bound."""
  if whole is None or part is None:
    return whole
  return Estimate(max(whole.value - part.value, 0.0), whole.at_least)


def _has_origin(record: TrialRecord) -> bool:
  return record.init_from is not None or record.pretrained is not None


def _median_of_distinct(joules: Sequence[float | None]) -> Estimate | None:
  """Takes the median; that of one number for all seeds has no interval."""
  if len(set(joules)) == 1 and joules[0] is not None:
    return Estimate(joules[0])
  return median(exact_costs(joules))


def _median_of_chains(
  chains: Sequence[Sequence[TrialRecord]],
  cost: Callable[[TrialRecord], float | None],
) -> Estimate | None:
  """Adds up each chain of trainings, and takes the median; None if unknown."""
  return median(exact_costs(add(0.0, *map(cost, trials)) for trials in chains))


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
