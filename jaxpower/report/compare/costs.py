"""What each trial cost, by the several ways there are to count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report.compare.statistics import Cost


@dataclass(frozen=True)
class Counting:
  """A way to count: what a reached trial cost, and another at least."""

  reached: Callable[[TrialRecord], float | None]
  bound: Callable[[TrialRecord], float | None]


def _sum(*parts: float | None) -> float | None:
  known = [part for part in parts if part is not None]
  return sum(known) if len(known) == len(parts) else None


def _active(record: TrialRecord) -> float | None:
  train, watts = record.train_joules, record.idle_watts
  if train is None or watts is None or record.train_seconds is None:
    return None
  return train - watts * record.train_seconds


TRAIN = Counting(lambda r: r.joules_to_accuracy, lambda r: r.train_joules)

SECONDS = Counting(lambda r: r.seconds_to_accuracy, lambda r: r.train_seconds)

TRAIN_COMPILE_EVAL = Counting(
  lambda r: _sum(
    r.joules_to_accuracy_with_eval, r.compile and r.compile.joules
  ),
  lambda r: _sum(
    r.train_joules,
    r.compile and r.compile.joules,
    r.joules_by_phase.get("eval"),
  ),
)

# The joules that may be asked for; `train` alone is the headline.
COUNTINGS = {
  "train": TRAIN,
  "compile": Counting(
    lambda r: r.joules_to_accuracy_with_compile,
    lambda r: _sum(r.train_joules, r.compile and r.compile.joules),
  ),
  "eval": Counting(
    lambda r: r.joules_to_accuracy_with_eval,
    lambda r: _sum(r.train_joules, r.joules_by_phase.get("eval")),
  ),
  "active": Counting(lambda r: r.active_joules_to_accuracy, _active),
}


def costs(
  records: Sequence[TrialRecord], counting: Counting = TRAIN
) -> tuple[Cost, ...] | None:
  """The cost of every trial that ran; None where one is not known.

  A reached trial has a cost; a missed or diverged one a censored cost; a
  failed one carries no number, since nothing says what it would have cost.
  """
  found = []
  for record in records:
    if record.status == "failed":
      continue
    reached = record.status == "reached"
    value = counting.reached(record) if reached else counting.bound(record)
    if value is None:
      return None
    found.append(Cost(value, censored=not reached))
  return tuple(found)
