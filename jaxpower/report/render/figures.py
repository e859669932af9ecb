"""Draws the figures of a report, as PNG and SVG files."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.findings import Figure
from jaxpower.report.render.cost_figure import cost
from jaxpower.report.render.devices_figure import devices
from jaxpower.report.render.energy_accuracy_figure import energy_accuracy
from jaxpower.report.render.pareto_figure import pareto

if TYPE_CHECKING:
  from matplotlib import figure as matplotlib_figure

DRAWINGS: dict[
  str, Callable[[Sequence[Comparison]], "matplotlib_figure.Figure"]
] = {
  "cost": cost,
  "devices": devices,
  "energy_accuracy": energy_accuracy,
  "pareto": pareto,
}

# For slides, for the page and editors, and for papers.
KINDS = ("png", "svg", "pdf")
# What would differ from one drawing of the same to the next.
UNDATED: dict[str, dict[str, None]] = {
  "svg": {"Date": None},
  "png": {"Software": None},
  "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def draw(figure: Figure) -> Iterator[tuple[str, str, bytes]]:
  """Draws a figure: yields its name, the kind of file and the content."""
  drawing = DRAWINGS[figure.name](figure.comparisons)
  _as_written(drawing)
  for kind in KINDS:
    yield figure.name, kind, render(drawing, kind)


def _as_written(drawing: "matplotlib_figure.Figure") -> None:
  """Keeps names from being read as formulas between two dollar signs.

  The numbers at the ticks of axes are formulas, and stay; a drawing with names
  there takes care of them itself.
  """
  from matplotlib.text import Text

  ticks = {
    id(label)
    for axes in drawing.axes
    for axis in (axes.xaxis, axes.yaxis)
    for label in (
      *axis.get_ticklabels(),
      *axis.get_ticklabels(minor=True),
      axis.offsetText,
    )
  }
  for text in drawing.findobj(Text):
    if isinstance(text, Text) and id(text) not in ticks:
      text.set_parse_math(False)


def render(drawing: "matplotlib_figure.Figure", kind: str) -> bytes:
  """Renders a drawing as PNG, SVG or PDF; the same bytes each time.

  Text stays text in SVG and PDF: searched, copied, edited and read aloud.
  """
  from matplotlib import rc_context

  buffer = io.BytesIO()
  with rc_context(
    {"svg.hashsalt": "jaxpower", "svg.fonttype": "none", "pdf.fonttype": 42}
  ):
    drawing.savefig(
      buffer,
      format=kind,
      dpi=160,
      facecolor="white",
      metadata=UNDATED[kind],
    )
  return buffer.getvalue()
