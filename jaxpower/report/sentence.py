"""What a person would say of the table, in a sentence or a few."""

from collections.abc import Sequence

from jaxpower.records import TrialRecord
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
  goal = percent(comparison.target_accuracy)
  if all(record.status == "failed" for record in trials):
    return f"Every trial failed: {_first_error(trials)}."
  if not any(record.status == "reached" for record in trials):
    said = [_nobody(trials, groups, goal)]
  elif comparison.best is None:
    said = [_no_best(comparison, goal)]
  elif len(groups) == 1:
    said = [_only(comparison.best, goal)]
  else:
    said = _cheapest(comparison, comparison.best, goal)
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
  count = len(best.records) - best.count("failed")
  return f"{text}, {'one seed' if count == 1 else f'median of {count} seeds'}."


def _cheapest(comparison: Comparison, best: Group, goal: str) -> list[str]:
  told = [g for g in comparison.groups if g.joules and g.ratio]
  others = [g for g in told if g is not best]
  said = [
    f"{opening(best.varied)} was cheapest: {_joules(best.joules)} to {goal}."
    if others
    else f"{opening(best.varied)} cost {_joules(best.joules)} to {goal};"
    " nothing known to compare it with."
  ]
  close = [g for g in others if not _told_apart(g)]
  if close:
    said.append(_close(close))
  worst = comparison.worst
  if worst is not None and worst is not best and worst not in close:
    said.append(_dearer(worst))
  said += [
    _dearer(g)
    for g in others
    if g is not worst and g.joules and g.joules.at_least and g not in close
  ]
  said += _otherwise(comparison, best)
  return said


def _told_apart(group: Group) -> bool:
  """Whether the interval of its ratio to the best lies above one."""
  ratio = group.ratio
  if ratio is None:
    return False
  if ratio.low is None:
    return ratio.at_least and ratio.value > 1
  return ratio.low > 1


def _close(close: Sequence[Group]) -> str:
  names = _list([setting(g.varied) for g in close])
  counts = {len(g.records) - g.count("failed") for g in close}
  if counts == {1}:
    return f"One seed cannot tell it apart from {names}."
  seeds = min(counts)
  few = "one seed" if seeds == 1 else f"{seeds} seeds"
  return f"It cannot be told apart from {names} with {few}."


def _dearer(group: Group) -> str:
  ratio = group.ratio
  if ratio is None:
    return f"{opening(group.varied)} cannot be compared."
  if ratio.at_least:
    return (
      f"{opening(group.varied)} cost at least {number(ratio.value, 2)} times as"
      f" much: {group.count('reached')} of {len(group.records)} trials reached"
      " the target."
    )
  span = f" ({interval(ratio, figures=2)})" if ratio.low is not None else ""
  times = f"{number(ratio.value, 2)}{span} times"
  return f"{opening(group.varied)} cost {times} as much."


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
  return "" if len(names) == groups else f" of {_list(names, 'and')}"


def _partial(groups: Sequence[Group]) -> list[str]:
  """Partial trials of groups whose joules are known all the same."""
  trials = [r for group in groups if not group.unknown for r in group.records]
  partial = [trial for trial in trials if trial.partial]
  if not partial:
    return []
  reasons = (reason for trial in partial for reason in trial.reasons)
  why = next(reasons, "it lost sight of a domain").rstrip(".")
  return [
    f"The meter saw {len(partial)} of {len(trials)} trials only in part: {why}."
  ]


def _estimated(trials: Sequence[TrialRecord]) -> str:
  domains = {
    name
    for trial in trials
    for name, kind in trial.meter.items()
    if _is_estimated(kind)
  }
  cpu = domains and all(name.lower().startswith("cpu") for name in domains)
  return "CPU power" if cpu else "Power"


def _is_estimated(kind: object) -> bool:
  if isinstance(kind, dict):
    return bool(kind.get("estimated"))
  return isinstance(kind, str) and kind.startswith("estimate")


def _joules(joules: Estimate | None) -> str:
  return f"{number(joules.value)} J" if joules else "unknown joules"


def _list(names: Sequence[str], last: str = "or") -> str:
  if len(names) < 2:
    return "".join(names)
  return f"{', '.join(names[:-1])} {last} {names[-1]}"


def _first_error(trials: Sequence[TrialRecord]) -> str:
  error = next((t.error for t in trials if t.error), "no error was recorded")
  return error.strip().splitlines()[-1].rstrip(".")
