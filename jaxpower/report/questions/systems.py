"""Does the ranking of settings hold on other systems?

Where the same settings were trained to the same goal on unlike systems, that is
kinds of board, meters or versions, their joules are not pooled. What carries
over is how the settings stand to one another: each one's ratio to the same base
setting within its own system.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.report.cells import (
  UNKNOWN,
  estimate,
  goal,
  interval,
  joules,
  name_among,
)
from jaxpower.report.charts import Intervals, Mark
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import BOARD_GAIN
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  count,
  energy_name,
  join_names,
  joules_name,
  labels,
  number,
  opening,
  percent,
  setting,
  value,
  values_of,
)

PLACE = 15
TITLE = "Systems"
CAPTION = (
  "What each setting costs over the base one on the same system, with 95 %"
  " intervals. The ranking holds where the systems have the same order."
)


@dataclass(frozen=True)
class OnSystem:
  """What one system says of the settings that all of them ran.

  Attributes:
    name: What differs from the other systems.
    comparison: All of its settings.
    groups: Those that every system ran, in the same order.
    ratios: The cost of each over that of the base setting, by the model of all
      settings of the system; intervals hold for all of them at once. None where
      unknown.
  """

  name: str
  comparison: Comparison
  groups: tuple[Group, ...]
  ratios: tuple[Estimate | None, ...]

  @property
  def cheapest(self) -> int | None:
    """Which of the settings has the lowest known cost; None for none."""
    known = [i for i, group in enumerate(self.groups) if _is_known(group)]
    return min(known, key=lambda i: _joules(self.groups[i]), default=None)


@dataclass(frozen=True)
class Pairs:
  """In what order every two settings stand, over all systems.

  `alike` pairs have the same cheaper one wherever both are known, `reversed`
  ones do not. Of these `surely` are those of which two systems say the opposite
  with an interval that excludes one; a system's hold for all pairs at once.
  """

  alike: int
  reversed: int
  surely: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Systems:
  """The same settings on several systems.

  Attributes:
    settings: What varies, for each of the settings that all systems ran.
    base: Which of them ratios are to: the cheapest on most systems.
    systems: Each of them.
    pairs: How the ranking holds.
    between: The cost of the base setting on each system over that on the first
      one, by one model of all of them, since a seed means the same to each;
      None where they were not measured by the same method.
    left_out: How many settings ran on some of the systems only.
    fixed: Fields that differ between systems but not within any.
  """

  settings: tuple[dict[str, Any], ...]
  base: int
  systems: tuple[OnSystem, ...]
  pairs: Pairs
  between: tuple[Estimate | None, ...]
  left_out: int
  fixed: tuple[str, ...]


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers for each goal that several systems share; else with nothing."""
  found = find(compared)
  sections = [tell(each, alone=len(found) == 1) for each in found]
  if sections:
    sections[-1] = replace(sections[-1], figures=figures(found))
  return tuple(sections)


# Values


def find(compared: Compared) -> tuple[Systems, ...]:
  """Finds the goals that several systems trained the same settings to."""
  by_goal: dict[tuple, list[Comparison]] = {}
  for comparison in compared.comparisons:
    by_goal.setdefault(comparison.conditions.goal, []).append(comparison)
  found = (_systems(several) for several in by_goal.values())
  return tuple(systems for systems in found if systems)


def _systems(comparisons: Sequence[Comparison]) -> Systems | None:
  """Lines up the settings of some systems; None for fewer than two of each."""
  paths = dict.fromkeys(path for c in comparisons for path in c.paths)
  varying = [p for p in paths if any(_varies(c, p) for c in comparisons)]
  tables = [_by_setting(c.groups, varying) for c in comparisons]
  shared = [key for key in tables[0] if all(key in table for table in tables)]
  if len(tables) < 2 or len(shared) < 2:
    return None
  rows = [tuple(table[key] for key in shared) for table in tables]
  base = _base(rows)
  return Systems(
    settings=tuple({p: g.varied.get(p) for p in varying} for g in rows[0]),
    base=base,
    systems=tuple(
      OnSystem(
        name_among(comparison, comparisons),
        comparison,
        groups,
        _ratios(comparison, groups, [(i, base) for i in range(len(groups))]),
      )
      for comparison, groups in zip(comparisons, rows, strict=True)
    ),
    pairs=_pairs(comparisons, rows),
    between=_between(comparisons, [groups[base] for groups in rows]),
    left_out=len({key for table in tables for key in table}) - len(shared),
    fixed=tuple(path for path in paths if path not in varying),
  )


