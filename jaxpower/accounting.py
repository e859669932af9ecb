"""Computes a trial's record from its evaluations and its measured windows.

Pure arithmetic: what the trial did comes in as `EvalResult`s, what it cost as
windows of the meter, and nothing is measured or trained here. An unknown
energy makes every sum it belongs to unknown, never smaller.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from jaxpower.attempts import Attempt, facts_of
from jaxpower.config import Trial, targets_of
from jaxpower.power import Energy, Window
from jaxpower.power.laps import unlike
from jaxpower.power.load import mean_load
from jaxpower.power.window_energy import SHORTEST
from jaxpower.records import (
  Compilation,
  Evaluation,
  Status,
  TrialRecord,
  identity,
)

FEATURES = "features"  # the phase in which they are computed, if they are


class Look(Protocol):
  """What an evaluation found, of a wing or of a command: None is not known."""

  @property
  def examples(self) -> int | None:
    """Trained on up to it."""
    ...

  @property
  def steps(self) -> int | None:
    """Updates up to it."""
    ...

  @property
  def train_loss(self) -> float | None:
    """The mean since the look before."""
    ...

  @property
  def loss(self) -> float | None:
    """On the set that decides."""
    ...

  @property
  def accuracy(self) -> float:
    """With several tasks their mean."""
    ...

  @property
  def accuracies(self) -> Mapping[str, float]:
    """Of each of several tasks."""
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalResult:
  """Loss and accuracy of an evaluation; `records.Evaluation` adds the energy.

  `examples` and `steps` count training up to it, `train_loss` is the mean
  since the evaluation before.
  """

  examples: int
  steps: int
  train_loss: float
  loss: float
  accuracy: float  # with several tasks their mean
  accuracies: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Done:
  """How many windows of training and of evaluation had led to a result."""

  trained: int
  evaluated: int


@dataclasses.dataclass(frozen=True)
class Total:
  """Joules, their bound (half-width at 95 %) and seconds of several windows.

  `board_bound` is that against other boards and machines.
  """

  joules: float | None
  bound: float | None
  seconds: float
  board_bound: float | None = None


def total(windows: Iterable[Window]) -> Total:
  """Adds up windows; one unknown makes the sum unknown.

  Bounds add linearly: the windows of one phase begin and end at the same place
  of the work, and so miss the same there, and a sensor's bias has one sign.
  """
  windows = tuple(windows)
  return Total(
    joules=sum_or_none(w.joules for w in windows),
    bound=sum_or_none(w.joules_bound for w in windows),
    seconds=math.fsum(w.seconds for w in windows),
    board_bound=sum_or_none(w.board_bound for w in windows),
  )


def sum_or_none(values: Iterable[float | None]) -> float | None:
  """Adds up values; None where any is unknown."""
  values = tuple(values)
  known = [value for value in values if value is not None]
  return math.fsum(known) if len(known) == len(values) else None


def trained(
  windows: Iterable[Window], segments: int | None = None
) -> list[Window]:
  """Picks the windows of training up to the end of so many segments, or all.

  With them the pass that computes features, without which a head that is
  trained on them could not be.
  """
  windows = tuple(windows)
  return of_phase(windows, FEATURES) + of_phase(windows, "train")[:segments]


def of_phase(windows: Iterable[Window], phase: str) -> list[Window]:
  """Picks the windows of one phase, in order."""
  return [window for window in windows if window.name == phase]


def reaching(trial: Trial, results: Sequence[Look]) -> int | None:
  """Finds the evaluation at which a trial reached its target; None: none did.

  It is the first that met every task's target; unless `crossing` is "first",
  the one after it has to meet them too: accuracies near the target move by
  chance, and the first of many to meet it is a lucky one.
  """
  met = [meets_targets(trial, result) for result in results]
  again = met if trial.crossing == "first" else met[1:]
  both = (first and second for first, second in zip(met, again, strict=False))
  return next((index for index, reached in enumerate(both) if reached), None)


def meets_targets(trial: Trial, result: Look) -> bool:
  """Whether an evaluation met the target of every task."""
  return all(
    accuracy_of(result, task) >= target
    for task, target in targets_of(trial).items()
  )


def accuracy_of(result: Look | Evaluation, task: str) -> float:
  """Returns the accuracy of a task, also where it is the only one.

  NaN, which meets no target, where the record has none.
  """
  alone = math.nan if result.accuracy is None else result.accuracy
  return result.accuracies.get(task, alone)


def status_of(trial: Trial, results: Sequence[Look]) -> Status:
  """Decides how a trial ended: "reached", "missed" or "diverged".

  A target once reached stays reached, whatever happens in training after it.
  """
  if reaching(trial, results) is not None:
    return "reached"
  return "diverged" if _has_diverged(results[-1]) else "missed"


def is_over(trial: Trial, results: Sequence[Look]) -> bool:
  """Decides whether training stops before its budget is spent.

  It stops at the target, if `stop_at_target`; when a loss is not finite; and
  when the last `patience` evaluations brought no accuracy above the best
  before them, unless the last one met the target and the next is to confirm it.
  """
  reached = reaching(trial, results) is not None
  if trial.stop_at_target and reached:
    return True
  if _has_diverged(results[-1]):
    return True
  if not reached and meets_targets(trial, results[-1]):
    return False
  accuracies = [result.accuracy for result in results]
  since_best = len(results) - 1 - accuracies.index(max(accuracies))
  return 0 < trial.patience <= since_best


def _has_diverged(result: Look) -> bool:
  # Before the first step there is no training loss.
  trained = _is_sound(result.train_loss) or result.steps == 0
  return not (_is_sound(result.loss) and trained)


def _is_sound(loss: float | None) -> bool:
  return loss is None or math.isfinite(loss)


def record(
  trial: Trial,
  varied: dict[str, Any],
  results: Sequence[Look],
  windows: Sequence[Window],
  compilation: Compilation | None,
  done: Sequence[Done] | None = None,
  idle_watts: float | None = None,
  **facts: Any,
) -> TrialRecord:
  """Makes the record of a trial that ran to its end.

  Args:
    trial: The config.
    varied: The values of the trial that its sweep varies, by field.
    results: Of one evaluation before training, then after each train window;
      or of any, with `done`.
    windows: All windows of the trial, in the order they closed.
    compilation: What compiling cost the trial that compiled; None: unknown.
    done: How many windows of training and of evaluation had led to each
      result, where they do not simply take turns.
    idle_watts: Of an earlier trial; it counts where no window is idle.
    **facts: Further fields of the record.

  Raises ValueError where windows and results do not belong together.
  """
  if done is None:
    done = _in_turns(results, windows)
  status = status_of(trial, results)
  curve = tuple(
    Evaluation(
      examples=result.examples,
      steps=result.steps,
      train_seconds=spent.seconds,
      train_joules=spent.joules,
      train_loss=result.train_loss,
      loss=result.loss,
      accuracy=result.accuracy,
      accuracies=dict(result.accuracies),
    )
    for so_far, result in zip(done, results, strict=True)
    for spent in [total(trained(windows, so_far.trained))]
  )
  spent = total(trained(windows))
  idle = _idle_watts(windows) if of_phase(windows, "idle") else idle_watts
  reasons = [r for w in windows if not _is_formality(w) for r in w.reasons]
  return TrialRecord(
    **identity(trial, varied),
    status=status,
    partial=any(window.partial for window in windows),
    reasons=unlike(reasons),
    best_accuracy=max(result.accuracy for result in results),
    final_accuracy=results[-1].accuracy,
    steps=results[-1].steps,
    examples=results[-1].examples,
    train_seconds=spent.seconds,
    train_joules=spent.joules,
    train_joules_bound=spent.bound,
    train_joules_board_bound=spent.board_bound,
    **_sums(windows),
    idle_watts=idle,
    **_load_by_phase(windows),
    estimated=any(window.estimated for window in windows),
    curve=curve,
    compile=compilation,
    **_to_accuracy(trial, results, done, curve, windows, compilation, idle),
    **facts,
  )


def _in_turns(results: Sequence[Look], windows: Sequence[Window]) -> list[Done]:
  """Returns what is done where an evaluation comes first, then turns.

  Raises ValueError where windows and results do not belong together.
  """
  train, evals = of_phase(windows, "train"), of_phase(windows, "eval")
  if not len(results) == len(train) + 1 == len(evals):
    raise ValueError(
      f"{len(results)} results for {len(train)} train, {len(evals)} eval"
      " windows"
    )
  return [Done(count, count + 1) for count in range(len(results))]


def _sums(windows: Sequence[Window]) -> dict[str, Any]:
  """Returns a record's sums of windows: by phase, by domain, by both."""
  phases = dict.fromkeys(window.name for window in windows)
  by_phase = {phase: of_phase(windows, phase) for phase in phases}
  totals = {phase: total(of_it) for phase, of_it in by_phase.items()}
  return {
    "seconds_by_phase": {phase: t.seconds for phase, t in totals.items()},
    "joules_by_phase": {phase: t.joules for phase, t in totals.items()},
    "joules_by_domain": _by_domain(windows),
    "joules_by_phase_and_domain": {
      phase: _by_domain(of_it) for phase, of_it in by_phase.items()
    },
    "apart_joules_by_phase": {
      phase: _apart(of_it) for phase, of_it in by_phase.items()
    },
  }


