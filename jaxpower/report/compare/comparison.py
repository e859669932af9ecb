"""Gathers records into groups by what varies, and compares the groups.

  records -> comparable sets -> groups of equal settings -> one model of them

Trials of a group differ in their seed alone. A trial that missed its target
is never left out: the model takes it as costing more than it spent
(`compare.model`). What is said of the cheapest setting and of the ratio of
worst to best is corrected for both being chosen by the same trials
(`compare.selection`).
"""

import functools
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import (
  By,
  Conditions,
  comparable,
  without_pretraining,
)
from jaxpower.report.compare.compiling import with_compiling
from jaxpower.report.compare.costs import (
  COUNTINGS,
  SECONDS,
  all_known,
  ran,
  trial_cost,
)
from jaxpower.report.compare.curves import (
  Point,
  best_accuracy_so_far,
  best_of_any,
)
from jaxpower.report.compare.fitted_settings import fit_repeats
from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.places import (
  devices_of,
  domains_of,
  machines_of,
)
from jaxpower.report.compare.repeats import (
  Repeats,
  repeats_of,
  status_by_seed,
)
from jaxpower.report.compare.selection import Extremes, extremes
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import board_of


@dataclass(frozen=True, kw_only=True)
class Group:
  """The trials of one setting, seeds apart.

  Several trials of one seed, as of a sweep that was run twice, are repeats: a
  seed counts once.

  `joules` and `seconds` are what the train phase typically costs until the
  target is met, by the model of all groups. None, with `unknown` saying why,
  where a trial's are not known; and where more than half of the seeds missed
  the target: `joules_missed` is then what these spent at the median. `ratio` is
  the cost over that of the cheapest group; its interval holds for all pairs of
  groups at once. The bound of `joules_per_1000_examples` is the meter's, at
  95 %: the largest of any trial, since a median is off by no more than its
  values are.

  `varied` has every field that any group of the comparison varies, None where
  these trials do not have it.
  """

  varied: dict[str, Any]
  records: tuple[TrialRecord, ...]
  joules: Estimate | None = None
  seconds: Estimate | None = None
  ratio: Estimate | None = None
  joules_per_1000_examples: float | None = None
  joules_per_1000_examples_bound: float | None = None
  unknown: str = ""
  joules_missed: float | None = None

  @property
  def seeds(self) -> int:
    """How many seeds were tried."""
    return len(status_by_seed(self.records))

  @property
  def seeds_ran(self) -> int:
    """How many seeds trained, that is did not fail."""
    return self.seeds - self.count("failed")

  @functools.cached_property
  def best_so_far(self) -> tuple[tuple[float, float], ...]:
    """Joules and best median accuracy, at each step up."""
    return best_accuracy_so_far(self.records)

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

  Attributes:
    order: Indices of the groups whose cost is known, the cheapest first.
    ratios: Each group's cost over that of the cheapest, None where unknown;
      the intervals hold for all pairs of groups at once.
    extremes: The cheapest and the most expensive group; None for fewer than
      two of known cost.
    fit: The model of their costs, by index of the group.
  """

  order: tuple[int, ...]
  ratios: tuple[Estimate | None, ...]
  extremes: Extremes | None
  fit: Fit = field(compare=False, repr=False)

  @property
  def energy_ratio(self) -> Estimate | None:
    """The most over the least expensive, corrected for the choice of both.

    As seen, without an interval, where no group has two seeds.
    """
    if self.extremes is None:
      return None
    return self.extremes.ratio or Estimate(self.extremes.raw)


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

  @functools.cached_property
  def records(self) -> tuple[TrialRecord, ...]:
    """The trials of all groups, in their order."""
    return tuple(record for group in self.groups for record in group.records)

  @property
  def paths(self) -> tuple[str, ...]:
    """The fields that vary, as dotted paths."""
    return tuple(self.groups[0].varied) if self.groups else ()

  @functools.cached_property
  def accuracy_front(self) -> tuple[Point, ...]:
    """The best median accuracy of any group within so many joules."""
    return best_of_any([group.best_so_far for group in self.groups])

  @property
  def fit(self) -> Fit:
    """The model of what training costs, by index of the group."""
    return self.rankings["train"].fit

  def place(self, group: Group) -> int:
    """Returns the index of one of the groups, by which fits know it."""
    return next(i for i, each in enumerate(self.groups) if each is group)

  @property
  def best(self) -> Group | None:
    """The group with the lowest cost."""
    order = self.rankings["train"].order
    return self.groups[order[0]] if order else None

  @property
  def worst(self) -> Group | None:
    """The group with the highest cost that is known."""
    order = self.rankings["train"].order
    return self.groups[order[-1]] if order else None

  @property
  def energy_ratio(self) -> Estimate | None:
    """The worst group's cost over the best one's, as `Ranking` has it."""
    return self.rankings["train"].energy_ratio


@dataclass(frozen=True)
class Compared:
  """Records and their comparisons, computed once for every question.

  `records` holds the newest record of each trial; `attempts` also those of
  trials that were repeated, whose joules were spent all the same. `sweep` is
  the content of their sweep.json; empty where they are of several or of none.
  """

  records: tuple[TrialRecord, ...]
  attempts: tuple[TrialRecord, ...]
  comparisons: tuple[Comparison, ...]
  sweep: Mapping[str, Any] = field(default_factory=dict)

  @functools.cached_property
  def trials(self) -> tuple[TrialRecord, ...]:
    """The records of all comparisons, in their order; no pretraining."""
    return tuple(r for each in self.comparisons for r in each.records)


def compare_all(
  records: Iterable[TrialRecord],
  attempts: Iterable[TrialRecord] | None = None,
  by: By = "system",
  sweep: Mapping[str, Any] | None = None,
) -> Compared:
  """Compares records; `attempts` are `records` unless they are given.

  With "board" for `by` even equal boards and hosts are kept apart.
  """
  records = tuple(records)
  return Compared(
    records,
    records if attempts is None else tuple(attempts),
    compare(records, by),
    sweep or {},
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
  paths = dict.fromkeys(path for record in records for path in record.varied)
  repeats = repeats_of(settings)
  joules, seconds = fit_repeats(repeats), fit_repeats(repeats, SECONDS)
  rankings = {
    name: ranked(of_counting, len(settings))
    for name in COUNTINGS
    if (of_counting := _counted(settings, repeats, joules, name))
  }
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
      _group(paths, trials, joules.cost(i), seconds.cost(i), ratio)
      for i, (trials, ratio) in enumerate(
        zip(settings, rankings["train"].ratios, strict=True)
      )
    ),
    rankings=rankings,
  )


def ranked(of_settings: Fit, count: int) -> Ranking:
  """Ranks fitted settings; `count` is how many there are, unknown ones too."""
  order = sorted(of_settings.known, key=of_settings.value)
  ratios = of_settings.ratios_to(order[0]) if order else ()
  unknown = (None,) * (count - len(ratios))
  return Ranking(
    tuple(order), (*ratios, *unknown), extremes(of_settings), of_settings
  )


def _counted(
  settings: Sequence[Sequence[TrialRecord]],
  repeats: Sequence[Repeats],
  joules: Fit,
  name: str,
) -> Fit | None:
  """Fits costs counted one way; None unless every known setting has its own.

  `joules` are those of training alone, `repeats` the trials of `settings`.
  """
  if name == "train":
    return joules
  if name == "compile":
    return with_compiling(joules, settings)
  counted = fit_repeats(repeats, COUNTINGS[name])
  return counted if counted.known == joules.known else None


def _group(
  paths: Iterable[str],
  records: tuple[TrialRecord, ...],
  joules: Estimate | None,
  seconds: Estimate | None,
  ratio: Estimate | None,
) -> Group:
  per_1000, bound = joules_per_1000(records)
  unknown, missed = ("", None) if joules else _reason_unknown(records)
  return Group(
    varied={path: records[0].varied.get(path) for path in paths},
    records=records,
    joules=joules,
    seconds=seconds,
    ratio=ratio,
    joules_per_1000_examples=per_1000,
    joules_per_1000_examples_bound=bound,
    unknown=unknown,
    joules_missed=missed,
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


def _reason_unknown(
  records: Sequence[TrialRecord],
) -> tuple[str, float | None]:
  """Says why a setting's cost is unknown, and what its misses spent."""
  if all(record.status == "failed" for record in records):
    error = next((r.error for r in records if r.error), None)
    return f"every trial failed: {error or 'no error was recorded'}", None
  trials = ran(records)
  unknown = [record for record in trials if trial_cost(record) is None]
  if unknown:
    reasons = (reason for record in unknown for reason in record.reasons)
    return next(reasons, "no energy was measured"), None
  missed = all_known(r.train_joules for r in trials if r.status != "reached")
  costs = all_known(map(trial_cost, trials)) or ()
  if not missed or min(cost.value for cost in costs) <= 0:
    return "a trial's joules are not above zero", None
  reached = len(trials) - len(missed)
  reason = f"{reached} of {len(trials)} trials reached the target"
  return reason, statistics.median(missed)
