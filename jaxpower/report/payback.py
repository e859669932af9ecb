"""After how many trainings a search for the best setting is paid back."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxpower.records import TrialRecord
from jaxpower.report.breakeven import BreakEven, bounded_times, break_even, told
from jaxpower.report.costs import costs
from jaxpower.report.groups import Comparison, Group
from jaxpower.report.labels import counted, percent, setting
from jaxpower.report.statistics import Cost, Estimate
from jaxpower.report.tables import Table, estimate, in_words, joules_word


@dataclass(frozen=True)
class Instead:
  """A setting that might have been taken without searching."""

  name: str
  group: Group
  trainings: BreakEven | None


def instead_of(
  comparison: Comparison,
  records: Sequence[TrialRecord],
  search: Estimate | None,
) -> tuple[Instead, ...]:
  """After how many trainings the search is paid back, against three settings.

  The median setting (of two the cheaper), the one first tried in `records`,
  and the worst; none that is the best setting itself, none twice.
  """
  best = comparison.best
  joules = [(g.joules.value, g) for g in comparison.groups if g.joules]
  known = [group for _, group in sorted(joules, key=lambda pair: pair[0])]
  if best is None or search is None or len(known) < 2:
    return ()
  first = _first(known, records)
  found, seen = [], {json.dumps(best.varied)}
  for name, group in (
    ("the median setting", known[(len(known) - 1) // 2]),
    ("the first one tried", first),
    ("the worst setting", comparison.worst or known[-1]),
  ):
    if group is None or json.dumps(group.varied) in seen:
      continue
    seen.add(json.dumps(group.varied))
    found.append(Instead(name, group, _paid_back(search, group, best)))
  return tuple(found)


def table(
  comparison: Comparison,
  paid: Sequence[Instead],
  search: Estimate | None,
) -> Table:
  """A row for each setting that might have been taken, and the best one."""
  best = comparison.best
  rows = [
    (
      instead.name,
      setting(instead.group.varied),
      estimate(instead.group.joules),
      told(instead.trainings),
    )
    for instead in paid
  ]
  goal = percent(comparison.target_accuracy)
  name = setting(best.varied) if best else "unknown"
  joules = estimate(best.joules) if best else "unknown"
  return Table(
    (
      "instead of",
      "which is",
      f"{joules_word(comparison)} to {goal}",
      "trainings to pay the search back",
    ),
    (*rows, ("the best setting", name, joules, "")),
    (
      f"The joules of the whole search, {estimate(search)}, over what one"
      " training at the best setting saves.",
      "The best setting was chosen by the same trials, so what it saves is"
      " rather over- than underestimated.",
    ),
  )


def lines(
  comparison: Comparison,
  paid: Sequence[Instead],
  search: Estimate | None,
  trials: int,
  origins: int,
) -> list[str]:
  """What the search cost and when it is paid back, in sentences."""
  if search is None:
    return ["What finding the best setting cost is unknown."]
  more = f" and {origins} of pretraining" if origins else ""
  all_of_it = f"{counted(trials, 'trial')}{more}"
  said = [f"The whole sweep, {all_of_it}, spent {in_words(search)} J."]
  if comparison.best is None:
    return [*said, "No setting is known to be the best one."]
  if not paid:
    return [*said, "There was no other setting to search among."]
  return said + [
    f"Taking {setting(comparison.best.varied)} instead of {i.name}"
    f" ({setting(i.group.varied)}) {_after(i.trainings)}."
    for i in paid
  ]


def _after(found: BreakEven | None) -> str:
  if found is None or found.uses is None:
    return "pays the search back nobody can tell when"
  if found.never:
    return "never pays the search back"
  text = f"pays the search back after {bounded_times(found)} trainings"
  return f"{text}, though perhaps never" if found.perhaps_never else text


def _paid_back(search: Estimate, group: Group, best: Group) -> BreakEven | None:
  before, after = _by_seed(group.records), _by_seed(best.records)
  seeds = sorted(before.keys() & after.keys())
  found = break_even(
    [Cost(search.value)] * len(seeds),
    [before[seed] for seed in seeds],
    [after[seed] for seed in seeds],
  )
  if found is None or found.uses is None or found.never:
    return found
  if not search.at_least:
    return found
  # What the search cost has no upper end; that alone is no reason for never.
  if found.at_most:
    return BreakEven(None)
  return replace(found, at_least=True, high=None)


def _by_seed(records: Sequence[TrialRecord]) -> dict[int, Cost]:
  return {r.seed: cost for r in records for cost in costs([r]) or ()}


def _first(
  groups: Sequence[Group], records: Sequence[TrialRecord]
) -> Group | None:
  """The setting of the trial recorded first, among those with joules."""
  order = {r.trial_id: number for number, r in reversed([*enumerate(records)])}
  return min(
    groups,
    key=lambda g: min(order.get(r.trial_id, math.inf) for r in g.records),
    default=None,
  )
