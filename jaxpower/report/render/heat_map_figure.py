"""Draws what pairs of values of two fields cost, as a coloured grid."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxpower.report.charts import HeatMap
from jaxpower.report.render.figure_style import (
  AS_IS,
  FAINT,
  INK,
  WIDE,
  heading,
  height_of,
  ink_on,
  is_wide,
  panels,
  row_name,
  rows,
)
from jaxpower.wording import (
  JouleUnit,
  capitalised,
  joule_unit_for,
  joules_name,
  number,
)

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.colors import Colormap
  from matplotlib.figure import Figure

ROW_HEIGHT = 0.42  # inches of a row of cells
MARGIN_HEIGHT = 1.3  # inches of axes and heading
MOST_NUMBERS = {True: 12, False: 6}  # columns whose cells have room for text
PALEST, DARKEST = 0.08, 0.95  # of the map of colours; chosen
LONGEST_COLUMN = 10  # characters that stand level below a column


def heat_map(charts: Sequence[HeatMap], width: float = WIDE) -> "Figure":
  """Draws a panel a grid: pale is cheap, dark is expensive, in logs."""
  heights = [
    MARGIN_HEIGHT + height_of(chart.rows, width, ROW_HEIGHT) for chart in charts
  ]
  figure, all_axes = panels(len(charts), width, heights)
  for axes, chart in zip(all_axes, charts, strict=False):
    _panel(axes, chart, width)
  return figure


def _panel(axes: "Axes", chart: HeatMap, width: float) -> None:
  known = [joules for row in chart.joules for joules in row if joules]
  unit = joule_unit_for(known)
  numbers = len(chart.columns) <= MOST_NUMBERS[is_wide(width)]
  for i, row in enumerate(chart.joules):
    for j, joules in enumerate(row):
      _cell(axes, (i, j), joules, known)
      text = number(joules / unit.joules) if joules else chart.words[i][j]
      if numbers:
        _text(axes, (i, j), text, joules, known)
  for cell in chart.best:
    _outline(axes, cell)
  _frame(axes, chart, unit, width)


def shade(joules: float, known: Sequence[float]) -> float:
  """Places joules between palest and darkest, by their logs."""
  low, high = math.log(min(known)), math.log(max(known))
  share = (math.log(joules) - low) / (high - low) if high > low else 0.0
  return PALEST + (DARKEST - PALEST) * share


def _colors() -> "Colormap":
  from matplotlib import colormaps

  return colormaps["cividis_r"]  # made for colour-blind eyes


def _cell(
  axes: "Axes",
  cell: tuple[int, int],
  joules: float | None,
  known: Sequence[float],
) -> None:
  from matplotlib.patches import Rectangle

  y, x = cell
  patch = Rectangle((x - 0.5, y - 0.5), 1, 1, linewidth=1.5, edgecolor="white")
  if joules:
    patch.set_facecolor(_colors()(shade(joules, known)))
    patch.set_gid(f"{AS_IS}-{y}-{x}")
  else:
    patch.set(facecolor="none", edgecolor=FAINT, linewidth=0.6)
  patch.set_in_layout(False)  # it ends where the axes do; asking takes long
  axes.add_patch(patch)


def _text(
  axes: "Axes",
  cell: tuple[int, int],
  text: str,
  joules: float | None,
  known: Sequence[float],
) -> None:
  y, x = cell
  color = ink_on(_colors()(shade(joules, known))) if joules else INK
  written = axes.text(
    x, y, text, ha="center", va="center", fontsize=8, color=color
  )
  written.set_in_layout(False)
  if joules:
    written.set_gid(f"{AS_IS}-{y}-{x}-text")


def _outline(axes: "Axes", cell: tuple[int, int]) -> None:
  from matplotlib.patches import Rectangle

  y, x = cell
  axes.add_patch(
    Rectangle(
      (x - 0.44, y - 0.42),
      0.88,
      0.84,
      facecolor="none",
      edgecolor="#d55e00",
      linewidth=2,
      zorder=3,
      gid=f"{AS_IS}-{y}-{x}-best",
    )
  )


def _frame(axes: "Axes", chart: HeatMap, unit: JouleUnit, width: float) -> None:
  columns = [row_name(name, width) for name in chart.columns]
  turned = max(map(len, columns), default=0) > LONGEST_COLUMN
  axes.xaxis.set_ticks(range(len(columns)), columns, parse_math=False)
  axes.tick_params(axis="x", rotation=30 if turned else 0)
  rows(axes, chart.rows, width)
  axes.set_xlim(-0.5, len(columns) - 0.5)
  axes.set_xlabel(capitalised(chart.across), color=INK)
  axes.set_ylabel(capitalised(chart.down), color=INK)
  axes.tick_params(which="both", colors=INK, length=0)
  for spine in axes.spines.values():
    spine.set_visible(False)
  energy = capitalised(joules_name(chart.estimated, unit))
  where = f"{chart.title}: " if chart.title else ""
  heading(axes, f"{where}{energy} {chart.name}")
