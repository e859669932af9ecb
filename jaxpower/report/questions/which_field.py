"""What to do differently, from a sweep of two or more fields, in words.

A sweep of two or more fields: which matters, and what is best given what.

All of it is read off a comparison; nothing here tells it to a person but the
tables.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.report.cells import estimate
from jaxpower.report.compare.comparable import natural_key
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.costs import costs
from jaxpower.report.compare.importance import (
  Importance,
  Setting,
  Share,
  importance,
)
from jaxpower.report.compare.statistics import Cost, ratio
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import labels, setting, value

PLACE = 20


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers within the verdict on the cheapest setting."""
  return ()


@dataclass(frozen=True)
class Choice:
  """The best value of one field where the others are held.

  `best` is the value of the lowest known median; `alike` holds it and those
  that the seeds do not tell apart from it. None and empty where no median is
  known. `certain` is false where one seed allows no such telling.
  """

  held: dict[str, Any]
  best: Any = None
  alike: tuple[Any, ...] = ()
  certain: bool = True

  @property
  def known(self) -> bool:
    """Whether any value reached the target often enough for a median."""
    return bool(self.alike)


def varied(comparison: Comparison) -> tuple[str, ...]:
  """The fields with two values or more among the groups."""
  return tuple(
    path
    for path in comparison.paths
    if len({repr(group.varied.get(path)) for group in comparison.groups}) > 1
  )


def whole(comparison: Comparison) -> bool:
  """Whether every combination of the varied values is there."""
  counts = (len(_values(comparison, path)) for path in varied(comparison))
  return math.prod(counts) == len(comparison.groups)


def weigh(comparison: Comparison) -> Importance:
  """How much of the variance of log joules each field explains."""
  paths = varied(comparison)
  settings: dict[Setting, Sequence[Cost]] = {
    tuple(repr(group.varied.get(path)) for path in paths): found
    for group in comparison.groups
    if (found := costs(group.records))
  }
  found = importance(paths, settings)
  unknown = next((g for g in comparison.groups if not g.joules), None)
  if found.unknown and unknown and len(paths) > 1:
    return replace(found, unknown=unknown.unknown.rstrip("."))
  return found


def choices(comparison: Comparison, path: str) -> tuple[Choice, ...]:
  """The best value of a field for each combination of the other ones."""
  others = [other for other in varied(comparison) if other != path]
  rows: dict[str, list[Group]] = {}
  for group in comparison.groups:
    key = repr([group.varied.get(other) for other in others])
    rows.setdefault(key, []).append(group)
  return tuple(
    _choice({other: row[0].varied.get(other) for other in others}, path, row)
    for row in rows.values()
  )


def tables(comparison: Comparison) -> tuple[Table, ...]:
  """Makes the grid of two fields and the shares of variance, where known."""
  both = (grid_table(comparison), importance_table(comparison))
  return tuple(table for table in both if table)


def grid_table(comparison: Comparison) -> Table | None:
  """Median joules, a row for each value of one field, a column of another.

  None unless exactly two fields vary.
  """
  paths = varied(comparison)
  if len(paths) != 2:
    return None
  down, across = paths
  told = labels(comparison.paths)
  rows, columns = _values(comparison, down), _values(comparison, across)
  cells = {
    (repr(g.varied.get(down)), repr(g.varied.get(across))): g
    for g in comparison.groups
  }
  best = {
    repr(choice.held[down]): choice for choice in choices(comparison, across)
  }
  kind = "estimated joules" if comparison.estimated else "joules"
  return Table(
    (
      told[down],
      *(f"{told[across]} {value(column)}" for column in columns),
      f"best {told[across]}",
    ),
    tuple(
      (
        value(row),
        *(_cell(cells.get((repr(row), repr(column)))) for column in columns),
        _best_values(best[repr(row)]),
      )
      for row in rows
    ),
    (
      f"Median {kind} to the target; > is a lower bound. Best: values that"
      " the seeds do not tell apart stand together, the cheapest first.",
    ),
  )


