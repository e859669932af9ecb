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
  name_among,
  unit_to_target,
)
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
from jaxpower.wording import (
  ONE_SEED,
  JouleUnit,
  capitalised,
  energy_name,
  join_names,
  joules_name,
  labels,
  setting,
  value,
  whole_percent,
)

PLACE = 20
TITLE = "Importance of the fields"


@dataclass(frozen=True)
class Choice:
  """The best value of one field where the others are held.

  `best` is the value of the lowest known median; `alike` holds it and those
  that do not differ measurably from it. None and empty where no median is
  known. `certain` is false where one seed allows no interval.
  """

  held: dict[str, Any]
  best: Any = None
  alike: tuple[Any, ...] = ()
  certain: bool = True

  @property
  def known(self) -> bool:
    """Whether the median of any value is known."""
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
  sections = map(tell, find(compared))
  return tuple(s for s in sections if s.lead or s.tables)


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
  settings: dict[Setting, Sequence[Cost]] = {
    tuple(repr(group.varied.get(path)) for path in paths): group_costs
    for group in comparison.groups
    if (group_costs := costs(group.records))
  }
  weights = importance(paths, settings)
  blind = next((g for g in comparison.groups if not g.joules), None)
  if weights.unknown and blind and len(paths) > 1:
    return replace(weights, unknown=blind.unknown.rstrip("."))
  return weights


def choices(comparison: Comparison, path: str) -> tuple[Choice, ...]:
  """Finds the best value of a field for each combination of the others."""
  others = [other for other in varied(comparison) if other != path]
  rows: dict[str, list[Group]] = {}
  for group in comparison.groups:
    key = repr([group.varied.get(other) for other in others])
    rows.setdefault(key, []).append(group)
  return tuple(
    _choice({other: row[0].varied.get(other) for other in others}, path, row)
    for row in rows.values()
  )


def _choice(held: dict[str, Any], path: str, row: Sequence[Group]) -> Choice:
  medians = [
    (group.joules.value, group)
    for group in row
    if group.joules and not group.joules.at_least
  ]
  if not medians:
    return Choice(held)
  medians.sort(key=lambda median: median[0])
  _, best = medians[0]
  base = costs(best.records) or ()
  alike, certain = [best], True
  for _, group in medians[1:]:
    over_best = ratio(costs(group.records) or (), base)
    if over_best is None or over_best.low is None:
      certain = False
    elif over_best.low <= 1:
      alike.append(group)
  values = tuple(group.varied.get(path) for group in alike)
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
        _median_cell(groups.get((repr(row), repr(column))), unit)
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
      f"Median {joules_name(comparison.estimated, unit)} to the target; > is a"
      " lower bound. Best: the cheapest value, then those that do not differ"
      " measurably from it.",
    ),
  )


def _median_cell(group: Group | None, unit: JouleUnit) -> str:
  if group is None:
    return "not run"
  if group.joules is None:
    return UNKNOWN
  return estimate(replace(group.joules, low=None, high=None), unit)


def _best_cell(choice: Choice) -> str:
  return " or ".join(map(value, choice.alike)) if choice.known else "none"


def importance_table(fields: Fields) -> Table | None:
  """Makes the table of shares of the variance; None where they are unknown."""
  weights = fields.importance
  if weights.unknown or weights.interaction is None:
    return None
  names = labels(fields.comparison.paths)
  rows = [(names[path], weights.fields[path]) for path in weights.ranked]
  rows.append(("interaction", weights.interaction))
  if weights.seeds:
    rows.append(("seeds", weights.seeds))
  notes = []
  if weights.seeds is None:
    notes.append(f"{ONE_SEED} The noise of seeds is part of every share.")
  else:
    notes.append(
      "In brackets the 95 % bootstrap interval over seeds. By chance: the share"
      " that the noise of seeds alone would give on average."
    )
  if weights.missed:
    notes.append(
      f"{weights.missed} of {weights.trials} trials missed the target. Each"
      " share is a range: the true costs of the misses are taken as their lower"
      " bounds times any one factor from 1 up."
    )
  joules = joules_name(fields.comparison.estimated)
  columns = ("field", f"share of variance of log {joules}", "by chance")
  cells = tuple((n, share(part), _chance_cell(part)) for n, part in rows)
  if weights.seeds is None:
    columns, cells = columns[:2], tuple(row[:2] for row in cells)
  return Table(columns, cells, tuple(notes))


def share(part: Share) -> str:
  """Writes a cell: "62 % (50-71)"; "20-60 %" where misses leave it open."""
  least, most = whole_percent(part.least), whole_percent(part.most)
  text = f"{least} %" if least == most else f"{least}-{most} %"
  if part.low is None or part.high is None:
    return text
  return f"{text} ({whole_percent(part.low)}-{whole_percent(part.high)})"


