"""What frameworks cost in words: ratios in sentences, warnings, a figure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any

from jaxpower.report.cells import (
  condition,
  goal,
  has_interval,
  interval,
  misses,
  name_among,
)
from jaxpower.report.charts import Intervals, Mark
from jaxpower.report.compare.model import MOST_MISSED
from jaxpower.report.compare.same_config import (
  FrameworkCosts,
  Ratio,
  SameConfig,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import BOARD_GAIN, CPU, board_of
from jaxpower.report.findings import Figure, Section
from jaxpower.report.questions.frameworks.tables import (
  cost_table,
  phase_table,
  ratio_table,
)
from jaxpower.report.questions.frameworks.values import (
  PLACES,
  Separate,
  SideBySide,
  is_best_of_several,
  is_estimated,
  paths,
)
from jaxpower.wording import (
  energy_name,
  join_names,
  label,
  labels,
  number,
  opening,
  percent,
  setting,
  value,
  values_of,
)

ONE_SEED = (
  "With one seed there is no interval: how far another seed would differ cannot"
  " be known."
)
CAPTION = (
  "What {over} took over each other framework, in the same config, with 95 %"
  " intervals. Energy to the target is examples to the target, which is"
  " learning, times energy per example, which is speed."
)


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
      cost_table(side_by_side),
      *([ratio_table(side_by_side)] if ratios else []),
      phase_table(side_by_side),
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
  energy = energy_name(is_estimated([ratio.config for ratio in ratios]))
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
    fields=", ".join((*labels(paths(side_by_side)).values(), "other")),
  )


def _where(side_by_side: SideBySide, ratio: Ratio) -> tuple[str, str]:
  """Names where a ratio was taken among several places, and its config."""
  config = ratio.config
  place = name_among(config.comparison, side_by_side.comparisons)
  several = len(side_by_side.comparisons) > 1
  return (place if several else "", setting(config.settings))


def _ratio_sentence(ratio: Ratio) -> str:
  """Says the ratio to the cheapest other framework; empty for the rest.

  Where none of the others is known to be the cheapest, to each of them.
  """
  where, joules = opening(ratio.config.settings), ratio.joules
  if joules is None or ratio.cheapest_other not in (None, ratio.under):
    return ""
  energy = energy_name(ratio.config.comparison.estimated)
  over, under = ratio.over, ratio.under
  if is_best_of_several(ratio):
    under += ", by estimate the cheapest of the others"
  if not has_interval(joules):
    return (
      f"{where}: {over} cost {number(joules.value)} times the {energy} of"
      f" {under}. {ONE_SEED}"
    )
  if _includes_one(joules):
    comma = "," if is_best_of_several(ratio) else ""
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
