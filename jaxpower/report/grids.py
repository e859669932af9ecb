"""A sweep of two or more fields: which matters, and what is best given what.

All of it is read off a comparison; nothing here tells it to a person but the
tables.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.report.costs import costs
from jaxpower.report.groups import Comparison, Group
from jaxpower.report.importance import (
  Importance,
  Setting,
  Share,
  importance,
)
from jaxpower.report.labels import labels, natural_key, value
from jaxpower.report.statistics import Cost, ratio
from jaxpower.report.tables import Table, estimate


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
        _told(best[repr(row)]),
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


def _told(choice: Choice) -> str:
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
