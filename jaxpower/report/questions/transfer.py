"""Does pretraining pay back? From scratch, fine-tuned and frozen, in joules.

The ways to begin a downstream task, and what each of them cost.
"""

import json
import math
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  break_even_cell,
  break_even_point,
  estimate,
  name_among,
  uses,
)
from jaxpower.report.compare.break_even import BreakEven, break_even
from jaxpower.report.compare.comparable import (
  ORIGIN,
  SCRATCH,
  comparable,
  flat,
  is_seed,
  measured_on,
  natural_key,
  start,
  without_pretraining,
)
from jaxpower.report.compare.comparison import Compared, compare
from jaxpower.report.compare.costs import (
  TRAIN,
  TRAIN_COMPILE_EVAL,
  Counting,
  costs,
)
from jaxpower.report.compare.statistics import Cost, Estimate, median, ratio
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import labels, number, percent, setting, value


@dataclass(frozen=True)
class Way:
  """One way to begin a downstream task, at one setting of all else.

  `invested` is the joules of pretraining, None where not known, with `why`.
  `left_out` seeds ran only this way or only from scratch.
  """

  others: dict[str, Any]
  start: str
  records: tuple[TrialRecord, ...]
  joules: Estimate | None
  of_scratch: Estimate | None = None
  invested: Estimate | None = None
  tasks: BreakEven | None = None
  tasks_in_all: BreakEven | None = None
  why: str = ""
  left_out: int = 0


