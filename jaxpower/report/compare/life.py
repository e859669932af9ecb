"""What the stages of a model's life spent, as far as records say.

A search spent all phases of all its trials, however those ended: none of it
would have been spent otherwise. One training, one pretraining and one inference
are what a seed typically costs: a training by the model of all settings
(`compare.model`), the others by the seeds of theirs.

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

import numpy as np

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.compiling import with_compiling
from jaxpower.report.compare.costs import (
  Counting,
  add,
  all_known,
  exact_by_seed,
  preparing,
  ran,
)
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.origins import chain, invested_by_origin
from jaxpower.report.compare.statistics import (
  CONFIDENCE,
  Estimate,
  converted,
  typical,
  typical_draws,
)

# What a training spends beside compiling, warming up and training. The pass
# that computes features is counted with training (`accounting`).
AROUND = ("setup", "eval", "test", "checkpoint")
COMPILING = ("compile", "warmup")
STREAM = 3  # of random numbers, apart from those of fits and investments


def _sum_of(
  by_phase: Mapping[str, float | None], phases: Iterable[str]
) -> float | None:
  """Adds up the phases that there were; None where one is unknown."""
  return add(0.0, *(by_phase[name] for name in phases if name in by_phase))


def _joules_around(record: TrialRecord) -> float | None:
  return _sum_of(record.joules_by_phase, AROUND)


def _seconds_around(record: TrialRecord) -> float | None:
  compiling = record.compile and record.compile.seconds
  return add(compiling, _sum_of(record.seconds_by_phase, (*AROUND, "warmup")))


# A whole training but for compiling and warming up, which are measured once for
# all seeds: `compiling.with_compiling` adds them.
BUT_COMPILING = Counting(
  lambda r: add(r.joules_to_accuracy, _joules_around(r)),
  lambda r: add(r.train_joules, _joules_around(r)),
)

WHOLE_TRAINING = Counting(
  lambda r: add(BUT_COMPILING.reached(r), preparing(r)),
  lambda r: add(BUT_COMPILING.bound(r), preparing(r)),
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


@dataclass(frozen=True, eq=False)
class Trainings:
  """Whole trainings to the target at each setting of a comparison.

  `joules` and `seconds` are fitted; settings are the comparison's groups.
  """

  comparison: Comparison
  joules: Fit
  seconds: Fit

  def use(self, group: Group) -> Use:
    """Returns one training; unknown where too many missed the target."""
    place = self.comparison.place(group)
    return Use(self.joules.cost(place), self.seconds.cost(place))

  def over(self, group: Group, joules: Sequence[float]) -> Estimate | None:
    """Divides the joules of a training by what a thing typically costs.

    `joules` are those of the thing by seed; None where one side is unknown.
    """
    place = self.comparison.place(group)
    whole, one = self.joules.cost(place), _typical(joules)
    if whole is None or one is None or one.value <= 0:
      return None
    draws, value = self.joules.costs(place), whole.value / one.value
    if draws is None or len(joules) < 2:
      return Estimate(value)
    draws = draws / typical_draws(joules, len(draws), STREAM)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Estimate(value, low=float(low), high=float(high))


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
  """Returns what one model began from, as a seed's typically costs.

  Whole trainings of an origin and of all before it, beyond their targets too;
  for weights made elsewhere the joules that were given, and no time. None where
  the group began from random weights.
  """
  trials = [record for record in ran(group.records) if _has_origin(record)]
  if not trials:
    return None
  joules, _ = invested_by_origin(trials, records, WHOLE_TRAINING)
  # Of several trials that began from the same, one stands for all.
  chains = {r.init_from: chain(r, records) for r in trials}
  seconds = _typical_of_chains(chains.values(), WHOLE_TRAINING_SECONDS.bound)
  phases = (*AROUND, *COMPILING, "features", "train")
  return Pretraining(
    Use(_typical(joules), seconds),
    Use(
      _typical_of_chains(
        chains.values(), lambda r: _sum_of(r.joules_by_phase, phases)
      ),
      _typical_of_chains(
        chains.values(), lambda r: _sum_of(r.seconds_by_phase, phases)
      ),
    ),
    max(map(len, chains.values())),
  )


def without(search: Use, pretraining: Use) -> Use:
  """Takes one typical pretraining out of what a search spent."""
  return Use(
    _difference(search.joules, pretraining.joules),
    _difference(search.seconds, pretraining.seconds),
  )


def whole_trainings(comparison: Comparison) -> Trainings:
  """Fits whole trainings to the target, of all settings by one model."""
  settings = [
    group.records if all_known(map(preparing, ran(group.records))) else ()
    for group in comparison.groups
  ]
  but_compiling = fit_settings(settings, BUT_COMPILING)
  joules = with_compiling(but_compiling, settings)
  seconds = fit_settings(
    [group.records for group in comparison.groups], WHOLE_TRAINING_SECONDS
  )
  return Trainings(comparison, joules or Fit((), np.empty(0)), seconds)


def one_inference(group: Group) -> Use:
  """Returns one example through the trained network, as it typically costs."""
  seconds = exact_by_seed(group.records, _seconds_per_inference)
  return Use(
    _typical(inference_joules(group)),
    _typical([cost.value for cost in seconds.values()]),
  )


def inference_joules(group: Group) -> list[float]:
  """Returns the joules of an example by seed; none where one is unknown."""
  joules = exact_by_seed(group.records, lambda r: r.infer_joules_per_example)
  return [cost.value for cost in joules.values()]


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


def _typical(values: Sequence[float]) -> Estimate | None:
  """Takes the typical one; unknown where one of several has no log."""
  if len(values) == 1:
    return Estimate(values[0])
  return typical(values) if all(value > 0 for value in values) else None


def _typical_of_chains(
  chains: Iterable[Sequence[TrialRecord]],
  cost: Callable[[TrialRecord], float | None],
) -> Estimate | None:
  """Adds up each chain of trainings; None if unknown."""
  sums = all_known(add(0.0, *map(cost, trials)) for trials in chains)
  return _typical(sums or ())


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
