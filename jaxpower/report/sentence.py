"""What a person would say of the table, in a sentence or a few."""

from collections.abc import Sequence

from jaxpower.records import TrialRecord
from jaxpower.report.advice import advice
from jaxpower.report.groups import Comparison, Group
from jaxpower.report.labels import number, opening, percent, setting
from jaxpower.report.statistics import Estimate
from jaxpower.report.tables import interval

COUNTED = {
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
    said.append(f"{_estimated(trials)} is estimated, not measured.")
  return " ".join(said)


def _only(best: Group, goal: str) -> str:
  name = f"{opening(best.varied)}: reaching" if best.varied else "Reaching"
  text = f"{name} {goal} cost {_joules(best.joules)}"
  if best.joules and best.joules.low is not None:
    text += f" ({interval(best.joules)})"
  if best.seconds and not best.seconds.at_least:
    text += f" in {number(best.seconds.value)} s of training"
  count = _ran(best)
  return f"{text}, {'one seed' if count == 1 else f'median of {count} seeds'}."


def _cheapest(comparison: Comparison, best: Group, goal: str) -> list[str]:
  said = [
    f"{opening(best.varied)} was cheapest: {_joules(best.joules)} to {goal}."
  ]
  others = [g for g in comparison.groups if g.ratio and g is not best]
  if not others:
    return [
      f"{opening(best.varied)} cost {_joules(best.joules)} to {goal}; there is"
      " nothing to compare it with."
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
      f" its energy is only known to be above {_joules(group.joules)}."
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
    for name, words in COUNTED.items()
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


def _estimated(trials: Sequence[TrialRecord]) -> str:
  kinds = {
    domain.get("kind")
    for trial in trials
    for domain in trial.meter.get("domains", ())
    if domain.get("estimated")
  }
  return "CPU power" if kinds == {"cpu"} else "Power"


def _joules(joules: Estimate | None) -> str:
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
