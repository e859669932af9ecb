"""What one network for several tasks cost beside a network for each."""

import json
import math
import statistics
from collections.abc import Sequence

from jaxpower.records import TrialRecord
from jaxpower.report.costs import COUNTINGS, costs
from jaxpower.report.labels import number, percent, setting
from jaxpower.report.pairs import Pairing, end_accuracies, pairings
from jaxpower.report.sections import Section
from jaxpower.report.statistics import Span, median, median_ratio, span
from jaxpower.report.tables import COUNTED, Table, estimate, interval_note


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
    "One network for several tasks, against a network for each",
    (_energy(found, words, estimated), _accuracy(found, words, estimated)),
    tuple(lines),
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
  for name, words in COUNTED.items():
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
