"""Which varied field matters most, and which value of each is best?

For sweeps over two fields or more. Claims no more than the intervals over seeds
support: it names the fields that do not differ measurably from chance, and
names values that do not differ measurably together.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.report.cells import (
  UNKNOWN,
  estimate,
  goal,
  name_among,
  unit_to_target,
)
from jaxpower.report.charts import HeatMap, Intervals, Mark
from jaxpower.report.compare.comparable import natural_key
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.importance import (
  Importance,
  Setting,
  Share,
  importance,
)
from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.repeats import observations
from jaxpower.report.compare.statistics import Observation
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  ONE_SEED,
  JouleUnit,
  capitalised,
  count,
  energy_name,
  join_names,
  joules_name,
  labels,
  number,
  setting,
  value,
  whole_percent,
)

PLACE = 20
TITLE = "Importance of the fields"
GRID_CAPTION = (
  "What each pair of values typically costs in {energy} of training until the"
  " target. Dark is expensive; outlined are the cells of each row that do not"
  " differ measurably from its cheapest."
)
SHARES_CAPTION = (
  "How much of the variation in {energy} each field explains, with its 95 %"
  " interval; seeds are what trials of one setting differ by. An interval that"
  " begins at zero does not differ from chance."
)


@dataclass(frozen=True)
class Choice:
  """The best value of one field where the others are held.

  `best` is the value of the lowest cost; `alike` holds it and those that do not
  differ measurably from it, by intervals that hold for all pairs of the grid at
  once. None and empty where no cost is known. `certain` is false where one seed
  allows no interval.
  """

  held: dict[str, Any]
  best: Any = None
  alike: tuple[Any, ...] = ()
  certain: bool = True

  @property
  def known(self) -> bool:
    """Whether the cost of any value is known."""
    return bool(self.alike)


@dataclass(frozen=True)
class Fields:
  """How much the fields of a comparison change the energy.

  `name` is the comparison's among several, empty where it is alone. `paths`
  are the fields with two values or more, `choices` the best values of each
  where exactly two vary; of a grid with holes there is no `advised` field.
  """

  comparison: Comparison
  name: str
  paths: tuple[str, ...]
  importance: Importance
  choices: dict[str, tuple[Choice, ...]]
  advised: str = ""


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers for each comparison in which several fields vary."""
  found = find(compared)
  sections = [s for s in map(tell, found) if s.lead or s.tables]
  if sections:
    drawn = replace(sections[-1], figures=figures(found))
    return (*sections[:-1], drawn)
  return ()


# Values


def find(compared: Compared) -> tuple[Fields, ...]:
  """Weighs the fields of each comparison in which several vary."""
  return tuple(
    fields_of(comparison, name_among(comparison, compared.comparisons))
    for comparison in compared.comparisons
    if len(varied(comparison)) > 1
  )


def fields_of(comparison: Comparison, name: str = "") -> Fields:
  """Weighs the fields of a comparison against each other."""
  paths, weights = varied(comparison), weigh(comparison)
  pair = len(paths) == 2
  first = weights.ranked[0] if weights.fields else paths[-1]
  return Fields(
    comparison,
    name,
    paths,
    weights,
    {path: choices(comparison, path) for path in paths} if pair else {},
    first if pair and whole(comparison) else "",
  )


def varied(comparison: Comparison) -> tuple[str, ...]:
  """Lists the fields with two values or more among the groups."""
  return tuple(
    path
    for path in comparison.paths
    if len({repr(group.varied.get(path)) for group in comparison.groups}) > 1
  )


def whole(comparison: Comparison) -> bool:
  """Returns whether every combination of the varied values was run."""
  counts = (len(_values(comparison, path)) for path in varied(comparison))
  return math.prod(counts) == len(comparison.groups)


def weigh(comparison: Comparison) -> Importance:
  """Attributes the variance of log joules to the fields."""
  paths = varied(comparison)
  settings: dict[Setting, Sequence[Observation]] = {}
  blind = None
  for group, of_group in zip(
    comparison.groups, _observations(comparison), strict=True
  ):
    if of_group:
      key = tuple(repr(group.varied.get(path)) for path in paths)
      settings[key] = of_group
    else:
      blind = blind or group
  weights = importance(paths, settings)
  if weights.unknown and blind and len(paths) > 1:
    return replace(weights, unknown=blind.unknown.rstrip("."))
  return weights


def _observations(
  comparison: Comparison,
) -> tuple[tuple[Observation, ...] | None, ...]:
  return observations([group.records for group in comparison.groups])


