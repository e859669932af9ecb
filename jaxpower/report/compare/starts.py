"""How trials of one downstream task began, and what their starts cost.

A start that was tried at several settings of the optimizer is taken at its
best: a rate that suits one start may not suit another, and one rate for all
would compare rates, not starts. What that search spent stands beside it.

All starts at all settings are fitted by one model. The cheapest setting of a
start looks cheaper than it is for having been chosen, the more so the more were
tried: its cost, and all that follows from it, is corrected for that
(`selection.best_of_each`).
"""

import json
import pathlib
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.compare.break_even import (
  BreakEven,
  Invested,
  break_even,
)
from jaxpower.report.compare.comparable import (
  ORIGIN,
  Start,
  flat,
  is_seed,
  natural_key,
  start_of,
)
from jaxpower.report.compare.compiling import with_compiling
from jaxpower.report.compare.costs import (
  COUNTINGS,
  TRAIN,
  TRAIN_COMPILE_EVAL,
  Counting,
  all_known,
  costs,
  exact_by_seed,
  ran,
)
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.life import spent
from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.origins import find_origin, invested_by_origin
from jaxpower.report.compare.repeats import status_by_seed
from jaxpower.report.compare.selection import best_of_each
from jaxpower.report.compare.statistics import Estimate
from jaxpower.wording import count, setting, start_name

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
    joules: Of their training, typically; for given weights what somebody gave.
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
    joules: What it typically costs to the target, corrected for the choice;
      None where it is unknown, or too many seeds missed the target.
    joules_missed: What the missed ones then spent, at the median.
    scratch_joules: `joules` from scratch, at this setting.
    of_scratch: The first over the second; its interval holds for all starts at
      all settings at once.
    invested: The joules of pretraining, typically.
    tasks: How many such tasks pay them back, counting training alone; None from
      scratch.
    tasks_with_compile_eval: The same with compiling and evaluation.
  """

  setting: dict[str, Any]
  tuned: dict[str, Any]
  tried: int
  search: Estimate | None
  start: Start
  name: str
  records: tuple[TrialRecord, ...]
  joules: Estimate | None
  joules_missed: float | None = None
  scratch_joules: Estimate | None = None
  of_scratch: Estimate | None = None
  invested: Estimate | None = None
  tasks: BreakEven | None = None
  tasks_with_compile_eval: BreakEven | None = None


@dataclass(frozen=True)
class _Arm:
  """A start at one setting of all but the optimizer.

  `cells` are indices of its settings of the optimizer, `best` the one of them
  at which it is taken.
  """

  other: str
  start: Start
  cells: tuple[int, ...]
  best: int


@dataclass(frozen=True, eq=False)
class _Costs:
  """What arms cost at their best, corrected for the choice, by their index.

  `with_compile_eval` is None where that is unknown.
  """

  alone: Fit
  with_compile_eval: Fit | None


def start_groups(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> tuple[StartGroup, ...]:
  """Groups trials by their start and by the other fields that vary.

  `downstream` may be compared; what it began from is in `records`.
  """
  names = _origin_names(downstream, records)
  cells: dict[tuple[str, Start, str], list[TrialRecord]] = {}
  for record in downstream:
    start = replace(start_of(record), origin=names[record.trial_id])
    other = _key(_other_fields(record, downstream))
    tuned = _key(_tuned_fields(record, downstream))
    cells.setdefault((other, start, tuned), []).append(record)
  settings = list(cells.values())
  fitted = fit_settings(settings)
  arms = _arms([key[:2] for key in cells], settings, fitted)
  at_best = _costs_at_best(arms, settings, fitted)
  groups = [
    _start_group(index, arms, settings, at_best) for index in range(len(arms))
  ]
  pairs = _pairs_with_scratch(arms)
  ratios = at_best.alone.ratios(pairs)
  for (index, base), of_scratch in zip(pairs, ratios, strict=True):
    groups[index] = replace(
      groups[index],
      scratch_joules=groups[base].joules,
      of_scratch=of_scratch,
    )
  base_of = dict(pairs)
  told = (
    group
    if group.start.from_scratch
    else _with_payback(
      group, index, base_of.get(index), groups, at_best, records
    )
    for index, group in enumerate(groups)
  )
  return tuple(sorted(told, key=_order))


def _arms(
  keys: Sequence[tuple[str, Start]],
  settings: Sequence[Sequence[TrialRecord]],
  fitted: Fit,
) -> list[_Arm]:
  """Gathers settings by all but the optimizer, and chooses the best of each."""
  by_key: dict[tuple[str, Start], list[int]] = {}
  for index, key in enumerate(keys):
    by_key.setdefault(key, []).append(index)
  return [
    _Arm(*key, tuple(c), min(c, key=lambda i: _expense(i, settings[i], fitted)))
    for key, c in by_key.items()
  ]


def _expense(
  index: int, trials: Sequence[TrialRecord], fitted: Fit
) -> tuple[bool, float]:
  """Orders settings: by what they cost; then by how often they reached.

  A setting of unknown cost is behind all others: what its trials spent says
  nothing of how little is enough.
  """
  if index in fitted.known:
    return False, fitted.value(index)
  if costs(trials) is None:
    return True, 1.0
  reached, seeds = _reached(trials)
  return True, -reached / max(seeds, 1)


def _reached(trials: Sequence[TrialRecord]) -> tuple[int, int]:
  """Counts the seeds that reached the target, and those that ran."""
  statuses = list(status_by_seed(ran(trials)).values())
  return statuses.count("reached"), len(statuses)


def _costs_at_best(
  arms: Sequence[_Arm], settings: Sequence[Sequence[TrialRecord]], fitted: Fit
) -> _Costs:
  """Takes the costs of each arm at its best.

  Compiling is not repeated with each seed: what it costs is added with an error
  of its own.
  """
  cells, best = [arm.cells for arm in arms], [arm.best for arm in arms]
  counted = with_compiling(fit_settings(settings, COUNTINGS["eval"]), settings)
  return _Costs(
    best_of_each(fitted, cells, best),
    None if counted is None else best_of_each(counted, cells, best),
  )


def _pairs_with_scratch(arms: Sequence[_Arm]) -> list[tuple[int, int]]:
  """Pairs each arm with that from scratch at its setting, if there is one."""
  scratch = {
    arm.other: index
    for index, arm in enumerate(arms)
    if arm.start.from_scratch and arm.start.backbone_rate == 1
  }
  return [
    (index, scratch[arm.other])
    for index, arm in enumerate(arms)
    if not arm.start.from_scratch and arm.other in scratch
  ]


def _start_group(
  index: int,
  arms: Sequence[_Arm],
  settings: Sequence[Sequence[TrialRecord]],
  at_best: _Costs,
) -> StartGroup:
  """Makes the group of a start's trials at its best, without its payback."""
  arm, best = arms[index], settings[arms[index].best]
  downstream = [record for trials in settings for record in trials]
  # A sweep may call starts of two origins the same.
  sharing = Counter(_name(a.start) for a in arms if a.other == arm.other)
  joules = at_best.alone.cost(index)
  missed = all_known(
    record.train_joules for record in ran(best) if record.status != "reached"
  )
  return StartGroup(
    setting=_other_fields(best[0], downstream),
    tuned=_tuned_fields(best[0], downstream),
    tried=len(arm.cells),
    search=spent([r for cell in arm.cells for r in settings[cell]]).joules,
    start=arm.start,
    name=_name(arm.start, with_origin=sharing[_name(arm.start)] > 1),
    records=tuple(best),
    joules=joules,
    joules_missed=None if joules or not missed else statistics.median(missed),
  )


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


