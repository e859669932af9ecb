"""What did the same training cost in each framework, and where did it go?

Ratios are made between trials of the same config in the same comparison
(`compare.same_config`), with intervals that hold for all of them at once. What
they cost to the target is told apart into how much they trained, examples, and
what an example cost. Where the first framework and another ran the same
config in different places, a warning says what differed, since rows beside each
other look comparable.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  UNKNOWN,
  condition,
  estimate,
  goal,
  has_interval,
  interval,
  misses,
  name_among,
  number_or_unknown,
  typical_note,
  unit_of,
)
from jaxpower.report.charts import Intervals, Mark
from jaxpower.report.compare.comparable import unlike
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.model import MOST_MISSED
from jaxpower.report.compare.same_config import (
  PHASES,
  FrameworkCosts,
  Ratio,
  SameConfig,
  same_configs,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import BOARD_GAIN, CPU, board_of
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  JouleUnit,
  energy_name,
  join_names,
  joule_unit,
  joules_name,
  label,
  labels,
  memory,
  number,
  opening,
  percent,
  relative_bound,
  setting,
  value,
  values_of,
)

PLACE = 30
# The conditions in which two places may differ, and what trials in the same
# place would have been.
PLACES = {
  "hardware": "run on the same kind of device",
  "devices": "run on as many devices",
  "cores": "run on as many cores",
  "processor": "run beside the same CPU",
  "board": "run on the same boards",
  "power_limits": "run under the same power limit",
  "drivers": "run under the same driver",
  "estimated": "both measured",
  "meter": "measured by the same meter",
  "software": "run with the same versions and variables",
  "decided_by": "decided by the same set",
  "crossing": "decided by the same rule",
}
ONE_SEED = (
  "With one seed there is no interval: how far another seed would differ cannot"
  " be known."
)
CAPTION = (
  "What {over} took over each other framework, in the same config, with 95 %"
  " intervals. Energy to the target is examples to the target, which is"
  " learning, times energy per example, which is speed."
)
COST_NOTES = (
  "Steps: updates of the weights, by which learning is told apart from speed;"
  " their ratio is that of examples.",
  "compile + warm-up: compiling the programs, in the trial that did so and did"
  " not read them from a cache, and running them once before training.",
  "Peak memory is as each framework reports it; their counters differ.",
  "Examples per second, compile + warm-up and peak memory are medians.",
)


@dataclass(frozen=True)
class Separate:
  """A framework that ran a config of the first one, but in another place.

  `here` is where the first one ran it. `differs` is the field of `PLACES` in
  which the two places are unlike; empty where none of these is.
  """

  framework: str
  here: Comparison
  there: Comparison
  differs: str


@dataclass(frozen=True, kw_only=True)
class SideBySide:
  """What records say of several frameworks, given in alphabetical order.

  `ratios` divide the first one, which is jax wherever it ran, by each other
  one. `separate` are frameworks that share a config with it, but no place;
  `unmatched` share no config. `numerics` are those in which frameworks differ,
  by name and framework: all values on record.
  """

  frameworks: tuple[str, ...]
  comparisons: tuple[Comparison, ...]
  configs: tuple[SameConfig, ...]
  ratios: tuple[Ratio, ...]
  separate: tuple[Separate, ...]
  unmatched: tuple[str, ...]
  numerics: dict[str, dict[str, tuple[Any, ...]]]


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where there is but one framework."""
  side_by_side = find(compared)
  return () if side_by_side is None else (tell(side_by_side),)


# Values


def find(compared: Compared) -> SideBySide | None:
  """Finds costs and ratios by framework; None for fewer than two of them."""
  frameworks = tuple(sorted({r.framework for r in compared.records}))
  if len(frameworks) < 2:
    return None
  first = frameworks[0]
  found = [same_configs(c, over=first) for c in compared.comparisons]
  configs = tuple(config for each in found for config in each.configs)
  return SideBySide(
    frameworks=frameworks,
    comparisons=compared.comparisons,
    configs=configs,
    ratios=tuple(ratio for each in found for ratio in each.ratios),
    separate=tuple(_separate(configs, first)),
    unmatched=tuple(_unmatched(configs, frameworks)),
    numerics=_numerics(compared.records, frameworks),
  )


