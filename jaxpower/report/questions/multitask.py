"""What did one network for several tasks cost against single-task networks?

A network for each of the tasks costs the sum of their trainings. The one
network is divided by that sum seed by seed, so that what a seed does to both
cancels; the answer is the median over seeds of these ratios. Only trials that
are equal in all but their tasks are paired: data, model, rates, machine and
meter.

A saving may cost accuracy, so the final accuracy of every task stands beside
its energy. It means something only for trials that trained on after their
targets: where training stops at the target, every network ends there.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  COUNTING_NAMES,
  UNKNOWN,
  estimate,
  interval,
  interval_note,
  unit_of,
)
from jaxpower.report.compare.comparable import (
  conditions,
  flat,
  target_of,
  tasks_of,
)
from jaxpower.report.compare.comparison import Compared
from jaxpower.report.compare.costs import (
  COUNTINGS,
  TRAIN,
  Counting,
  all_known,
  costs,
  ran,
)
from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  Span,
  median,
  median_ratio,
  span,
)
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  ESTIMATED,
  ONE_SEED,
  count,
  energy_name,
  join_names,
  joules_name,
  number,
  partly_measured,
  percent,
  points,
  setting,
)

PLACE = 50
TITLE = "Multitask and single-task networks"
# In these fields one network and single-task networks always differ.
TASK_FIELDS = ("tasks", "targets", "task_weights", "task_weighting")
NUMBERS_IN_WORDS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Pairing:
  """The trials of one network, and of a network for each of its tasks.

  `together` and each of `alone`, one a task, hold the same `seeds` in their
  order. `left_out` are seeds that some network lacks; `config` is the flat one
  of the network for several tasks.
  """

  tasks: tuple[str, ...]
  targets: tuple[float, ...]
  seeds: tuple[int, ...]
  together: tuple[TrialRecord, ...]
  alone: tuple[tuple[TrialRecord, ...], ...]
  config: dict[str, Any]
  left_out: tuple[int, ...] = ()

  @property
  def trials(self) -> tuple[TrialRecord, ...]:
    """Lists all trials of the pairing."""
    return (*self.together, *(r for trials in self.alone for r in trials))

  @property
  def stopped_at_target(self) -> bool:
    """Whether some trial trained no further than to its target."""
    return any(trial.config.get("stop_at_target") for trial in self.trials)

  def costs(
    self, counting: Counting = TRAIN
  ) -> tuple[tuple[Cost, Cost], ...] | None:
    """Pairs each seed's cost together with its sum alone; None if unknown.

    A sum in which a trial missed its target is itself a lower bound.
    """
    together = costs(self.together, counting)
    alone = all_known(costs(trials, counting) for trials in self.alone)
    if together is None or alone is None:
      return None
    sums = (
      Cost(
        sum(cost.value for cost in by_task),
        censored=any(cost.censored for cost in by_task),
      )
      for by_task in zip(*alone, strict=True)
    )
    return tuple(zip(together, sums, strict=True))


@dataclass(frozen=True, kw_only=True)
class TaskResult:
  """One task of a pairing: what it cost alone, and where it ended.

  The ends are median accuracies when training ended; `gain` is what the task
  gained in the one network, a share of one, the median over seeds. None where
  a trial does not know its accuracy.
  """

  task: str
  target: float
  joules_alone: Estimate | None
  end_together: float | None
  end_alone: float | None
  gain: Span | None

  @property
  def surely_lost(self) -> bool:
    """Whether the whole interval of the gain lies below zero."""
    high = self.gain.high if self.gain else None
    return high is not None and high < 0

  @property
  def surely_gained(self) -> bool:
    """Whether the whole interval of the gain lies above zero."""
    low = self.gain.low if self.gain else None
    return low is not None and low > 0


@dataclass(frozen=True, kw_only=True)
class Saving:
  """The energy of one network against that of single-task networks.

  Attributes:
    pairing: The trials.
    unlike: The fields in which this pairing differs from the others.
    joules_together: Median over seeds; None where unknown.
    joules_alone: Median over seeds of the sum over tasks; None where unknown.
    ratio: The median over seeds of one network over a network for each; None
      where the joules are unknown, or are 0 alone.
    ratios_otherwise: The same by the other ways to count, by their names in
      `COUNTINGS`, as far as known.
    unknown: Why joules are unknown, as a record says; empty where none does.
    results: One for each task.
  """

  pairing: Pairing
  unlike: dict[str, Any]
  joules_together: Estimate | None
  joules_alone: Estimate | None
  ratio: Span | None
  ratios_otherwise: dict[str, Span]
  unknown: str
  results: tuple[TaskResult, ...]

  @property
  def surely_saved(self) -> bool:
    """Whether the interval of the ratio, or one seed's own, is below one."""
    if self.ratio is None:
      return False
    high = self.ratio.high
    return (self.ratio.most if high is None else high) < 1

  @property
  def surely_cost_more(self) -> bool:
    """Whether the interval of the ratio, or one seed's own, is above one."""
    if self.ratio is None:
      return False
    low = self.ratio.low
    return (self.ratio.least if low is None else low) > 1


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where nothing can be paired."""
  savings = find(compared)
  return (tell(savings),) if savings else ()


# Values


def find(compared: Compared) -> tuple[Saving, ...]:
  """Finds what each network for several tasks saved; empty for none."""
  pairs = pairings(compared.records)
  paths = dict.fromkeys(path for pairing in pairs for path in pairing.config)
  unlike = [
    path
    for path in paths
    if path not in ("seed", "target_accuracy")
    and len({json.dumps(pairing.config.get(path)) for pairing in pairs}) > 1
  ]
  return tuple(_saving(pairing, unlike) for pairing in pairs)


def pairings(records: Iterable[TrialRecord]) -> tuple[Pairing, ...]:
  """Pairs every network for several tasks that has a network for each.

  Those are trials of one of its tasks, to the same target, that are equal in
  all else: data, model, rates, machine, meter. A failed trial has no partner,
  and its seed is left out.
  """
  alike: dict[str, list[TrialRecord]] = {}
  for record in ran(records):
    alike.setdefault(_conditions_key(record), []).append(record)
  pairs = []
  for trials in alike.values():
    several_tasks: dict[str, list[TrialRecord]] = {}
    for record in trials:
      if len(tasks_of(record)) > 1:
        several_tasks.setdefault(_tasks_key(record), []).append(record)
    pairs += [_pair(together, trials) for together in several_tasks.values()]
  return tuple(pairing for pairing in pairs if pairing)


def _conditions_key(record: TrialRecord) -> str:
  """Keys the conditions of a trial, but for its tasks, target and seed.

  Measured and estimated joules, or those of other domains, are no pair.
  """
  config = {
    key: value
    for key, value in record.config.items()
    if key not in (*TASK_FIELDS, "target_accuracy", "seed")
  }
  measurement = conditions(record).measurement
  return json.dumps([config, measurement], sort_keys=True)


def _tasks_key(record: TrialRecord) -> str:
  """Keys the tasks of a network, their targets and their weights."""
  fields = {key: record.config.get(key) for key in TASK_FIELDS}
  return json.dumps([fields, record.config["target_accuracy"]], sort_keys=True)


def _pair(
  together: Sequence[TrialRecord], alike: Sequence[TrialRecord]
) -> Pairing | None:
  first = together[0]
  tasks = tasks_of(first)
  targets = tuple(target_of(first, task) for task in tasks)
  alone = [
    [r for r in alike if tasks_of(r) == (task,) and r.target_accuracy == target]
    for task, target in zip(tasks, targets, strict=True)
  ]
  by_seed = [{r.seed: r for r in trials} for trials in (together, *alone)]
  in_all = set.intersection(*map(set, by_seed))
  in_any = set.union(*map(set, by_seed))
  if not in_all:
    return None
  seeds = tuple(sorted(in_all))
  networks = [tuple(trials[seed] for seed in seeds) for trials in by_seed]
  return Pairing(
    tasks=tasks,
    targets=targets,
    seeds=seeds,
    together=networks[0],
    alone=tuple(networks[1:]),
    config=flat(first.config),
    left_out=tuple(sorted(in_any - in_all)),
  )


def _saving(pairing: Pairing, unlike: Sequence[str]) -> Saving:
  pairs = pairing.costs()
  together, alone = zip(*pairs, strict=True) if pairs else ((), ())
  reasons = (reason for trial in pairing.trials for reason in trial.reasons)
  otherwise = {
    name: median_ratio(pairing.costs(counting) or ())
    for name, counting in COUNTINGS.items()
    if counting is not TRAIN
  }
  return Saving(
    pairing=pairing,
    unlike={
      path: pairing.config[path] for path in unlike if path in pairing.config
    },
    joules_together=median(together),
    joules_alone=median(alone),
    ratio=median_ratio(pairs or ()),
    ratios_otherwise={name: r for name, r in otherwise.items() if r},
    unknown="" if pairs else next(reasons, ""),
    results=tuple(
      _result(pairing, task, target, trials)
      for task, target, trials in zip(
        pairing.tasks, pairing.targets, pairing.alone, strict=True
      )
    ),
  )


def _result(
  pairing: Pairing, task: str, target: float, alone: Sequence[TrialRecord]
) -> TaskResult:
  ends_together = _end_accuracies(pairing.together, task)
  ends_alone = _end_accuracies(alone, task)
  gain = None
  if ends_together and ends_alone:
    gains = [
      ours - theirs
      for ours, theirs in zip(ends_together, ends_alone, strict=True)
    ]
    gain = span([(value, value) for value in gains])
  return TaskResult(
    task=task,
    target=target,
    joules_alone=median(costs(alone) or ()),
    end_together=statistics.median(ends_together) if ends_together else None,
    end_alone=statistics.median(ends_alone) if ends_alone else None,
    gain=gain,
  )


def _end_accuracies(
  records: Sequence[TrialRecord], task: str
) -> tuple[float, ...] | None:
  """Returns each trial's final accuracy of a task; None if one lacks it."""
  return all_known(_end_accuracy(record, task) for record in records)


