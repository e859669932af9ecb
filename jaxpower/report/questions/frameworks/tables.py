"""The tables of frameworks: costs, ratios, energy by phase."""

from collections.abc import Callable, Iterator, Sequence

from jaxpower.report.cells import (
  UNKNOWN,
  estimate,
  name_among,
  number_or_unknown,
  typical_note,
  unit_of,
)
from jaxpower.report.compare.same_config import (
  PHASES,
  FrameworkCosts,
  Ratio,
  SameConfig,
)
from jaxpower.report.findings import Table
from jaxpower.report.questions.frameworks.values import (
  SideBySide,
  is_best_of_several,
  is_estimated,
  paths,
)
from jaxpower.wording import (
  JouleUnit,
  energy_name,
  joule_unit,
  joules_name,
  labels,
  memory,
  percent,
  relative_bound,
  value,
)

COST_NOTES = (
  "Steps: updates of the weights, by which learning is told apart from speed;"
  " their ratio is that of examples.",
  "compile + warm-up: compiling the programs, in the trial that did so and did"
  " not read them from a cache, and running them once before training.",
  "Peak memory is as each framework reports it; their counters differ.",
  "Examples per second, compile + warm-up and peak memory are medians.",
)


def cost_table(side_by_side: SideBySide) -> Table:
  """Makes a row a config and framework: what each cost to the target."""
  targets = {c.comparison.target_accuracy for c in side_by_side.configs}
  target = percent(targets.pop()) if len(targets) == 1 else "target"
  estimated = is_estimated(side_by_side.configs)
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


def ratio_table(side_by_side: SideBySide) -> Table:
  """Makes a row a ratio of the first framework to another."""
  ratios = side_by_side.ratios
  over = ratios[0].over
  estimated = is_estimated([ratio.config for ratio in ratios])
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
      if is_best_of_several(ratio)
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
  if any(map(is_best_of_several, ratios)):
    yield "Cheapest other: by estimate, which another seed may change."


def phase_table(side_by_side: SideBySide) -> Table:
  """Makes a row a framework, a column a phase: all in the same unit."""
  unit = unit_of(
    joules
    for costs in _all_costs(side_by_side)
    for joules in costs.joules_by_phase.values()
  )
  symbol = joule_unit(is_estimated(side_by_side.configs), unit)
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
  return (*where, *labels(paths(side_by_side)).values())


def _config_cells(
  side_by_side: SideBySide, config: SameConfig
) -> tuple[str, ...]:
  comparisons, settings = side_by_side.comparisons, config.settings
  where = [name_among(config.comparison, comparisons)]
  return (
    *(where if len(comparisons) > 1 else ()),
    *(
      value(settings[path]) if path in settings else "-"
      for path in paths(side_by_side)
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
