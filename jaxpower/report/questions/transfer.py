"""Does pretraining pay back, and after how many downstream tasks?

Compares trials of one downstream task that began from scratch, fine-tuned or
frozen. Tasks to break even are the energy of pretraining over what one task
saves against scratch.

Each seed has a pretraining of its own, which all trials of that seed share. One
pretraining for all seeds would leave the differences between pretrainings out
of the intervals; a line says where that is so.
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
from jaxpower.report.cells import (
  PERHAPS_NEVER,
  UNKNOWN,
  break_even_cell,
  break_even_point,
  estimate,
  goal,
  joules,
  name_among,
  unit_of,
  uses,
)
from jaxpower.report.compare.break_even import BreakEven, break_even_by_seed
from jaxpower.report.compare.comparable import (
  ORIGIN,
  Start,
  flat,
  is_seed,
  natural_key,
  start_of,
)
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.costs import (
  TRAIN,
  TRAIN_COMPILE_EVAL,
  Counting,
  costs,
  costs_by_seed,
  exact_costs,
  ran,
)
from jaxpower.report.compare.origins import find_origin, invested
from jaxpower.report.compare.repeats import status_by_seed
from jaxpower.report.compare.statistics import Cost, Estimate, median, ratio
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  ESTIMATED,
  ONE_SEED,
  JouleUnit,
  capitalised,
  count,
  joules_name,
  labels,
  number,
  percent,
  setting,
  start_name,
  value,
)

PLACE = 40
TITLE = "Payback of pretraining"
NOTES = (
  "Tasks to break even: the energy of pretraining over what one downstream task"
  " saves against scratch. Medians over seeds; in brackets the 95 % interval"
  " from a bootstrap that draws the seeds of all three together.",
  'Never: nothing is saved. "At most" and "at least" are bounds: a trial that'
  " missed the target cost at least what it spent.",
)
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
  """Downstream trials of one start, at one setting of all else.

  Attributes:
    setting: The values of the other fields that vary.
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


@dataclass(frozen=True)
class Payback:
  """What pretraining saved in one comparison.

  `name` is the comparison's among several, empty where it is alone. From
  scratch comes first among the groups of a setting.
  """

  comparison: Comparison
  name: str
  origins: tuple[Origin, ...]
  groups: tuple[StartGroup, ...]

  @property
  def pretrained(self) -> tuple[StartGroup, ...]:
    """Lists the groups that did not begin from random weights."""
    return tuple(g for g in self.groups if not g.start.from_scratch)


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers where some trial began from other than random weights."""
  paybacks = find(compared)
  return (tell(paybacks),) if paybacks else ()


# Values


def find(compared: Compared) -> tuple[Payback, ...]:
  """Finds what pretraining saved in each comparison that has any."""
  comparisons = [
    comparison
    for comparison in compared.comparisons
    if any(not start_of(record).from_scratch for record in _trials(comparison))
  ]
  return tuple(
    Payback(
      comparison,
      name_among(comparison, comparisons),
      _origins(_trials(comparison), compared.records),
      _start_groups(_trials(comparison), compared.records),
    )
    for comparison in comparisons
  )


def _trials(comparison: Comparison) -> list[TrialRecord]:
  return [record for group in comparison.groups for record in group.records]


def _start_groups(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> tuple[StartGroup, ...]:
  """Groups trials by their start and by the other fields that vary.

  `downstream` may be compared; what it began from is in `records`.
  """
  names = _origin_names(downstream, records)
  gathered: dict[tuple[str, Start], list[TrialRecord]] = {}
  for record in downstream:
    start = replace(start_of(record), origin=names[record.trial_id])
    key = _other_key(record, downstream), start
    gathered.setdefault(key, []).append(record)
  scratch = {
    other: group
    for (other, start), group in gathered.items()
    if start.from_scratch and start.backbone_rate == 1
  }
  # A sweep may call starts of two origins the same.
  sharing = Counter((other, _name(start)) for other, start in gathered)
  groups = [
    _start_group(
      StartGroup(
        setting=_other_fields(group[0], downstream),
        start=start,
        name=_name(start, with_origin=sharing[other, _name(start)] > 1),
        records=tuple(group),
        joules=median(costs(group) or ()),
      ),
      scratch.get(other, ()),
      records,
    )
    for (other, start), group in gathered.items()
  ]
  return tuple(sorted(groups, key=_order))


def _order(group: StartGroup) -> tuple:
  values = [natural_key(item) for item in group.setting.values()]
  return values, not group.start.from_scratch, group.name


def _name(start: Start, with_origin: bool = False) -> str:
  """Names a start: the sweep's own name for it wins."""
  name = start.name or start_name(start.kind, start.backbone_rate)
  named = with_origin and not start.from_scratch
  return f"{name} from {start.origin}" if named else name


