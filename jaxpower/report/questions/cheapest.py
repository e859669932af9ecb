"""What a person would say of the table, in a sentence or a few.

What training past the target cost, and the accuracy that it bought.

The table of a report, as a value, and how it is put on a terminal.
"""

from collections.abc import Iterable, Sequence

from jaxpower.records import Evaluation, TrialRecord
from jaxpower.report.cells import (
  COUNTED,
  bounded,
  estimate,
  interval,
  interval_note,
)
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.pareto import (
  FEWEST_SETTINGS,
  accuracy_front,
  members,
  seconds_front,
)
from jaxpower.report.compare.statistics import Cost, Estimate, median
from jaxpower.report.findings import Table
from jaxpower.report.questions.which_field import advice
from jaxpower.wording import labels, number, opening, percent, setting, value


def table(comparison: Comparison) -> Table:
  """What varies and what each value of it cost, a row per group."""
  paths = comparison.paths
  told = labels(paths)
  energy, short = "joules", "J"
  if comparison.estimated:
    energy, short = "estimated joules", "estimated J"
  columns = (
    *(told[path] for path in paths),
    "reached",
    f"{energy} to {comparison.goal}",
    "seconds",
    "ratio",
    f"{short} per 1000 examples",
  )
  rows = tuple(
    (
      *(value(group.varied[path]) for path in paths),
      f"{group.count('reached')} of {len(group.records)}",
      _joules_cell(group),
      estimate(group.seconds),
      estimate(group.ratio),
      bounded(
        group.joules_per_1000_examples, group.joules_per_1000_examples_bound
      ),
    )
    for group in comparison.groups
  )
  return Table(columns, rows, tuple(_notes(comparison)))


def _joules_cell(group: Group) -> str:
  at_least = group.joules is not None and group.joules.at_least
  return estimate(group.joules) + (" (lower bound)" if at_least else "")


def _ratio(found: Estimate) -> str:
  """With the low end also where the ratio is only bounded."""
  if found.at_least and found.low is not None:
    return f"{estimate(found)} ({interval(found)})"
  return estimate(found)


def _notes(comparison: Comparison) -> list[str]:
  groups = comparison.groups
  ran = [len(group.records) - group.count("failed") for group in groups]
  notes = []
  if any(count > 1 for count in ran):
    notes.append(interval_note(min(count for count in ran if count > 1)))
  if 1 in ran:
    notes.append("One seed allows no interval.")
  if any(e and e.at_least for g in groups for e in (g.joules, g.seconds)):
    notes.append(
      "Lower bound: too many trials missed the target for a median to be known."
    )
  notes += [
    f"{opening(group.varied)}: {count} of {len(group.records)} {words}."
    for status, words in (
      ("failed", "failed and carries no number"),
      ("diverged", "diverged; what it spent is a lower bound"),
    )
    for group in groups
    if (count := group.count(status))
  ]
  ratios = [
    f"{words} {_ratio(found.energy_ratio)}"
    for name, words in COUNTED.items()
    if (found := comparison.rankings.get(name)) and found.energy_ratio
  ]
  if len(groups) > 1 and ratios:
    notes.append(f"Dearest over cheapest: {', '.join(ratios)}.")
    unseen = [
      words
      for name, words in COUNTED.items()
      if name not in comparison.rankings
    ]
    if unseen:
      notes.append(f"Not known of every trial: {' and '.join(unseen)}.")
  usual = comparison.rankings["train"].order
  otherwise = [
    COUNTED[name]
    for name, found in comparison.rankings.items()
    if found.order != usual
  ]
  if otherwise:
    notes.append(f"The order of settings differs {' and '.join(otherwise)}.")
  return notes


def past_target(comparison: Comparison) -> tuple[str, ...]:
  """A line for each setting of which trials went on past the target.

  Joules are those of training after the first evaluation that met it, and
  points of accuracy those between it and the last one: medians over trials.
  """
  kind = "estimated J" if comparison.estimated else "J"
  lines = (_line(group, kind) for group in comparison.groups)
  return tuple(line for line in lines if line)


def first_passing(record: TrialRecord) -> Evaluation | None:
  """The evaluation that first met the target; None where none is known to."""
  seconds = record.seconds_to_accuracy
  if seconds is None:
    return None
  return next((e for e in record.curve if e.train_seconds >= seconds), None)


