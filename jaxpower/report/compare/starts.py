"""How trials of one downstream task began, and what their starts cost.

A start that was tried at several settings of the optimizer is taken at its
best: a rate that suits one start may not suit another, and one rate for all
would compare rates, not starts. What that search spent stands beside it.
"""

import json
import math
import pathlib
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.break_even import BreakEven, break_even_by_seed
from jaxpower.report.compare.comparable import (
  ORIGIN,
  Start,
  flat,
  is_seed,
  natural_key,
  start_of,
)
from jaxpower.report.compare.costs import (
  TRAIN,
  TRAIN_COMPILE_EVAL,
  Counting,
  costs,
  costs_by_seed,
  exact_costs,
  ran,
)
from jaxpower.report.compare.life import spent
from jaxpower.report.compare.origins import find_origin, invested
from jaxpower.report.compare.statistics import Cost, Estimate, median, ratio
from jaxpower.wording import setting, start_name

TUNED = "optimizer."  # the fields that a start may need at values of its own
NOT_RECORDED = "trials not in these records"


@dataclass(frozen=True, kw_only=True)
class Origin:
  """What trials began from: pretraining that is recorded, or given weights.

  Attributes:
    name: The data it was trained on, or the file of the weights.
    given: Whether the weights were made elsewhere.
    source: The source of given weights and of their joules.
    trials: How many pretrainings there are, a seed each.
    reached: How many of them met a target of their own.
    accuracy: The median of their accuracies at the end.
    joules: Of their training; for given weights what somebody gave.
    joules_with_compile_eval: With compiling and evaluation.
  """

  name: str
  given: bool = False
  source: str = ""
  trials: int = 0
  reached: int = 0
  accuracy: float | None = None
  joules: Estimate | None = None
  joules_with_compile_eval: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class StartGroup:
  """Downstream trials of one start at its best, at one setting of all else.

  Attributes:
    setting: The values of the other fields that vary.
    tuned: The values of the optimizer's fields that vary, at their best.
    tried: At how many settings of the optimizer this start was tried.
    search: The joules that all trials at these settings spent, every phase.
    start: How their weights began.
    name: The start in words, its origin with it where two would share a name.
    records: The trials.
    joules: To the target, median over seeds.
    scratch_joules: The same from scratch, at this setting.
    of_scratch: The first over the second.
    invested: The joules of pretraining, median over seeds.
    tasks: How many such tasks pay them back, counting training alone.
    tasks_with_compile_eval: The same with compiling and evaluation.
    unknown: Why `tasks` are not known.
    unpaired_seeds: How many seeds ran only with this start or from scratch.
  """

  setting: dict[str, Any]
  tuned: dict[str, Any]
  tried: int
  search: Estimate | None
  start: Start
  name: str
  records: tuple[TrialRecord, ...]
  joules: Estimate | None
  scratch_joules: Estimate | None = None
  of_scratch: Estimate | None = None
  invested: Estimate | None = None
  tasks: BreakEven | None = None
  tasks_with_compile_eval: BreakEven | None = None
  unknown: str = ""
  unpaired_seeds: int = 0