def _other_fields(
  record: TrialRecord, among: Sequence[TrialRecord]
) -> dict[str, Any]:
  """Returns what varies beside the start among comparable trials."""
  return {
    path: item
    for path, item in record.varied.items()
    if path != "transfer"
    and not path.startswith(ORIGIN)
    and any(other.varied.get(path) != item for other in among)
  }


def _other_key(record: TrialRecord, among: Sequence[TrialRecord]) -> str:
  return json.dumps(_other_fields(record, among), sort_keys=True)


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


def _origins(
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


# Words


def tell(paybacks: Sequence[Payback]) -> Section:
  """Tells all comparisons in one section: two tables and sentences of each."""
  tables, lines = [], []
  for payback in paybacks:
    lead = f"{payback.name}: " if payback.name else ""
    tables += [_origin_table(payback), _start_table(payback)]
    lines += [lead + line for line in _lines(payback)]
  return Section(title=TITLE, tables=tuple(tables), lines=tuple(lines))


def _origin_table(payback: Payback) -> Table:
  """Makes a row an origin; each pretraining counts once."""
  estimated, origins = payback.comparison.estimated, payback.origins
  unit = unit_of(
    joules
    for origin in origins
    for joules in (origin.joules, origin.joules_with_compile_eval)
  )
  columns = (
    "pretraining",
    "reached its target",
    "median final accuracy",
    f"{joules_name(estimated, unit)} of training",
    "with compiling and evaluation",
  )
  notes = tuple(
    f"{origin.name}: its energy was not measured here; {origin.source}."
    for origin in origins
    if origin.given
  )
  rows = tuple(_origin_row(origin, unit) for origin in origins)
  return Table(columns, rows, notes)


def _origin_row(origin: Origin, unit: JouleUnit) -> tuple[str, ...]:
  reached = f"{origin.reached} of {origin.trials}" if origin.trials else UNKNOWN
  at_end = UNKNOWN if origin.accuracy is None else percent(origin.accuracy)
  return (
    origin.name,
    "given" if origin.given else reached,
    "" if origin.given else at_end,
    estimate(origin.joules, unit),
    estimate(origin.joules_with_compile_eval, unit),
  )


def _start_table(payback: Payback) -> Table:
  """Makes a row a start at each setting."""
  comparison, groups = payback.comparison, payback.groups
  names = labels(path for group in groups for path in group.setting)
  unit = unit_of(group.joules for group in groups)
  columns = (
    *names.values(),
    "start",
    "reached",
    f"{joules_name(comparison.estimated, unit)} to {goal(comparison)}",
    "ratio to scratch",
    "tasks to break even",
    "with compiling and evaluation",
  )
  rows = tuple(
    (
      *(value(group.setting.get(path)) for path in names),
      group.name,
      _reached(group),
      estimate(group.joules, unit),
      *(
        ("", "", "")
        if group.start.from_scratch
        else (
          estimate(group.of_scratch),
          break_even_cell(group.tasks),
          break_even_cell(group.tasks_with_compile_eval),
        )
      ),
    )
    for group in groups
  )
  return Table(columns, rows, NOTES)


def _reached(group: StartGroup) -> str:
  """Counts the seeds that reached the target, each once."""
  statuses = [*status_by_seed(group.records).values()]
  return f"{statuses.count('reached')} of {len(statuses)}"


def _lines(payback: Payback) -> list[str]:
  comparison, groups = payback.comparison, payback.pretrained
  lines = [_verdict(group, comparison) for group in groups]
  lines += _with_compile_eval(groups)
  lines += [
    f"{_opening(group)}: the tasks to break even leave out"
    f" {count(group.unpaired_seeds, 'seed')} that did not run both from scratch"
    " and pretrained."
    for group in groups
    if group.tasks and group.unpaired_seeds
  ]
  fewest = min(len({r.seed for r in group.records}) for group in groups)
  if fewest == 1:
    lines.append(ONE_SEED)
  if fewest > 1 and any(map(_has_one_origin, groups)):
    lines.append(
      "All seeds began from one pretraining, so the intervals leave out how"
      " much pretrainings differ."
    )
  if comparison.estimated:
    lines.append(ESTIMATED)
  return lines


def _verdict(group: StartGroup, comparison: Comparison) -> str:
  """Says of one start at one setting whether it pays back."""
  name, estimated = _opening(group), comparison.estimated
  if group.tasks is None:
    return f"{name}: whether pretraining pays back is unknown: {group.unknown}."
  return (
    f"{name}: {joules(group.joules, estimated)} to {goal(comparison)} against"
    f" {joules(group.scratch_joules, estimated)} from scratch;"
    f" {_pays_back(group.tasks, joules(group.invested, estimated))}."
  )


def _pays_back(tasks: BreakEven, spent: str) -> str:
  subject = f"the {spent} of pretraining"
  if tasks.uses is None:
    return (
      f"whether {subject} pay back is unknown: too many trials missed the"
      " target"
    )
  if tasks.never:
    text = f"{subject} never pay back at this accuracy"
    if tasks.low is None or tasks.low == math.inf:
      return text
    return f"{text}, though the interval does not exclude that they do"
  if tasks.at_least:
    fewest = uses(tasks.uses)
    return f"{subject} pay back after at least {fewest} such tasks, if ever"
  text = f"{subject} pay back from the {_ordinal(tasks.uses)} such task on"
  if tasks.at_most:
    text += " at the latest"
  return text + (PERHAPS_NEVER if tasks.perhaps_never else "")


def _with_compile_eval(groups: Sequence[StartGroup]) -> list[str]:
  """Says whether counting compiling and evaluation changes a number."""
  numbers = [
    (
      group,
      break_even_point(group.tasks),
      break_even_point(group.tasks_with_compile_eval),
    )
    for group in groups
    if group.tasks and group.tasks_with_compile_eval
  ]
  if not numbers:
    return []
  changed = [
    f"{_opening(group)}: {all_counted} instead of {train_alone}"
    for group, train_alone, all_counted in numbers
    if all_counted != train_alone
  ]
  if not changed:
    return [
      "With compiling and evaluation, the tasks to break even are the same."
    ]
  return [
    "With compiling and evaluation, the tasks to break even change:"
    f" {'; '.join(changed)}."
  ]


def _opening(group: StartGroup) -> str:
  """Names a group at the head of a sentence."""
  name = capitalised(group.name)
  return f"{name}, {setting(group.setting)}" if group.setting else name


def _has_one_origin(group: StartGroup) -> bool:
  """Returns whether several trials began from one pretraining."""
  origin_ids = {r.init_from for r in group.records if r.init_from is not None}
  return len(origin_ids) == 1 and len(group.records) > 1


def _ordinal(tasks: float) -> str:
  """Names the first whole task at which it is paid back: 2.3 is "3rd"."""
  whole = max(1, math.ceil(tasks))
  ending = {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
  if whole % 100 in (11, 12, 13):
    ending = "th"
  return f"{whole}{ending}" if whole < 10_000 else f"{number(whole)}th"
