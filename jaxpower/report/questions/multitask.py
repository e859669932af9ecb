"""What one network for several tasks cost beside a network for each.

One network for several tasks beside a network for each, seed by seed.
"""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import COUNTING_NAMES, estimate, interval_note
from jaxpower.report.compare.comparable import (
  devices,
  flat,
  machine,
  target_of,
  tasks_of,
)
from jaxpower.report.compare.comparison import Compared
from jaxpower.report.compare.costs import COUNTINGS, TRAIN, Counting, costs
from jaxpower.report.compare.statistics import (
  Cost,
  Span,
  median,
  median_ratio,
  span,
)
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import number, percent, setting

# What one network and a network each differ in by nature.
_OF_TASKS = ("tasks", "targets", "task_weights", "task_weighting")


@dataclass(frozen=True)
class Pairing:
  """The trials of one network, and of a network for each of its tasks.

  `together` and each of `alone` hold the same `seeds`, in their order. `unlike`
  are the fields of the config in which this pairing differs from others.
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
    """All of them."""
    return (*self.together, *(r for part in self.alone for r in part))

  def costs(
    self, counting: Counting = TRAIN
  ) -> tuple[tuple[Cost, Cost], ...] | None:
    """Of each seed the cost together and the sum alone; None if unknown.

    A sum in which a trial missed its target is itself a lower bound.
    """
    together = costs(self.together, counting)
    alone = [costs(part, counting) for part in self.alone]
    known = [part for part in alone if part is not None]
    if together is None or len(known) < len(alone):
      return None
    sums = [
      Cost(
        sum(cost.value for cost in each),
        censored=any(cost.censored for cost in each),
      )
      for each in zip(*known, strict=True)
    ]
    return tuple(zip(together, sums, strict=True))


def pairings(records: Iterable[TrialRecord]) -> tuple[Pairing, ...]:
  """Every network for several tasks that has a network for each beside it.

  Beside it are trials of one of its tasks, to the same target, that are equal
  in all else: data, model, rates, machine, meter. A failed trial has no
  partner, and its seed is left out.
  """
  groups: dict[str, list[TrialRecord]] = {}
  for record in records:
    if record.status != "failed":
      groups.setdefault(_conditions(record), []).append(record)
  found = []
  for group in groups.values():
    several: dict[str, list[TrialRecord]] = {}
    for record in group:
      if len(tasks_of(record)) > 1:
        several.setdefault(_learning(record), []).append(record)
    found += [_pair(together, group) for together in several.values()]
  return tuple(pairing for pairing in found if pairing)


def end_accuracies(
  records: Sequence[TrialRecord], task: str
) -> tuple[float, ...] | None:
  """The accuracy of a task when training ended; None if a trial lacks it."""
  found = []
  for record in records:
    if len(tasks_of(record)) == 1:
      accuracy = record.final_accuracy
    else:
      last = record.curve[-1].accuracies if record.curve else {}
      accuracy = last.get(task)
    if accuracy is None:
      return None
    found.append(accuracy)
  return tuple(found)


def _pair(
  together: Sequence[TrialRecord], group: Sequence[TrialRecord]
) -> Pairing | None:
  first = together[0]
  tasks = tasks_of(first)
  targets = tuple(target_of(first, task) for task in tasks)
  alone = [
    [r for r in group if tasks_of(r) == (task,) and r.target_accuracy == target]
    for task, target in zip(tasks, targets, strict=True)
  ]
  by_seed = [{r.seed: r for r in part} for part in (together, *alone)]
  asked = set.union(*map(set, by_seed))
  seeds = sorted(set.intersection(*map(set, by_seed)))
  if not seeds:
    return None
  networks = [tuple(part[seed] for seed in seeds) for part in by_seed]
  return Pairing(
    tasks=tasks,
    targets=targets,
    seeds=tuple(seeds),
    together=networks[0],
    alone=tuple(networks[1:]),
    config=flat(first.config),
    left_out=tuple(sorted(asked - set(seeds))),
  )


def _conditions(record: TrialRecord) -> str:
  """All that a trial was done under but for its tasks, target and seed.

  Measured and estimated joules, or those of other domains, are no pair.
  """
  left = {
    key: value
    for key, value in record.config.items()
    if key not in (*_OF_TASKS, "target_accuracy", "seed")
  }
  domains = sorted(record.joules_by_domain)
  seen = [machine(record), devices(record), domains, record.estimated]
  return json.dumps([left, seen], sort_keys=True)


def _learning(record: TrialRecord) -> str:
  """What a network for several tasks learns, and how they are weighed."""
  kept = {key: record.config.get(key) for key in _OF_TASKS}
  return json.dumps([kept, record.config["target_accuracy"]], sort_keys=True)


PLACE = 50


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers the question from records, or with nothing."""
  answered = section(compared.records)
  return (answered,) if answered else ()