def _end_accuracy(record: TrialRecord, task: str) -> float | None:
  if len(tasks_of(record)) == 1:
    return record.final_accuracy
  return record.curve[-1].accuracies.get(task) if record.curve else None


# Words


def tell(savings: Sequence[Saving]) -> Section:
  """Tells energy and accuracy of every pairing: two tables and sentences."""
  trials = [trial for saving in savings for trial in saving.pairing.trials]
  estimated = any(trial.estimated for trial in trials)
  lines = []
  for saving in savings:
    name = setting(saving.unlike)
    lines += [f"{name}: {s}" if name else s for s in _sentences(saving)]
  if estimated:
    lines.append(ESTIMATED)
  if partial := sum(trial.partial for trial in trials):
    lines.append(f"{partly_measured(partial, len(trials))}.")
  return Section(
    title=TITLE,
    tables=(
      _energy_table(savings, estimated),
      _accuracy_table(savings, estimated),
    ),
    lines=tuple(lines),
  )


def _energy_table(savings: Sequence[Saving], estimated: bool) -> Table:
  """Makes a row a pairing; both columns of energy are in the same unit."""
  unit = unit_of(
    joules
    for saving in savings
    for joules in (saving.joules_together, saving.joules_alone)
  )
  joules = joules_name(estimated, unit)
  columns = (
    "tasks",
    "seeds",
    f"{joules} in one network",
    f"{joules} in single-task networks",
    "ratio",
  )
  rows = tuple(
    (
      setting(saving.unlike) or " + ".join(saving.pairing.tasks),
      str(len(saving.pairing.seeds)),
      estimate(saving.joules_together, unit),
      estimate(saving.joules_alone, unit),
      _ratio_cell(saving.ratio),
    )
    for saving in savings
  )
  notes = [
    "Energy of training to every target. The ratio is the median of each seed's"
    " own ratio."
  ]
  seeds = [len(saving.pairing.seeds) for saving in savings]
  if max(seeds) > 1:
    notes.append(interval_note(min(count for count in seeds if count > 1)))
  return Table(columns, rows, tuple(notes))


