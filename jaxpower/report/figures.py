"""Energy against accuracy, a line per setting: the picture of a sweep."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxpower.records import TrialRecord
from jaxpower.report.costs import TRAIN, costs
from jaxpower.report.groups import Comparison, Group
from jaxpower.report.labels import labels, percent, value

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

INK, FAINT = "#30343b", "#c9ccd1"
LOG_FROM = 8.0  # times between the least and the most joules drawn
MANY = 12  # settings a legend can name


def energy_accuracy(comparisons: Sequence[Comparison]) -> "Figure":
  """Train joules against test accuracy; a panel per comparison.

  Thin lines are seeds; the bold one is the trial whose energy is the median
  of its setting, so every line is a training that took place. It ends in a
  filled point where the target was reached, an open one where it was missed
  and a cross where training diverged.
  """
  from matplotlib.figure import Figure

  count = max(1, len(comparisons))
  figure = Figure(figsize=(7.2 * count, 4.4), layout="constrained")
  panels = figure.subplots(1, count, squeeze=False)[0]
  for axes, comparison in zip(panels, comparisons, strict=False):
    _panel(axes, comparison, titled=count > 1)
  return figure


def render(figure: "Figure", kind: str) -> bytes:
  """The figure as the bytes of a PNG or SVG; the same bytes each time."""
  from matplotlib import rc_context

  buffer = io.BytesIO()
  with rc_context({"svg.hashsalt": "jaxpower"}):
    figure.savefig(
      buffer,
      format=kind,
      dpi=160,
      facecolor="white",
      metadata={"Date": None} if kind == "svg" else {"Software": None},
    )
  return buffer.getvalue()


def median_trial(group: Group) -> TrialRecord | None:
  """The trial in the middle of its setting by energy, misses above all."""
  drawn = [r for r in group.records if _points(r)]
  known = [r for r in drawn if costs([r], TRAIN)]
  if not known:
    return drawn[0] if drawn else None
  ranked = sorted(known, key=_rank)
  return ranked[(len(ranked) - 1) // 2]


def _rank(record: TrialRecord) -> tuple[float, float, int]:
  cost = (costs([record], TRAIN) or ())[0]
  return cost.ceiling, cost.value, record.seed


def _points(record: TrialRecord) -> list[tuple[float, float]]:
  """Train joules and accuracy in percent of each evaluation that has both."""
  return [
    (look.train_joules, 100 * look.accuracy)
    for look in record.curve
    if look.train_joules is not None and math.isfinite(look.accuracy)
  ]


def _panel(axes: "Axes", comparison: Comparison, titled: bool) -> None:
  from matplotlib import colormaps

  groups = comparison.groups
  shades = colormaps["viridis"]
  joules = []
  for index, group in enumerate(groups):
    # The yellow end of the map is too pale for a line on white.
    color = shades(0.86 * index / max(1, len(groups) - 1))
    bold = median_trial(group)
    for record in group.records:
      points = _points(record)
      joules += [x for x, _ in points]
      if points:
        _line(axes, record, points, color, record is bold)
  _target(axes, comparison.target_accuracy)
  _frame(axes, comparison, joules)
  _legend(
    axes,
    groups,
    [shades(0.86 * i / max(1, len(groups) - 1)) for i in range(len(groups))],
  )
  if titled:
    axes.set_title(
      f"{comparison.data} on {comparison.machine or 'an unknown machine'}",
      loc="left",
      fontsize=10,
      color=INK,
    )


def _line(
  axes: "Axes",
  record: TrialRecord,
  points: Sequence[tuple[float, float]],
  color: tuple[float, ...],
  bold: bool,
) -> None:
  xs, ys = zip(*points, strict=True)
  axes.plot(
    xs,
    ys,
    color=color,
    linewidth=2.2 if bold else 0.9,
    alpha=1.0 if bold else 0.35,
    zorder=3 if bold else 2,
    solid_capstyle="round",
  )
  marker = "X" if record.status == "diverged" else "o"
  axes.plot(
    xs[-1],
    ys[-1],
    marker=marker,
    markersize=7 if bold else 4,
    markerfacecolor="white" if record.status == "missed" else color,
    markeredgecolor=color,
    markeredgewidth=1.6 if bold else 0.9,
    alpha=1.0 if bold else 0.5,
    zorder=4 if bold else 2,
    clip_on=False,
  )


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
  kind = "Estimated joules" if comparison.estimated else "Joules"
  axes.set_xlabel(f"{kind} of training", color=INK)
  axes.set_ylabel("Test accuracy (%)", color=INK)
  if not joules:
    why = next((g.unknown for g in comparison.groups if g.unknown), "no trial")
    axes.text(
      0.5,
      0.5,
      f"Nothing to draw: {why}",
      transform=axes.transAxes,
      ha="center",
      color=INK,
    )
  elif min(joules) > 0 and max(joules) / min(joules) > LOG_FROM:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
  else:
    axes.set_xlim(left=0)
  axes.grid(color=FAINT, linewidth=0.6, alpha=0.6)
  axes.set_axisbelow(True)
  axes.tick_params(colors=INK, length=0)
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)
  for side in ("left", "bottom"):
    axes.spines[side].set_color(FAINT)


def _legend(
  axes: "Axes",
  groups: Sequence[Group],
  colors: Sequence[tuple[float, ...]],
) -> None:
  from matplotlib.lines import Line2D

  if len(groups) < 2:
    return
  told = labels(groups[0].varied)
  names = [", ".join(map(value, group.varied.values())) for group in groups]
  handles = [
    Line2D([], [], color=color, linewidth=2.2, label=name)
    for name, color in zip(names, colors, strict=True)
  ][:MANY]
  legend = axes.legend(
    handles=handles,
    title=", ".join(told.values()),
    loc="lower right",
    fontsize=9,
    title_fontsize=9,
    frameon=True,
    framealpha=0.85,
    edgecolor="none",
    labelcolor=INK,
    handlelength=1.4,
  )
  legend.get_title().set_color(INK)