def choices(comparison: Comparison, path: str) -> tuple[Choice, ...]:
  """Finds the best value of a field for each combination of the others."""
  others = [other for other in varied(comparison) if other != path]
  rows: dict[str, list[int]] = {}
  for index, group in enumerate(comparison.groups):
    key = repr([group.varied.get(other) for other in others])
    rows.setdefault(key, []).append(index)
  return tuple(
    _choice(comparison.fit, path, others, comparison.groups, row)
    for row in rows.values()
  )


def _choice(
  fitted: Fit,
  path: str,
  others: Sequence[str],
  groups: Sequence[Group],
  row: Sequence[int],
) -> Choice:
  """Chooses among the groups of a row, given by index."""
  held = {other: groups[row[0]].varied.get(other) for other in others}
  known = [(cost.value, index) for index in row if (cost := fitted.cost(index))]
  if not known:
    return Choice(held)
  best, *more = (index for _, index in sorted(known))
  alike, certain = [best], True
  for index in more:
    ratio = fitted.ratio_to(index, best)
    if ratio is None or ratio.low is None:
      certain = False
    elif ratio.low <= 1:
      alike.append(index)
  values = tuple(groups[index].varied.get(path) for index in alike)
  return Choice(held, values[0], values, certain)


def _values(comparison: Comparison, path: str) -> list[Any]:
  values = {
    repr(g.varied.get(path)): g.varied.get(path) for g in comparison.groups
  }
  return sorted(values.values(), key=natural_key)


# Words


def tell(fields: Fields) -> Section:
  """Tells the grid, the share of each field, and which values are best."""
  tables = (grid_table(fields), importance_table(fields))
  return Section(
    title=f"{TITLE}: {fields.name}" if fields.name else TITLE,
    lead=" ".join(advice(fields)),
    tables=tuple(table for table in tables if table),
  )


def grid_table(fields: Fields) -> Table | None:
  """Makes a row for each value of one field, a column of the other.

  A cell is a median of joules. None unless exactly two fields vary.
  """
  if len(fields.paths) != 2:
    return None
  comparison = fields.comparison
  down, across = fields.paths
  names, unit = labels(comparison.paths), unit_to_target(comparison)
  columns = _values(comparison, across)
  groups = {
    (repr(g.varied.get(down)), repr(g.varied.get(across))): g
    for g in comparison.groups
  }
  best = {repr(c.held[down]): c for c in fields.choices[across]}
  rows = tuple(
    (
      value(row),
      *(
        _cost_cell(groups.get((repr(row), repr(column))), unit)
        for column in columns
      ),
      _best_cell(best[repr(row)]),
    )
    for row in _values(comparison, down)
  )
  return Table(
    (
      names[down],
      *(f"{names[across]} {value(column)}" for column in columns),
      f"best {names[across]}",
    ),
    rows,
    (
      f"Typical {joules_name(comparison.estimated, unit)} to the target, as in"
      " the table above. Best: the cheapest value, then those that do not"
      " differ measurably from it.",
    ),
  )


def _cost_cell(group: Group | None, unit: JouleUnit) -> str:
  if group is None:
    return "not run"
  if group.joules_missed is not None:
    return f"missed within {number(group.joules_missed / unit.joules)}"
  if group.joules is None:
    return UNKNOWN
  return estimate(replace(group.joules, low=None, high=None), unit)


def _best_cell(choice: Choice) -> str:
  return " or ".join(map(value, choice.alike)) if choice.known else "none"


def importance_table(fields: Fields) -> Table | None:
  """Makes the table of shares of the variance; None where they are unknown."""
  weights = fields.importance
  if weights.interaction is None or weights.seeds is None:
    return None
  names = labels(fields.comparison.paths)
  rows = [(names[path], weights.fields[path]) for path in weights.ranked]
  rows.append(("interaction", weights.interaction))
  rows.append(("seeds", weights.seeds))
  notes = [
    "In brackets the 95 % interval. Seeds: how trials of one setting differ."
  ]
  if weights.missed:
    notes.append(
      f"{weights.missed} of {weights.trials} trials missed the target. What"
      " they would have cost is estimated; the intervals include how little is"
      " known of it."
    )
  if weights.left_out:
    notes.append(
      f"{count(weights.left_out, 'trial')} left out: of seeds that not every"
      " setting has."
    )
  joules = joules_name(fields.comparison.estimated)
  return Table(
    ("field", f"share of variance of log {joules}"),
    tuple((name, share(part)) for name, part in rows),
    tuple(notes),
  )


def share(part: Share) -> str:
  """Writes a cell: "62 % (50-71)"."""
  return (
    f"{whole_percent(part.value)} %"
    f" ({whole_percent(part.low)}-{whole_percent(part.high)})"
  )


# Figures