def _with_payback(
  group: StartGroup,
  index: int,
  base: int | None,
  groups: Sequence[StartGroup],
  at_best: _Costs,
  records: Sequence[TrialRecord],
) -> StartGroup:
  """Says after how many tasks a group's start is paid back against `base`.

  Where anything is unknown there is no number of tasks: the unmeasured part of
  an investment is not zero.
  """
  joules, unknown = invested_by_origin(group.records, records)
  invested = Invested.typically(joules)
  group = replace(group, invested=invested and invested.joules)
  if base is None:
    unknown = unknown or "no trial began from scratch at this setting"
  else:
    unknown = unknown or _unknown(groups[base], "from scratch")
  unknown = unknown or _unknown(group, "from these weights")
  if unknown or base is None or invested is None:
    return replace(group, tasks=BreakEven(None, unknown=unknown))
  tasks = break_even(invested, at_best.alone, base, index)
  joules, _ = invested_by_origin(group.records, records, TRAIN_COMPILE_EVAL)
  all_invested = Invested.typically(joules)
  counted = at_best.with_compile_eval
  return replace(
    group,
    tasks=tasks,
    tasks_with_compile_eval=break_even(all_invested, counted, base, index)
    if counted and all_invested
    else None,
  )


def _unknown(group: StartGroup, began: str) -> str:
  """Says why what a start costs is unknown; empty where it is known."""
  if group.joules:
    return ""
  if costs(group.records) is None or group.joules_missed is None:
    return "the energy of some downstream trials is unknown"
  reached, seeds = _reached(group.records)
  return f"{reached} of {count(seeds, 'seed')} {began} reached the target"


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
    joules=_typical(trials, TRAIN),
    joules_with_compile_eval=_typical(trials, TRAIN_COMPILE_EVAL),
  )


def _typical(
  pretrainings: Sequence[TrialRecord], counting: Counting
) -> Estimate | None:
  """Takes what one typically spent; None where some joules are unknown.

  All of its training, whether or not it met a target of its own.
  """
  joules = exact_by_seed(pretrainings, counting.bound)
  found = Invested.typically([cost.value for cost in joules.values()])
  return found and found.joules


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