def _line(group: Group, kind: str) -> str:
  firsts = {
    record.trial_id: (record, first)
    for record in group.records
    if (first := first_passing(record)) and first is not record.curve[-1]
  }
  if not firsts:
    return ""
  joules, times = [], []
  for record, _ in firsts.values():
    all_, part = record.train_joules, record.joules_to_accuracy
    if all_ is None or part is None:
      break
    joules.append(all_ - part)
    if part > 0:
      times.append(all_ / part)
  ran = len(group.records) - group.count("failed")
  some = "" if len(firsts) == ran else f" ({len(firsts)} of {ran} trials)"
  cost = "an unknown number of J"
  if len(joules) == len(firsts):
    cost = f"{_median_in_words(joules)} {kind}"
    if len(times) == len(firsts):
      cost += f", in all {_median_in_words(times)} times the energy to it"
  points = _median_in_words(
    100 * (record.curve[-1].accuracy - first.accuracy)
    for record, first in firsts.values()
  )
  return (
    f"{opening(group.varied)}: training past the target{some} cost {cost}, for"
    f" {points} points of accuracy."
  )


def _median_in_words(values: Iterable[float]) -> str:
  """The median, and in brackets its interval where there is one."""
  found = median([Cost(value) for value in values])
  if found is None:
    return "unknown"
  if found.low is None:
    return number(found.value)
  return f"{number(found.value)} ({interval(found)})"


def fronts_told(comparison: Comparison) -> tuple[str, ...]:
  """Which settings are on each front, in a line each."""
  if len(comparison.groups) < FEWEST_SETTINGS:
    return ()
  joules = "estimated joules" if comparison.estimated else "joules"
  found = (
    (f"Most accuracy for the {joules}", accuracy_front(comparison)),
    (f"Least {joules} and seconds to the target", seconds_front(comparison)),
  )
  return tuple(
    f"{words}: "
    + "; ".join(
      setting(comparison.groups[index].varied) for index in members(front)
    )
    + "."
    for words, front in found
    if front
  )


COUNTING_LEADS = {
  "compile": "Counting compiling",
  "eval": "Counting evaluation",
  "active": "With idle energy subtracted",
}


def sentence(comparison: Comparison) -> str:
  """Which setting was cheapest, by how much, and what is uncertain of it."""
  groups = comparison.groups
  trials = [record for group in groups for record in group.records]
  goal = comparison.goal
  if all(record.status == "failed" for record in trials):
    return f"Every trial failed: {_first_error(trials)}."
  if not any(record.status == "reached" for record in trials):
    said = [_nobody(trials, groups, goal)]
  elif comparison.best is None:
    said = [_no_best(comparison, goal)]
  elif len(groups) == 1:
    said = [_only(comparison.best, goal)]
  else:
    said = _cheapest(comparison, comparison.best, goal) + advice(comparison)
  said += _unknown(groups)
  said += _partial(groups)
  if comparison.estimated:
    said.append(f"{_modelled_power(trials)} is estimated, not measured.")
  return " ".join(said)


def _only(best: Group, goal: str) -> str:
  name = f"{opening(best.varied)}: reaching" if best.varied else "Reaching"
  text = f"{name} {goal} cost {_joules_in_words(best.joules)}"
  if best.joules and best.joules.low is not None:
    text += f" ({interval(best.joules)})"
  if best.seconds and not best.seconds.at_least:
    text += f" in {number(best.seconds.value)} s of training"
  count = _ran(best)
  return f"{text}, {'one seed' if count == 1 else f'median of {count} seeds'}."


def _cheapest(comparison: Comparison, best: Group, goal: str) -> list[str]:
  said = [
    f"{opening(best.varied)} was cheapest: {_joules_in_words(best.joules)} to"
    f" {goal}."
  ]
  others = [g for g in comparison.groups if g.ratio and g is not best]
  if not others:
    return [
      f"{opening(best.varied)} cost {_joules_in_words(best.joules)} to {goal};"
      " there is nothing to compare it with."
    ]
  close = [g for g in others if _close(g)]
  worst = comparison.worst
  told = [g for g in others if g is worst and g not in close]
  bounded = [g for g in others if _bounded(g) and g not in told]
  if close:
    said.append(_not_apart(close, min(map(_ran, (best, *close)))))
  said += map(_dearer, told)
  if bounded:
    said.append(_seldom(bounded))
  if any(map(_alone, others)):
    said.append("One seed cannot tell how certain this is.")
  return said + _otherwise(comparison, best)


def _close(group: Group) -> bool:
  """Whether the interval of its ratio to the best reaches down to one."""
  low = group.ratio.low if group.ratio else None
  return low is not None and low <= 1 and not _bounded(group)


def _bounded(group: Group) -> bool:
  return group.joules is not None and group.joules.at_least


def _alone(group: Group) -> bool:
  return group.ratio is not None and group.ratio.low is None


def _ran(group: Group) -> int:
  return len(group.records) - group.count("failed")


