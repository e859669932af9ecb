"""Draws both Pareto fronts: accuracy for the joules, and both costs."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
from jaxpower.report.findings import MOST_COLORS
from jaxpower.report.render.figure_style import (
  FAINT,
  HEADING_BESIDE,
  INK,
  LONGEST_HEADING,
  WIDE,
  energy_axis,
  heading,
  is_wide,
  legend,
  plain,
  shades,
  target_line,
)
from jaxpower.report.render.line_ends import (
  End,
  fields_note,
  name_ends,
  names,
)

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure


# Inches of a panel that has the width for itself, and of one beside another.
HEIGHT, HEIGHT_BESIDE = 4.0, 3.4
# Inches of a panel that its axes, legend and margins take at most: of its width
# and of its height.
FRAME, FRAME_HEIGHT = 1.0, 1.3
FRONT = {"color": INK, "linewidth": 3.2, "alpha": 0.16}


def pareto(comparisons: Sequence[Comparison], width: float = WIDE) -> "Figure":
  """Draws both fronts of each comparison: side by side where there is room.

  Without joules and seconds where all joules are modelled from CPU time.
  Settings on a front are coloured and named, of many as many as eyes tell
  apart; the others stay faint. A setting that mostly missed has no point among
  joules and seconds.
  """
  from matplotlib.figure import Figure

  count = max(1, len(comparisons))
  fronts = 1 if comparisons and all(map(only_cpu_time, comparisons)) else 2
  columns = fronts if is_wide(width) else 1
  rows = count * fronts // columns
  height = HEIGHT if columns == 1 else HEIGHT_BESIDE
  figure = Figure(figsize=(width, height * rows), layout="constrained")
  panels = figure.subplots(rows, columns, squeeze=False).reshape(count, fronts)
  room = (width / columns - FRAME, height - FRAME_HEIGHT)
  highest = 0.0
  for (left, *right), comparison in zip(panels, comparisons, strict=False):
    highest = max(highest, _accuracy(left, comparison, room))
    for axes in right:
      if only_cpu_time(comparison):
        axes.remove()
      else:
        highest = max(highest, _seconds(axes, comparison, room))
    name = name_among(comparison, comparisons) or comparison.data
    heading(left, name, LONGEST_HEADING if columns == 1 else HEADING_BESIDE)
  figure.set_figheight((height + highest) * rows)
  _legend(figure, comparisons, width)
  return figure


def _accuracy(
  axes: "Axes", comparison: Comparison, room: tuple[float, float]
) -> float:
  """Draws accuracy over joules; returns the inches that names take."""
  front = accuracy_front(comparison)
  colors = _colors(comparison, front)
  steps = [group.best_so_far for group in comparison.groups]
  all_joules = [joules for step in steps for joules, _ in step]
  grey: list[tuple[float, float]] = []
  for step, color in zip(steps, colors, strict=True):
    if not step:
      continue
    points = [(x, 100 * y) for x, y in (*step, (max(all_joules), step[-1][1]))]
    if color:
      xs, ys = zip(*points, strict=True)
      axes.step(xs, ys, where="post", color=color, linewidth=1.5, zorder=2)
    else:
      grey += [*points, (math.nan, math.nan)]
  if grey:  # as one line, since there may be hundreds
    xs, ys = zip(*grey, strict=True)
    axes.step(xs, ys, where="post", color=FAINT, linewidth=1.0, zorder=1)
  _front_line(axes, front, colors, scale=100)
  target_line(axes, comparison.target_accuracy)
  _frame(axes, comparison, all_joules, "Best accuracy so far (%)")
  return _name(axes, comparison, front, colors, room, scale=100)


def _seconds(
  axes: "Axes", comparison: Comparison, room: tuple[float, float]
) -> float:
  """Draws seconds over joules to the target; returns the names' inches."""
  front = seconds_front(comparison)
  colors = _colors(comparison, front)
  points = known_costs(comparison)
  others = [point for point in points if not colors[point.group]]
  axes.plot(
    [point.joules for point in others],
    [point.other for point in others],
    marker="o",
    markersize=6,
    color=FAINT,
    linestyle="none",
    zorder=2,
  )
  _front_line(axes, front, colors, scale=1)
  all_joules = [point.joules for point in points]
  _frame(axes, comparison, all_joules, "Seconds of training to the target")
  axes.margins(x=0.1, y=0.15)
  axes.set_ylim(bottom=0)
  if not all_joules:
    axes.text(
      0.5,
      0.5,
      "No setting has both its energy and its seconds known",
      transform=axes.transAxes,
      ha="center",
      color=INK,
    )
  return _name(axes, comparison, front, colors, room, scale=1)


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
  axes.step(xs, ys, where="post", zorder=3, **FRONT)
  axes.scatter(
    xs,
    ys,
    s=40,
    c=[colors[point.group] or FAINT for point in front],
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


def _name(
  axes: "Axes",
  comparison: Comparison,
  front: Sequence[Point],
  colors: Sequence[str],
  room: tuple[float, float],
  scale: float,
) -> float:
  """Names each coloured setting above its last point on the front."""
  last = {point.group: point for point in front}
  said = names(comparison)
  ends = [
    End(said[place], point.joules, scale * point.other, colors[place])
    for place, point in last.items()
    if colors[place]
  ]
  return name_ends(axes, ends, room)


def _legend(
  figure: "Figure", comparisons: Sequence[Comparison], width: float
) -> None:
  from matplotlib.lines import Line2D

  others = Line2D([], [], color=FAINT, lw=1.4, marker="o", label="others")
  handles = [
    Line2D([], [], label="on the front, named at its last point", **FRONT),
    others,
    *fields_note(comparisons),
  ]
  legend(figure, handles, width)


def _colors(comparison: Comparison, front: Sequence[Point]) -> list[str]:
  """Picks a colour for each setting on the front; empty for the others.

  Of more than eyes tell apart, for as many, evenly chosen along the front.
  """
  on = settings_on(front)
  step = max(1, math.ceil(len(on) / MOST_COLORS))
  chosen = sorted(on[::step])
  own = dict(zip(chosen, shades(len(chosen)), strict=True))
  return [own.get(place, "") for place in range(len(comparison.groups))]
