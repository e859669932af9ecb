"""Draws joules to the target over what varies: intervals, seeds and misses.

The figure of every paper on the matter. A setting has one place; its typical
cost is a point with its 95 % interval, each seed a faint dot beside it, and a
seed that missed the target an open arrow at what it spent, since the cost is
further on. One field stands on the x axis, in its natural order; of several
fields, or of words too long to stand side by side, each setting is a row.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxpower.report.cells import goal, has_interval, name_among
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import by_seed, costs
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.findings import MOST_ROWS
from jaxpower.report.render.figure_style import (
  INK,
  WIDE,
  energy_axis,
  fit,
  heading,
  height_of,
  is_wide,
  legend,
  panels,
  plain,
  row_name,
  rows,
  say_nothing_known,
)
from jaxpower.wording import capitalised, labels, setting, value, values_of

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
COST = "#0072b2"
SEED: dict[str, Any] = {"marker": "o", "ms": 3.5, "color": COST, "alpha": 0.4}
MISS: dict[str, Any] = {"ms": 5, "mfc": "white", "mec": "#d55e00", "mew": 1.2}
MISSED = "a seed that missed the target: more than this"
# Values of one field side by side, of more rows; and their characters.
MOST_COLUMNS = {True: 10, False: 6}
LONGEST_COLUMN = {True: 14, False: 6}
BESIDE = 0.22  # of a place, between a setting's point and its seeds
HEIGHT = 3.4  # inches of a panel of columns
ROW_HEIGHT = 0.3  # inches of a setting that is a row
MARGIN_HEIGHT = 1.1  # inches of axis, heading and legend beside the rows


def cost(comparisons: Sequence[Comparison], width: float = WIDE) -> "Figure":
  """Draws what each setting costs to the target; a panel a comparison."""
  heights = [
    MARGIN_HEIGHT + height_of(_row_names(comparison, width), width, ROW_HEIGHT)
    if in_rows(comparison, width)
    else HEIGHT
    for comparison in comparisons
  ]
  figure, all_axes = panels(len(comparisons), width, heights)
  for axes, comparison in zip(all_axes, comparisons, strict=False):
    _panel(axes, comparison, width)
    heading(axes, name_among(comparison, comparisons) or comparison.data)
  _legend(figure, comparisons, width)
  return figure


def shown(comparison: Comparison) -> tuple[Group, ...]:
  """Returns the settings to draw: of very many the cheapest, in their order."""
  groups = comparison.groups
  if len(groups) <= MOST_ROWS:
    return groups
  cheapest = sorted(comparison.rankings["train"].order[:MOST_ROWS])
  return tuple(groups[place] for place in cheapest)


def in_rows(comparison: Comparison, width: float = WIDE) -> bool:
  """Whether each setting is a row, and not a place on the x axis."""
  names = [_name(group) for group in comparison.groups]
  wide = is_wide(width)
  return (
    len(comparison.paths) != 1
    or len(names) > MOST_COLUMNS[wide]
    or max(map(len, names), default=0) > LONGEST_COLUMN[wide]
  )


def _name(group: Group) -> str:
  values = [*group.varied.values()]
  return value(values[0]) if len(values) == 1 else setting(group.varied)


def _row_names(comparison: Comparison, width: float) -> list[str]:
  """Names the settings; by their values alone where that takes two lines."""
  groups = shown(comparison)
  names = [_name(group) for group in groups]
  if fit(names, width):
    return names
  return [values_of(group.varied) for group in groups]


def seed_costs(group: Group) -> tuple[list[float], list[float]]:
  """Returns joules of the seeds that reached the target, and of the others.

  The latter is what a seed spent without reaching it.
  """
  seeds = by_seed(group.records).values()
  known = [cost for trials in seeds for cost in costs(trials) or ()]
  reached = [cost.value for cost in known if not cost.censored]
  return reached, [cost.value for cost in known if cost.censored]


def _panel(axes: "Axes", comparison: Comparison, width: float) -> None:
  are_rows = in_rows(comparison, width)
  groups = shown(comparison)
  found = [seed_costs(group) for group in groups]
  beside = [
    (joules, place + BESIDE)
    for place, (reached, missed) in enumerate(found)
    if len(reached) > 1 or missed
    for joules in reached
  ]
  misses = [
    (joules, place + BESIDE)
    for place, (_, missed) in enumerate(found)
    for joules in missed
  ]
  _marks(axes, beside, are_rows, **SEED)
  _marks(axes, misses, are_rows, marker=">" if are_rows else "^", **MISS)
  known = [(g.joules, n) for n, g in enumerate(groups) if g.joules]
  for have_interval in (True, False):
    costs = [(c, n) for c, n in known if has_interval(c) is have_interval]
    _intervals(axes, costs, are_rows, caps=have_interval)
  joules = [j for both in found for joules in both for j in joules]
  joules += [end for cost, _ in known for end in _ends(cost)]
  _frame(axes, comparison, joules, are_rows, width)


def _marks(
  axes: "Axes", marks: Sequence[tuple[float, float]], rows: bool, **style: Any
) -> None:
  """Draws marks at joules and places, whichever axis has the joules."""
  joules, places = [j for j, _ in marks], [place for _, place in marks]
  xs, ys = (joules, places) if rows else (places, joules)
  axes.plot(xs, ys, linestyle="none", zorder=3, **style)


def _ends(cost: Estimate) -> tuple[float, float]:
  """Returns the ends of an interval; the value itself for one not known."""
  low = cost.value if cost.low is None else cost.low
  high = cost.value if cost.high is None else cost.high
  return low, high if math.isfinite(high) else cost.value


def _intervals(
  axes: "Axes",
  costs: Sequence[tuple[Estimate, int]],
  rows: bool,
  caps: bool,
) -> None:
  """Draws costs at the places of their settings, each with its interval."""
  if not costs:
    return
  values, places = [cost.value for cost, _ in costs], [n for _, n in costs]
  ends = [_ends(cost) for cost, _ in costs]
  error = [
    [value - low for value, (low, _) in zip(values, ends, strict=True)],
    [high - value for value, (_, high) in zip(values, ends, strict=True)],
  ]
  axes.errorbar(
    values if rows else places,
    places if rows else values,
    xerr=error if rows else None,
    yerr=None if rows else error,
    fmt="o",
    color=COST,
    markersize=7,
    linewidth=2,
    capsize=4 if caps else 0,
    zorder=4,
  )


def _frame(
  axes: "Axes",
  comparison: Comparison,
  joules: Sequence[float],
  are_rows: bool,
  width: float,
) -> None:
  groups = shown(comparison)
  energy_axis(axes, comparison, joules, "x" if are_rows else "y")
  energy = axes.xaxis if are_rows else axes.yaxis
  energy.set_label_text(f"{energy.get_label_text()} to {goal(comparison)}")
  if energy.get_scale() == "linear":
    set_limit = axes.set_xlim if are_rows else axes.set_ylim
    set_limit(0, 1.05 * max(joules, default=1.0))
  fields = ", ".join(labels(comparison.paths).values())
  if are_rows:
    names = _row_names(comparison, width)
    said = names[:1] == [setting(group.varied) for group in groups[:1]]
    rows(axes, names, width, "" if said else fields)
  else:
    names = [row_name(_name(group), width) for group in groups]
    axes.xaxis.set_ticks(range(len(groups)), names, parse_math=False)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_xlabel(capitalised(fields), color=INK)
  plain(axes)
  axes.grid(visible=False, axis="y" if are_rows else "x")
  if not joules:
    say_nothing_known(axes, comparison)


def _legend(
  figure: "Figure", comparisons: Sequence[Comparison], width: float
) -> None:
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
  legend(figure, handles, width)