# What cannot be compared, and what differs in any case


def _separate(configs: Sequence[SameConfig], first: str) -> Iterator[Separate]:
  """Finds frameworks that ran a config of the first, but in other places."""
  places: dict[tuple[str, str], list[Comparison]] = {}
  for config in configs:
    for name in config.by_framework:
      places.setdefault((config.key, name), []).append(config.comparison)
  for (key, name), there in places.items():
    here = places.get((key, first), [])
    if name != first and here and not any(place in here for place in there):
      differing = unlike((here[0].conditions, there[0].conditions))
      field = next((field for field in PLACES if field in differing), "")
      yield Separate(name, here[0], there[0], field)


def _unmatched(
  configs: Sequence[SameConfig], frameworks: Sequence[str]
) -> Iterator[str]:
  """Finds frameworks that share no config with the first one."""
  keys = {
    name: {config.key for config in configs if name in config.by_framework}
    for name in frameworks
  }
  first, *others = frameworks
  return (name for name in others if not keys[name] & keys[first])


def _numerics(
  records: Sequence[TrialRecord], frameworks: Sequence[str]
) -> dict[str, dict[str, tuple[Any, ...]]]:
  """Finds the numerics in which frameworks differ, with all values of each."""
  differing = {}
  for name in sorted({name for record in records for name in record.numerics}):
    # By their JSON, since a value may be a list, which no set can hold.
    values: dict[str, dict[str, Any]] = {key: {} for key in frameworks}
    for record in records:
      if name in record.numerics:
        item = record.numerics[name]
        values[record.framework][json.dumps(item)] = item
    if any(v.keys() != values[frameworks[0]].keys() for v in values.values()):
      differing[name] = {key: tuple(v.values()) for key, v in values.items()}
  return differing


# Words


def tell(side_by_side: SideBySide) -> Section:
  """Tells costs, ratios and phases by framework, and what was not compared."""
  first = side_by_side.frameworks[0]
  configs, ratios = side_by_side.configs, side_by_side.ratios
  warnings = (
    *(_separate_warning(first, separate) for separate in side_by_side.separate),
    *filter(None, map(_other_boards_warning, ratios)),
    *filter(None, map(_unknown_device_warning, configs)),
  )
  return Section(
    title="Frameworks",
    warnings=tuple(dict.fromkeys(warnings)),
    tables=(
      _cost_table(side_by_side),
      *([_ratio_table(side_by_side)] if ratios else []),
      _phase_table(side_by_side),
    ),
    lines=(
      *filter(None, map(_ratio_sentence, ratios)),
      *filter(None, starmap(_missed_sentence, _compared_costs(configs))),
      *(_unmatched_sentence(first, name) for name in side_by_side.unmatched),
      *dict.fromkeys(filter(None, map(_same_device_sentence, configs))),
      *starmap(_numerics_sentence, side_by_side.numerics.items()),
    ),
    figures=figures(side_by_side),
  )


def figures(side_by_side: SideBySide) -> tuple[Figure, ...]:
  """Draws the ratios, each told apart; none where none is known."""
  chart = ratios_chart(side_by_side)
  caption = CAPTION.format(over=side_by_side.frameworks[0])
  return (Figure("frameworks", (chart,), caption),) if chart.marks else ()


def ratios_chart(side_by_side: SideBySide) -> Intervals:
  """Makes a row a config and other framework, a series a thing counted."""
  ratios, over = side_by_side.ratios, side_by_side.frameworks[0]
  energy = energy_name(_is_estimated([ratio.config for ratio in ratios]))
  counted = (
    (f"{energy} to the target", lambda ratio: ratio.joules),
    ("examples to the target", lambda ratio: ratio.examples),
    (f"{energy} per example", lambda ratio: ratio.joules_per_example),
  )
  return Intervals(
    title="",
    axis=f"{over} over the other",
    rows=tuple(
      ", ".join(filter(None, (*_where(side_by_side, ratio), ratio.under)))
      for ratio in ratios
    ),
    series=tuple(name for name, _ in counted),
    marks=tuple(
      Mark(row, series, found.value, found.low, found.high)
      for row, ratio in enumerate(ratios)
      for series, (_, of) in enumerate(counted)
      if (found := of(ratio))
    ),
    ratios=True,
    ends=(f"{over} less", f"{over} more"),
    short=tuple(
      ", ".join(filter(None, (values_of(r.config.settings), r.under)))
      for r in ratios
    )
    if len(side_by_side.comparisons) == 1
    else (),
    fields=", ".join((*labels(_paths(side_by_side)).values(), "other")),
  )


