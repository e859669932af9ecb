"""What all figures share: colours, axes of energy, faint grids."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from jaxpower.report.cells import unit_to_target
from jaxpower.report.charts import Intervals, Stacks
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.findings import MOST_COLORS
from jaxpower.wording import (
  JouleUnit,
  as_given,
  capitalised,
  joules_name,
  percent,
  printable,
)

if TYPE_CHECKING:
  from matplotlib.artist import Artist
  from matplotlib.axes import Axes
  from matplotlib.axis import Axis
  from matplotlib.figure import Figure

INK, FAINT = "#30343b", "#c9ccd1"
# Inches: of a figure beside text, and of one on a phone, whose 360 pixels are
# 3.75 inches less the page's margins. Chosen; text is as large in both.
WIDE, NARROW = 7.2, 3.4
LONGEST_HEADING, HEADING_BESIDE = 72, 38  # characters: alone, beside another
LONGEST_REASON = 72  # characters in a panel; the page has all of them
LOG_FROM = 8.0  # the most joules over the least from which on axes are in logs
# Okabe and Ito's colours, which colour-blind readers tell apart, without the
# yellow, which is too pale on white; then grey.
COLORS = (
  *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
  *("#8070b3", "#7f7f7f"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Colours of phases, the same in each figure.
PHASES = {
  "setup": "#7f7f7f",
  "idle": "#b9bdc4",
  "compile": "#e69f00",
  "warmup": "#cc79a7",
  "train": "#0072b2",
  "eval": "#009e73",
  "test": "#999933",
  "infer": "#56b4e9",
  "checkpoint": "#8070b3",
}
# The beginning of the name of what keeps its colours on a dark page: what has
# text on it, and the text.
AS_IS = "as-is"
LONGEST_NAME = {True: 36, False: 18}  # characters of a row: wide, narrow
SHORT_LABEL, MOST_SHORT = 11, 3  # characters of which so many stand in a line
# Characters of a line along so many rows; chosen, for ten points.
LEAST_FIELDS, FIELDS_OF_ROW = 14, 4
LEGEND_HEIGHT = 0.18  # inches of a line of a legend above all panels
LINE_HEIGHT = 0.15  # inches that a second line adds to a row


def shades(count: int) -> list[str]:
  """Picks colours in order, dark to light, safe for colour-blind eyes.

  Each has a contrast of 3 : 1 on white (WCAG 1.4.11), and neighbours of nine
  differ by 11 in CIE 1976, as a reader without green sees them too.
  """
  from matplotlib import colormaps
  from matplotlib.colors import to_hex

  low, high = 0.05, 0.67
  step = (high - low) / max(1, count - 1)
  shade = colormaps["inferno"]
  return [to_hex(shade(low + step * index)) for index in range(count)]


def is_wide(width: float) -> bool:
  """Whether panels and legends may stand side by side."""
  return width > (WIDE + NARROW) / 2


def row_name(name: str, width: float) -> str:
  """Breaks the name of a row into two lines, and cuts what is longer."""
  return two_lines(name, LONGEST_NAME[is_wide(width)])


def two_lines(text: str, longest: int) -> str:
  """Breaks a text into two lines of so many characters, and cuts the rest.

  What no file of text may hold, as control characters, is escaped.
  """
  first, *more = textwrap.wrap(printable(text), longest) or [""]
  if len(more) > 1:
    more = [f"{more[0][: longest - 3]}..."]
  return "\n".join((first, *more))


def names_of(chart: Intervals | Stacks, width: float) -> tuple[str, ...]:
  """Returns the rows' names: the short ones where those are long."""
  return (
    chart.short if chart.short and not fit(chart.rows, width) else chart.rows
  )


def fit(names: Sequence[str], width: float) -> bool:
  """Whether names of rows take a line each, and leave the panel its room."""
  longest = LONGEST_NAME[is_wide(width)]
  return all(len(name) <= longest for name in names)


def height_of(names: Sequence[str], width: float, row: float) -> float:
  """Returns the inches of rows, of which one line takes `row` at least."""
  lines = max((row_name(n, width).count("\n") for n in names), default=0)
  return len(names) * (row + LINE_HEIGHT * lines)


def rows(
  axes: "Axes", names: Sequence[str], width: float, fields: str = ""
) -> None:
  """Names the rows of a panel, from the top, and says above of what they are.

  `fields` is said where the names alone do not: those of a phone.
  """
  texts = [row_name(name, width) for name in names]
  axes.yaxis.set_ticks(range(len(texts)), texts, parse_math=False)
  axes.set_ylim(len(texts) - 0.5, -0.5)
  if fields:
    room = max(LEAST_FIELDS, len(texts) * FIELDS_OF_ROW)
    axes.set_ylabel(textwrap.fill(capitalised(fields), room), color=INK)


def panels(
  count: int, width: float, heights: Sequence[float]
) -> "tuple[Figure, list[Axes]]":
  """Makes a figure of panels below each other, of these heights in inches."""
  from matplotlib.figure import Figure

  heights = list(heights) or [2.0]
  figure = Figure(figsize=(width, sum(heights)), layout="constrained")
  axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
  return figure, [each for (each,) in axes]