def section(records: Sequence[TrialRecord]) -> Section | None:
  """Energy to every target in one network against a network for each.

  None where no trial has several tasks, or none has its tasks alone beside it.
  """
  found = pairings(records)
  if not found:
    return None
  words = _words(found)
  lines = [
    f"{told}: {line}" if told else line
    for told, pairing in zip(words, found, strict=True)
    for line in _lines(pairing)
  ]
  trials = [r for pairing in found for r in pairing.trials]
  estimated = any(r.estimated for r in trials)
  if estimated:
    lines.append("Power is estimated, not measured.")
  if partial := sum(r.partial for r in trials):
    lines.append(f"The meter saw {partial} of these trials only in part.")
  return Section(
    title="One network for several tasks, against a network for each",
    tables=(
      _energy(found, words, estimated),
      _accuracy(found, words, estimated),
    ),
    lines=tuple(lines),
  )


def _words(found: Sequence[Pairing]) -> list[str]:
  """What tells each pairing from the others; empty for a single one."""
  paths = dict.fromkeys(path for pairing in found for path in pairing.config)
  unlike = [
    path
    for path in paths
    if path not in ("seed", "target_accuracy")
    and len({json.dumps(p.config.get(path)) for p in found}) > 1
  ]
  return [
    setting({path: p.config[path] for path in unlike if path in p.config})
    for p in found
  ]


def _energy(
  found: Sequence[Pairing], words: Sequence[str], estimated: bool
) -> Table:
  joules = "estimated joules" if estimated else "joules"
  rows = []
  for told, pairing in zip(words, found, strict=True):
    pairs = pairing.costs()
    together, alone = zip(*pairs, strict=True) if pairs else ((), ())
    rows.append(
      (
        told or " + ".join(pairing.tasks),
        str(len(pairing.seeds)),
        estimate(median(together)),
        estimate(median(alone)),
        _cell(median_ratio(pairs or ())),
      )
    )
  columns = (
    "tasks",
    "seeds",
    f"{joules} in one network",
    f"{joules} in a network each",
    "ratio",
  )
  notes = ["Joules of training to every target; the ratio of each seed's own."]
  counts = [len(p.seeds) for p in found if len(p.seeds) > 1]
  if counts:
    notes.append(interval_note(min(counts)))
  return Table(columns, tuple(rows), tuple(notes))


def _accuracy(
  found: Sequence[Pairing], words: Sequence[str], estimated: bool
) -> Table:
  joules = "estimated joules" if estimated else "joules"
  rows = []
  for told, pairing in zip(words, found, strict=True):
    for task, target, alone in zip(
      pairing.tasks, pairing.targets, pairing.alone, strict=True
    ):
      rows.append(
        (
          f"{task} ({told})" if told else task,
          percent(target),
          estimate(median(costs(alone) or ())),
          _percent(end_accuracies(pairing.together, task)),
          _percent(end_accuracies(alone, task)),
          _points(_difference(pairing, task)),
        )
      )
  columns = (
    "task",
    "target",
    f"{joules} alone",
    "end in one network",
    "end alone",
    "points of difference",
  )
  notes = ["End: accuracy when training ended. A difference below 0 is a loss."]
  if any(map(_stopped, found)):
    notes.append(
      "Training ended at the targets, each network's after other examples: no"
      " loss can be told from it. With stop_at_target=false all train on to the"
      " budget."
    )
  return Table(columns, tuple(rows), tuple(notes))


def _stopped(pairing: Pairing) -> bool:
  return any(trial.config.get("stop_at_target") for trial in pairing.trials)


def _lines(pairing: Pairing) -> list[str]:
  return list(
    filter(
      None,
      (_saving(pairing), _counted(pairing), _losses(pairing), _left(pairing)),
    )
  )


def _saving(pairing: Pairing) -> str:
  """What multitask saved or cost, in a sentence."""
  tasks, pairs = " and ".join(pairing.tasks), pairing.costs()
  if pairs is None:
    why = next((r for t in pairing.trials for r in t.reasons), "no meter")
    return f"What one network for {tasks} saved is unknown: {why.rstrip('.')}."
  ratio = median_ratio(pairs)
  if ratio is None:
    return f"What one network for {tasks} saved is unknown: 0 J alone."
  told = f"One network for {tasks} cost {_times(ratio)} the joules of"
  told += f" {_count(len(pairing.tasks))}: "
  return told + _verdict(ratio, len(pairing.seeds))


