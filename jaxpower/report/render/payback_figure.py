"""Draws after how many tasks pretraining is paid back."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxpower.report.charts import Line, Payback
from jaxpower.report.render.figure_style import (
  COLORS,
  INK,
  MARKERS,
  WIDE,
  heading,
  in_unit,
  legend,
  panels,
  plain,
  row_name,
)
from jaxpower.wording import capitalised, joule_unit_for, joules_name

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

HEIGHT = 3.4  # inches of a panel
FEWEST_TASKS = 5.0  # on the axis
BEYOND = 1.6  # times the last number of tasks that is known; chosen
# Of the number of tasks: an interval that ends further out is cut.
MOST_BEYOND = 4.0


def payback(charts: Sequence[Payback], width: float = WIDE) -> "Figure":
  """Draws joules over tasks, a line a start; a panel a chart.

  Where a start's line crosses that from scratch it is paid back: a marker,
  with the interval of the number of tasks on either side.
  """
  figure, all_axes = panels(len(charts), width, [HEIGHT] * len(charts))
  for axes, chart in zip(all_axes, charts, strict=False):
    _panel(axes, chart)
  lines = {
    line.name: index
    for chart in charts
    for index, line in enumerate((chart.base, *chart.lines))
  }
  _legend(figure, lines, width)
  return figure


def most_tasks(chart: Payback) -> float:
  """Returns where the axis of tasks ends."""
  known = [t for t, _, _ in chart.tasks if t is not None and math.isfinite(t)]
  ends = [
    high
    for tasks, _, high in chart.tasks
    if tasks is not None
    and high is not None
    and math.isfinite(high)
    and high <= MOST_BEYOND * tasks
  ]
  return max(FEWEST_TASKS, BEYOND * max([*known, 0.0]), *ends, 0.0)


def _panel(axes: "Axes", chart: Payback) -> None:
  end = most_tasks(chart)
  for index, line in enumerate((chart.base, *chart.lines)):
    color = COLORS[index % len(COLORS)]
    ends = (line.once, line.once + end * line.each)
    axes.plot((0, end), ends, color=color, linewidth=2, zorder=3)
  for index, (line, tasks) in enumerate(
    zip(chart.lines, chart.tasks, strict=True), start=1
  ):
    _crossing(axes, chart.base, line, tasks, index)
  top = max(line.once + end * line.each for line in (chart.base, *chart.lines))
  axes.set_xlim(0, end)
  axes.set_ylim(0, 1.04 * top or 1.0)
  unit = joule_unit_for([top])
  in_unit(axes.yaxis, unit)
  name = capitalised(joules_name(chart.estimated, unit))
  axes.set_ylabel(f"{name}, pretraining included", color=INK)
  axes.set_xlabel("Downstream tasks", color=INK)
  plain(axes)
  heading(axes, chart.title)


def _crossing(
  axes: "Axes",
  base: Line,
  line: Line,
  tasks: tuple[float | None, float | None, float | None],
  index: int,
) -> None:
  """Marks where a line crosses the base; nothing where it never does."""
  number, low, high = tasks
  if number is None or not math.isfinite(number):
    return
  color = COLORS[index % len(COLORS)]
  y = base.once + number * base.each
  if low is not None and high is not None and math.isfinite(low):
    shown = high if math.isfinite(high) else axes.get_xlim()[1]
    axes.plot((low, shown), (y, y), color=color, lw=1.4, alpha=0.7, zorder=4)
  axes.plot(
    number,
    y,
    marker=MARKERS[index % len(MARKERS)],
    markersize=8,
    color=color,
    markeredgecolor="white",
    linestyle="none",
    zorder=5,
  )


def _legend(figure: "Figure", lines: dict[str, int], width: float) -> None:
  from matplotlib.lines import Line2D

  handles = [
    Line2D(
      [],
      [],
      color=COLORS[index % len(COLORS)],
      lw=2,
      marker=MARKERS[index % len(MARKERS)] if index else "",
      label=row_name(name, width),
    )
    for name, index in lines.items()
  ]
  legend(figure, handles, width, columns=min(3, len(handles)))