def _ratios(
  comparison: Comparison,
  groups: Sequence[Group],
  pairs: Sequence[tuple[int, int]],
) -> tuple[Estimate | None, ...]:
  """Divides costs of pairs of some groups of a system, all of them at once."""
  places = [comparison.place(group) for group in groups]
  return comparison.fit.ratios([(places[a], places[b]) for a, b in pairs])


def _between(
  comparisons: Sequence[Comparison], bases: Sequence[Group]
) -> tuple[Estimate | None, ...]:
  """Divides what one setting cost on each system by that on the first one."""
  first = comparisons[0]
  alike = [c for c in comparisons if _same_method(c, first)]
  groups = [group for c in alike for group in c.groups]
  fitted = fit_settings([group.records for group in groups])
  places = {id(group): place for place, group in enumerate(groups)}
  compared = [places.get(id(base)) for base in bases]
  pairs = [(p, compared[0] or 0) for p in compared if p is not None]
  ratios = iter(fitted.ratios(pairs))
  return tuple(None if p is None else next(ratios) for p in compared)


def _varies(comparison: Comparison, path: str) -> bool:
  return len({json.dumps(g.varied.get(path)) for g in comparison.groups}) > 1


def _by_setting(
  groups: Iterable[Group], paths: Iterable[str]
) -> dict[str, Group]:
  """Keys groups by the fields that vary within some system."""
  paths = tuple(paths)
  return {json.dumps([g.varied.get(p) for p in paths]): g for g in groups}


def _base(rows: Sequence[Sequence[Group]]) -> int:
  """Chooses the setting that is cheapest on most systems, else overall."""
  known = [
    i for i in range(len(rows[0])) if all(_is_known(row[i]) for row in rows)
  ]
  choices = known or range(len(rows[0]))
  wins = Counter(min(choices, key=lambda i: _joules(row[i])) for row in rows)

  def rank(index: int) -> tuple[int, float]:
    product = math.prod(_joules(row[index]) for row in rows)
    return -wins[index], product

  return min(choices, key=rank)


def _is_known(group: Group) -> bool:
  return group.joules is not None


def _joules(group: Group) -> float:
  return group.joules.value if group.joules else math.inf


def _same_method(one: Comparison, other: Comparison) -> bool:
  """Returns whether joules of two systems were measured by the same method."""
  meters = (c.conditions.system.meter for c in (one, other))
  estimated = one.estimated or other.estimated
  return not estimated and next(meters) == next(meters)


def _pairs(
  comparisons: Sequence[Comparison], rows: Sequence[Sequence[Group]]
) -> Pairs:
  """Compares the order of every two settings, where every system knows it."""
  alike, opposite, surely = 0, 0, []
  pairs = [*itertools.combinations(range(len(rows[0])), 2)]
  ratios = [
    _ratios(comparison, groups, pairs)
    for comparison, groups in zip(comparisons, rows, strict=True)
  ]
  for pair, of_pair in zip(pairs, zip(*ratios, strict=True), strict=True):
    known = [ratio for ratio in of_pair if ratio]
    if len(known) < len(rows):
      continue
    if len({ratio.value < 1 for ratio in known}) == 1:
      alike += 1
      continue
    opposite += 1
    below = any(r.high is not None and r.high < 1 for r in known)
    above = any(r.low is not None and r.low > 1 for r in known)
    if below and above:
      surely.append(pair)
  return Pairs(alike, opposite, tuple(surely))


# Words


def tell(systems: Systems, alone: bool = True) -> Section:
  """Tells a table, setting by system, and whether the ranking holds."""
  comparison = systems.systems[0].comparison
  target = f"{comparison.data} to {goal(comparison)}"
  return Section(
    title=TITLE if alone else f"{TITLE}: {target}",
    lead=" ".join((_cheapest_sentence(systems), _ranking_sentence(systems))),
    tables=(_table(systems),),
    lines=tuple(_between_lines(systems)),
  )


def figures(found: Sequence[Systems]) -> tuple[Figure, ...]:
  """Draws the ratios of every goal; none where none is known."""
  charts = [chart for chart in map(ratios_chart, found) if chart.marks]
  return (Figure("systems", charts, CAPTION),) if charts else ()