def _where(side_by_side: SideBySide, ratio: Ratio) -> tuple[str, str]:
  """Names where a ratio was taken among several places, and its config."""
  config = ratio.config
  place = name_among(config.comparison, side_by_side.comparisons)
  several = len(side_by_side.comparisons) > 1
  return (place if several else "", setting(config.settings))


def _cost_table(side_by_side: SideBySide) -> Table:
  targets = {c.comparison.target_accuracy for c in side_by_side.configs}
  target = percent(targets.pop()) if len(targets) == 1 else "target"
  estimated = _is_estimated(side_by_side.configs)
  all_costs = _all_costs(side_by_side)
  units = to_target, per_1000, to_prepare = (
    unit_of(costs.joules for costs in all_costs),
    unit_of(costs.joules_per_1000_examples for costs in all_costs),
    unit_of(costs.joules_to_prepare for costs in all_costs),
  )
  columns = (
    *_config_columns(side_by_side),
    "framework",
    "reached",
    f"{joules_name(estimated, to_target)} to {target}",
    f"steps to {target}",
    f"seconds to {target}",
    f"{joule_unit(estimated, per_1000)} per 1000 examples",
    "examples per second",
    f"compile + warm-up {joule_unit(estimated, to_prepare)}",
    "peak memory",
  )
  notes = (typical_note("row"), *COST_NOTES)
  rows = _framework_rows(side_by_side, lambda costs: _cost_cells(costs, *units))
  return Table(columns, rows, notes)


def _all_costs(side_by_side: SideBySide) -> list[FrameworkCosts]:
  return [
    costs
    for config in side_by_side.configs
    for costs in config.by_framework.values()
  ]


def _cost_cells(
  costs: FrameworkCosts,
  to_target: JouleUnit,
  per_1000: JouleUnit,
  to_prepare: JouleUnit,
) -> tuple[str, ...]:
  """Writes the cells of one row, each energy in the unit of its column."""
  return (
    f"{costs.reached} of {costs.seeds}",
    estimate(costs.joules, to_target),
    estimate(costs.steps),
    estimate(costs.seconds),
    _per_1000(costs, per_1000),
    number_or_unknown(costs.examples_per_second),
    number_or_unknown(costs.joules_to_prepare, to_prepare),
    UNKNOWN
    if costs.peak_memory_bytes is None
    else memory(costs.peak_memory_bytes),
  )


def _per_1000(costs: FrameworkCosts, unit: JouleUnit) -> str:
  """Writes joules per 1000 examples with the meter's bound."""
  joules = costs.joules_per_1000_examples
  bound = costs.joules_per_1000_examples_bound
  text = relative_bound(bound, joules.value if joules else None)
  return f"{estimate(joules, unit)} {text}".rstrip()


def _ratio_table(side_by_side: SideBySide) -> Table:
  ratios = side_by_side.ratios
  over = ratios[0].over
  estimated = _is_estimated([ratio.config for ratio in ratios])
  columns = (
    *_config_columns(side_by_side),
    f"{over} over",
    energy_name(estimated),
    "seconds",
    "examples",
    f"{energy_name(estimated)} per example",
    "paired seeds",
  )
  rows = tuple(
    (
      *_config_cells(side_by_side, ratio.config),
      f"{ratio.under} (cheapest other)"
      if _is_best_of_several(ratio)
      else ratio.under,
      estimate(ratio.joules),
      estimate(ratio.seconds),
      estimate(ratio.examples),
      estimate(ratio.joules_per_example),
      str(ratio.seed_pairs) if ratio.seed_pairs > 1 else "none",
    )
    for ratio in ratios
  )
  return Table(columns, rows, tuple(_ratio_notes(ratios)))


