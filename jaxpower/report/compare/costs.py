"""What each trial cost, by the several ways there are to count.

A trial that reached its target cost what it spent until then. One that missed
it or diverged cost at least all that it spent; leaving it out would make a
setting that often misses look cheap. What a failed one cost is unknown, and it
is left out. Where one cost is unknown a sum or a list of them is unknown too:
never zero, and never the sum of the rest.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jaxpower.records import TrialRecord
from jaxpower.report.compare.statistics import Cost

T = TypeVar("T")


@dataclass(frozen=True)
class Counting:
  """A way to count: what a reached trial cost, and another at least."""

  reached: Callable[[TrialRecord], float | None]
  bound: Callable[[TrialRecord], float | None]


def all_known(values: Iterable[T | None]) -> tuple[T, ...] | None:
  """Returns the values, or None where one of them is unknown."""
  values = tuple(values)
  present = tuple(value for value in values if value is not None)
  return present if len(present) == len(values) else None


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


def _warmup(record: TrialRecord) -> float | None:
  return record.joules_by_phase.get("warmup")


def _preparing(record: TrialRecord) -> float | None:
  """Adds up what precedes the first update: compiling, and running it once.

  The warm-up belongs to it: PyTorch prepares much of its work at the first
  call, JAX while it compiles.
  """
  return add(record.compile and record.compile.joules, _warmup(record))


TRAIN = Counting(lambda r: r.joules_to_accuracy, lambda r: r.train_joules)

SECONDS = Counting(lambda r: r.seconds_to_accuracy, lambda r: r.train_seconds)

TRAIN_COMPILE_EVAL = Counting(
  lambda r: add(r.joules_to_accuracy_with_eval, _preparing(r)),
  lambda r: add(r.train_joules, _preparing(r), r.joules_by_phase.get("eval")),
)

# The joules that may be asked for; `train` alone is the headline.
COUNTINGS = {
  "train": TRAIN,
  "compile": Counting(
    lambda r: add(r.joules_to_accuracy_with_compile, _warmup(r)),
    lambda r: add(r.train_joules, _preparing(r)),
  ),
  "eval": Counting(
    lambda r: r.joules_to_accuracy_with_eval,
    lambda r: add(r.train_joules, r.joules_by_phase.get("eval")),
  ),
  "active": Counting(lambda r: r.active_joules_to_accuracy, _active),
}


def ran(records: Iterable[TrialRecord]) -> list[TrialRecord]:
  """Returns the trials that trained; those that failed are left out."""
  return [record for record in records if record.status != "failed"]


def costs(
  records: Iterable[TrialRecord], counting: Counting = TRAIN
) -> tuple[Cost, ...] | None:
  """Returns the cost of every trial that ran; None where one is not known.

  That of a missed or diverged trial is censored: at least so much.
  """
  return all_known(_cost(record, counting) for record in ran(records))


def _cost(record: TrialRecord, counting: Counting) -> Cost | None:
  reached = record.status == "reached"
  spent = counting.reached(record) if reached else counting.bound(record)
  return None if spent is None else Cost(spent, censored=not reached)


def by_seed(
  records: Iterable[TrialRecord],
) -> dict[tuple[int, int], TrialRecord]:
  """Keys the trials that ran by their seed, so that they can be paired.

  The second number of a key counts trials of the same seed: folders that are
  compared may hold several. 0 is the first of them.
  """
  trials: Counter[int] = Counter()
  keyed = {}
  for record in ran(records):
    keyed[record.seed, trials[record.seed]] = record
    trials[record.seed] += 1
  return keyed


def costs_by_seed(
  records: Sequence[TrialRecord], counting: Counting = TRAIN
) -> dict[tuple[int, int], Cost]:
  """Returns costs under the keys of `by_seed`; empty where one is unknown."""
  spent = costs(records, counting)
  return (
    {} if spent is None else dict(zip(by_seed(records), spent, strict=True))
  )