def figures(found: Sequence[Fields]) -> tuple[Figure, ...]:
  """Draws the grids and the shares of all comparisons, as far as known."""
  energy = energy_name(any(f.comparison.estimated for f in found))
  grids = [grid for grid in map(heat_map, found) if grid]
  parts = [chart for chart in map(shares_chart, found) if chart]
  drawn = []
  if grids:
    drawn.append(Figure("heat_map", grids, GRID_CAPTION.format(energy=energy)))
  if parts:
    caption = SHARES_CAPTION.format(energy=energy)
    drawn.append(Figure("importance", parts, caption))
  return tuple(drawn)


def heat_map(fields: Fields) -> HeatMap | None:
  """Makes the grid of two fields; None of more, and where nothing is known."""
  comparison = fields.comparison
  if len(fields.paths) != 2 or comparison.best is None:
    return None
  down, across = fields.paths
  names = labels(comparison.paths)
  rows, columns = _values(comparison, down), _values(comparison, across)
  groups = {
    (repr(g.varied.get(down)), repr(g.varied.get(across))): g
    for g in comparison.groups
  }
  cells = [[groups.get((repr(r), repr(c))) for c in columns] for r in rows]
  alike = {repr(c.held[down]): c.alike for c in fields.choices[across]}
  return HeatMap(
    title=fields.name,
    down=names[down],
    across=names[across],
    rows=tuple(map(value, rows)),
    columns=tuple(map(value, columns)),
    joules=tuple(
      tuple(g.joules.value if g and g.joules else None for g in row)
      for row in cells
    ),
    words=tuple(tuple(_why_no_cost(group) for group in row) for row in cells),
    best=frozenset(
      (i, j)
      for i, row in enumerate(rows)
      for j, column in enumerate(columns)
      if repr(column) in map(repr, alike.get(repr(row), ()))
    ),
    name=f"to {goal(comparison)}",
    estimated=comparison.estimated,
  )


def _why_no_cost(group: Group | None) -> str:
  if group is None:
    return "not run"
  return "missed" if group.joules_missed is not None else UNKNOWN


def shares_chart(fields: Fields) -> Intervals | None:
  """Makes a row a field, interaction and seeds; None where they are unknown."""
  weights = fields.importance
  if weights.interaction is None or weights.seeds is None:
    return None
  names = labels(fields.comparison.paths)
  parts = [(names[path], weights.fields[path]) for path in weights.ranked]
  parts += [("interaction", weights.interaction), ("seeds", weights.seeds)]
  energy = joules_name(fields.comparison.estimated)
  return Intervals(
    title=fields.name,
    axis=f"Share of the variance of log {energy}",
    rows=tuple(name for name, _ in parts),
    marks=tuple(
      Mark(row, 0, part.value, part.low, part.high)
      for row, (_, part) in enumerate(parts)
    ),
  )


# Which field matters


def advice(fields: Fields) -> list[str]:
  """Says which field matters most and what to take, a sentence each.

  Empty where no setting is known to be the cheapest.
  """
  comparison, weights = fields.comparison, fields.importance
  if comparison.best is None:
    return []
  names = labels(comparison.paths)
  energy = energy_name(comparison.estimated)
  if weights.unknown:
    sentences = [f"Which field matters most is unknown: {weights.unknown}."]
  else:
    sentences = _shares_beyond_chance(weights, names, energy)
  sentences += _what_to_take(fields, names)
  if _has_no_interval(fields):
    sentences.append(ONE_SEED)
  return sentences


def _has_no_interval(fields: Fields) -> bool:
  """Returns whether advised values have no interval: one seed."""
  rows = fields.choices.get(fields.advised, ())
  return not all(row.certain for row in rows)


def _shares_beyond_chance(
  weights: Importance, names: dict[str, str], energy: str
) -> list[str]:
  real = [p for p in weights.ranked if weights.fields[p].beyond_chance]
  rest = [p for p in weights.ranked if p not in real]
  sentences = []
  if real:
    sentences.append(_fields_that_matter(weights, real, names, energy))
  if rest and real:
    verb = "does" if len(rest) == 1 else "do"
    sentences.append(
      f"{capitalised(_bounded(weights, rest, names))} {verb} not differ"
      " measurably from chance."
    )
  elif rest:
    sentences.append(
      f"The effect of {_bounded(weights, rest, names)} on the {energy} does not"
      " differ measurably from chance."
    )
  if weights.interaction and weights.interaction.beyond_chance:
    amount = _range(weights.interaction)
    sentences.append(f"The fields interact, which explains {amount}.")
  return sentences


