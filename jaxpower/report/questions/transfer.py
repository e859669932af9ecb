"""Does pretraining pay back, and after how many downstream tasks?

Compares trials of one downstream task that began from scratch, fine-tuned or
frozen. Tasks to break even are the energy of pretraining over what one task
saves against scratch.

A start that was tried at several settings of the optimizer is told at its best:
a rate that suits one start may not suit another, and one rate for all would
compare rates, not starts. What that search spent stands beside it. Of a start
that had one setting alone nobody can say that it never pays back.

Each seed has a pretraining of its own, which all trials of that seed share. One
pretraining for all seeds would leave the differences between pretrainings out
of the intervals; a line says where that is so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
)
from jaxpower.report.charts import Line
from jaxpower.report.charts import Payback as PaybackChart
from jaxpower.report.compare.break_even import BreakEven
from jaxpower.report.compare.comparable import start_of
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.repeats import status_by_seed
from jaxpower.report.compare.starts import (
  Origin,
  StartGroup,
  origins_of,
  start_groups,
)
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  ESTIMATED,
  ONE_SEED,
  JouleUnit,
  capitalised,
  energy_name,
  joules_name,
  labels,
  number,
  percent,
  setting,
  value,
)

PLACE = 40
TITLE = "Payback of pretraining"
NOTES = (
  "What a start typically costs, by one model of all starts at all settings;"
  " in brackets 95 % intervals, those of ratios for all starts at once.",
  "Tasks to break even: the energy of pretraining over what one downstream task"
  " saves against scratch. Never: nothing is saved; an interval that ends with"
  " never does not exclude it.",
  "Missed within: more than half of the seeds missed the target; this is what"
  " they spent, and says nothing of what reaching it costs.",
)
BEST_NOTE = (
  "Each start is told at the best of its optimizer settings, chosen by the same"
  " trials and corrected for that; the energy of its search is that of every"
  " phase of all of them."
)
ONE_SETTING_NOTE = (
  "Each start was tried at one setting of the optimizer: another may suit a"
  " start better and change what pays back."
)


CAPTION = (
  "{energy} over the number of downstream tasks, pretraining counted once. A"
  " start pays back where its line crosses that from scratch: the marker, with"
  " the 95 % interval of the number of tasks."
)


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
    if any(not start_of(record).from_scratch for record in comparison.records)
  ]
  return tuple(
    Payback(
      comparison,
      name_among(comparison, comparisons),
      origins_of(comparison.records, compared.records),
      start_groups(comparison.records, compared.records),
    )
    for comparison in comparisons
  )


# Words


def tell(paybacks: Sequence[Payback]) -> Section:
  """Tells all comparisons in one section: two tables and sentences of each."""
  tables, lines = [], []
  for payback in paybacks:
    lead = f"{payback.name}: " if payback.name else ""
    tables += [_origin_table(payback), _start_table(payback)]
    lines += [lead + line for line in _lines(payback)]
  return Section(
    title=TITLE,
    tables=tuple(tables),
    lines=tuple(lines),
    figures=figures(paybacks),
  )


def figures(paybacks: Sequence[Payback]) -> tuple[Figure, ...]:
  """Draws what tasks cost in all, a panel a setting; none where unknown."""
  charts = [chart for payback in paybacks for chart in payback_charts(payback)]
  energy = energy_name(any(p.comparison.estimated for p in paybacks))
  caption = CAPTION.format(energy=capitalised(energy))
  return (Figure("break_even", charts, caption),) if charts else ()


def payback_charts(payback: Payback) -> list[PaybackChart]:
  """Makes a panel of each setting of which a start can be paid back."""
  settings: dict[str, list[StartGroup]] = {}
  for group in payback.pretrained:
    if group.joules and group.scratch_joules and group.invested:
      settings.setdefault(setting(group.setting), []).append(group)
  charts = []
  for name, groups in settings.items():
    scratch = groups[0].scratch_joules
    assert scratch is not None
    charts.append(
      PaybackChart(
        title=", ".join(filter(None, (payback.name, name))),
        base=Line("from scratch", 0.0, scratch.value),
        lines=tuple(map(_line, groups)),
        tasks=tuple(
          (group.tasks.uses, group.tasks.low, group.tasks.high)
          if group.tasks
          else (None, None, None)
          for group in groups
        ),
        estimated=payback.comparison.estimated,
      )
    )
  return charts


def _line(group: StartGroup) -> Line:
  assert group.joules and group.invested
  return Line(group.name, group.invested.value, group.joules.value)


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
  tuned = labels(path for group in groups for path in group.tuned)
  unit = unit_of(group.joules or group.joules_missed for group in groups)
  searched = any(group.tried > 1 for group in groups)
  unit_of_search = unit_of(group.search for group in groups)
  joules_of = joules_name(comparison.estimated, unit)
  joules_of_search = joules_name(comparison.estimated, unit_of_search)
  columns = (
    *names.values(),
    "start",
    *(f"best {name}" for name in tuned.values()),
    *(("of",) if searched else ()),
    "reached",
    f"{joules_of} to {goal(comparison)}",
    "ratio to scratch",
    "tasks to break even",
    "with compiling and evaluation",
    *((f"{joules_of_search} of the search",) if searched else ()),
  )
  rows = tuple(
    (
      *(value(group.setting.get(path)) for path in names),
      group.name,
      *(value(group.tuned.get(path)) for path in tuned),
      *((str(group.tried),) if searched else ()),
      _reached(group),
      _joules_cell(group, unit),
      *_cells_against_scratch(group),
      *((estimate(group.search, unit_of_search),) if searched else ()),
    )
    for group in groups
  )
  return Table(columns, rows, (*NOTES, _search_note(groups)))


def _joules_cell(group: StartGroup, unit: JouleUnit) -> str:
  if group.joules_missed is None:
    return estimate(group.joules, unit)
  return f"missed within {number(group.joules_missed / unit.joules)}"


def _cells_against_scratch(group: StartGroup) -> tuple[str, str, str]:
  if group.start.from_scratch:
    return "", "", ""
  return (
    estimate(group.of_scratch),
    break_even_cell(group.tasks),
    break_even_cell(group.tasks_with_compile_eval),
  )


def _search_note(groups: Sequence[StartGroup]) -> str:
  """Says how settings of the optimizer were chosen, or that they were not."""
  return BEST_NOTE if any(g.tried > 1 for g in groups) else ONE_SETTING_NOTE


def _reached(group: StartGroup) -> str:
  """Counts the seeds that reached the target, each once."""
  statuses = [*status_by_seed(group.records).values()]
  return f"{statuses.count('reached')} of {len(statuses)}"


def _lines(payback: Payback) -> list[str]:
  comparison, groups = payback.comparison, payback.pretrained
  lines = [_verdict(group, comparison) for group in groups]
  lines += _with_compile_eval(groups)
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
  if group.tried > 1:
    name += f" (the best of {group.tried})"
  tasks = group.tasks
  if tasks is None or tasks.uses is None:
    why = tasks.unknown if tasks else UNKNOWN
    return f"{name}: whether pretraining pays back is unknown: {why}."
  spent = joules(group.invested, estimated)
  return (
    f"{name}: {joules(group.joules, estimated)} to {goal(comparison)} against"
    f" {joules(group.scratch_joules, estimated)} from scratch;"
    f" {_pays_back(tasks, spent, group.tried > 1)}."
  )


def _pays_back(tasks: BreakEven, spent: str, searched: bool) -> str:
  """Says after how many tasks; never only where the interval is never alone.

  And of a start that was tried at one setting only that this one does not.
  """
  subject = f"the {spent} of pretraining"
  if tasks.never and searched:
    return f"{subject} never pay back at this accuracy"
  if tasks.never:
    return (
      f"{subject} do not pay back at this accuracy at the one setting of the"
      " optimizer that was tried"
    )
  if tasks.uses is None or math.isinf(tasks.uses):
    text = f"{subject} may never pay back at this accuracy"
    if tasks.low is None:
      return text
    return f"{text}, and not before the {_ordinal(tasks.low)} such task"
  text = f"{subject} pay back from the {_ordinal(tasks.uses)} such task on"
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
    if group.tasks
    and group.tasks.uses is not None
    and group.tasks_with_compile_eval
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
  fields = group.setting | group.tuned
  return f"{name}, {setting(fields)}" if fields else name


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
