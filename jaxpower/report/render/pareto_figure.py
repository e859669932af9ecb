"""Draws both Pareto fronts: accuracy for the joules, and both costs."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from jaxpower.report.cells import name_among
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.cpu_time import only_cpu_time
from jaxpower.report.compare.pareto import (
  Point,
  accuracy_front,
  known_costs,
  seconds_front,
  settings_on,
)
from jaxpower.report.render.figure_style import (
  ENTRY_HEIGHT,
  FAINT,
  HEADING_BESIDE,
  INK,
  LONGEST_HEADING,
  WIDE,
  below,
  energy_axis,
  heading,
  is_wide,
  plain,
  row_name,
  shades,
)
from jaxpower.wording import labels, percent, setting, values_of

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure


# Inches of a panel that has the width for itself, and of one beside another.
HEIGHT, HEIGHT_BESIDE = 4.0, 3.4


def pareto(comparisons: Sequence[Comparison], width: float = WIDE) -> "Figure":
  """Draws both fronts of each comparison: side by side where there is room.

  Without joules and seconds where all joules are modelled from CPU time.
  Settings on a front are coloured and named; the others stay faint. A setting
  that mostly missed has no point among joules and seconds.
  """
  from matplotlib.figure import Figure

  count = max(1, len(comparisons))
  fronts = 1 if comparisons and all(map(only_cpu_time, comparisons)) else 2
  columns = fronts if is_wide(width) else 1
  rows = count * fronts // columns
  height = HEIGHT if columns == 1 else HEIGHT_BESIDE
  if not is_wide(width):
    named = max(
      (len(settings_on(accuracy_front(c))) for c in comparisons), default=0
    )
    height += ENTRY_HEIGHT * (named + 1)
  figure = Figure(figsize=(width, height * rows), layout="constrained")
  panels = figure.subplots(rows, columns, squeeze=False).reshape(count, fronts)
  for (left, *right), comparison in zip(panels, comparisons, strict=False):
    _accuracy(left, comparison, width)
    for axes in right:
      if only_cpu_time(comparison):
        axes.remove()
      else:
        _seconds(axes, comparison, width)
    name = name_among(comparison, comparisons) or comparison.data
    heading(left, name, LONGEST_HEADING if columns == 1 else HEADING_BESIDE)
  return figure


def _accuracy(axes: "Axes", comparison: Comparison, width: float) -> None:
  front = accuracy_front(comparison)
  colors = _colors(comparison, front)
  steps = [group.best_so_far for group in comparison.groups]
  all_joules = [joules for step in steps for joules, _ in step]
  _steps(axes, steps, colors, max(all_joules, default=0.0))
  _front_line(axes, front, colors, scale=100)
  axes.axhline(
    100 * comparison.target_accuracy,
    color=INK,
    linewidth=1,
    linestyle=(0, (4, 3)),
    zorder=1,
  )
  axes.annotate(
    f"target {percent(comparison.target_accuracy)}",
    (0, 100 * comparison.target_accuracy),
    xycoords=("axes fraction", "data"),
    xytext=(4, 3),
    textcoords="offset points",
    fontsize=9,
    color=INK,
  )
  _frame(axes, comparison, all_joules, "Best accuracy so far (%)")
  _legend(axes, comparison, front, colors, width, loc="lower right")


def _steps(
  axes: "Axes",
  steps: Sequence[Sequence[tuple[float, float]]],
  colors: Sequence[str],
  end: float,
) -> None:
  """Draws the steps of settings, those off the front below the others."""
  from matplotlib.collections import LineCollection

  for on_front in (False, True):
    here = [
      (_corners([*step, (end, step[-1][1])]), color)
      for step, color in zip(steps, colors, strict=True)
      if step and bool(color) is on_front
    ]
    lines = LineCollection(
      [corners for corners, _ in here],
      colors=[color or FAINT for _, color in here],
      linewidths=1.5 if on_front else 1.0,
      alpha=0.9 if on_front else 0.8,
      zorder=2 if on_front else 1,
      capstyle="projecting",
    )
    axes.add_collection(lines)


def _corners(steps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
  """Turns joules and accuracy, which hold to the next ones, into a line."""
  corners = [(steps[0][0], 100 * steps[0][1])]
  for (_, before), (joules, accuracy) in itertools.pairwise(steps):
    corners += [(joules, 100 * before), (joules, 100 * accuracy)]
  return corners


def _seconds(axes: "Axes", comparison: Comparison, width: float) -> None:
  front = seconds_front(comparison)
  colors = _colors(comparison, front)
  points = known_costs(comparison)
  all_joules = [point.joules for point in points]
  off_front = [point for point in points if not colors[point.group]]
  axes.plot(
    [point.joules for point in off_front],
    [point.other for point in off_front],
    marker="o",
    markersize=6,
    color=FAINT,
    linestyle="none",
    zorder=2,
  )
  _front_line(axes, front, colors, scale=1)
  _frame(axes, comparison, all_joules, "Seconds of training to the target")
  axes.margins(x=0.1, y=0.15)
  axes.set_ylim(bottom=0)
  _legend(axes, comparison, front, colors, width, loc="best", marker="o")
  if not all_joules:
    axes.text(
      0.5,
      0.5,
      "No setting has both its energy and its seconds known",
      transform=axes.transAxes,
      ha="center",
      color=INK,
    )


def _front_line(
  axes: "Axes",
  front: Sequence[Point],
  colors: Sequence[str],
  scale: float,
) -> None:
  """Draws the front: ink below the colours of its settings."""
  if not front:
    return
  xs = [point.joules for point in front]
  ys = [scale * point.other for point in front]
  axes.step(
    xs, ys, where="post", color=INK, linewidth=3.2, alpha=0.16, zorder=3
  )
  axes.scatter(
    xs,
    ys,
    s=40,
    c=[colors[point.group] for point in front],
    edgecolors="white",
    linewidths=0.8,
    zorder=4,
  )


def _frame(
  axes: "Axes", comparison: Comparison, joules: Sequence[float], label: str
) -> None:
  energy_axis(axes, comparison, joules)
  axes.set_ylabel(label, color=INK)
  plain(axes)


def _legend(
  axes: "Axes",
  comparison: Comparison,
  front: Sequence[Point],
  colors: Sequence[str],
  width: float,
  loc: Literal["lower right", "best"],
  marker: str = "",
) -> None:
  from matplotlib.lines import Line2D

  name = setting if is_wide(width) else values_of
  handles = [
    Line2D(
      [],
      [],
      color=colors[index],
      linewidth=2.2,
      label=row_name(name(comparison.groups[index].varied), width),
      marker=marker,
      linestyle="none" if marker else "solid",
    )
    for index in settings_on(front)
  ]
  if not all(colors):
    handles.append(
      Line2D(
        [],
        [],
        color=FAINT,
        linewidth=1.4,
        label="others",
        marker=marker,
        linestyle="none" if marker else "solid",
      )
    )
  how: dict[str, Any] = {
    "fontsize": 9,
    "framealpha": 0.85,
    "edgecolor": "none",
    "labelcolor": INK,
    "handlelength": 1.4,
  }
  if front and is_wide(width):
    axes.legend(handles=handles, loc=loc, **how)
  elif front:
    fields = ", ".join(labels(comparison.paths).values())
    below(axes, handles, title=row_name(fields, width), title_fontsize=9, **how)


def _colors(comparison: Comparison, front: Sequence[Point]) -> list[str]:
  """Picks a colour for each setting on the front; empty for the others."""
  on = set(settings_on(front))
  return [
    color if index in on else ""
    for index, color in enumerate(shades(len(comparison.groups)))
  ]
