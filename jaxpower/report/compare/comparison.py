"""Gathers records into groups by what varies, and compares the groups.

  records -> comparable sets -> groups of equal settings -> medians, ratios

Trials of a group differ in their seed alone. A trial that missed its target
is never left out: what it spent is a lower bound, and so may its group's
median be (`compare.statistics`).
"""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import (
  By,
  Conditions,
  comparable,
  without_pretraining,
)
from jaxpower.report.compare.costs import (
  COUNTINGS,
  SECONDS,
  TRAIN,
  Counting,
  all_known,
  costs,
  ran,
)
from jaxpower.report.compare.places import (
  devices_of,
  domains_of,
  machines_of,
)
from jaxpower.report.compare.repeats import status_by_seed
from jaxpower.report.compare.statistics import (
  Cost,
  Estimate,
  median,
  middle,
  ratio,
)
from jaxpower.report.compare.system import board_of


@dataclass(frozen=True, kw_only=True)
class Group:
  """The trials of one setting, seeds apart.

  Several trials of one seed, as of a sweep that was run twice, are repeats: a
  seed counts once.

  `joules` and `seconds` are medians over seeds of the train phase until the
  target was met; None, with `unknown` saying why, where a trial's are not
  known. The bound of `joules_per_1000_examples` is the meter's, at 95 %: the
  largest of any trial, since a median is off by no more than its values are.
  """

  varied: dict[str, Any]
  records: tuple[TrialRecord, ...]
  joules: Estimate | None = None
  seconds: Estimate | None = None
  ratio: Estimate | None = None
  joules_per_1000_examples: float | None = None
  joules_per_1000_examples_bound: float | None = None
  unknown: str = ""

  @property
  def seeds(self) -> int:
    """How many seeds were tried."""
    return len(status_by_seed(self.records))

  @property
  def seeds_ran(self) -> int:
    """How many seeds trained, that is did not fail."""
    return self.seeds - self.count("failed")

  def count(self, status: str) -> int:
    """How many of the seeds ended with this status."""
    return list(status_by_seed(self.records).values()).count(status)

  @property
  def partial(self) -> int:
    """How many trials were only partly measured."""
    return sum(record.partial for record in self.records)


@dataclass(frozen=True)
class Ranking:
  """The groups ranked by one way to count their joules.

  `order` holds indices of the groups whose median is known, not only bounded,
  from the cheapest to the most expensive. `energy_ratio` is the highest median
  over the lowest; None where fewer than two groups have one.
  """

  order: tuple[int, ...]
  energy_ratio: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
  """Groups that may be compared, in the natural order of what varies.

  `machine`, `domains` and `devices` are what a reader is told; where several
  equal ones were pooled, how many of what kind. `blocks` counts the boards, or
  hosts of CPU trials, that are known. `rankings` has one entry for each way
  to count the joules, named as in `costs.COUNTINGS`, as far as every group's
  are known in that way.
  """

  data: str
  tasks: tuple[str, ...] = ("label",)
  target_accuracy: float
  machine: str
  domains: tuple[str, ...]
  estimated: bool
  devices: tuple[str, ...] = ()
  conditions: Conditions
  blocks: int = 1
  groups: tuple[Group, ...]
  rankings: dict[str, Ranking]

  @property
  def paths(self) -> tuple[str, ...]:
    """The fields that vary, as dotted paths."""
    return tuple(
      dict.fromkeys(path for group in self.groups for path in group.varied)
    )

  @property
  def best(self) -> Group | None:
    """The group with the lowest median that is known, not only bounded."""
    order = self.rankings["train"].order
    return self.groups[order[0]] if order else None

  @property
  def worst(self) -> Group | None:
    """The group with the highest median, known or bounded."""
    with_joules = [group for group in self.groups if group.joules]
    return max(with_joules, key=_median_joules, default=None)

  @property
  def energy_ratio(self) -> Estimate | None:
    """The worst group's median over the best one's."""
    return self.rankings["train"].energy_ratio


@dataclass(frozen=True)
class Compared:
  """Records and their comparisons, computed once for every question.

  `records` holds the newest record of each trial; `attempts` also those of
  trials that were repeated, whose joules were spent all the same.
  """

  records: tuple[TrialRecord, ...]
  attempts: tuple[TrialRecord, ...]
  comparisons: tuple[Comparison, ...]


def compare_all(
  records: Iterable[TrialRecord],
  attempts: Iterable[TrialRecord] | None = None,
  by: By = "system",
) -> Compared:
  """Compares records; `attempts` are `records` unless they are given.

  With "board" for `by` even equal boards and hosts are kept apart.
  """
  records = tuple(records)
  return Compared(
    records,
    records if attempts is None else tuple(attempts),
    compare(records, by),
  )