def _accuracy_table(savings: Sequence[Saving], estimated: bool) -> Table:
  unit = unit_of(r.joules_alone for saving in savings for r in saving.results)
  columns = (
    "task",
    "target",
    f"{joules_name(estimated, unit)} alone",
    "final accuracy in one network",
    "final accuracy alone",
    "difference in points",
  )
  rows = tuple(
    (
      result.task + (f" ({setting(saving.unlike)})" if saving.unlike else ""),
      percent(result.target),
      estimate(result.joules_alone, unit),
      _accuracy(result.end_together),
      _accuracy(result.end_alone),
      _points(result.gain),
    )
    for saving in savings
    for result in saving.results
  )
  notes = [
    "The difference is the median of each seed's own; below 0 the one network"
    " is less accurate."
  ]
  if any(saving.pairing.stopped_at_target for saving in savings):
    notes.append(
      "Training stopped at the targets, in each network after a different"
      " number of examples, so the difference is not a loss or gain. With"
      " stop_at_target=false all train on to the budget."
    )
  return Table(columns, rows, tuple(notes))


def _ratio_cell(ratio: Span | None) -> str:
  if ratio is None:
    return UNKNOWN
  return f"{_span(ratio)}{_brackets(ratio)}"


def _span(value: Span) -> str:
  """Writes a value as far as known: "0.62", "at least 0.62", "0.62 to 0.7"."""
  if value.least == value.most:
    return number(value.least)
  if math.isinf(value.most):
    return f"at least {number(value.least)}"
  if value.least == 0:
    return f"at most {number(value.most)}"
  return f"{number(value.least)} to {number(value.most)}"