def ways_of(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> tuple[Way, ...]:
  """The ways to begin, scratch first, per setting of the other fields.

  `downstream` stands on common ground; what it began from is in `records`.
  """
  groups: dict[tuple[str, str], list[TrialRecord]] = {}
  names = _names(downstream, records)
  besides = {
    r.trial_id: json.dumps(_others(r, downstream), sort_keys=True)
    for r in downstream
  }
  # The word may name the origin already; it must where two would share one.
  told: dict[tuple[str, str], set[str]] = {}
  for record in downstream:
    key = besides[record.trial_id], start(record)
    told.setdefault(key, set()).add(names[record.trial_id])
  for record in downstream:
    others, word = besides[record.trial_id], start(record)
    if word != SCRATCH and len(told[others, word]) > 1:
      word = f"{word} from {names[record.trial_id]}"
    groups.setdefault((others, word), []).append(record)
  ways = [
    _way(
      _others(group[0], downstream),
      word,
      group,
      groups.get((others, SCRATCH), ()),
      records,
    )
    for (others, word), group in groups.items()
  ]
  return tuple(
    sorted(
      ways,
      key=lambda way: (
        [natural_key(item) for item in way.others.values()],
        way.start != SCRATCH,
        way.start,
      ),
    )
  )


def invested(
  record: TrialRecord,
  records: Sequence[TrialRecord],
  counting: Counting = TRAIN,
) -> tuple[float | None, str]:
  """Joules spent on the weights a trial began from, or None and why not.

  All training of what it began from, the way there included, whether or not
  that met its own target; for weights from elsewhere what is given for them.
  """
  joules, now, seen = 0.0, record, {record.trial_id}
  while now.init_from is not None and now.init_from not in seen:
    found = found_origin(now, records)
    if found is None:
      return None, f"trial {now.init_from}, its origin, is not in these records"
    if measured_on(found) != measured_on(record):
      return None, "pretraining was measured on other ground"
    spent = counting.bound(found)
    if spent is None:
      return None, "the joules of pretraining are unknown"
    joules, now = joules + spent, found
    seen.add(now.trial_id)
  if now.pretrained is None:
    return joules, ""
  given = now.pretrained.get("joules")
  if not isinstance(given, int | float):
    return None, "what the given weights cost to make is unknown"
  return joules + given, ""


def _way(
  others: dict[str, Any],
  word: str,
  group: Sequence[TrialRecord],
  scratch: Sequence[TrialRecord],
  records: Sequence[TrialRecord],
) -> Way:
  joules = costs(group)
  found = median(joules or ())
  if word == SCRATCH:
    return Way(others, word, tuple(group), found)
  ran = [record for record in group if record.status != "failed"]
  spent = [invested(record, records) for record in ran]
  known = [Cost(paid) for paid, _ in spent if paid is not None]
  why = next((why for _, why in spent if why), "")
  if not scratch:
    why = why or "nothing began from scratch at this setting"
  elif joules is None or costs(scratch) is None:
    why = why or "the meter saw not all of the downstream trials"
  tasks = None if why else _tasks(group, scratch, records, TRAIN)
  begun, fresh = _cost_by_seed(group, TRAIN), _cost_by_seed(scratch, TRAIN)
  return Way(
    others,
    word,
    tuple(group),
    found,
    ratio(joules or (), costs(scratch) or ()),
    median(known) if len(known) == len(spent) else None,
    tasks,
    None if why else _tasks(group, scratch, records, TRAIN_COMPILE_EVAL),
    why or ("" if tasks else "no seed ran both ways"),
    len(begun.keys() ^ fresh.keys()),
  )


def _tasks(
  group: Sequence[TrialRecord],
  scratch: Sequence[TrialRecord],
  records: Sequence[TrialRecord],
  counting: Counting,
) -> BreakEven | None:
  """Over the seeds that ran both ways; None where a joule is unknown."""
  if costs(group, counting) is None or costs(scratch, counting) is None:
    return None
  before, after = (
    _cost_by_seed(scratch, counting),
    _cost_by_seed(group, counting),
  )
  spent = {r.seed: invested(r, records, counting)[0] for r in group}
  seeds = sorted(before.keys() & after.keys())
  if any(spent[seed] is None for seed in seeds):
    return None
  return break_even(
    [Cost(spent[seed] or 0.0) for seed in seeds],
    [before[seed] for seed in seeds],
    [after[seed] for seed in seeds],
  )


def _cost_by_seed(
  records: Sequence[TrialRecord], counting: Counting
) -> dict[int, Cost]:
  return {r.seed: cost for r in records for cost in costs([r], counting) or ()}


def found_origin(
  record: TrialRecord, records: Sequence[TrialRecord]
) -> TrialRecord | None:
  """What a trial began from, of the same machine where there are several."""
  named = [r for r in records if r.trial_id == record.init_from]
  near = [r for r in named if measured_on(r) == measured_on(record)]
  return next(iter(near or named), None)


def origins(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> dict[str, list[TrialRecord] | dict[str, Any]]:
  """What trials began from, by name: records, or what is given of weights.

  An origin that many began from stands there once; one that is not in these
  records has an empty list.
  """
  found: dict[str, list[TrialRecord] | dict[str, Any]] = {}
  names = _names(downstream, records)
  for record in downstream:
    if not (name := names[record.trial_id]):
      continue
    if record.init_from is None:
      found.setdefault(name, record.pretrained or {})
      continue
    origin = found_origin(record, records)
    known = found.setdefault(name, [])
    if origin and isinstance(known, list) and origin not in known:
      known.append(origin)
  return found


def _names(
  downstream: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> dict[str, str]:
  """What each trial began from, as a person would say it; empty: nothing.

  A pretraining is told by its data, and where several differ in more than
  their seeds by what they differ in.
  """
  found = {r.trial_id: found_origin(r, records) for r in downstream}
  settings = {name: flat(r.config) for name, r in found.items() if r}
  differing = [
    path
    for path in dict.fromkeys(path for s in settings.values() for path in s)
    if path != "data"
    and not is_seed(path)
    and len({json.dumps(s.get(path)) for s in settings.values()}) > 1
  ]
  names = {}
  for record in downstream:
    name = record.trial_id
    path = (record.pretrained or {}).get("path")
    if name in settings:
      of = {path: settings[name].get(path) for path in differing}
      words = [str(settings[name].get("data", "unknown data"))]
      names[name] = ", ".join(words + ([setting(of)] if of else []))
    elif record.init_from is not None:
      names[name] = "trials not in these records"
    else:
      names[name] = pathlib.PurePath(str(path)).name if path else ""
  return names


def _others(
  record: TrialRecord, among: Sequence[TrialRecord]
) -> dict[str, Any]:
  """What varies beside the start among trials on common ground."""
  return {
    path: item
    for path, item in record.varied.items()
    if path != "transfer"
    and not path.startswith(ORIGIN)
    and any(other.varied.get(path) != item for other in among)
  }


TITLE = "Does pretraining pay back?"

NOTES = (
  "Tasks to break even: the joules of pretraining over what one downstream task"
  " saves against scratch. Medians over seeds; in brackets the 95 % interval"
  " from a bootstrap that draws the seeds of all three together.",
  'Never: nothing is saved. "At most" and "at least" are bounds: a trial that'
  " missed the target cost at least what it spent.",
)


PLACE = 40


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers the question from records, or with nothing."""
  answered = section(compared.records)
  return (answered,) if answered else ()


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
  return Section(title=TITLE, tables=tuple(shown), lines=tuple(lines))


def _leads(parts: Sequence[Sequence[TrialRecord]]) -> list[str]:
  """What tells each part from the others; empty where there is one."""
  if len(parts) == 1:
    return [""]
  comparisons = [compare(part)[0] for part in parts]
  return [f"{name_among(c, comparisons)}: " for c in comparisons]


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
      "" if way.start == SCRATCH else break_even_cell(way.tasks),
      "" if way.start == SCRATCH else break_even_cell(way.tasks_in_all),
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
      f"{spent} pay back after at least {uses(tasks.uses)} such tasks, if ever"
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
    now, then = break_even_point(way.tasks_in_all), break_even_point(way.tasks)
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