def _verdict(ratio: Span, seeds: int) -> str:
  low = ratio.least if ratio.low is None else ratio.low
  high = ratio.most if ratio.high is None else ratio.high
  alone = " One seed cannot tell how certain this is." if seeds == 1 else ""
  if high < 1:
    least, most = 100 * (1 - ratio.most), 100 * (1 - ratio.least)
    return f"multitask saved {_share(least, most)}.{alone}"
  if low > 1:
    least, most = 100 * (ratio.least - 1), 100 * (ratio.most - 1)
    return f"multitask cost {_share(least, most)} more.{alone}"
  if ratio.least == ratio.most:
    return f"{seeds} seeds cannot tell whether it saved.{alone}"
  return "too many trials missed a target to tell whether it saved."


def _share(least: float, most: float) -> str:
  """A percentage, or what is known of it."""
  if least == most:
    return f"{number(least, 2)} %"
  if math.isinf(most) or most >= 100 > least:
    return f"at least {number(least, 2)} %"
  return f"{number(least, 2)} to {number(most, 2)} %"


def _times(ratio: Span) -> str:
  """The ratio with its interval: "0.62 times (0.58 to 0.70)"."""
  return f"{_known(ratio)} times{_interval(ratio)}"


def _cell(ratio: Span | None) -> str:
  return "unknown" if ratio is None else f"{_known(ratio)}{_interval(ratio)}"


def _known(found: Span) -> str:
  if found.least == found.most:
    return number(found.least)
  if math.isinf(found.most):
    return f"at least {number(found.least)}"
  if found.least == 0:
    return f"at most {number(found.most)}"
  return f"{number(found.least)} to {number(found.most)}"


def _interval(found: Span) -> str:
  if found.low is None or found.high is None:
    return ""
  if math.isinf(found.high):
    return f" ({number(found.low)} or more)"
  return f" ({number(found.low)} to {number(found.high)})"


def _count(networks: int) -> str:
  words = {2: "two", 3: "three", 4: "four"}
  return f"{words.get(networks, networks)} networks"


def _counted(pairing: Pairing) -> str:
  """The ratio by the other ways to count, where they are known."""
  told = []
  for name, words in COUNTING_NAMES.items():
    pairs = pairing.costs(COUNTINGS[name]) if name != "train" else None
    if pairs and (ratio := median_ratio(pairs)):
      told.append(f"{words} {_cell(ratio)}")
  return f"Ratio {', '.join(told)}." if told else ""


def _losses(pairing: Pairing) -> str:
  """Which tasks ended less accurate together than alone."""
  if _stopped(pairing):
    return ""
  lost, gained = [], []
  for task in pairing.tasks:
    found = _difference(pairing, task)
    if found is None or found.low is None or found.high is None:
      continue
    told = f"{task} by {number(100 * abs(found.least), 2)} points"
    if found.high < 0:
      lost.append(told)
    elif found.low > 0:
      gained.append(told)
  parts = [
    f"{words}: {', '.join(tasks)}"
    for words, tasks in (
      ("Less accurate in the end in one network than alone", lost),
      ("More accurate in the end in one network than alone", gained),
    )
    if tasks
  ]
  if parts:
    return f"{'. '.join(parts)}."
  if len(pairing.seeds) == 1:
    return ""
  return "No task ended surely more or less accurate in one network than alone."


def _left(pairing: Pairing) -> str:
  if not pairing.left_out:
    return ""
  seeds = ", ".join(map(str, pairing.left_out))
  return f"Left out, since a trial failed or is not there: seed {seeds}."


def _difference(pairing: Pairing, task: str) -> Span | None:
  """Accuracy at the end together less that alone, in pairs of a seed."""
  alone = pairing.alone[pairing.tasks.index(task)]
  ours, theirs = (
    end_accuracies(pairing.together, task),
    end_accuracies(alone, task),
  )
  if ours is None or theirs is None:
    return None
  apart = [a - b for a, b in zip(ours, theirs, strict=True)]
  return span([(value, value) for value in apart])


def _percent(accuracies: Sequence[float] | None) -> str:
  if accuracies is None:
    return "unknown"
  return percent(round(statistics.median(accuracies), 3))


def _points(found: Span | None) -> str:
  if found is None:
    return "unknown"
  told = f"{100 * found.least:+.1f}"
  if found.low is None or found.high is None:
    return told
  return f"{told} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
