"""After how many trainings the search for the best setting is paid back.

Without a search some setting would have been used all the same. Which one is
unknown, so three stand for it: the median setting, the first one tried and the
worst. A search spent whole trials, so what the best setting saves is counted in
whole trainings too, set-up to checkpoint, by the model of all settings
(`life.whole_trainings`). The best setting was chosen by the same trials that
give its saving, so the saving is more likely overestimated than underestimated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxpower.records import TrialRecord
from jaxpower.report.compare.break_even import (
  BreakEven,
  Invested,
  break_even,
)
from jaxpower.report.compare.comparison import Group
from jaxpower.report.compare.life import Trainings
from jaxpower.report.compare.statistics import Estimate

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
  trainings: BreakEven


def alternatives(
  trainings: Trainings,
  attempts: Sequence[TrialRecord],
  search: Estimate | None,
) -> tuple[Alternative, ...]:
  """Finds after how many trainings the search is paid back, for each choice.

  Leaves out the best setting itself, and names none twice. `attempts` are in
  the order in which they were recorded; `search` is a sum.
  """
  comparison = trainings.comparison
  best = comparison.best
  found = ((trainings.use(g).joules, g) for g in comparison.groups)
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
      places = comparison.place(group), comparison.place(best)
      paid_back = break_even(Invested(search), trainings.joules, *places)
      results.append(Alternative(choice, group, whole, paid_back))
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