def compare(
  records: Iterable[TrialRecord], by: By = "system"
) -> tuple[Comparison, ...]:
  """Makes one comparison for each set of records that may be compared.

  Trials that others began from are not among them.
  """
  parts = comparable(without_pretraining(records), by)
  return tuple(_comparison(*part) for part in parts.items())


def _comparison(
  conditions: Conditions, records: Sequence[TrialRecord]
) -> Comparison:
  by_setting: dict[str, list[TrialRecord]] = {}
  for record in records:
    key = json.dumps(record.varied, sort_keys=True)
    by_setting.setdefault(key, []).append(record)
  settings = [tuple(trials) for trials in by_setting.values()]
  train = ranking(settings, TRAIN)
  best = costs(settings[train.order[0]]) if train.order else None
  return Comparison(
    data=conditions.data,
    tasks=conditions.tasks,
    target_accuracy=records[0].target_accuracy,
    machine=machines_of(records),
    domains=domains_of(records),
    estimated=any(record.estimated for record in records),
    devices=devices_of(records),
    conditions=conditions,
    blocks=len({board for r in records if (board := board_of(r))}),
    groups=tuple(
      _group(trials, best, is_best=train.order[:1] == (index,))
      for index, trials in enumerate(settings)
    ),
    rankings={"train": train}
    | {
      name: ranking(settings, counting)
      for name, counting in COUNTINGS.items()
      if _is_known(settings, counting)
    },
  )


def ranking(
  settings: Sequence[Sequence[TrialRecord]], counting: Counting
) -> Ranking:
  """Ranks settings by the median cost of their trials, counted one way."""
  all_costs = {
    index: of_setting
    for index, trials in enumerate(settings)
    if (of_setting := costs(trials, counting))
  }
  medians = {i: m for i in all_costs if (m := middle(all_costs[i]))}
  order = sorted(
    (i for i in medians if not medians[i].at_least),
    key=lambda i: medians[i].value,
  )
  if not order or len(medians) < 2:
    return Ranking(tuple(order), None)
  worst = max(medians, key=lambda i: medians[i].value)
  energy_ratio = ratio(all_costs[worst], all_costs[order[0]])
  # Any setting with a bound may cost more than the one that now looks worst.
  if energy_ratio and any(m.at_least for m in medians.values()):
    high = None if energy_ratio.high is None else math.inf
    energy_ratio = replace(energy_ratio, at_least=True, high=high)
  return Ranking(tuple(order), energy_ratio)


def _is_known(
  settings: Sequence[Sequence[TrialRecord]], counting: Counting
) -> bool:
  """Returns whether a way to count gives every setting its cost."""
  return all(
    costs(trials, counting) is not None or costs(trials) is None
    for trials in settings
  )


def _median_joules(group: Group) -> float:
  return group.joules.value if group.joules else 0.0


def _group(
  records: tuple[TrialRecord, ...], best: Sequence[Cost] | None, is_best: bool
) -> Group:
  joules, seconds = costs(records), costs(records, SECONDS)
  per_1000, bound = joules_per_1000(records)
  return Group(
    varied=records[0].varied,
    records=records,
    joules=median(joules or ()),
    seconds=median(seconds or ()),
    ratio=Estimate(1.0) if is_best else ratio(joules or (), best or ()),
    joules_per_1000_examples=per_1000,
    joules_per_1000_examples_bound=bound,
    unknown="" if joules else _reason_unknown(records),
  )


def joules_per_1000(
  records: Sequence[TrialRecord],
) -> tuple[float | None, float | None]:
  """Returns the median joules per 1000 examples, and the meter's bound."""
  completed = ran(records)
  per_example = [r.joules_per_example for r in completed]
  joules = all_known(per_example)
  if not joules:
    return None, None
  bounds = [
    r.train_joules_bound / r.examples
    for r in completed
    if r.train_joules_bound is not None and r.examples
  ]
  bound = 1000 * max(bounds) if len(bounds) == len(completed) else None
  return 1000 * statistics.median(joules), bound


def _reason_unknown(records: Sequence[TrialRecord]) -> str:
  if all(record.status == "failed" for record in records):
    error = next((r.error for r in records if r.error), None)
    return f"every trial failed: {error or 'no error was recorded'}"
  reasons = (reason for record in records for reason in record.reasons)
  return next(reasons, "no energy was measured")
