"""Draws accuracy over energy, a line and a band a setting.

The line is a training that took place, the band what the others of its setting
did, and the name stands where the line ends. Of many settings the cheapest are
told apart; the others are grey.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxpower.records import TrialRecord
from jaxpower.report.cells import name_among
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import costs
from jaxpower.report.compare.curves import Spread, spread
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
  say_nothing_known,
  target_line,
  told_apart,
)
from jaxpower.report.render.line_ends import (
  End,
  fields_note,
  name_ends,
  names,
)
from jaxpower.wording import count

if TYPE_CHECKING:
  from matplotlib.artist import Artist
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure


MOST_BESIDE = 2  # panels in a row: of more, the words on a page are too small
HEIGHT, HEIGHT_BESIDE = 3.9, 3.3  # inches of a panel alone, and beside another
# Inches of a panel that its axes, legend and margins take at most: of its width
# and of its height.
FRAME, FRAME_HEIGHT = 1.0, 1.3
BAND = 0.16  # opacity of a band; chosen, nine of them leave the lines seen

# Where a line ends: the shape and the filling, empty for the line's colour.
MARKS = {"reached": ("o", ""), "missed": ("o", "white"), "diverged": ("X", "")}


@dataclass(frozen=True)
class Curve:
  """What is drawn of a setting.

  Attributes:
    group: The setting.
    color: Its own; FAINT where it is one of many.
    name: What stands at the end of its line; empty for none.
    middle: The trial whose energy is the median of the setting.
    points: Joules and percent of accuracy of its evaluations.
    band: Percent of accuracy of all trials of the setting.
  """

  group: Group
  color: str
  name: str
  middle: TrialRecord
  points: tuple[tuple[float, float], ...]
  band: Spread | None


def energy_accuracy(
  comparisons: Sequence[Comparison], width: float = WIDE
) -> "Figure":
  """Draws train joules against accuracy; a panel a comparison.

  The line of a setting is the trial whose energy is its median, so every line
  is a training that took place; the band is what all its trials did. A line
  ends in a filled point where the target was reached, an open one where it was
  missed and a cross where training diverged.
  """
  from matplotlib.figure import Figure

  many = max(1, len(comparisons))
  columns = min(many, MOST_BESIDE if is_wide(width) else 1)
  rows = math.ceil(many / columns)
  height = HEIGHT if columns == 1 else HEIGHT_BESIDE
  figure = Figure(figsize=(width, height * rows), layout="constrained")
  panels = [*figure.subplots(rows, columns, squeeze=False).flat]
  room = (width / columns - FRAME, height - FRAME_HEIGHT)
  drawn: list[list[Curve]] = []
  highest = 0.0
  for axes, comparison in zip(panels, comparisons, strict=False):
    curves, inches = _panel(axes, comparison, room)
    drawn.append(curves)
    highest = max(highest, inches)
    name = name_among(comparison, comparisons) or comparison.data
    heading(axes, name, LONGEST_HEADING if columns == 1 else HEADING_BESIDE)
  for axes in panels[many:]:
    axes.remove()
  figure.set_figheight((height + highest) * rows)
  _legend(figure, comparisons, drawn, width)
  return figure


def median_trial(group: Group) -> TrialRecord | None:
  """Finds the middle trial of a setting by energy, misses above all."""
  drawn = [r for r in group.records if _points(r)]
  ranked = sorted(
    (cost.ceiling, cost.value, index)
    for index, record in enumerate(drawn)
    for cost in costs([record]) or ()
  )
  return drawn[ranked[(len(ranked) - 1) // 2][-1]] if ranked else None


def _points(record: TrialRecord) -> tuple[tuple[float, float], ...]:
  """Returns joules and percent of accuracy of evaluations that have both."""
  # What was not finite in training is null in the file.
  return tuple(
    (evaluation.train_joules, 100 * evaluation.accuracy)
    for evaluation in record.curve
    if evaluation.train_joules is not None
    and evaluation.accuracy is not None
    and math.isfinite(evaluation.accuracy)
  )


def _seen(
  points: tuple[tuple[float, float], ...], log: bool
) -> tuple[tuple[float, float], ...]:
  """Leaves out what cost nothing where joules are in logs, unless it is all."""
  return tuple(point for point in points if point[0] > 0 or not log) or points


def curves_of(comparison: Comparison, log: bool = False) -> list[Curve]:
  """Finds what to draw of each setting; nothing of one of unknown energy.

  `log`: whether joules are drawn in logs. Settings that are told apart have a
  band; of many, the grey ones have none.
  """
  found = []
  colors = told_apart(comparison)
  for group, color, name in zip(
    comparison.groups, colors, names(comparison), strict=True
  ):
    middle = median_trial(group)
    if middle is None:
      continue
    own = color != FAINT
    bands = [p for p in map(_points, group.records) if p] if own else []
    found.append(
      Curve(
        group,
        color,
        name if own else "",
        middle,
        _seen(_points(middle), log),
        spread(bands, log),
      )
    )
  return found


def _panel(
  axes: "Axes", comparison: Comparison, room: tuple[float, float]
) -> tuple[list[Curve], float]:
  """Draws a panel, whose lines have so many inches of width and height.

  Returns what is drawn, and the inches that the names above the lines take.
  """
  joules = [
    x for g in comparison.groups for r in g.records for x, _ in _points(r)
  ]
  energy_axis(axes, comparison, joules)
  curves = curves_of(comparison, log=axes.get_xscale() == "log")
  _grey(axes, [curve for curve in curves if curve.color == FAINT])
  for curve in curves:
    if curve.color != FAINT:
      _curve(axes, curve)
  target_line(axes, comparison.target_accuracy)
  _frame(axes, comparison, joules)
  ends = [
    End(curve.name, *curve.points[-1], curve.color)
    for curve in curves
    if curve.name
  ]
  return curves, name_ends(axes, ends, room)


def _grey(axes: "Axes", curves: Sequence[Curve]) -> None:
  """Draws the lines of the settings that are not told apart, as one."""
  gap = (math.nan, math.nan)
  points = [point for curve in curves for point in (*curve.points, gap)]
  if points:
    xs, ys = zip(*points, strict=True)
    (line,) = axes.plot(xs, ys, color=FAINT, linewidth=1.0, zorder=1.5)
    line.set_in_layout(False)


def _curve(axes: "Axes", curve: Curve) -> None:
  """Draws the band and the line of a setting, and marks where trials ended."""
  if curve.band:
    band = axes.fill_between(
      curve.band.joules,
      curve.band.low,
      curve.band.high,
      color=curve.color,
      alpha=BAND,
      linewidth=0,
      zorder=2,
    )
    band.set_in_layout(False)
  xs, ys = zip(*curve.points, strict=True)
  (line,) = axes.plot(
    xs,
    ys,
    color=curve.color,
    linewidth=2.2,
    zorder=3,
    solid_capstyle="round",
  )
  line.set_in_layout(False)  # it ends where the axes do; asking takes long
  for status in MARKS:
    ends = [
      points[-1]
      for record in curve.group.records
      if record is not curve.middle
      and _mark(record) == status
      and (points := _points(record))
    ]
    _marks(axes, ends, status, curve.color, bold=False)
  _marks(axes, curve.points[-1:], _mark(curve.middle), curve.color, bold=True)


def _mark(record: TrialRecord) -> str:
  return record.status if record.status in MARKS else "missed"


def _marks(
  axes: "Axes",
  ends: Sequence[tuple[float, float]],
  status: str,
  color: str,
  bold: bool,
) -> None:
  """Marks where trials of one status ended."""
  if not ends:
    return
  xs, ys = zip(*ends, strict=True)
  marker, face = MARKS[status]
  axes.plot(
    xs,
    ys,
    linestyle="none",
    marker=marker,
    markersize=7 if bold else 4,
    markerfacecolor=face or color,
    markeredgecolor=color,
    markeredgewidth=1.6 if bold else 0.9,
    alpha=1.0 if bold else 0.5,
    zorder=4 if bold else 2.5,
    clip_on=False,
  )


def _frame(
  axes: "Axes", comparison: Comparison, joules: Sequence[float]
) -> None:
  decided_by = comparison.conditions.decided_by.capitalize()
  axes.set_ylabel(f"{decided_by} accuracy (%)", color=INK)
  if not joules:
    say_nothing_known(axes, comparison)
  elif axes.get_xscale() == "linear":
    axes.set_xlim(left=0)
  plain(axes)


def _legend(
  figure: "Figure",
  comparisons: Sequence[Comparison],
  drawn: Sequence[Sequence[Curve]],
  width: float,
) -> None:
  """Says above all panels what a line, a band, a mark and grey are."""
  from matplotlib.lines import Line2D
  from matplotlib.patches import Patch

  curves = [curve for panel in drawn for curve in panel]
  own = [curve for curve in curves if curve.color != FAINT]
  statuses = {_mark(r) for c in own for r in c.group.records if _points(r)}
  handles: list[Artist] = []
  if any(curve.band for curve in own):
    line = Line2D([], [], color=INK, linewidth=2.2, label="the median trial")
    band = Patch(color=INK, alpha=BAND, label="all trials of a setting")
    handles += [line, band]
  if statuses != {"reached"}:
    # One point stands for every colour, so it is drawn in none of them.
    handles += [
      Line2D(
        [],
        [],
        color=INK,
        linestyle="none",
        marker=marker,
        markerfacecolor=face or INK,
        label=status,
      )
      for status, (marker, face) in MARKS.items()
      if status in statuses
    ]
  if others := len(curves) - len(own):
    text = f"{count(others, 'other setting')}"
    handles.append(Line2D([], [], color=FAINT, linewidth=1.4, label=text))
  unseen = sum(len(c.groups) for c in comparisons) - len(curves)
  if curves and unseen:
    text = f"{count(unseen, 'setting')} of unknown energy: not drawn"
    handles.append(Line2D([], [], linestyle="none", label=text))
  if any(curve.name for curve in own):
    handles += fields_note(comparisons)
  if handles:
    legend(figure, handles, width, columns=min(3, len(handles)))
