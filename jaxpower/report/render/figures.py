"""Draws the figures of a report: files for papers, and pictures for the page.

Files are PNG, SVG and PDF of one width, on white. The page has two pictures of
each figure, drawn for a wide screen and for a phone, and shows one of them.
"""

import io
import textwrap
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxpower.report.charts import (
  HeatMap,
  Intervals,
  Payback,
  Power,
  Stacks,
)
from jaxpower.report.findings import Figure
from jaxpower.report.render.cost_figure import cost
from jaxpower.report.render.devices_figure import devices
from jaxpower.report.render.energy_accuracy_figure import energy_accuracy
from jaxpower.report.render.figure_style import (
  NARROW,
  WIDE,
  heading,
  is_wide,
)
from jaxpower.report.render.heat_map_figure import heat_map
from jaxpower.report.render.intervals_figure import intervals
from jaxpower.report.render.pareto_figure import pareto
from jaxpower.report.render.payback_figure import payback
from jaxpower.report.render.power_figure import power
from jaxpower.report.render.stacks_figure import stacks
from jaxpower.wording import printable

if TYPE_CHECKING:
  from matplotlib import figure as matplotlib_figure

Drawing = Callable[..., "matplotlib_figure.Figure"]
# Of comparisons the name says what is drawn of them.
DRAWINGS: dict[str, Drawing] = {
  "cost": cost,
  "devices": devices,
  "energy_accuracy": energy_accuracy,
  "pareto": pareto,
}
CHARTS: dict[type, Drawing] = {
  HeatMap: heat_map,
  Intervals: intervals,
  Payback: payback,
  Power: power,
  Stacks: stacks,
}

# Characters of a line beside an axis, and above it, on a phone; chosen.
LONGEST_LABEL, LONGEST_TITLE = 24, 40
# For slides, for the page and editors, and for papers.
KINDS = ("png", "svg", "pdf")
# What would differ from one drawing of the same to the next.
UNDATED: dict[str, dict[str, None]] = {
  "svg": {"Date": None},
  "png": {"Software": None},
  "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class Drawn:
  """A figure that was drawn: its files by kind, and the page's pictures.

  `wide` and `narrow` are SVG for a wide screen and for a phone.
  """

  name: str
  files: Mapping[str, bytes]
  narrow: bytes

  @property
  def wide(self) -> bytes:
    """The picture for a wide screen, which is the SVG file."""
    return self.files["svg"]


def draw(figure: Figure) -> Drawn:
  """Draws a figure in all its kinds and widths."""
  wide, narrow = drawing(figure, WIDE), drawing(figure, NARROW)
  picture = render(wide, "svg")
  # Panels stand as in the picture: to lay them out takes as long as drawing.
  wide.set_layout_engine("none")
  others = {kind: render(wide, kind) for kind in KINDS if kind != "svg"}
  files = {kind: (others | {"svg": picture})[kind] for kind in KINDS}
  return Drawn(figure.name, files, render(narrow, "svg"))


def drawing(figure: Figure, width: float) -> "matplotlib_figure.Figure":
  """Draws a figure so many inches wide."""
  draw_panels: Any = DRAWINGS.get(figure.name)
  if draw_panels is None:
    draw_panels = CHARTS[type(figure.panels[0])]
  drawn = draw_panels(figure.panels, width)
  _as_written(drawn)
  if not is_wide(width):
    _broken_to_fit(drawn)
  return drawn


def _broken_to_fit(drawing: "matplotlib_figure.Figure") -> None:
  """Breaks names of axes and headings into lines that fit a phone."""
  for axes in drawing.axes:
    for text in (axes.xaxis.label, axes.yaxis.label):
      lines = text.get_text().splitlines()
      broken = (textwrap.fill(line, LONGEST_LABEL) for line in lines)
      text.set_text("\n".join(broken))
    if title := axes.get_title(loc="left"):
      heading(axes, title, LONGEST_TITLE)


def _as_written(drawing: "matplotlib_figure.Figure") -> None:
  """Keeps names from being read as formulas, and what no file may hold out.

  The numbers at the ticks of axes are formulas, and stay; a drawing with names
  there takes care of both itself (`figure_style.two_lines`).
  """
  from matplotlib.text import Text

  axes = [axis for a in drawing.axes for axis in (a.xaxis, a.yaxis)]
  ticks = {
    id(label)
    for axis in axes
    for label in (
      *axis.get_ticklabels(),
      *axis.get_ticklabels(minor=True),
      axis.offsetText,
    )
  }
  for text in drawing.findobj(Text):
    if isinstance(text, Text) and id(text) not in ticks:
      text.set_parse_math(False)
      text.set_text(printable(text.get_text()))


def render(drawing: "matplotlib_figure.Figure", kind: str) -> bytes:
  """Renders a drawing as PNG, SVG or PDF; the same bytes each time.

  Text stays text in SVG and PDF: searched, copied, edited and read aloud. A
  sign that the font lacks, as of Chinese, is a box in PNG and PDF; nobody needs
  a warning for each.
  """
  from matplotlib import rc_context

  buffer = io.BytesIO()
  as_text: Any = {
    "svg.hashsalt": "jaxpower",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
  }
  with rc_context(as_text), warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    drawing.savefig(
      buffer,
      format=kind,
      dpi=160,
      facecolor="white",
      metadata=UNDATED[kind],
    )
  return buffer.getvalue()