def _to_accuracy(
  trial: Trial,
  results: Sequence[Look],
  done: Sequence[Done],
  curve: Sequence[Evaluation],
  windows: Sequence[Window],
  compilation: Compilation | None,
  idle_watts: float | None,
) -> dict[str, float | None]:
  """Computes the fields that only a trial which met its target has.

  They count training up to the evaluation that reached it, of a confirmed
  crossing the first of the two, or up to the interpolated crossing before it;
  what was spent after that is in the sums of the whole trial alone. Bounds and
  evaluation are those up to the evaluation in each case.
  """
  first = reaching(trial, results)
  if first is None:
    return {}
  spent = total(trained(windows, done[first].trained))
  evals = total(of_phase(windows, "eval")[: done[first].evaluated])
  seconds, joules = at_crossing(curve[: first + 1], targets_of(trial))
  if trial.crossing == "interpolated":
    spent = dataclasses.replace(spent, seconds=seconds, joules=joules)
  active = None
  if spent.joules is not None and idle_watts is not None:
    active = spent.joules - idle_watts * spent.seconds
  return {
    "looks_to_target": sum(d.trained > 0 for d in done[: first + 1]),
    "seconds_to_accuracy": spent.seconds,
    "seconds_to_accuracy_interpolated": seconds,
    "joules_to_accuracy": spent.joules,
    "joules_to_accuracy_bound": spent.bound,
    "joules_to_accuracy_interpolated": joules,
    "joules_to_accuracy_with_compile": sum_or_none(
      (spent.joules, None if compilation is None else compilation.joules)
    ),
    "joules_to_accuracy_with_eval": sum_or_none((spent.joules, evals.joules)),
    "active_joules_to_accuracy": active,
  }


