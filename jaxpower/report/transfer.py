"""Does pretraining pay back? From scratch, fine-tuned and frozen, in joules."""

import math
import statistics
from collections.abc import Iterable, Sequence

from jaxpower.records import TrialRecord
from jaxpower.report.breakeven import BreakEven, bounded_times, times, told
from jaxpower.report.costs import TRAIN_COMPILE_EVAL
from jaxpower.report.ground import comparable, without_pretraining
from jaxpower.report.groups import compare, title
from jaxpower.report.labels import (
  labels,
  number,
  percent,
  setting,
  start,
  value,
)
from jaxpower.report.sections import Section
from jaxpower.report.statistics import Cost, Estimate, median
from jaxpower.report.tables import Table, estimate
from jaxpower.report.ways import SCRATCH, Way, origins, ways_of

TITLE = "Does pretraining pay back?"
NOTES = (
  "Tasks to break even: the joules of pretraining over what one downstream task"
  " saves against scratch. Medians over seeds; in brackets the 95 % interval"
  " from a bootstrap that draws the seeds of all three together.",
  'Never: nothing is saved. "At most" and "at least" are bounds: a trial that'
  " missed the target cost at least what it spent.",
)


def section(records: Sequence[TrialRecord]) -> Section | None:
  """What transfer saves; None where every trial began from fresh weights."""
  parts = [
    part
    for part in comparable(without_pretraining(records))
    if any(start(record) != SCRATCH for record in part)
  ]
  if not parts:
    return None
  shown, lines = [], []
  leads = _leads(parts)
  for part, lead in zip(parts, leads, strict=True):
    ways = ways_of(part, records)
    shown += [_pretraining(part, records), _table(part, ways)]
    lines += [lead + line for line in _lines(part, ways)]
  return Section(TITLE, tuple(shown), tuple(lines))


def _leads(parts: Sequence[Sequence[TrialRecord]]) -> list[str]:
  """What tells each part from the others; empty where there is one."""
  if len(parts) == 1:
    return [""]
  comparisons = [compare(part)[0] for part in parts]
  return [f"{title(c, comparisons)}: " for c in comparisons]