def _not_apart(close: Sequence[Group], seeds: int) -> str:
  names = _some([setting(group.varied) for group in close], "or")
  return f"It cannot be told apart from {names} with {seeds} seeds."


def _dearer(group: Group) -> str:
  ratio = group.ratio
  if ratio is None:
    return f"{opening(group.varied)} cannot be compared."
  if _bounded(group):
    return (
      f"{opening(group.varied)} cost at least {number(ratio.value, 2)} times as"
      f" much: {_share(group)} trials reached the target."
    )
  span = f" ({interval(ratio, figures=2)})" if ratio.low is not None else ""
  times = f"{number(ratio.value, 2)}{span} times"
  return f"{opening(group.varied)} cost {times} as much."


def _seldom(bounded: Sequence[Group]) -> str:
  if len(bounded) == 1:
    (group,) = bounded
    return (
      f"{opening(group.varied)} reached the target in {_share(group)} trials:"
      f" its energy is only known to be above {_joules_in_words(group.joules)}."
    )
  names = _some([setting(group.varied) for group in bounded], "and")
  return (
    f"{names[0].upper()}{names[1:]} reached the target in too few trials: their"
    " energies are lower bounds."
  )


def _share(group: Group) -> str:
  return f"{group.count('reached')} of {len(group.records)}"


def _no_best(comparison: Comparison, goal: str) -> str:
  if all(group.joules is None for group in comparison.groups):
    reached = sum(g.count("reached") for g in comparison.groups)
    trials = sum(len(g.records) for g in comparison.groups)
    return f"{reached} of {trials} trials reached {goal}."
  return (
    f"No setting reached {goal} in enough of its trials for its median to be"
    " known; the joules are lower bounds."
  )


def _nobody(
  trials: Sequence[TrialRecord], groups: Sequence[Group], goal: str
) -> str:
  seen = [t for t in trials if t.best_accuracy is not None]
  text = f"No trial reached {goal}"
  if seen:
    top = max(seen, key=lambda t: t.best_accuracy or 0.0)
    where = f" ({setting(top.varied)})" if top.varied else ""
    text += f"; the best came to {percent(top.best_accuracy or 0.0)}{where}"
  if any(g.joules for g in groups):
    text += ". Every energy is a lower bound"
  return f"{text}. Raise budget_examples or lower target_accuracy."


def _otherwise(comparison: Comparison, best: Group) -> list[str]:
  """Where another way to count makes another setting the cheapest."""
  firsts = {
    words: comparison.groups[comparison.rankings[name].order[0]]
    for name, words in COUNTING_LEADS.items()
    if name in comparison.rankings and comparison.rankings[name].order
  }
  return [
    f"{words}, {setting(first.varied)} is cheapest instead."
    for words, first in firsts.items()
    if first is not best
  ]


def _unknown(groups: Sequence[Group]) -> list[str]:
  whose: dict[str, list[str]] = {}
  for group in groups:
    if group.unknown:
      whose.setdefault(group.unknown, []).append(setting(group.varied))
  return [
    f"The joules{_of(names, len(groups))} are unknown: {why.rstrip('.')}."
    for why, names in whose.items()
  ]


def _of(names: Sequence[str], groups: int) -> str:
  return "" if len(names) == groups else f" of {_some(names, 'and')}"


def _partial(groups: Sequence[Group]) -> list[str]:
  """Partial trials of groups whose joules are known all the same."""
  trials = [
    record
    for group in groups
    for record in group.records
    if record.status != "failed" and not group.unknown
  ]
  partial = [trial for trial in trials if trial.partial]
  if not partial:
    return []
  reasons = (reason for trial in partial for reason in trial.reasons)
  why = next(reasons, "it lost sight of a domain").rstrip(".")
  return [
    f"The meter saw {len(partial)} of {len(trials)} trials only in part: {why}."
  ]


def _modelled_power(trials: Sequence[TrialRecord]) -> str:
  kinds = {
    domain.get("kind")
    for trial in trials
    for domain in trial.meter.get("domains", ())
    if domain.get("estimated")
  }
  return "CPU power" if kinds == {"cpu"} else "Power"


def _joules_in_words(joules: Estimate | None) -> str:
  return f"{number(joules.value)} J" if joules else "unknown joules"


def _some(names: Sequence[str], last: str) -> str:
  """Names in a row; past four, how many there are."""
  if len(names) > 4:
    return f"{len(names)} other settings"
  *first, final = names
  return f"{', '.join(first)} {last} {final}" if first else final


def _first_error(trials: Sequence[TrialRecord]) -> str:
  error = next((t.error for t in trials if t.error), "no error was recorded")
  return error.strip().splitlines()[-1].rstrip(".")