def at_crossing(
  curve: Sequence[Evaluation], targets: Mapping[str, float]
) -> tuple[float, float | None]:
  """Interpolates the train seconds and joules where the targets were met.

  Between the last two evaluations, of which only the last meets every target,
  accuracies, seconds and joules are taken as linear; of several tasks the last
  to reach its target counts.
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


def inferred(windows: Sequence[Window], examples: int) -> dict[str, Any]:
  """Returns what a record says of inference over so many examples."""
  joules = total(of_phase(windows, "infer")).joules
  return {
    "infer_examples": examples,
    "infer_joules_per_example": None if joules is None else joules / examples,
  }


def tested(
  accuracy: float, accuracies: Mapping[str, float], examples: Sequence[int]
) -> dict[str, Any]:
  """Returns the fields of a record that tell of the test set.

  Args:
    accuracy: Over the test set; with several tasks their mean.
    accuracies: Of each of several tasks; empty for a single task.
    examples: How many independent ones each task was tested on; none where it
      is not known.

  The standard error is the binomial sqrt(p (1 - p) / n). Of the mean of several
  tasks it is the mean of theirs: at most so large, if all err on the same
  examples.
  """
  shares = tuple(accuracies.values()) or (accuracy,)
  errors = [
    math.sqrt(p * (1 - p) / n) for p, n in zip(shares, examples, strict=False)
  ]
  return {
    "test_accuracy": accuracy,
    "test_accuracies": dict(accuracies),
    "test_accuracy_standard_error": math.fsum(errors) / len(errors)
    if errors
    else None,
  }


def attempted(
  before: Iterable[Attempt],
  own: Attempt,
  earlier: Mapping[str, Sequence[Window]],
) -> dict[str, Any]:
  """Returns the fields of a record that tell of the attempts at its trial.

  All that the last attempt cost counts: it went through every phase. Of one
  before it counts what was not done again; the rest is lost, its preparation
  too.

  Args:
    before: The attempts before the last.
    own: The last, which made the record.
    earlier: The windows of attempts before it that count, by attempt.
  """
  counted = [
    dataclasses.replace(
      attempt, joules_counted=spent.joules, seconds_counted=spent.seconds
    )
    for attempt in before
    for spent in [total(earlier.get(attempt.attempt, ()))]
  ]
  whole = dataclasses.replace(
    own, joules_counted=own.joules, seconds_counted=own.seconds
  )
  return facts_of([*counted, whole])


def _is_formality(window: Window) -> bool:
  """Whether nothing was to be done: programs were there, no idling asked."""
  return window.name in ("compile", "idle") and window.seconds < SHORTEST


def by_host(
  windows: Sequence[Window], hosts: Sequence[str]
) -> dict[str, float | None] | None:
  """Adds up the joules of each host; None where a trial was on one alone.

  Domains of all hosts but the first are named "HOST/DOMAIN".
  """
  if not hosts:
    return None
  own, *others = hosts
  joules: dict[str, list[float | None]] = {host: [] for host in hosts}
  for domain, value in _by_domain(windows).items():
    host, slash, _ = domain.partition("/")
    joules[host if slash and host in others else own].append(value)
  return {
    host: sum_or_none(values) if values else None
    for host, values in joules.items()
  }


def _idle_watts(windows: Iterable[Window]) -> float | None:
  """Computes the mean power of the idle phase; None where unknown."""
  idle = total(of_phase(windows, "idle"))
  if idle.joules is None or not idle.seconds:
    return None
  return idle.joules / idle.seconds


def _load_by_phase(windows: Sequence[Window]) -> dict[str, Any]:
  """Computes the load of the cores in each phase; nothing where unknown."""
  if all(window.load is None for window in windows):
    return {}
  phases = dict.fromkeys(window.name for window in windows)
  loads = {phase: mean_load(of_phase(windows, phase)) for phase in phases}
  return {
    "other_load_cores": {
      phase: load and load.other_cores for phase, load in loads.items()
    },
    "steal_cores": {
      phase: load and load.steal_cores for phase, load in loads.items()
    },
  }


def _by_domain(windows: Sequence[Window]) -> dict[str, float | None]:
  """Adds up the joules of all windows for each GPU, CPU and memory domain.

  A trial that went on elsewhere has other boards in later windows; a window
  that knows no domain at all makes each unknown.
  """
  joules = _by_name(w.energies for w in windows)
  known = all(w.energies for w in windows)
  return joules if known else dict.fromkeys(joules)


def _apart(windows: Sequence[Window]) -> dict[str, float | None]:
  """Adds up the joules of the GPUs that do not belong to the trial."""
  return _by_name(w.apart for w in windows)


def _by_name(windows: Iterable[Sequence[Energy]]) -> dict[str, float | None]:
  joules: dict[str, list[float | None]] = {}
  for energies in windows:
    for energy in energies:
      joules.setdefault(energy.domain, []).append(energy.joules)
  return {domain: sum_or_none(values) for domain, values in joules.items()}