def _brackets(value: Span) -> str:
  """Writes an interval, " (0.58 to 0.70)"; empty where there is none."""
  has_interval = value.low is not None and value.high is not None
  return f" ({interval(value)})" if has_interval else ""


def _accuracy(share: float | None) -> str:
  return UNKNOWN if share is None else percent(round(share, 3))


def _points(gain: Span | None) -> str:
  """Writes points of accuracy with their sign: "-5.0 (-6.0 to -4.0)"."""
  if gain is None:
    return UNKNOWN
  text = points(gain.least)
  if gain.low is None or gain.high is None:
    return text
  return f"{text} ({points(gain.low)} to {points(gain.high)})"


# Sentences


def _sentences(saving: Saving) -> list[str]:
  sentences = (
    _saving_sentence(saving),
    _otherwise_sentence(saving.ratios_otherwise),
    _accuracy_sentence(saving),
    _left_out_sentence(saving.pairing.left_out),
  )
  return [sentence for sentence in sentences if sentence]


def _saving_sentence(saving: Saving) -> str:
  """Says what the one network saved or cost."""
  tasks, ratio = join_names(saving.pairing.tasks), saving.ratio
  if saving.joules_together is None:
    reason = saving.unknown or "no meter"
    return (
      f"What one network for {tasks} saved is unknown: {reason.rstrip('.')}."
    )
  if ratio is None:
    return (
      f"What one network for {tasks} saved is unknown: single-task networks"
      " cost 0 J."
    )
  networks = len(saving.pairing.tasks)
  networks = NUMBERS_IN_WORDS.get(networks, str(networks))
  energy = energy_name(any(trial.estimated for trial in saving.pairing.trials))
  return (
    f"One network for {tasks} cost {_span(ratio)} times{_brackets(ratio)} the"
    f" {energy} of {networks} single-task networks: {_verdict(saving, ratio)}"
  )


def _verdict(saving: Saving, ratio: Span) -> str:
  seeds = len(saving.pairing.seeds)
  uncertain = f" {ONE_SEED}" if seeds == 1 else ""
  if saving.surely_saved:
    share = _share(1 - ratio.most, 1 - ratio.least)
    return f"multitask saved {share}.{uncertain}"
  if saving.surely_cost_more:
    share = _share(ratio.least - 1, ratio.most - 1)
    return f"multitask cost {share} more.{uncertain}"
  if ratio.least == ratio.most:
    return f"no measurable difference with {count(seeds, 'seed')}.{uncertain}"
  return "whether it saved is unknown, as too many trials missed a target."


def _share(least: float, most: float) -> str:
  """Writes a share as far as known: "30 %", "at least 30 %", "30 to 40 %"."""
  low = number(100 * least, 2)
  if least == most:
    return f"{low} %"
  # A saving of 100 % or more is a bound that says nothing.
  if math.isinf(most) or most >= 1 > least:
    return f"at least {low} %"
  return f"{low} to {number(100 * most, 2)} %"


def _otherwise_sentence(ratios: Mapping[str, Span]) -> str:
  """Says the ratio by the other ways to count; empty where none is known."""
  names = [
    f"{name} {_ratio_cell(ratios[counting])}"
    for counting, name in COUNTING_NAMES.items()
    if counting in ratios
  ]
  return f"Ratio {', '.join(names)}." if names else ""


def _accuracy_sentence(saving: Saving) -> str:
  """Says which tasks have a lower or higher final accuracy together."""
  if saving.pairing.stopped_at_target:
    return ""
  lost = [_change(r) for r in saving.results if r.surely_lost]
  gained = [_change(r) for r in saving.results if r.surely_gained]
  changes = [
    f"{change} final accuracy in one network than alone: {', '.join(tasks)}."
    for change, tasks in (("Lower", lost), ("Higher", gained))
    if tasks
  ]
  if changes or len(saving.pairing.seeds) == 1:
    return " ".join(changes)
  return "Final accuracies in one network and alone do not differ measurably."


def _change(result: TaskResult) -> str:
  points = 100 * abs(result.gain.least) if result.gain else 0.0
  return f"{result.task} by {number(points, 2)} points"


def _left_out_sentence(seeds: Sequence[int]) -> str:
  if not seeds:
    return ""
  names = ", ".join(map(str, seeds))
  return f"Left out because a trial failed or is missing: seed {names}."
