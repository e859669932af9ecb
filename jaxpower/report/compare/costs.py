"""What each trial cost, by the several ways there are to count.

A trial that reached its target cost what it spent until then. One that missed
it or diverged cost at least all that it spent; leaving it out would make a
setting that often misses look cheap. What a failed one cost is unknown, and it
is left out. Where one cost is unknown a sum or a list of them is unknown too:
never zero, and never the sum of the rest.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jaxpower.records import TrialRecord
from jaxpower.report.compare.statistics import Cost

T = TypeVar("T")


@dataclass(frozen=True)
class Counting:
  """A way to count: what a reached trial cost, and another at least.

  Where it is `exact` what another cost is known too, as joules per example.
  """

  reached: Callable[[TrialRecord], float | None]
  bound: Callable[[TrialRecord], float | None]
  exact: bool = False


def all_known(values: Iterable[T | None]) -> tuple[T, ...] | None:
  """Returns the values, or None where one of them is unknown."""
  values = tuple(values)
  present = tuple(value for value in values if value is not None)
  return present if len(present) == len(values) else None


def median_known(numbers: Iterable[float | None]) -> float | None:
  """Returns the median; None where a number is unknown, or there is none."""
  known = all_known(numbers)
  return statistics.median(known) if known else None


def examples_per_second(record: TrialRecord) -> float | None:
  """Returns how fast a trial trained; None where that is unknown."""
  if record.examples is None or not record.train_seconds:
    return None
  return record.examples / record.train_seconds


def add(*numbers: float | None) -> float | None:
  """Adds numbers up; None where one is unknown, since it is never zero."""
  present = all_known(numbers)
  return None if present is None else sum(present)


def exact_costs(numbers: Iterable[float | None]) -> list[Cost]:
  """Makes costs that are no lower bounds; none at all where one is unknown."""
  return [Cost(number) for number in all_known(numbers) or ()]


def _active(record: TrialRecord) -> float | None:
  """Subtracts from the joules of training those of the idle machine."""
  train, watts = record.train_joules, record.idle_watts
  if train is None or watts is None or record.train_seconds is None:
    return None
  return train - watts * record.train_seconds


def preparing(record: TrialRecord) -> float | None:
  """Adds up what precedes the first update: compiling, and running it once.

  The warm-up belongs to it: PyTorch prepares much of its work at the first
  call, JAX while it compiles. A phase that did not run spent nothing.
  """
  compiling = record.compile and record.compile.joules
  return add(compiling, record.joules_by_phase.get("warmup", 0.0))


def examples_to_target(record: TrialRecord) -> float | None:
  """Returns how many examples a trial trained on until its target counted.

  By its curve at the seconds to the target, so that it is the same crossing by
  whichever rule it was decided. None where it has not reached the target.
  """
  if record.seconds_to_accuracy is None or not record.curve:
    return None
  seconds = [look.train_seconds for look in record.curve]
  told = (look.examples for look in record.curve)
  examples = [number for number in told if number is not None]
  if len(examples) < len(seconds):  # a command that does not tell
    return None
  return float(np.interp(record.seconds_to_accuracy, seconds, examples))


TRAIN = Counting(lambda r: r.joules_to_accuracy, lambda r: r.train_joules)

SECONDS = Counting(lambda r: r.seconds_to_accuracy, lambda r: r.train_seconds)

EXAMPLES = Counting(examples_to_target, lambda r: r.examples)

JOULES_PER_EXAMPLE = Counting(
  lambda r: r.joules_per_example, lambda r: r.joules_per_example, exact=True
)

TRAIN_COMPILE_EVAL = Counting(
  lambda r: add(r.joules_to_accuracy_with_eval, preparing(r)),
  lambda r: add(r.train_joules, preparing(r), r.joules_by_phase.get("eval")),
)

# The joules that may be asked for; `train` alone is the headline.
COUNTINGS = {
  "train": TRAIN,
  "compile": Counting(
    lambda r: add(r.joules_to_accuracy, preparing(r)),
    lambda r: add(r.train_joules, preparing(r)),
  ),
  "eval": Counting(
    lambda r: r.joules_to_accuracy_with_eval,
    lambda r: add(r.train_joules, r.joules_by_phase.get("eval")),
  ),
  "active": Counting(lambda r: r.active_joules_to_accuracy, _active),
}


def all_phases(record: TrialRecord) -> float | None:
  """Returns the joules of a whole trial; None where those of a phase are."""
  phases = all_known(record.joules_by_phase.values())
  return sum(phases) if phases else None


def ran(records: Iterable[TrialRecord]) -> list[TrialRecord]:
  """Returns the trials that trained; those that failed are left out."""
  return [record for record in records if record.status != "failed"]


def seen_in_part(records: Iterable[TrialRecord]) -> tuple[int, int]:
  """Counts the trials that the meter saw only in part, and those it saw."""
  seen = [r for r in ran(records) if r.train_joules is not None]
  return sum(record.partial for record in seen), len(seen)


def costs(
  records: Iterable[TrialRecord], counting: Counting = TRAIN
) -> tuple[Cost, ...] | None:
  """Returns the cost of every seed that ran; None where one is not known.

  That of a missed or diverged trial is censored: at least so much. Several
  trials of one seed are repeats and give one cost (`mean_cost`): they are not
  independent, and a seed run more often must not weigh more.
  """
  return all_known(
    _cost_of_seed(trials, counting) for trials in by_seed(records).values()
  )


def _cost_of_seed(
  trials: Iterable[TrialRecord], counting: Counting
) -> Cost | None:
  repeats = all_known(trial_cost(trial, counting) for trial in trials)
  return None if repeats is None else mean_cost(repeats)


def trial_cost(record: TrialRecord, counting: Counting = TRAIN) -> Cost | None:
  """Returns the cost of one trial that ran; None where it is not known.

  One that diverged would not have reached its target within its budget
  either: the bound is what the whole budget would have cost at its pace.
  """
  reached = record.status == "reached"
  spent = counting.reached(record) if reached else counting.bound(record)
  if spent is None:
    return None
  if counting.exact:
    return Cost(spent)
  budget = record.config.get("budget_examples")
  if record.status == "diverged" and budget and record.examples:
    spent *= max(budget / record.examples, 1.0)
  return Cost(spent, censored=not reached)


def missed_within(trials: Iterable[TrialRecord]) -> float | None:
  """Returns the joules within which none of the missed trials got there.

  The least that one of them spent: within more it is not known of all. None
  where that is unknown, or where none missed.
  """
  missed = all_known(
    trial_cost(trial) for trial in ran(trials) if trial.status != "reached"
  )
  return min((cost.value for cost in missed or ()), default=None)


def mean_cost(repeats: Sequence[Cost]) -> Cost:
  """Averages the costs of repeats; censored where one of them is.

  The geometric mean, since noise multiplies: half as much and twice as much
  give the same as once. With a cost that is not above zero, as of energy
  without idle energy, the arithmetic one. A mean of lower bounds is one too.
  """
  if len(repeats) == 1:
    return repeats[0]
  values = [cost.value for cost in repeats]
  positive = all(value > 0 for value in values)
  mean = statistics.geometric_mean if positive else statistics.fmean
  return Cost(mean(values), any(cost.censored for cost in repeats))


def by_seed(
  records: Iterable[TrialRecord],
) -> dict[int, tuple[TrialRecord, ...]]:
  """Returns the trials that ran by their seed, its repeats together."""
  trials: dict[int, list[TrialRecord]] = {}
  for record in ran(records):
    trials.setdefault(record.seed, []).append(record)
  return {seed: tuple(repeats) for seed, repeats in trials.items()}


def exact_by_seed(
  records: Iterable[TrialRecord],
  number: Callable[[TrialRecord], float | None],
) -> dict[int, Cost]:
  """Returns a number of each seed that ran; empty where one is unknown."""
  costs = {
    seed: exact_costs(map(number, repeats))
    for seed, repeats in by_seed(records).items()
  }
  known = all(costs.values())
  return {seed: mean_cost(costs[seed]) for seed in costs} if known else {}