def _ratio_notes(ratios: Sequence[Ratio]) -> Iterator[str]:
  apart = len({id(ratio.config.comparison) for ratio in ratios}) > 1
  yield (
    f"Below 1: {ratios[0].over} used less. In brackets 95 % intervals that hold"
    f" for all ratios of a column{' in one place' if apart else ''} at once."
    " What a seed or a board does to both frameworks cancels."
  )
  yield (
    "Energy to the target is examples times energy per example. Frameworks that"
    " learn alike by construction differ in examples by the luck of rounding:"
    " there, the energy per example compares them."
  )
  if any(map(_is_best_of_several, ratios)):
    yield "Cheapest other: by estimate, which another seed may change."


def _phase_table(side_by_side: SideBySide) -> Table:
  """Makes a row a framework, a column a phase: all in the same unit."""
  unit = unit_of(
    joules
    for costs in _all_costs(side_by_side)
    for joules in costs.joules_by_phase.values()
  )
  symbol = joule_unit(_is_estimated(side_by_side.configs), unit)
  columns = (
    *_config_columns(side_by_side),
    "framework",
    *(f"{phase} {symbol}" for phase in PHASES),
  )
  rows = _framework_rows(
    side_by_side,
    lambda costs: tuple(
      number_or_unknown(joules, unit)
      for joules in costs.joules_by_phase.values()
    ),
  )
  note = (
    "Medians over all trials that ran, over the whole training, not only to the"
    " target; compile is that of the trial that compiled."
  )
  return Table(columns, rows, (note,))


def _config_columns(side_by_side: SideBySide) -> tuple[str, ...]:
  """Heads the first columns of every table: where, and which config."""
  where = ("where",) if len(side_by_side.comparisons) > 1 else ()
  return (*where, *labels(_paths(side_by_side)).values())


def _config_cells(
  side_by_side: SideBySide, config: SameConfig
) -> tuple[str, ...]:
  comparisons, settings = side_by_side.comparisons, config.settings
  where = [name_among(config.comparison, comparisons)]
  return (
    *(where if len(comparisons) > 1 else ()),
    *(
      value(settings[path]) if path in settings else "-"
      for path in _paths(side_by_side)
    ),
  )


def _framework_rows(
  side_by_side: SideBySide,
  cells: Callable[[FrameworkCosts], tuple[str, ...]],
) -> tuple[tuple[str, ...], ...]:
  """Makes a row of each config and framework, with these cells to its right."""
  return tuple(
    (*_config_cells(side_by_side, config), framework, *cells(costs))
    for config in side_by_side.configs
    for framework, costs in config.by_framework.items()
  )


def _paths(side_by_side: SideBySide) -> tuple[str, ...]:
  """Lists the fields that name some config."""
  configs = side_by_side.configs
  return tuple(dict.fromkeys(path for c in configs for path in c.settings))


def _is_estimated(configs: Iterable[SameConfig]) -> bool:
  return any(config.comparison.estimated for config in configs)


def _is_best_of_several(ratio: Ratio) -> bool:
  is_cheapest = ratio.under == ratio.cheapest_other
  return is_cheapest and len(ratio.config.by_framework) > 2


# Sentences


def _ratio_sentence(ratio: Ratio) -> str:
  """Says the ratio to the cheapest other framework; empty for the rest.

  Where none of the others is known to be the cheapest, to each of them.
  """
  where, joules = opening(ratio.config.settings), ratio.joules
  if joules is None or ratio.cheapest_other not in (None, ratio.under):
    return ""
  energy = energy_name(ratio.config.comparison.estimated)
  over, under = ratio.over, ratio.under
  if _is_best_of_several(ratio):
    under += ", by estimate the cheapest of the others"
  if not has_interval(joules):
    return (
      f"{where}: {over} cost {number(joules.value)} times the {energy} of"
      f" {under}. {ONE_SEED}"
    )
  if _includes_one(joules):
    comma = "," if _is_best_of_several(ratio) else ""
    return (
      f"{where}: {over} and {under}{comma} do not differ measurably: ratio"
      f" {number(joules.value)} ({interval(joules)}).{_per_example(ratio)}"
    )
  return (
    f"{where}: {over} cost {number(joules.value)} times ({interval(joules)})"
    f" the {energy} of {under}.{_per_example(ratio)}"
  )


