"""From what happened and what was measured to the record: pure arithmetic."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxpower.config import Trial, targets_of
from jaxpower.power import Window
from jaxpower.records import (
  Compilation,
  Evaluation,
  Status,
  TrialRecord,
  identity,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
  """What one evaluation saw, before any energy is put to it."""

  examples: int
  steps: int
  train_loss: float
  loss: float
  accuracy: float  # with several tasks the mean of theirs
  accuracies: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Sum:
  """Joules, their bound and seconds of several windows taken together."""

  joules: float | None
  bound: float | None
  seconds: float


def add_up(windows: Iterable[Window]) -> Sum:
  """Sums windows; one unknown makes the sum unknown.

  Bounds add in quadrature: what a window misses at its edges is independent
  of the next one's edges.
  """
  windows = tuple(windows)
  joules = [w.joules for w in windows]
  bounds = [w.joules_bound for w in windows]
  return Sum(
    joules=add(*joules),
    bound=None if None in bounds else math.hypot(*(b or 0 for b in bounds)),
    seconds=math.fsum(w.seconds for w in windows),
  )


def add(*values: float | None) -> float | None:
  """The sum, or None where any is unknown."""
  known = [value for value in values if value is not None]
  return math.fsum(known) if len(known) == len(values) else None


def named(windows: Iterable[Window], name: str) -> list[Window]:
  """The windows of one phase, in order."""
  return [window for window in windows if window.name == name]


def first_passing(trial: Trial, looks: Sequence[Look]) -> int | None:
  """The first look that met the target of every task; None where none did."""
  passing = (
    number
    for number, look in enumerate(looks)
    if all(
      accuracy_of(look, task) >= target
      for task, target in targets_of(trial).items()
    )
  )
  return next(passing, None)


def accuracy_of(look: Look | Evaluation, task: str) -> float:
  """The accuracy of a task, also where it is the only one."""
  return look.accuracies.get(task, look.accuracy)


def status_of(trial: Trial, looks: Sequence[Look]) -> Status:
  """Reached, missed or diverged: what the looks say.

  A target once met is met, whatever training on past it brings.
  """
  if first_passing(trial, looks) is not None:
    return "reached"
  return "diverged" if _has_diverged(looks[-1]) else "missed"


def is_over(trial: Trial, looks: Sequence[Look]) -> bool:
  """Whether training ends here, before its budget does.

  It ends at the target, where that is asked for; once a loss is no number;
  and when so many looks in a row as `patience` says brought no accuracy
  above the best before them.
  """
  if trial.stop_at_target and first_passing(trial, looks) is not None:
    return True
  if _has_diverged(looks[-1]):
    return True
  accuracies = [look.accuracy for look in looks]
  since_best = len(looks) - 1 - accuracies.index(max(accuracies))
  return 0 < trial.patience <= since_best


def _has_diverged(look: Look) -> bool:
  trained = math.isfinite(look.train_loss) or look.steps == 0
  return not (math.isfinite(look.loss) and trained)


def record(
  trial: Trial,
  varied: dict[str, Any],
  looks: Sequence[Look],
  windows: Sequence[Window],
  compilation: Compilation,
  **facts: Any,
) -> TrialRecord:
  """The record of a trial that ran to its end.

  Args:
    trial: What was asked.
    varied: The values that its sweep varies.
    looks: One before training, then one after each train window.
    windows: All windows of the trial, in the order they closed.
    compilation: What making the executables cost, whoever paid it.
    **facts: Further fields of the record.
  """
  train, evals = named(windows, "train"), named(windows, "eval")
  if not len(looks) == len(train) + 1 == len(evals):
    raise ValueError(
      f"{len(looks)} looks for {len(train)} train, {len(evals)} eval windows"
    )
  status = status_of(trial, looks)
  curve = tuple(
    Evaluation(
      train_seconds=spent.seconds,
      train_joules=spent.joules,
      **dataclasses.asdict(look),
    )
    for count, look in enumerate(looks)
    for spent in [add_up(train[:count])]
  )
  phases = tuple(dict.fromkeys(window.name for window in windows))
  sums = {name: add_up(named(windows, name)) for name in phases}
  spent, idle = add_up(train), _idle_watts(windows)
  reasons = tuple(dict.fromkeys(r for w in windows for r in w.reasons))
  return TrialRecord(
    **identity(trial, varied),
    status=status,
    partial=any(window.partial for window in windows),
    reasons=reasons,
    best_accuracy=max(look.accuracy for look in looks),
    final_accuracy=looks[-1].accuracy,
    steps=looks[-1].steps,
    examples=looks[-1].examples,
    train_seconds=spent.seconds,
    train_joules=spent.joules,
    train_joules_bound=spent.bound,
    seconds_by_phase={name: s.seconds for name, s in sums.items()},
    joules_by_phase={name: s.joules for name, s in sums.items()},
    joules_by_domain=_by_domain(windows),
    idle_watts=idle,
    estimated=any(window.estimated for window in windows),
    curve=curve,
    compile=compilation,
    **_to_accuracy(trial, looks, curve, windows, compilation, idle),
    **facts,
  )


def _to_accuracy(
  trial: Trial,
  looks: Sequence[Look],
  curve: Sequence[Evaluation],
  windows: Sequence[Window],
  compilation: Compilation,
  idle_watts: float | None,
) -> dict[str, float | None]:
  """The numbers that only a trial which met its target has.

  They count to the first look that met it; what was spent on training past
  it is in the sums of the whole trial alone.
  """
  first = first_passing(trial, looks)
  if first is None:
    return {}
  spent = add_up(named(windows, "train")[:first])
  eval_joules = add_up(named(windows, "eval")[: first + 1]).joules
  active = None
  if spent.joules is not None and idle_watts is not None:
    active = spent.joules - idle_watts * spent.seconds
  seconds, joules = at_crossing(curve[: first + 1], targets_of(trial))
  return {
    "seconds_to_accuracy": spent.seconds,
    "seconds_to_accuracy_interpolated": seconds,
    "joules_to_accuracy": spent.joules,
    "joules_to_accuracy_bound": spent.bound,
    "joules_to_accuracy_interpolated": joules,
    "joules_to_accuracy_with_compile": add(spent.joules, compilation.joules),
    "joules_to_accuracy_with_eval": add(spent.joules, eval_joules),
    "active_joules_to_accuracy": active,
  }


def at_crossing(
  curve: Sequence[Evaluation], targets: Mapping[str, float]
) -> tuple[float, float | None]:
  """Train seconds and joules where the last task passed its target.

  Accuracies, seconds and joules are taken as linear between the last two
  evaluations, of which only the last meets every target.
  """
  last = curve[-1]
  if len(curve) == 1:
    return last.train_seconds, last.train_joules
  before = curve[-2]
  share = max(
    (target - start) / (accuracy_of(last, task) - start)
    for task, target in targets.items()
    if (start := accuracy_of(before, task)) < target
  )
  seconds = last.train_seconds - before.train_seconds
  joules = None
  if last.train_joules is not None and before.train_joules is not None:
    more = last.train_joules - before.train_joules
    joules = before.train_joules + share * more
  return before.train_seconds + share * seconds, joules


def _idle_watts(windows: Iterable[Window]) -> float | None:
  idle = add_up(named(windows, "idle"))
  if idle.joules is None or not idle.seconds:
    return None
  return idle.joules / idle.seconds


def _by_domain(windows: Iterable[Window]) -> dict[str, float | None]:
  joules: dict[str, list[float | None]] = {}
  for window in windows:
    for energy in window.energies:
      joules.setdefault(energy.domain, []).append(energy.joules)
  return {domain: add(*values) for domain, values in joules.items()}