def _chance_cell(part: Share) -> str:
  return "" if part.chance is None else f"{whole_percent(part.chance)} %"


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
  elif weights.seeds is None:
    sentences = [_shares_of_one_seed(weights, names, energy)]
  else:
    sentences = _shares_beyond_chance(weights, names, energy)
  sentences += _what_to_take(fields, names)
  if _has_no_interval(fields):
    sentences.append(ONE_SEED)
  return sentences


def _has_no_interval(fields: Fields) -> bool:
  """Returns whether shares or advised values have no interval: one seed."""
  if fields.importance.fields and fields.importance.seeds is None:
    return True
  rows = fields.choices.get(fields.advised, ())
  return not all(row.certain for row in rows)


def _shares_of_one_seed(
  weights: Importance, names: dict[str, str], energy: str
) -> str:
  shares = [
    f"{names[path]} {_percent(weights.fields[path])}" for path in weights.ranked
  ]
  if weights.interaction:
    shares.append(f"their interaction {_percent(weights.interaction)}")
  return (
    f"Shares of the variation in {energy}: {join_names(shares)}"
    f"{_misses(weights)}."
  )


def _shares_beyond_chance(
  weights: Importance, names: dict[str, str], energy: str
) -> list[str]:
  real = [p for p in weights.ranked if weights.fields[p].beyond_chance]
  # Misses with another true cost could have made these matter.
  left_open = {
    path
    for path, part in weights.fields.items()
    if path not in real and part.most > max(part.least, part.chance or 0.0)
  }
  rest = [names[path] for path in weights.ranked if path not in real]
  sentences = []
  if real:
    sentences.append(_fields_that_matter(weights, real, names, energy))
    unsure = [names[path] for path in weights.ranked if path in left_open]
    chance = [name for name in rest if name not in unsure]
    if unsure:
      sentences.append(
        f"How much {join_names(unsure)} matters is uncertain because of the"
        " misses."
      )
    if chance:
      verb = "does" if len(chance) == 1 else "do"
      sentences.append(
        f"{capitalised(join_names(chance))} {verb} not differ measurably from"
        " chance."
      )
  elif left_open:
    sentences.append(
      f"How much {join_names(rest)} changed the {energy} is"
      f" uncertain{_misses(weights)}."
    )
  else:
    sentences.append(
      f"The effect of {join_names(rest)} on the {energy} does not differ"
      f" measurably from chance{_misses(weights)}."
    )
  if weights.interaction and weights.interaction.beyond_chance:
    amount = _share_in_words(weights.interaction)
    sentences.append(f"The fields interact ({amount}).")
  return sentences


def _fields_that_matter(
  weights: Importance, real: Sequence[str], names: dict[str, str], energy: str
) -> str:
  first, *others = real
  part = weights.fields[first]
  amount = f"{_percent(part)} of the variation in {energy}{_interval(part)}"
  amount += _misses(weights)
  name = capitalised(names[first])
  more = join_names(
    [f"{names[p]} ({_share_in_words(weights.fields[p])})" for p in others]
    or [""]
  )
  if weights.leads:
    next_ones = f", {more} next" if more else ""
    return f"{name} matters most ({amount}){next_ones}."
  if more:
    return (
      f"{name} matters ({amount}), and so does {more}; which of them matters"
      " more is unknown."
    )
  return f"{name} matters ({amount})."


def _share_in_words(part: Share) -> str:
  return _percent(part) + _interval(part)


def _interval(part: Share) -> str:
  if part.low is None or part.high is None:
    return ""
  low, high = whole_percent(part.low), whole_percent(part.high)
  return f", 95 % interval {low} to {high} %"


def _percent(part: Share) -> str:
  least, most = whole_percent(part.least), whole_percent(part.most)
  return f"{least} %" if least == most else f"between {least} and {most} %"


def _misses(weights: Importance) -> str:
  if not weights.missed:
    return ""
  return f", as {weights.missed} of {weights.trials} trials missed the target"


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
  favourite = max(votes, key=lambda v: (votes[v], wins[v]))
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
  sentence = f"Take {name} {' or '.join(map(value, common))} {where}"
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


def _in_all_rows(item: Any, rows: Sequence[Choice]) -> bool:
  return all(repr(item) in map(repr, row.alike) for row in rows)


def _where(rows: Sequence[Choice]) -> str:
  first, *others = (row.held for row in rows)
  names = [setting(first), *(value(v) for h in others for v in h.values())]
  return f"with {join_names(names, 'or')}"
