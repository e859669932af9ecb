"""The ways to begin a downstream task, and what each of them cost."""

import json
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.breakeven import BreakEven, break_even
from jaxpower.report.costs import TRAIN, TRAIN_COMPILE_EVAL, Counting, costs
from jaxpower.report.ground import ORIGIN, flat, is_seed, measured_on
from jaxpower.report.labels import natural_key, setting, start
from jaxpower.report.statistics import Cost, Estimate, median, ratio

SCRATCH = "scratch"


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
  begun, fresh = _by_seed(group, TRAIN), _by_seed(scratch, TRAIN)
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
  before, after = _by_seed(scratch, counting), _by_seed(group, counting)
  spent = {r.seed: invested(r, records, counting)[0] for r in group}
  seeds = sorted(before.keys() & after.keys())
  if any(spent[seed] is None for seed in seeds):
    return None
  return break_even(
    [Cost(spent[seed] or 0.0) for seed in seeds],
    [before[seed] for seed in seeds],
    [after[seed] for seed in seeds],
  )


def _by_seed(
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
