"""Draws power over the time of a trial, with its phases under it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxpower.report.charts import Power
from jaxpower.report.render.figure_style import (
  COLORS,
  FAINT,
  INK,
  PHASES,
  WIDE,
  heading,
  legend,
  plain,
  row_name,
)

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

HEIGHT, STRIP = 2.5, 0.4  # inches of the watts of a trial, of its phases
MOST_DOMAINS = 8  # lines that are told apart; of more the first


def power(charts: Sequence[Power], width: float = WIDE) -> "Figure":
  """Draws two panels a trial: watts over seconds, and its phases below."""
  from matplotlib.figure import Figure

  count = max(1, len(charts))
  figure = Figure(
    figsize=(width, 0.4 + (HEIGHT + STRIP) * count), layout="constrained"
  )
  rows = figure.subplots(
    2 * count, 1, squeeze=False, height_ratios=[HEIGHT, STRIP] * count
  )
  axes = [each for (each,) in rows]
  for index, chart in enumerate(charts):
    _watts(axes[2 * index], chart)
    _phases(axes[2 * index + 1], chart)
  _legend(figure, charts, width)
  return figure


def _watts(axes: "Axes", chart: Power) -> None:
  for index, domain in enumerate(chart.domains[:MOST_DOMAINS]):
    axes.stairs(
      [math.nan if watts is None else watts for watts in domain.watts],
      domain.seconds,
      baseline=None,
      color=COLORS[index % len(COLORS)],
      linewidth=1.2,
      zorder=3,
    )
  axes.set_xlim(*_span(chart))
  axes.set_ylim(bottom=0)
  axes.set_ylabel("Estimated watts" if chart.estimated else "Watts", color=INK)
  axes.tick_params(labelbottom=False)
  plain(axes)
  heading(axes, chart.title)


def _phases(axes: "Axes", chart: Power) -> None:
  for stretch in chart.stretches:
    axes.axvspan(
      stretch.start,
      stretch.end,
      color=PHASES.get(stretch.phase, FAINT),
      linewidth=0,
    )
  axes.set_xlim(*_span(chart))
  axes.set_yticks([])
  axes.set_ylabel("Phase", color=INK, rotation=0, ha="right", va="center")
  axes.set_xlabel("Seconds", color=INK)
  plain(axes)
  axes.grid(visible=False)
  axes.spines["left"].set_visible(False)


def _span(chart: Power) -> tuple[float, float]:
  """Returns from when to when a trial is drawn."""
  ends = [
    *(second for d in chart.domains for second in d.seconds),
    *(second for s in chart.stretches for second in (s.start, s.end)),
  ]
  low, high = min(ends, default=0.0), max(ends, default=1.0)
  return low, high if high > low else low + 1.0


def _legend(figure: "Figure", charts: Sequence[Power], width: float) -> None:
  from matplotlib.lines import Line2D
  from matplotlib.patches import Patch

  domains = dict.fromkeys(
    d.domain for chart in charts for d in chart.domains[:MOST_DOMAINS]
  )
  phases = dict.fromkeys(s.phase for chart in charts for s in chart.stretches)
  handles = [
    Line2D(
      [], [], color=COLORS[i % len(COLORS)], lw=2, label=row_name(name, width)
    )
    for i, name in enumerate(domains)
  ] + [Patch(color=PHASES.get(p, FAINT), label=p) for p in phases]
  legend(figure, handles, width, columns=min(5, len(handles)))