def heading(axes: "Axes", text: str, line: int = LONGEST_HEADING) -> None:
  """Writes what a panel is of above it, in two lines of so many characters."""
  if text:
    axes.set_title(
      two_lines(text, line),
      loc="left",
      fontsize=10,
      color=INK,
    )


def legend(
  figure: "Figure", handles: Sequence["Artist"], width: float, columns: int = 0
) -> None:
  """Explains what is drawn above all panels; narrow, in short lines.

  The figure grows by the lines after the first, so that panels keep theirs.
  """
  names = [str(handle.get_label()) for handle in handles]
  short = all(len(name) <= SHORT_LABEL for name in names)
  narrow = MOST_SHORT if short else 1
  in_line = max(1, (columns or len(names)) if is_wide(width) else narrow)
  breaks = max((name.count("\n") for name in names), default=0)
  lines = math.ceil(len(names) / in_line) * (1 + breaks)
  grown = figure.get_figheight() + LEGEND_HEIGHT * max(0, lines - 1)
  figure.set_figheight(grown)
  figure.legend(
    handles=[*handles],
    loc="outside upper left",
    ncols=in_line,
    fontsize=8,
    frameon=False,
    labelcolor=INK,
    columnspacing=1.2,
    handletextpad=0.5,
  )


def ink_on(color: tuple[float, float, float, float]) -> str:
  """Chooses black or white text, whichever has more contrast on a colour."""
  from matplotlib.colors import to_rgb

  linear = [
    c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
    for c in to_rgb(color)
  ]
  # Relative luminance (WCAG 2); at 0.18 both contrasts are 4.6 : 1.
  light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18
  return "#000000" if light else "#ffffff"


def told_apart(comparison: Comparison) -> list[str]:
  """Picks a colour for each group: of many, the cheapest have one of their own.

  In the order of the groups, so that neighbours look alike; the others, and
  those of unknown cost, are grey.
  """
  count = len(comparison.groups)
  if count <= MOST_COLORS:
    return shades(count)
  chosen = sorted(comparison.rankings["train"].order[:MOST_COLORS])
  own = dict(zip(chosen, shades(len(chosen)), strict=True))
  return [own.get(place, FAINT) for place in range(count)]


def energy_axis(
  axes: "Axes",
  comparison: Comparison,
  joules: Sequence[float],
  direction: Literal["x", "y"] = "x",
) -> None:
  """Makes an axis one of training energy that spans these joules.

  Points stay in joules; labels are in the unit that the table of the same
  comparison has. Units are powers of ten, so round ticks stay round.
  """
  unit = unit_to_target(comparison)
  name = capitalised(joules_name(comparison.estimated, unit))
  axis = axes.xaxis if direction == "x" else axes.yaxis
  axis.set_label_text(f"{name} of training", color=INK)
  positive = [x for x in joules if x > 0]
  if positive and max(positive) / min(positive) > LOG_FROM:
    # The evaluation before training cost no joule: it has no place there.
    set_scale = axes.set_xscale if direction == "x" else axes.set_yscale
    set_scale("log", nonpositive="mask")
    few_ticks(axis)
  in_unit(axis, unit)


def few_ticks(axis: "Axis") -> None:
  """Puts the ticks of an axis in logs at 1, 2, 5, 10 and so on.

  On a phone at 1, 3, 10, whose numbers have more room.
  """
  from matplotlib.ticker import LogLocator, NullFormatter

  inches = axis.axes.get_figure(root=True)
  wide = inches is None or is_wide(inches.get_figwidth())
  axis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 3)))
  axis.set_minor_formatter(NullFormatter())


def in_unit(axis: "Axis", unit: JouleUnit) -> None:
  """Labels an axis whose values are joules in a unit."""
  from matplotlib.ticker import FuncFormatter

  axis.set_major_formatter(
    FuncFormatter(lambda x, _: as_given(x / unit.joules))
  )


def target_line(axes: "Axes", target: float) -> None:
  """Draws the accuracy to be reached across a plot of percent, named."""
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


def say_nothing_known(axes: "Axes", comparison: Comparison) -> None:
  """Says in an empty panel why there is nothing to draw."""
  groups = comparison.groups
  reason = next((g.unknown for g in groups if g.unknown), "no trial")
  text = axes.text(
    0.5,
    0.5,
    textwrap.shorten(f"Nothing to draw: {reason}", LONGEST_REASON),
    transform=axes.transAxes,
    ha="center",
    color=INK,
  )
  text.set_in_layout(False)  # else a long one leaves the panel no room


def plain(axes: "Axes") -> None:
  """Takes the box off a panel and lays a faint grid below its lines."""
  axes.grid(color=FAINT, linewidth=0.6, alpha=0.6)
  axes.set_axisbelow(True)
  axes.tick_params(which="both", colors=INK, length=0)
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)
  for side in ("left", "bottom"):
    axes.spines[side].set_color(FAINT)