def _bounded(
  weights: Importance, paths: Sequence[str], names: dict[str, str]
) -> str:
  """Names fields with the most that each may explain."""
  most = {path: math.ceil(100 * weights.fields[path].high) for path in paths}
  return join_names(
    [f"{names[path]} (at most {max(most[path], 1)} %)" for path in paths]
  )


def _fields_that_matter(
  weights: Importance, real: Sequence[str], names: dict[str, str], energy: str
) -> str:
  amounts = [_range(weights.fields[path]) for path in real]
  variation = f"of the variation in {energy}"
  first, *others = (names[path] for path in real)
  if weights.leads:
    more = [
      f"{name} {amount}"
      for name, amount in zip(others, amounts[1:], strict=True)
    ]
    next_ones = f", {join_names(more)}" if more else ""
    return (
      f"{capitalised(first)} matters most: it explains {amounts[0]}"
      f" {variation}{next_ones}."
    )
  if others:
    return (
      f"{capitalised(join_names([first, *others]))} matter: they explain"
      f" {join_names(amounts)} {variation}; which of them matters more is"
      " unknown."
    )
  return f"{capitalised(first)} matters: it explains {amounts[0]} {variation}."


def _range(part: Share) -> str:
  low, high = whole_percent(part.low), whole_percent(part.high)
  if high == "0":
    return "less than 1 %"
  if low == high:
    return f"{high} %"
  return f"up to {high} %" if low == "0" else f"between {low} and {high} %"


# What to take


def _what_to_take(fields: Fields, names: dict[str, str]) -> list[str]:
  """Names the value that is best, or does not differ from it, in most rows."""
  path = fields.advised
  rows = fields.choices.get(path, ())
  with_best = [row for row in rows if row.known]
  if not with_best:
    return []
  votes = Counter(repr(v) for row in with_best for v in row.alike)
  wins = Counter(repr(row.best) for row in with_best)
  cheapest = fields.comparison.best
  chosen = repr(cheapest.varied[path]) if cheapest else ""
  favourite = max(votes, key=lambda v: (votes[v], v == chosen, wins[v]))
  agreeing = [row for row in with_best if favourite in map(repr, row.alike)]
  common = [
    v
    for v in agreeing[0].alike
    if votes[repr(v)] == votes[favourite] and _in_all_rows(v, agreeing)
  ]
  (other,) = with_best[0].held
  name = names[path]
  where = f"at any {names[other]}"
  if len(agreeing) < len(rows):
    where = _where(agreeing)
  if len(common) == len(_values(fields.comparison, path)):
    return [f"Which {name} is best {where} is unknown with these seeds."]
  values = " or ".join(map(value, common))
  sentence = f"Take {name} {values} {where}"
  if (
    cheapest and chosen not in map(repr, common) and _is_in(cheapest, agreeing)
  ):
    # The verdict names that setting; nothing here may contradict it.
    sentence = (
      f"{capitalised(name)} {values} does not differ measurably from the best"
      f" one {where}, where the cheapest setting has"
      f" {value(cheapest.varied[path])}"
    )
  exceptions: dict[str, list[Choice]] = {}
  for row in with_best:
    if row not in agreeing:
      exceptions.setdefault(value(row.best), []).append(row)
  for best, there in exceptions.items():
    sentence += f"; {_where(there)} take {best}"
  if blank := [row for row in rows if not row.known]:
    sentence += f"; {_where(blank)} no {name} reached the target often enough"
  if len(agreeing) > 1:
    sentence += _best_of_the_other(fields, other, names, common)
  return [f"{sentence}."]


def _best_of_the_other(
  fields: Fields, other: str, names: dict[str, str], common: Sequence[Any]
) -> str:
  """Names the other field's best value at the advised value."""
  best = fields.comparison.best
  advised = best.varied[fields.advised] if best else None
  if repr(advised) not in map(repr, common):
    advised = common[0]
  held = {fields.advised: advised}
  (row,) = (c for c in fields.choices[other] if c.held == held)
  if not row.known or len(row.alike) == len(_values(fields.comparison, other)):
    return ""
  values = " or ".join(map(value, row.alike))
  return f"; the best {names[other]} {_where([row])} is {values}"


def _is_in(group: Group, rows: Sequence[Choice]) -> bool:
  """Whether a setting stands in one of these rows."""
  return any(
    all(repr(group.varied.get(p)) == repr(v) for p, v in row.held.items())
    for row in rows
  )


def _in_all_rows(item: Any, rows: Sequence[Choice]) -> bool:
  return all(repr(item) in map(repr, row.alike) for row in rows)


def _where(rows: Sequence[Choice]) -> str:
  first, *others = (row.held for row in rows)
  names = [setting(first), *(value(v) for h in others for v in h.values())]
  return f"with {join_names(names, 'or')}"
