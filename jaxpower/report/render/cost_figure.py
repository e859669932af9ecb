"""Draws joules to the target over what varies: intervals, seeds and misses.

The figure of every paper on the matter. A setting has one place; its typical
cost is a point with its 95 % interval, each seed a faint dot beside it, and a
seed that missed the target an open arrow at what it spent, since the cost is
further on. One field stands on the x axis, in its natural order; of several
fields, or of words too long to stand side by side, each setting is a row.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jaxpower.report.cells import goal, has_interval, name_among
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import by_seed, costs
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.findings import MOST_ROWS
from jaxpower.report.render.figure_style import (
  INK,
  energy_axis,
  plain,
  say_nothing_known,
)
from jaxpower.wording import capitalised, labels, setting, value

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
COST = "#0072b2"
SEED: dict[str, Any] = {"marker": "o", "ms": 3.5, "color": COST, "alpha": 0.4}
MISS: dict[str, Any] = {"ms": 5, "mfc": "white", "mec": "#d55e00", "mew": 1.2}
MISSED = "a seed that missed the target: more than this"
MOST_COLUMNS = 10  # values of one field side by side; of more, rows
LONGEST_COLUMN = 14  # characters of a value side by side
LONGEST_ROW = 48  # characters of the name of a row; a table has them all
BESIDE = 0.22  # of a place, between a setting's point and its seeds
WIDTH, HEIGHT = 7.2, 3.8  # inches
ROW_HEIGHT = 0.3  # inches of a setting that is a row
MARGIN_HEIGHT = 1.1  # inches of axis, heading and legend beside the rows


def cost(comparisons: Sequence[Comparison]) -> "Figure":
  """Draws what each setting costs to the target; a panel a comparison."""
  from matplotlib.figure import Figure

  heights = [
    max(HEIGHT, MARGIN_HEIGHT + ROW_HEIGHT * len(shown(comparison)))
    if in_rows(comparison)
    else HEIGHT
    for comparison in comparisons
  ] or [HEIGHT]
  figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
  panels = figure.subplots(
    len(heights), 1, squeeze=False, height_ratios=heights
  )
  for (axes,), comparison in zip(panels, comparisons, strict=False):
    _panel(axes, comparison)
    heading = name_among(comparison, comparisons) or comparison.data
    axes.set_title(heading, loc="left", fontsize=10, color=INK)
  _legend(figure, comparisons)
  return figure


def shown(comparison: Comparison) -> tuple[Group, ...]:
  """Returns the settings to draw: of very many the cheapest, in their order."""
  groups = comparison.groups
  if len(groups) <= MOST_ROWS:
    return groups
  cheapest = sorted(comparison.rankings["train"].order[:MOST_ROWS])
  return tuple(groups[place] for place in cheapest)


def in_rows(comparison: Comparison) -> bool:
  """Whether each setting is a row, and not a place on the x axis."""
  names = [_names(group) for group in comparison.groups]
  return (
    len(comparison.paths) != 1
    or len(names) > MOST_COLUMNS
    or max(map(len, names), default=0) > LONGEST_COLUMN
  )


def _names(group: Group) -> str:
  values = [*group.varied.values()]
  name = value(values[0]) if len(values) == 1 else setting(group.varied)
  return name if len(name) <= LONGEST_ROW else f"{name[: LONGEST_ROW - 3]}..."


def seed_costs(group: Group) -> tuple[list[float], list[float]]:
  """Returns joules of the seeds that reached the target, and of the others.

  The latter is what a seed spent without reaching it.
  """
  seeds = by_seed(group.records).values()
  known = [cost for trials in seeds for cost in costs(trials) or ()]
  reached = [cost.value for cost in known if not cost.censored]
  return reached, [cost.value for cost in known if cost.censored]


def _panel(axes: "Axes", comparison: Comparison) -> None:
  rows = in_rows(comparison)
  groups = shown(comparison)
  drawn = _at(axes, rows)
  joules: list[float] = []
  for place, group in enumerate(groups):
    reached, missed = seed_costs(group)
    joules += reached + missed
    if len(reached) > 1 or missed:
      drawn(reached, place + BESIDE, **SEED)
    drawn(missed, place + BESIDE, marker=">" if rows else "^", **MISS)
    if group.joules:
      _interval(axes, group.joules, place, rows)
      joules += _ends(group.joules)
  _frame(axes, comparison, joules, rows)


def _at(axes: "Axes", rows: bool) -> Callable[..., None]:
  """Returns what draws marks at a place, whichever axis has the joules."""

  def draw(joules: Sequence[float], place: float, **style: Any) -> None:
    places = [place] * len(joules)
    xs, ys = (joules, places) if rows else (places, joules)
    axes.plot(xs, ys, linestyle="none", zorder=3, **style)

  return draw


def _ends(cost: Estimate) -> tuple[float, float]:
  """Returns the ends of an interval; the value itself for one not known."""
  low = cost.value if cost.low is None else cost.low
  high = cost.value if cost.high is None else cost.high
  return low, high if math.isfinite(high) else cost.value


def _interval(axes: "Axes", cost: Estimate, place: int, rows: bool) -> None:
  low, high = _ends(cost)
  error = [[cost.value - low], [high - cost.value]]
  x, y = (cost.value, place) if rows else (place, cost.value)
  axes.errorbar(
    x,
    y,
    xerr=error if rows else None,
    yerr=None if rows else error,
    fmt="o",
    color=COST,
    markersize=7,
    linewidth=2,
    capsize=4 if has_interval(cost) else 0,
    zorder=4,
  )


def _frame(
  axes: "Axes", comparison: Comparison, joules: Sequence[float], rows: bool
) -> None:
  groups = shown(comparison)
  energy_axis(axes, comparison, joules, "x" if rows else "y")
  energy = axes.xaxis if rows else axes.yaxis
  energy.set_label_text(f"{energy.get_label_text()} to {goal(comparison)}")
  if energy.get_scale() == "linear":
    set_limit = axes.set_xlim if rows else axes.set_ylim
    set_limit(0, 1.05 * max(joules, default=1.0))
  names = [_names(group) for group in groups]
  axis = axes.yaxis if rows else axes.xaxis
  axis.set_ticks(range(len(groups)), names, parse_math=False)
  if rows:
    axes.set_ylim(len(groups) - 0.5, -0.5)
  else:
    axes.set_xlim(-0.5, len(groups) - 0.5)
    field = ", ".join(labels(comparison.paths).values())
    axes.set_xlabel(capitalised(field), color=INK)
  plain(axes)
  axes.grid(visible=False, axis="y" if rows else "x")
  if not joules:
    say_nothing_known(axes, comparison)


def _legend(figure: "Figure", comparisons: Sequence[Comparison]) -> None:
  from matplotlib.lines import Line2D

  groups = [group for each in comparisons for group in shown(each)]
  seeds = [seed_costs(group) for group in groups]
  spread = any(g.joules and has_interval(g.joules) for g in groups)
  typical = "typical cost, 95 % interval" if spread else "cost of the seed"
  handles = [
    Line2D(
      [], [], linestyle="none", marker="o", ms=7, color=COST, label=typical
    )
  ]
  if any(len(reached) > 1 for reached, _ in seeds):
    handles.append(Line2D([], [], linestyle="none", label="a seed", **SEED))
  if any(missed for _, missed in seeds):
    handles.append(
      Line2D([], [], linestyle="none", marker=">", label=MISSED, **MISS)
    )
  figure.legend(
    handles=handles,
    loc="outside upper left",
    ncols=len(handles),
    fontsize=8,
    frameon=False,
    labelcolor=INK,
  )
