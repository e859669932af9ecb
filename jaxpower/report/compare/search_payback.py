"""After how many trainings the search for the best setting is paid back.

Without a search some setting would have been used all the same. Which one is
unknown, so three stand for it: the median setting, the first one tried and the
worst. A search spent whole trials, so what the best setting saves is counted in
whole trainings too, set-up to checkpoint. The best setting was chosen by the
same trials that give its saving, so the saving is more likely overestimated
than underestimated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxpower.records import TrialRecord
from jaxpower.report.compare.break_even import BreakEven, break_even_by_seed
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import costs_by_seed
from jaxpower.report.compare.life import WHOLE_TRAINING, one_training
from jaxpower.report.compare.statistics import Cost, Estimate

Choice = Literal["median", "first", "worst"]


@dataclass(frozen=True)
class Alternative:
  """A setting that might have been used without searching.

  Of an even number of settings the median one is the cheaper of the middle two.
  `joules` are those of a whole training with it; `trainings` is after how many
  at the best setting the search is paid back.
  """

  choice: Choice
  group: Group
  joules: Estimate
  trainings: BreakEven | None


def alternatives(
  comparison: Comparison,
  attempts: Sequence[TrialRecord],
  search: Estimate | None,
) -> tuple[Alternative, ...]:
  """Finds after how many trainings the search is paid back, for each choice.

  Leaves out the best setting itself, and names none twice. `attempts` are in
  the order in which they were recorded.
  """
  best = comparison.best
  found = ((one_training(group).joules, group) for group in comparison.groups)
  joules = [(whole, group) for whole, group in found if whole]
  joules.sort(key=lambda pair: pair[0].value)
  if best is None or search is None or len(joules) < 2:
    return ()
  choices: dict[Choice, tuple[Estimate, Group]] = {
    "median": joules[(len(joules) - 1) // 2],
    "first": _first_tried(joules, attempts),
    "worst": joules[-1],
  }
  named = [best]
  results = []
  for choice, (whole, group) in choices.items():
    if not any(group is other for other in named):
      named.append(group)
      trainings = _paid_back(search, group, best)
      results.append(Alternative(choice, group, whole, trainings))
  return tuple(results)


def _first_tried(
  joules: Sequence[tuple[Estimate, Group]], attempts: Sequence[TrialRecord]
) -> tuple[Estimate, Group]:
  """Returns the setting whose first trial was recorded before all others'."""
  places = {r.trial_id: i for i, r in reversed([*enumerate(attempts)])}
  return min(
    joules,
    key=lambda pair: min(
      places.get(r.trial_id, math.inf) for r in pair[1].records
    ),
  )


def _paid_back(search: Estimate, group: Group, best: Group) -> BreakEven | None:
  """Divides the search by the saving of a training at the best setting."""
  before, after = (
    costs_by_seed(setting.records, WHOLE_TRAINING) for setting in (group, best)
  )
  # One search for all seeds: each has the same investment.
  invested = {seed: Cost(search.value) for seed in before}
  trainings = break_even_by_seed(invested, before, after)
  if trainings is None or trainings.uses is None or trainings.never:
    return trainings
  if not search.at_least:
    return trainings
  # What the search cost has no upper end; that alone is no reason for never.
  if trainings.at_most:
    return BreakEven(None)
  return replace(trainings, at_least=True, high=None)