def importance_table(comparison: Comparison) -> Table | None:
  """The shares of the variance; None where they are not known."""
  found = weigh(comparison)
  if found.unknown or found.interaction is None:
    return None
  told = labels(comparison.paths)
  rows = [(told[path], found.fields[path]) for path in found.ranked]
  rows.append(("interaction", found.interaction))
  if found.seeds:
    rows.append(("seeds", found.seeds))
  kind = "estimated joules" if comparison.estimated else "joules"
  notes = []
  if found.seeds is None:
    notes.append(
      "A setting has one seed only: its noise cannot be told from the other"
      " shares, and no interval is known."
    )
  else:
    notes.append(
      "In brackets the 95 % bootstrap interval over seeds; by chance: what the"
      " noise of seeds alone would give on average."
    )
  if found.missed:
    notes.append(
      f"{found.missed} of {found.trials} trials missed the target. A share is"
      " given for misses at their bounds up to misses without end, all by one"
      " factor."
    )
  columns = ("field", f"share of variance of log {kind}", "by chance")
  cells = tuple((name, share(part), _chance(part)) for name, part in rows)
  if found.seeds is None:
    columns, cells = columns[:2], tuple(row[:2] for row in cells)
  return Table(columns, cells, tuple(notes))


def share(part: Share) -> str:
  """A cell: "62 % (50-71)"; "20-60 %" where misses leave it open."""
  least, most = f"{100 * part.least:.0f}", f"{100 * part.most:.0f}"
  text = f"{least} %" if least == most else f"{least}-{most} %"
  if part.low is None or part.high is None:
    return text
  return f"{text} ({100 * part.low:.0f}-{100 * part.high:.0f})"


def _chance(part: Share) -> str:
  return "" if part.chance is None else f"{100 * part.chance:.0f} %"


def _values(comparison: Comparison, path: str) -> list[Any]:
  found = {
    repr(g.varied.get(path)): g.varied.get(path) for g in comparison.groups
  }
  return sorted(found.values(), key=natural_key)


def _cell(group: Group | None) -> str:
  if group is None:
    return "not run"
  if group.joules is None or group.joules.at_least:
    return estimate(group.joules)
  return estimate(replace(group.joules, low=None, high=None))


def _best_values(choice: Choice) -> str:
  return " or ".join(map(value, choice.alike)) if choice.known else "none"


def _choice(held: dict[str, Any], path: str, row: Sequence[Group]) -> Choice:
  known = [g for g in row if g.joules and not g.joules.at_least]
  if not known:
    return Choice(held)
  known.sort(key=lambda g: g.joules.value if g.joules else 0.0)
  base = costs(known[0].records) or ()
  alike, certain = [known[0]], True
  for group in known[1:]:
    found = ratio(costs(group.records) or (), base)
    if found is None or found.low is None:
      certain = False
    elif found.low <= 1:
      alike.append(group)
  values = tuple(group.varied.get(path) for group in alike)
  return Choice(held, values[0], values, certain)


def advice(comparison: Comparison) -> list[str]:
  """Which field matters most and what to take; empty where one field varies.

  No more is claimed than the intervals over seeds carry.
  """
  paths = varied(comparison)
  if len(paths) < 2 or comparison.best is None:
    return []
  told = labels(comparison.paths)
  found = weigh(comparison)
  energy = "estimated energy" if comparison.estimated else "energy"
  if found.unknown:
    said = [f"Which field matters most cannot be told: {found.unknown}."]
  elif found.seeds is None:
    said = [_uncertain(found, told, energy)]
  else:
    said = _weighed(found, told, energy)
  if len(paths) == 2 and whole(comparison):
    first = found.ranked[0] if found.fields else paths[-1]
    said += _take(comparison, first, told)
  return said


def _uncertain(found: Importance, told: dict[str, str], energy: str) -> str:
  parts = [
    f"{told[path]} {_percent(found.fields[path])}" for path in found.ranked
  ]
  if found.interaction:
    parts.append(f"their interaction {_percent(found.interaction)}")
  return (
    f"Of the variation in {energy} {_row(parts)}{_misses(found)}; with one seed"
    " to a setting, chance is part of each."
  )