def _pretraining(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> Table:
  """What there was to begin from, a row an origin; each trial counts once."""
  rows, notes = [], []
  for name, found in origins(downstream, records).items():
    if isinstance(found, dict):
      joules = found.get("joules")
      known = isinstance(joules, int | float)
      given = number(joules) if known else "unknown"
      rows.append((name, "given", "", given, "unknown"))
      source = found.get("source") or "no source was given"
      notes.append(f"{name}: its joules are not measured here; {source}.")
      continue
    ended = [r.final_accuracy for r in found if r.final_accuracy is not None]
    reached = sum(r.status == "reached" for r in found)
    rows.append(
      (
        name,
        f"{reached} of {len(found)}" if found else "unknown",
        percent(statistics.median(ended)) if ended else "unknown",
        estimate(_whole(r.train_joules for r in found)),
        estimate(_whole(map(TRAIN_COMPILE_EVAL.bound, found))),
      )
    )
  estimated = any(record.estimated for record in downstream)
  columns = (
    "pretraining",
    "reached its target",
    "median accuracy at its end",
    _energy(estimated) + " of training",
    "with compiling and evaluation",
  )
  return Table(columns, tuple(rows), tuple(notes))


def _whole(joules: Iterable[float | None]) -> Estimate | None:
  known = [None if spent is None else Cost(spent) for spent in joules]
  costs = [cost for cost in known if cost is not None]
  return median(costs) if len(costs) == len(known) else None


def _table(part: Sequence[TrialRecord], ways: Sequence[Way]) -> Table:
  paths = tuple(dict.fromkeys(path for way in ways for path in way.others))
  words = labels(paths)
  columns = (
    *(words[path] for path in paths),
    "start",
    "reached",
    f"{_energy(part[0].estimated)} to {percent(part[0].target_accuracy)}",
    "of scratch",
    "tasks to break even",
    "with compiling and evaluation",
  )
  rows = tuple(
    (
      *(value(way.others.get(path)) for path in paths),
      way.start,
      f"{_reached(way)} of {len(way.records)}",
      estimate(way.joules),
      "" if way.start == SCRATCH else estimate(way.of_scratch),
      "" if way.start == SCRATCH else told(way.tasks),
      "" if way.start == SCRATCH else told(way.tasks_in_all),
    )
    for way in ways
  )
  return Table(columns, rows, NOTES)


def _lines(part: Sequence[TrialRecord], ways: Sequence[Way]) -> list[str]:
  goal = percent(part[0].target_accuracy)
  scratch = {str(w.others): w for w in ways if w.start == SCRATCH}
  begun = [way for way in ways if way.start != SCRATCH]
  said = [_verdict(way, scratch.get(str(way.others)), goal) for way in begun]
  said += _otherwise(begun)
  for way in begun:
    if way.tasks and way.left_out:
      said.append(
        f"{_named(way)}: {way.left_out} of the seeds did not run both ways and"
        " do not count towards the tasks."
      )
  fewest = min(len({r.seed for r in way.records}) for way in begun)
  if fewest == 1:
    said.append("One seed cannot tell how certain this is.")
  if fewest > 1 and any(_one_origin(way) for way in begun):
    said.append(
      "All seeds began from one pretraining: how much another one would have"
      " cost is not in the intervals."
    )
  if any(record.estimated for record in part):
    said.append("Power is estimated, not measured.")
  return said


def _verdict(way: Way, scratch: Way | None, goal: str) -> str:
  """One way to begin, in a sentence."""
  name = _named(way)
  if way.why or way.tasks is None or scratch is None:
    why = way.why or "the joules of a trial are unknown"
    return f"{name}: whether pretraining pays back is unknown: {why}."
  compared = (
    f"{_joules(way.joules)} to {goal} against {_joules(scratch.joules)} from"
    " scratch"
  )
  return f"{name}: {compared}; {_payback(way.tasks, way.invested)}."


def _payback(tasks: BreakEven, invested: Estimate | None) -> str:
  spent = f"the {_joules(invested)} of pretraining"
  if tasks.uses is None:
    return (
      f"whether {spent} pay back cannot be told, too many trials missed the"
      " target"
    )
  if tasks.never:
    text = f"{spent} never pay back at this accuracy"
    sure = tasks.low is None or tasks.low == math.inf
    return text if sure else f"{text}, though the seeds do not exclude it"
  if tasks.at_least:
    return (
      f"{spent} pay back after at least {times(tasks.uses)} such tasks, if ever"
    )
  text = f"{spent} pay back from the {_ordinal(tasks.uses)} such task on"
  if tasks.at_most:
    text += ", if not before"
  return f"{text}, though perhaps never" if tasks.perhaps_never else text


def _otherwise(begun: Sequence[Way]) -> list[str]:
  """Whether counting compiling and evaluation too changes a number."""
  both = [way for way in begun if way.tasks and way.tasks_in_all]
  if not both:
    return []
  changed = []
  for way in both:
    now, then = bounded_times(way.tasks_in_all), bounded_times(way.tasks)
    if now != then:
      changed.append(f"{_named(way)}: {now} instead of {then}")
  if not changed:
    return [
      "Counting compiling and evaluation too, on both sides, no number of tasks"
      " to break even changes."
    ]
  return [
    "Counting compiling and evaluation too, on both sides, the tasks to break"
    f" even change. {'; '.join(changed)}."
  ]


def _named(way: Way) -> str:
  name = way.start[0].upper() + way.start[1:]
  return f"{name}, {setting(way.others)}" if way.others else name


def _reached(way: Way) -> int:
  return sum(record.status == "reached" for record in way.records)


def _one_origin(way: Way) -> bool:
  named = {r.init_from for r in way.records if r.init_from is not None}
  return len(named) == 1 and len(way.records) > 1


def _joules(found: Estimate | None) -> str:
  if found is None:
    return "unknown joules"
  return f"{'at least ' if found.at_least else ''}{number(found.value)} J"


def _energy(estimated: bool) -> str:
  return "estimated joules" if estimated else "joules"


def _ordinal(uses: float) -> str:
  """The first whole task at which it is paid back: 2.3 is told as "3rd"."""
  whole = max(1, math.ceil(uses))
  ending = {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
  if whole % 100 in (11, 12, 13):
    ending = "th"
  return f"{whole}{ending}" if whole < 10_000 else f"{number(whole)}th"
