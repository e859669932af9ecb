"""Draws speed and energy per example over the number of devices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxpower.report.cells import name_among, unit_of
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.scaling import PER, Row, find
from jaxpower.report.render.figure_style import (
  FAINT,
  HEADING_BESIDE,
  INK,
  LONGEST_HEADING,
  WIDE,
  heading,
  is_wide,
  plain,
  row_name,
  shades,
)
from jaxpower.wording import capitalised, joules_name, setting

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure


HEIGHT = 3.4  # inches of a panel


def devices(comparisons: Sequence[Comparison], width: float = WIDE) -> "Figure":
  """Draws speed-ups and joules: side by side where there is room."""
  from matplotlib.figure import Figure

  count = max(1, len(comparisons))
  columns = 2 if is_wide(width) else 1
  rows = 2 * count // columns
  figure = Figure(figsize=(width, HEIGHT * rows), layout="constrained")
  panels = figure.subplots(rows, columns, squeeze=False).reshape(count, 2)
  for (left, right), comparison in zip(panels, comparisons, strict=False):
    found = find(comparison)
    _speed(left, found, width)
    _energy(right, found, comparison.estimated, width)
    name = name_among(comparison, comparisons) or comparison.data
    heading(left, name, LONGEST_HEADING if columns == 1 else HEADING_BESIDE)
  return figure


def _speed(axes: "Axes", rows: Sequence[Row], width: float) -> None:
  """Draws how many times as fast more devices are, beside as fast as many."""
  ideal = sorted(
    (step.point.devices, step.point.devices / row.steps[0].point.devices)
    for row in rows
    for step in row.steps
  )
  axes.plot(
    *zip(*ideal, strict=True), color=FAINT, linestyle=(0, (4, 3)), zorder=1
  )
  for row, color in zip(rows, shades(len(rows)), strict=True):
    known = [
      (step.point.devices, step.speed_up)
      for step in row.steps
      if step.speed_up is not None
    ]
    _line(axes, row, known, color, width)
  _frame(axes, rows, "Speed-up")
  axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _energy(
  axes: "Axes", rows: Sequence[Row], estimated: bool, width: float
) -> None:
  """Draws joules per 1000 examples, with their intervals."""
  unit = unit_of(step.point.joules for row in rows for step in row.steps)
  for row, color in zip(rows, shades(len(rows)), strict=True):
    known = [
      (step.point.devices, cost)
      for step in row.steps
      if (cost := step.point.joules) is not None
    ]
    points = [(x, cost.value / unit.joules) for x, cost in known]
    _line(axes, row, points, color, width)
    for x, cost in known:
      if cost.low is not None and cost.high is not None:
        ends = cost.low / unit.joules, cost.high / unit.joules
        axes.plot((x, x), ends, color=color, linewidth=1, zorder=2)
  name = capitalised(joules_name(estimated, unit))
  _frame(axes, rows, f"{name} per {PER} examples")
  axes.set_ylim(bottom=0)


def _line(
  axes: "Axes",
  row: Row,
  points: Sequence[tuple[int, float]],
  color: str,
  width: float,
) -> None:
  name = ", ".join(filter(None, (setting(row.others), row.batch)))
  axes.plot(
    [x for x, _ in points],
    [y for _, y in points],
    marker="o",
    color=color,
    linewidth=1.8,
    label=row_name(name, width),
    zorder=3,
  )


def _frame(axes: "Axes", rows: Sequence[Row], label: str) -> None:
  from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

  numbers = sorted({s.point.devices for row in rows for s in row.steps})
  axes.set_xscale("log", base=2)
  axes.xaxis.set_major_locator(FixedLocator(numbers))
  axes.xaxis.set_minor_locator(NullLocator())
  axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
  axes.set_xlabel("Devices", color=INK)
  axes.set_ylabel(label, color=INK)
  plain(axes)
