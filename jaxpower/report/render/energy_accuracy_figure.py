"""Draws accuracy over energy, a line a trial: the picture of a sweep."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxpower.records import TrialRecord
from jaxpower.report.cells import name_among
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import costs
from jaxpower.report.findings import MOST_LINES
from jaxpower.report.render.figure_style import (
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
  say_nothing_known,
  told_apart,
)
from jaxpower.wording import labels, percent, values_of

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure


MOST_BESIDE = 2  # panels in a row: of more, the words on a page are too small
HEIGHT, HEIGHT_BESIDE = 4.2, 3.6  # inches of a panel alone, and beside another
LEGEND_HEIGHT = 1.0  # inches of a legend below a panel

# Where a line ends: the shape and the filling, empty for the line's colour.
MARKS = {"reached": ("o", ""), "missed": ("o", "white"), "diverged": ("X", "")}


def energy_accuracy(
  comparisons: Sequence[Comparison], width: float = WIDE
) -> "Figure":
  """Draws train joules against accuracy; a panel a comparison.

  Thin lines are seeds; the bold one is the trial whose energy is the median
  of its setting, so every line is a training that took place. It ends in a
  filled point where the target was reached, an open one where it was missed
  and a cross where training diverged.
  """
  from matplotlib.figure import Figure

  count = max(1, len(comparisons))
  columns = min(count, MOST_BESIDE if is_wide(width) else 1)
  rows = math.ceil(count / columns)
  height = HEIGHT if columns == 1 else HEIGHT_BESIDE
  if not is_wide(width):
    height += LEGEND_HEIGHT
  size = (width, height * rows)
  figure = Figure(figsize=size, layout="constrained")
  panels = [*figure.subplots(rows, columns, squeeze=False).flat]
  for axes, comparison in zip(panels, comparisons, strict=False):
    _panel(axes, comparison, width)
    name = name_among(comparison, comparisons) or comparison.data
    heading(axes, name, LONGEST_HEADING if columns == 1 else HEADING_BESIDE)
  for axes in panels[count:]:
    axes.remove()
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


def _points(record: TrialRecord) -> list[tuple[float, float]]:
  """Returns joules and percent of accuracy of evaluations that have both."""
  # What was not finite in training is null in the file.
  return [
    (evaluation.train_joules, 100 * evaluation.accuracy)
    for evaluation in record.curve
    if evaluation.train_joules is not None
    and evaluation.accuracy is not None
    and math.isfinite(evaluation.accuracy)
  ]


class _Curve(NamedTuple):
  """The line of a trial: joules and percent, and how it is drawn."""

  points: list[tuple[float, float]]
  color: str
  status: str
  bold: bool


def _panel(axes: "Axes", comparison: Comparison, width: float) -> None:
  groups = comparison.groups
  colors = told_apart(comparison)
  joules: list[float] = []
  curves: list[_Curve] = []
  every = math.ceil(sum(len(g.records) for g in groups) / MOST_LINES)
  number = itertools.count()
  for group, color in zip(groups, colors, strict=True):
    bold = median_trial(group)
    for record in group.records:
      points = _points(record)
      joules += [x for x, _ in points]
      if points and (next(number) % every == 0 or record is bold):
        curves.append(_Curve(points, color, record.status, record is bold))
  for are_bold in (False, True):
    _lines(axes, [c for c in curves if c.bold is are_bold], are_bold)
  _target(axes, comparison.target_accuracy)
  _frame(axes, comparison, joules)
  _legend(axes, groups, colors, width)


def _lines(axes: "Axes", curves: Sequence[_Curve], bold: bool) -> None:
  """Draws lines and the mark at the end of each: one artist a kind of them."""
  from matplotlib.collections import LineCollection

  if not curves:
    return
  lines = LineCollection(
    [curve.points for curve in curves],
    colors=[curve.color for curve in curves],
    linewidths=2.2 if bold else 0.9,
    alpha=1.0 if bold else 0.35,
    zorder=3 if bold else 2,
    capstyle="round",
  )
  lines.set_in_layout(False)  # it ends where the axes do; asking takes long
  axes.add_collection(lines)
  marks: dict[str, list[_Curve]] = {}
  for curve in curves:
    marker, _ = _mark(curve.status)
    marks.setdefault(marker, []).append(curve)
  for marker, marked in marks.items():
    xs, ys = zip(*(curve.points[-1] for curve in marked), strict=True)
    axes.scatter(
      xs,
      ys,
      s=(7 if bold else 4) ** 2,
      marker=marker,
      facecolors=[_mark(c.status)[1] or c.color for c in marked],
      edgecolors=[c.color for c in marked],
      linewidths=1.6 if bold else 0.9,
      alpha=1.0 if bold else 0.5,
      zorder=4 if bold else 2,
      clip_on=False,
    )


def _mark(status: str) -> tuple[str, str]:
  return MARKS.get(status, MARKS["missed"])


def _target(axes: "Axes", target: float) -> None:
  axes.axhline(
    100 * target, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1
  )
  axes.annotate(
    f"target {percent(target)}",
    (0, 100 * target),
    xycoords=("axes fraction", "data"),
    xytext=(4, 3),
    textcoords="offset points",
    fontsize=9,
    color=INK,
  )


def _frame(
  axes: "Axes", comparison: Comparison, joules: Sequence[float]
) -> None:
  energy_axis(axes, comparison, joules)
  decided_by = comparison.conditions.decided_by.capitalize()
  axes.set_ylabel(f"{decided_by} accuracy (%)", color=INK)
  if not joules:
    say_nothing_known(axes, comparison)
  elif axes.get_xscale() == "linear":
    axes.set_xlim(left=0)
  plain(axes)


def _legend(
  axes: "Axes", groups: Sequence[Group], colors: Sequence[str], width: float
) -> None:
  from matplotlib.lines import Line2D

  statuses = {r.status for group in groups for r in group.records if r.curve}
  # One point stands for every colour, so it is drawn in none of them.
  marks = [
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
  named = [
    (row_name(values_of(group.varied), width), color)
    for group, color in zip(groups, colors, strict=True)
    if color != FAINT
  ]
  if others := len(groups) - len(named):
    named.append((f"{others} others", FAINT))
  lines = [
    Line2D([], [], color=color, linewidth=2.2, label=name)
    for name, color in named
  ]
  handles = (lines if len(lines) > 1 else []) + (
    marks if statuses != {"reached"} else []
  )
  if not handles:
    return
  how: dict[str, Any] = {
    "title": row_name(", ".join(labels(groups[0].varied).values()), width),
    "fontsize": 9,
    "title_fontsize": 9,
    "alignment": "left",
    "framealpha": 0.85,
    "edgecolor": "none",
    "labelcolor": INK,
    "handlelength": 1.4,
  }
  if is_wide(width):
    axes.legend(handles=handles, loc="lower right", **how)
  else:
    below(axes, handles, ncols=2, columnspacing=1.0, **how)
  legend = axes.get_legend()
  assert legend is not None
  legend.get_title().set_color(INK)