def start_groups(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> tuple[StartGroup, ...]:
  """Groups trials by their start and by the other fields that vary.

  `downstream` may be compared; what it began from is in `records`.
  """
  names = _origin_names(downstream, records)
  gathered: dict[tuple[str, Start], list[TrialRecord]] = {}
  for record in downstream:
    start = replace(start_of(record), origin=names[record.trial_id])
    key = _key(_other_fields(record, downstream)), start
    gathered.setdefault(key, []).append(record)
  # A sweep may call starts of two origins the same.
  sharing = Counter((other, _name(start)) for other, start in gathered)
  best = {
    (other, start): _at_best(
      trials,
      downstream,
      start,
      _name(start, with_origin=sharing[other, _name(start)] > 1),
    )
    for (other, start), trials in gathered.items()
  }
  scratch = {
    other: group.records
    for (other, start), group in best.items()
    if start.from_scratch and start.backbone_rate == 1
  }
  groups = [
    _start_group(group, scratch.get(other, ()), records)
    for (other, _), group in best.items()
  ]
  return tuple(sorted(groups, key=_order))


def _at_best(
  trials: Sequence[TrialRecord],
  among: Sequence[TrialRecord],
  start: Start,
  name: str,
) -> StartGroup:
  """Makes the group of a start's trials at its best optimizer setting."""
  settings: dict[str, list[TrialRecord]] = {}
  for record in trials:
    key = _key(_tuned_fields(record, among))
    settings.setdefault(key, []).append(record)
  best = min(settings.values(), key=_expense)
  return StartGroup(
    setting=_other_fields(best[0], among),
    tuned=_tuned_fields(best[0], among),
    tried=len(settings),
    search=spent(trials).joules,
    start=start,
    name=name,
    records=tuple(best),
    joules=median(costs(best) or ()),
  )


def _expense(trials: Sequence[TrialRecord]) -> tuple[bool, bool, float, float]:
  """Orders settings: a known median, then a bounded one, then an unknown.

  Of bounded medians that of the setting whose trials reached most often is
  first, since a bound says how much was spent and not how little is enough.
  """
  joules = median(costs(trials) or ())
  if joules is None:
    return True, True, 0.0, math.inf
  missed = sum(record.status != "reached" for record in trials) / len(trials)
  return False, joules.at_least, joules.at_least and missed, joules.value


def _order(group: StartGroup) -> tuple:
  values = [natural_key(item) for item in group.setting.values()]
  return values, not group.start.from_scratch, group.name


def _name(start: Start, with_origin: bool = False) -> str:
  """Names a start: the sweep's own name for it wins."""
  name = start.name or start_name(
    start.kind, start.backbone_rate, start.features_once
  )
  named = with_origin and not start.from_scratch
  return f"{name} from {start.origin}" if named else name


def _other_fields(
  record: TrialRecord, among: Sequence[TrialRecord]
) -> dict[str, Any]:
  """Returns what varies beside start and optimizer among comparable trials."""
  return {
    path: item
    for path, item in _varied_fields(record, among).items()
    if not path.startswith(TUNED)
  }


def _tuned_fields(
  record: TrialRecord, among: Sequence[TrialRecord]
) -> dict[str, Any]:
  """Returns the optimizer's fields that vary among comparable trials."""
  return {
    path: item
    for path, item in _varied_fields(record, among).items()
    if path.startswith(TUNED)
  }


def _varied_fields(
  record: TrialRecord, among: Sequence[TrialRecord]
) -> dict[str, Any]:
  return {
    path: item
    for path, item in record.varied.items()
    if path != "transfer"
    and not path.startswith(ORIGIN)
    and any(other.varied.get(path) != item for other in among)
  }


def _key(fields: dict[str, Any]) -> str:
  return json.dumps(fields, sort_keys=True)


def _start_group(
  group: StartGroup,
  scratch: Sequence[TrialRecord],
  records: Sequence[TrialRecord],
) -> StartGroup:
  """Compares a group with the trials from scratch at its setting.

  Where anything is unknown there is no number of tasks: the unmeasured part of
  an investment is not zero.
  """
  if group.start.from_scratch:
    return group
  trials = group.records
  joules_here, joules_of_scratch = costs(trials), costs(scratch)
  investments = [invested(record, records) for record in ran(trials)]
  unknown = next((i.unknown for i in investments if i.unknown), "")
  if not unknown and not scratch:
    unknown = "no trial began from scratch at this setting"
  if not unknown and (joules_here is None or joules_of_scratch is None):
    unknown = "the energy of some downstream trials is unknown"
  tasks = None if unknown else _tasks(trials, scratch, records, TRAIN)
  if not unknown and tasks is None:
    unknown = "no seed ran both from scratch and pretrained"
  return replace(
    group,
    scratch_joules=median(joules_of_scratch or ()),
    of_scratch=ratio(joules_here or (), joules_of_scratch or ()),
    invested=_median(i.joules for i in investments),
    tasks=tasks,
    tasks_with_compile_eval=_tasks(trials, scratch, records, TRAIN_COMPILE_EVAL)
    if tasks
    else None,
    unknown=unknown,
    unpaired_seeds=len(_seeds(trials) ^ _seeds(scratch)),
  )


def _seeds(records: Iterable[TrialRecord]) -> set[int]:
  return {record.seed for record in ran(records)}


def _tasks(
  group: Sequence[TrialRecord],
  scratch: Sequence[TrialRecord],
  records: Sequence[TrialRecord],
  counting: Counting,
) -> BreakEven | None:
  """Breaks even over the seeds of both; None where joules are unknown."""
  joules_by_seed = {
    r.seed: invested(r, records, counting).joules for r in ran(group)
  }
  seeds = _seeds(group) & _seeds(scratch)
  if any(joules_by_seed[seed] is None for seed in seeds):
    return None
  return break_even_by_seed(
    {
      seed: Cost(joules)
      for seed, joules in joules_by_seed.items()
      if joules is not None
    },
    before=costs_by_seed(scratch, counting),
    after=costs_by_seed(group, counting),
  )


def origins_of(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> tuple[Origin, ...]:
  """Finds what trials began from, by name.

  An origin of many trials is listed once; one that is not in these records has
  no trials.
  """
  names = _origin_names(downstream, records)
  beginning: dict[str, list[TrialRecord]] = {}
  for record in downstream:
    if name := names[record.trial_id]:
      beginning.setdefault(name, []).append(record)
  return tuple(
    _given_weights(name, trials[0].pretrained or {})
    if trials[0].init_from is None
    else _recorded_origin(name, trials, records)
    for name, trials in beginning.items()
  )


def _given_weights(name: str, facts: dict[str, Any]) -> Origin:
  joules = facts.get("joules")
  return Origin(
    name=name,
    given=True,
    source=facts.get("source") or "no source was given",
    joules=Estimate(joules) if isinstance(joules, int | float) else None,
  )


def _recorded_origin(
  name: str, beginning: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> Origin:
  trials: list[TrialRecord] = []
  for record in beginning:
    origin = find_origin(record, records)
    if origin and origin not in trials:
      trials.append(origin)
  at_end = [t.final_accuracy for t in trials if t.final_accuracy is not None]
  return Origin(
    name=name,
    trials=len(trials),
    reached=sum(trial.status == "reached" for trial in trials),
    accuracy=statistics.median(at_end) if at_end else None,
    joules=_median(map(TRAIN.bound, trials)),
    joules_with_compile_eval=_median(map(TRAIN_COMPILE_EVAL.bound, trials)),
  )


def _median(numbers: Iterable[float | None]) -> Estimate | None:
  """Takes the median of joules; None where some are unknown."""
  return median(exact_costs(numbers))


def _origin_names(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> dict[str, str]:
  """Names what each trial began from, by its id; empty: random weights.

  A pretraining is named by its data, and where several differ in more than
  their seeds by what they differ in.
  """
  begun = {r.trial_id: find_origin(r, records) for r in downstream}
  configs = {name: flat(r.config) for name, r in begun.items() if r}
  differing = [
    path
    for path in dict.fromkeys(path for c in configs.values() for path in c)
    if path != "data"
    and not is_seed(path)
    and len({json.dumps(c.get(path)) for c in configs.values()}) > 1
  ]
  names = {}
  for record in downstream:
    config = configs.get(record.trial_id)
    weights = (record.pretrained or {}).get("path")
    if config is not None:
      name = str(config.get("data", "unknown data"))
      if differing:
        name += f", {setting({path: config.get(path) for path in differing})}"
      names[record.trial_id] = name
    elif record.init_from is not None:
      names[record.trial_id] = NOT_RECORDED
    else:
      name = pathlib.PurePath(str(weights)).name if weights else ""
      names[record.trial_id] = name
  return names
