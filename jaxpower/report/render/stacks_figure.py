"""Draws joules made of parts: phases of a trial, stages of a life."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jaxpower.report.charts import Stacks
from jaxpower.report.render.figure_style import (
  AS_IS,
  COLORS,
  INK,
  PHASES,
  WIDE,
  heading,
  height_of,
  in_unit,
  ink_on,
  is_wide,
  legend,
  names_of,
  panels,
  plain,
  rows,
)
from jaxpower.wording import (
  capitalised,
  joule_unit_for,
  joules_name,
  whole_percent,
)

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

ROW_HEIGHT = 0.36  # inches of a bar
BAR = 0.72  # of a row's height
MARGIN_HEIGHT = 1.15  # inches of axis, heading and legend
MOST_COLUMNS = 7  # parts in a line of the legend
# Of the longest bar, wide and narrow: a smaller part has no number in it.
LEAST_LABEL = {True: 0.09, False: 0.2}


def stacks(charts: Sequence[Stacks], width: float = WIDE) -> "Figure":
  """Draws a panel a chart, a bar a row; numbers are shares of the bar."""
  heights = [
    MARGIN_HEIGHT + height_of(names_of(chart, width), width, ROW_HEIGHT)
    for chart in charts
  ]
  figure, all_axes = panels(len(charts), width, heights)
  for axes, chart in zip(all_axes, charts, strict=False):
    _panel(axes, chart, width)
  _legend(figure, _drawn(charts), width)
  return figure


def colors(parts: Sequence[str]) -> dict[str, str]:
  """Chooses a colour for each part; a phase has its own in all figures."""
  if all(part in PHASES for part in parts):
    return {part: PHASES[part] for part in parts}
  return {p: COLORS[i % len(COLORS)] for i, p in enumerate(parts)}


def _panel(axes: "Axes", chart: Stacks, width: float) -> None:
  from matplotlib.patches import Rectangle

  of_parts = colors(chart.parts)
  sums = [sum(joules or 0.0 for joules in row) for row in chart.joules]
  longest = max(sums, default=0.0)
  for y, (row, total) in enumerate(zip(chart.joules, sums, strict=True)):
    left = 0.0
    for index, (part, joules) in enumerate(zip(chart.parts, row, strict=True)):
      if not joules:
        continue
      color, name = of_parts[part], f"{AS_IS}-{y}-{index}"
      bar = Rectangle(
        (left, y - BAR / 2),
        joules,
        BAR,
        facecolor=color,
        edgecolor="white",
        linewidth=0.8,
        gid=name,
      )
      bar.set_in_layout(False)  # it ends within the axes; asking takes long
      axes.add_patch(bar)
      if joules >= LEAST_LABEL[is_wide(width)] * longest:
        _share(axes, left + joules / 2, y, joules / total, color, name)
      left += joules
  unit = joule_unit_for([max(sums, default=0.0)])
  axes.set_xlim(0, 1.02 * longest or 1.0)
  in_unit(axes.xaxis, unit)
  name = capitalised(joules_name(chart.estimated, unit))
  axes.set_xlabel(f"{name} {chart.of}", color=INK)
  names = names_of(chart, width)
  rows(axes, names, width, chart.fields if names is chart.short else "")
  plain(axes)
  axes.grid(visible=False, axis="y")
  heading(axes, chart.title)


def _share(
  axes: "Axes", x: float, y: float, share: float, color: str, name: str
) -> None:
  from matplotlib.colors import to_rgba

  axes.text(
    x,
    y,
    f"{whole_percent(share)} %",
    ha="center",
    va="center",
    fontsize=8,
    color=ink_on(to_rgba(color)),
    gid=f"{name}-text",
  )


def _drawn(charts: Sequence[Stacks]) -> dict[str, str]:
  """Returns the parts of which there is any, with their colours."""
  drawn: dict[str, str] = {}
  for chart in charts:
    for index, (part, color) in enumerate(colors(chart.parts).items()):
      if any(row[index] for row in chart.joules):
        drawn[part] = color
  return drawn


def _legend(figure: "Figure", drawn: Mapping[str, str], width: float) -> None:
  from matplotlib.patches import Patch

  handles = [Patch(color=color, label=part) for part, color in drawn.items()]
  legend(figure, handles, width, columns=min(MOST_COLUMNS, len(handles)))
