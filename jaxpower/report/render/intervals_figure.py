"""Draws values with their intervals in rows: shares, ratios."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxpower.report.charts import Intervals, Mark
from jaxpower.report.render.figure_style import (
  COLORS,
  INK,
  MARKERS,
  WIDE,
  few_ticks,
  heading,
  height_of,
  legend,
  names_of,
  panels,
  plain,
  row_name,
  rows,
)
from jaxpower.wording import as_given

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

ROW_HEIGHT = 0.34  # inches of a row with one series
SERIES_HEIGHT = 0.16  # inches that each further series adds to a row
MARGIN_HEIGHT = 1.1  # inches of axis, heading and legend
ROOM = 1.08  # of a ratio, between the last mark and the end of the axis


def intervals(charts: Sequence[Intervals], width: float = WIDE) -> "Figure":
  """Draws a panel a chart, a row a name, a marker and a bar a value."""
  heights = [
    MARGIN_HEIGHT + height_of(names_of(chart, width), width, _row_height(chart))
    for chart in charts
  ]
  figure, all_axes = panels(len(charts), width, heights)
  for axes, chart in zip(all_axes, charts, strict=False):
    _panel(axes, chart, width)
  names = dict.fromkeys(name for c in charts for name in c.series if name)
  if len(names) > 1:
    _legend(figure, list(names), width)
  return figure


def _row_height(chart: Intervals) -> float:
  return ROW_HEIGHT + SERIES_HEIGHT * (len(chart.series) - 1)


def place(mark: Mark, chart: Intervals) -> float:
  """Returns where on the y axis a mark stands: series apart, within a row."""
  apart = 0.7 / len(chart.series)
  return mark.row + (mark.series - (len(chart.series) - 1) / 2) * apart


def _panel(axes: "Axes", chart: Intervals, width: float) -> None:
  if chart.ratios:
    axes.set_xscale("log")
    axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
  low, high = _limits(chart)
  for mark in chart.marks:
    _mark(axes, mark, chart, high)
  axes.set_xlim(low, high)
  names = names_of(chart, width)
  rows(axes, names, width, chart.fields if names is chart.short else "")
  axes.set_xlabel(_axis_name(chart), color=INK)
  _ticks(axes, chart)
  plain(axes)
  axes.grid(visible=False, axis="y")
  heading(axes, chart.title)


def _limits(chart: Intervals) -> tuple[float, float]:
  """Returns the ends of the axis: of shares 0 to 100 %, of ratios all marks."""
  if not chart.ratios:
    return 0.0, 1.0
  ends = [1.0] + [
    end
    for mark in chart.marks
    for end in (mark.low, mark.value, mark.high)
    if end is not None and math.isfinite(end) and end > 0
  ]
  # Never so near to one that the ticks have no round number.
  return min(min(ends) / ROOM, 0.9), max(max(ends) * ROOM, 1.11)


def _mark(axes: "Axes", mark: Mark, chart: Intervals, end: float) -> None:
  color = COLORS[mark.series % len(COLORS)]
  y = place(mark, chart)
  if mark.low is not None and mark.high is not None:
    axes.plot(
      (mark.low, min(mark.high, end)), (y, y), color=color, lw=2, zorder=3
    )
  axes.plot(
    mark.value,
    y,
    linestyle="none",
    marker=MARKERS[mark.series % len(MARKERS)],
    markersize=7,
    color=color,
    zorder=4,
  )


def _axis_name(chart: Intervals) -> str:
  below, above = chart.ends
  if not (below and above):
    return chart.axis
  return (
    f"{chart.axis}\n\N{LEFTWARDS ARROW} {below}    {above} \N{RIGHTWARDS ARROW}"
  )


def _ticks(axes: "Axes", chart: Intervals) -> None:
  from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    NullFormatter,
    PercentFormatter,
  )

  if not chart.ratios:
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return
  low, high = axes.get_xlim()
  few_ticks(axes.xaxis)
  if high / low < 5:  # less than two of those ticks
    near = (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4)
    axes.xaxis.set_major_locator(FixedLocator(_spread(near, low, high)))
    axes.xaxis.set_minor_locator(FixedLocator([]))
  axes.xaxis.set_minor_formatter(NullFormatter())
  axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: as_given(x)))


def _spread(ticks: Sequence[float], low: float, high: float) -> Sequence[float]:
  """Picks ticks far enough apart for their numbers: 6 % of the axis, chosen."""
  apart = 0.06 * math.log(high / low)
  kept = [1.0]
  for tick in sorted(ticks, key=lambda t: abs(math.log(t))):
    if low <= tick <= high and all(
      abs(math.log(tick / other)) >= apart for other in kept
    ):
      kept.append(tick)
  return sorted(kept)


def _legend(figure: "Figure", names: Sequence[str], width: float) -> None:
  from matplotlib.lines import Line2D

  handles = [
    Line2D(
      [],
      [],
      color=COLORS[index % len(COLORS)],
      marker=MARKERS[index % len(MARKERS)],
      lw=2,
      label=row_name(name, width),
    )
    for index, name in enumerate(names)
  ]
  legend(figure, handles, width, columns=min(4, len(handles)))