def _weighed(found: Importance, told: dict[str, str], energy: str) -> list[str]:
  real = [path for path in found.ranked if found.fields[path].beyond_chance]
  rest = [told[path] for path in found.ranked if path not in real]
  # Misses with another true cost could have made these matter.
  opened = {
    path
    for path, part in found.fields.items()
    if path not in real and part.most > max(part.least, part.chance or 0.0)
  }
  said = []
  if not real and opened:
    text = f"The misses leave open how much {_row(rest)} did to the {energy}"
    said.append(f"{text}{_misses(found)}.")
  elif not real:
    text = f"What {_row(rest)} did to the {energy} cannot be told from chance"
    said.append(f"{text}{_misses(found)}.")
  else:
    first, *others = real
    part = found.fields[first]
    share = f"{_percent(part)} of the variation in {energy}{_interval(part)}"
    share += _misses(found)
    more = [
      f"{told[path]} ({_share_in_words(found.fields[path])})" for path in others
    ]
    if found.leads:
      text = f"{_upper(told[first])} matters most ({share})"
      text += f", {_row(more)} next" if more else ""
    elif more:
      text = f"{_upper(told[first])} matters ({share}), and so does"
      text += f" {_row(more)}; which of them matters more cannot be told"
    else:
      text = f"{_upper(told[first])} matters ({share})"
    said.append(f"{text}.")
    left_open = [told[path] for path in found.ranked if path in opened]
    chance = [name for name in rest if name not in left_open]
    if left_open:
      said.append(f"The misses leave open how much {_row(left_open)} matters.")
    if chance:
      said.append(f"{_upper(_row(chance))} cannot be told from chance.")
  if found.interaction and found.interaction.beyond_chance:
    share = _share_in_words(found.interaction)
    said.append(f"What one does depends on the other ({share}).")
  return said


def _take(comparison: Comparison, path: str, told: dict[str, str]) -> list[str]:
  """The value that is best, or not told apart from it, in most rows."""
  rows = choices(comparison, path)
  known = [row for row in rows if row.known]
  if not known:
    return []
  votes = Counter(repr(v) for row in known for v in row.alike)
  wins = Counter(repr(row.best) for row in known)
  usual = max(votes, key=lambda v: (votes[v], wins[v]))
  agree = [row for row in known if usual in map(repr, row.alike)]
  common = [
    v
    for v in agree[0].alike
    if votes[repr(v)] == votes[usual] and _in_all_rows(v, agree)
  ]
  (held,) = known[0].held
  where = f"at any {told[held]}" if len(agree) == len(rows) else _at(agree)
  name = told[path]
  if len(common) == len({repr(g.varied[path]) for g in comparison.groups}):
    return [f"Which {name} is best {where} cannot be told with these seeds."]
  certain = all(row.certain for row in known)
  text = "Take" if certain else "As far as one seed tells, take"
  text += f" {name} {' or '.join(map(value, common))} {where}"
  others: dict[str, list[Choice]] = {}
  for row in known:
    if row not in agree:
      others.setdefault(value(row.best), []).append(row)
  for best, there in others.items():
    text += f"; {_at(there)} take {best}"
  if blank := [row for row in rows if not row.known]:
    text += f"; {_at(blank)} no {name} reached the target often enough"
  if len(agree) > 1:
    text += _with_it(comparison, path, held, _taken(comparison, path, common))
  return [f"{text}."]


def _taken(comparison: Comparison, path: str, common: Sequence[Any]) -> Any:
  """Of values alike the one of the cheapest setting, where it is there."""
  best = comparison.best.varied[path] if comparison.best else None
  return best if repr(best) in map(repr, common) else common[0]


def _with_it(comparison: Comparison, path: str, other: str, taken: Any) -> str:
  """What to take of the other field along with the value taken of this."""
  (row,) = (c for c in choices(comparison, other) if c.held == {path: taken})
  values = {repr(group.varied[other]) for group in comparison.groups}
  if not row.known or len(row.alike) == len(values):
    return ""
  best = " or ".join(map(value, row.alike))
  name = labels(comparison.paths)[other]
  return f"; the best {name} {_at([row])} is {best}"


def _in_all_rows(item: Any, rows: Sequence[Choice]) -> bool:
  return all(repr(item) in map(repr, row.alike) for row in rows)


def _at(rows: Sequence[Choice]) -> str:
  first, *others = (row.held for row in rows)
  return "with " + _row(
    [setting(first), *(value(v) for held in others for v in held.values())],
    "or",
  )


def _share_in_words(part: Share) -> str:
  return _percent(part) + _interval(part)


def _interval(part: Share) -> str:
  if part.low is None or part.high is None:
    return ""
  low, high = round(100 * part.low), round(100 * part.high)
  return f", 95 % interval {low} to {high} %"


def _percent(part: Share) -> str:
  least, most = round(100 * part.least), round(100 * part.most)
  return f"{least} %" if least == most else f"between {least} and {most} %"


def _misses(found: Importance) -> str:
  if not found.missed:
    return ""
  return f", as {found.missed} of {found.trials} trials missed the target"


def _row(names: Sequence[str], last: str = "and") -> str:
  *first, final = names
  return f"{', '.join(first)} {last} {final}" if first else final


def _upper(text: str) -> str:
  return text[0].upper() + text[1:]