def ratios_chart(systems: Systems) -> Intervals:
  """Makes a row a setting, and a series a system."""
  comparison = systems.systems[0].comparison
  estimated = any(each.comparison.estimated for each in systems.systems)
  base = setting(systems.settings[systems.base])
  return Intervals(
    title=f"{comparison.data} to {goal(comparison)}",
    axis=f"Ratio of {energy_name(estimated)} to {base}",
    rows=tuple(map(setting, systems.settings)),
    series=tuple(system.name for system in systems.systems),
    marks=tuple(
      Mark(row, series, ratio.value, ratio.low, ratio.high)
      for series, system in enumerate(systems.systems)
      for row, ratio in enumerate(system.ratios)
      if ratio
    ),
    ratios=True,
    ends=("cheaper", "more expensive"),
    short=tuple(map(values_of, systems.settings)),
    fields=", ".join(labels(systems.settings[0]).values()),
  )


def _table(systems: Systems) -> Table:
  """Makes a row a setting, a column a system: ratios to the base setting."""
  paths = tuple(systems.settings[0])
  names = labels(paths)
  columns = (
    *(names[path] for path in paths),
    *(system.name for system in systems.systems),
  )
  rows = tuple(
    (
      *(value(varied[path]) for path in paths),
      *(estimate(system.ratios[index]) for system in systems.systems),
    )
    for index, varied in enumerate(systems.settings)
  )
  return Table(columns, rows, tuple(_notes(systems)))


def _notes(systems: Systems) -> Iterable[str]:
  estimated = any(each.comparison.estimated for each in systems.systems)
  base = setting(systems.settings[systems.base])
  yield (
    f"Ratios of {joules_name(estimated)} to the target: each to {base} on the"
    " same system. Ratios of one system are never divided by joules of another."
  )
  if not estimated:
    yield (
      f"On one board the error of its sensor cancels; between boards it may be"
      f" +- {percent(BOARD_GAIN)} of the energy."
    )
  if systems.left_out:
    yield (
      f"Left out: {count(systems.left_out, 'setting')} that only some of the"
      " systems ran."
    )
  if systems.fixed:
    names = join_names(list(labels(systems.fixed).values()))
    yield f"Systems differ in {names} too: see their own tables."


def _cheapest_sentence(systems: Systems) -> str:
  """Says on how many systems the base setting is cheapest, and what else is."""
  base, total = systems.base, len(systems.systems)
  name = opening(systems.settings[base])
  here = [each for each in systems.systems if each.cheapest == base]
  others = [
    f"{_cheapest_name(systems, each)} on {each.name}"
    for each in systems.systems
    if each.cheapest != base
  ]
  if not others:
    return f"{name} is cheapest on {_all(total)}."
  sentence = f"{name} is cheapest on {len(here)} of {total} systems"
  return f"{sentence}; {join_names(others)}."


def _all(systems: int) -> str:
  return "both systems" if systems == 2 else f"all {systems} systems"


def _cheapest_name(systems: Systems, system: OnSystem) -> str:
  if system.cheapest is None:
    return "no setting is known to be"
  return f"{setting(systems.settings[system.cheapest])} is"


def _ranking_sentence(systems: Systems) -> str:
  """Says whether the order of settings is that of the other systems."""
  pairs = systems.pairs
  total = pairs.alike + pairs.reversed
  if not total:
    return "Of no two settings every system knows which one is cheaper."
  if not pairs.reversed:
    return (
      "The ranking holds: every system has the same one of any two settings"
      f" cheaper ({count(total, 'pair')})."
    )
  some = f"{pairs.alike} of {total} pairs of" if pairs.alike else "No two"
  sentence = f"{some} settings are in the same order on every system"
  if not pairs.surely:
    return (
      f"{sentence}; the others differ measurably in one order at most, so"
      " nothing contradicts one ranking for all."
    )
  contradicting = join_names(
    [
      " and ".join(setting(systems.settings[index]) for index in pair)
      for pair in pairs.surely[:2]
    ]
  )
  more = len(pairs.surely) - 2
  also = f" and {count(more, 'more pair')}" if more > 0 else ""
  return (
    f"{sentence}. The ranking does not hold: {contradicting}{also} measurably"
    " differ the other way round on another system."
  )


def _between_lines(systems: Systems) -> Iterable[str]:
  """Says what the base setting cost on each system, and over the first one."""
  name = setting(systems.settings[systems.base])
  first = systems.systems[0].name
  for system, over in zip(systems.systems, systems.between, strict=True):
    group = system.groups[systems.base]
    estimated = system.comparison.estimated
    spent = joules(group.joules, estimated) if group.joules else UNKNOWN
    line = f"{system.name}: {name} took {spent}"
    if over and system is not systems.systems[0]:
      ends = f" ({interval(over)})" if over.low is not None else ""
      line += f", {number(over.value)}{ends} times that of {first}"
    yield f"{line}."