def _includes_one(ratio: Estimate) -> bool:
  """Whether the interval leaves open which of the two cost more."""
  low, high = ratio.low, ratio.high
  return low is None or high is None or low <= 1 <= high


def _per_example(ratio: Ratio) -> str:
  """Adds a sentence of energy per example; empty where it is unknown."""
  costs = ratio.joules_per_example
  if costs is None or not has_interval(costs):
    return ""
  brackets = f"({interval(costs)})"
  if _includes_one(costs):
    return (
      " Per example they do not differ measurably: ratio"
      f" {number(costs.value)} {brackets}."
    )
  return (
    f" Per example {ratio.over} cost {number(costs.value)} times {brackets}."
  )


def _compared_costs(
  configs: Iterable[SameConfig],
) -> Iterator[tuple[SameConfig, str, FrameworkCosts]]:
  """Lists costs that stand beside those of another framework."""
  return (
    (config, framework, costs)
    for config in configs
    if len(config.by_framework) > 1
    for framework, costs in config.by_framework.items()
  )


def _missed_sentence(
  config: SameConfig, framework: str, costs: FrameworkCosts
) -> str:
  """Says how many seeds missed where too many did; empty for the rest."""
  if costs.missed <= MOST_MISSED * costs.ran:
    return ""
  text = misses(
    costs.missed,
    costs.ran,
    framework,
    goal(config.comparison),
    costs.missed_within,
    config.comparison.estimated,
  )
  return f"{opening(config.settings)}: {text}, so its cost is unknown."


def _unmatched_sentence(first: str, name: str) -> str:
  return (
    f"{first} and {name} ran no config in common: their configs differ in more"
    " than the framework, so there is no ratio."
  )


def _same_device_sentence(config: SameConfig) -> str:
  """Says on which devices several frameworks ran; empty if unknown."""
  comparison = config.comparison
  alone = len(config.by_framework) < 2
  if alone or not comparison.devices or not config.device_known:
    return ""
  where = value(comparison.devices)
  if comparison.devices == (CPU,):
    where = f"the CPU of {comparison.machine or 'an unnamed machine'}"
  names = join_names(list(config.by_framework))
  alike = "Same" if comparison.blocks < 2 else "Equal"
  return f"{alike} devices and meter: {names} ran on {where}."


def _numerics_sentence(name: str, values: Mapping[str, Sequence[Any]]) -> str:
  texts = (
    f"{framework} {_any_of(items)}" for framework, items in values.items()
  )
  return f"Numerics, {label(name)}: {'; '.join(texts)}."


def _any_of(items: Sequence[Any]) -> str:
  by_length = sorted(map(value, items), key=lambda text: (len(text), text))
  return " or ".join(by_length) or "not recorded"  # "64 or 512", not reversed


def _separate_warning(first: str, separate: Separate) -> str:
  other, field = separate.framework, separate.differs
  if not field:
    return f"{first} and {other} are not comparable: there is no ratio."
  here, there = (
    condition(comparison.conditions, field)
    for comparison in (separate.here, separate.there)
  )
  return (
    f"{first} and {other} were not {PLACES[field]}: {first}: {here}; {other}:"
    f" {there}. There is no ratio between them."
  )


def _other_boards_warning(ratio: Ratio) -> str:
  """Warns where two frameworks shared no board; empty where that is unknown."""
  over, under = (
    {board_of(record) for record in ratio.config.by_framework[name].records}
    for name in (ratio.over, ratio.under)
  )
  if over & under or "" in over | under:
    return ""
  return (
    f"{ratio.over} and {ratio.under} ran on equal boards or hosts, but on none"
    " in common: their ratio includes how much these differ, and the meters of"
    f" two boards, each by +- {percent(BOARD_GAIN)}."
  )


def _unknown_device_warning(config: SameConfig) -> str:
  if len(config.by_framework) < 2 or config.device_known:
    return ""
  names = join_names(list(config.by_framework))
  return f"Whether {names} ran on the same device is not recorded."
