"""Writes names where lines end, so that none covers another.

Trainings stop at one accuracy, so their lines end at one height, often close
together. So names stand above the panel's lines in levels, each to the left of
a thin line that rises from the end it names. A name that would cover the rising
line of an end on its left stands on a higher level than that one's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.render.figure_style import INK
from jaxpower.wording import labels, printable, setting, values_of

if TYPE_CHECKING:
  from matplotlib.artist import Artist
  from matplotlib.axes import Axes

FONT_SIZE = 8.0  # points of a name
LEVEL = 0.16  # inches of a level; text of 8 points is 0.13 high
GAP = 0.06  # inches between two names, and below the lowest; chosen
POINTS = 72.0  # of an inch
LONGEST_NAME = 18  # characters of a name; of longer ones the values; chosen


@dataclass(frozen=True)
class End:
  """The end of a line in values of its axes, its name and its colour."""

  name: str
  x: float
  y: float
  color: str


@dataclass(frozen=True)
class Place:
  """Where a name stands: its level, from 0, and its left and right in inches.

  `rise` is where the line from its end rises.
  """

  level: int
  left: float
  right: float
  rise: float


def names(comparison: Comparison) -> list[str]:
  """Names the settings: "batch 64"; long ones by their values alone."""
  name = setting if _are_short(comparison) else values_of
  return [name(group.varied) for group in comparison.groups]


def _are_short(comparison: Comparison) -> bool:
  return all(len(setting(g.varied)) <= LONGEST_NAME for g in comparison.groups)


def fields_note(comparisons: Sequence[Comparison]) -> "list[Artist]":
  """Makes a legend's entry of what names are of, where they do not say it."""
  from matplotlib.lines import Line2D

  if all(map(_are_short, comparisons)):
    return []
  paths = dict.fromkeys(path for c in comparisons for path in c.paths)
  text = f"names: {', '.join(labels(paths).values())}"
  return [Line2D([], [], linestyle="none", label=text)]


def _levels(axes: "Axes", ends: Sequence[End], width: float) -> list[Place]:
  """Finds a place for each name above axes that are so many inches wide."""
  rises = [width * _share(axes, end) for end in ends]
  widths = [width_of(end.name) for end in ends]
  return places([*zip(rises, widths, strict=True)])


def _share(axes: "Axes", end: End) -> float:
  """Returns how far along the x axis a line ends, from 0 to 1."""
  axes.get_xlim()  # chosen by the data only when asked for
  along = (axes.transScale + axes.transLimits).transform((end.x, end.y))
  return float(along[0])


def cut(name: str, width: float) -> str:
  """Shortens a name that is wider than so many inches."""
  whole = width_of(name)
  if whole <= width:
    return name
  kept = int(len(name) * width / whole)
  while kept > 0 and width_of(f"{name[:kept]}...") > width:
    kept -= 1
  return f"{name[:kept]}..."


def width_of(name: str) -> float:
  """Measures a name, in inches."""
  from matplotlib.font_manager import FontProperties
  from matplotlib.textpath import text_to_path

  font = FontProperties(size=FONT_SIZE)
  width, _, _ = text_to_path.get_text_width_height_descent(
    printable(name), font, ismath=False
  )
  return float(width) / POINTS


def places(wanted: Sequence[tuple[float, float]]) -> list[Place]:
  """Puts names in levels, by where their lines rise and their widths.

  All in inches from the left of the axes. A name that has no room there begins
  at the left, and reaches over its line. In the order given.
  """
  order = sorted(range(len(wanted)), key=lambda index: wanted[index])
  placed: dict[int, Place] = {}
  for index in order:
    rise, width = wanted[index]
    left = max(rise - width, 0.0)
    right = left + width
    below = [
      other.level
      for other in placed.values()
      if other.right + GAP > left or other.rise + GAP > left
    ]
    placed[index] = Place(max(below, default=-1) + 1, left, right, rise)
  return [placed[index] for index in range(len(wanted))]


def name_ends(
  axes: "Axes", ends: Sequence[End], room: tuple[float, float]
) -> float:
  """Writes names above lines, which keep so many inches of width and height.

  Returns the inches that the names take.
  """
  from matplotlib.transforms import ScaledTranslation

  if not ends:
    return 0.0
  width, height = room
  ends = [replace(end, name=cut(end.name, width)) for end in ends]
  places = _levels(axes, ends, width)
  count = 1 + max(place.level for place in places)
  inches = GAP + count * LEVEL
  low, high = axes.get_ylim()
  ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
  axes.set_ylim(low, high + (high - low) * inches / height)
  axes.set_yticks(ticks)  # none beside the names: there is no 120 %
  axes.spines["left"].set_bounds(low, high)
  figure = axes.get_figure(root=True)
  assert figure is not None
  for end, place in zip(ends, places, strict=True):
    down = (count - place.level) * LEVEL
    shift = place.right - place.rise
    along = (place.rise - place.left) / max(place.right - place.left, 1e-9)
    at = axes.get_xaxis_transform() + ScaledTranslation(
      shift, -down, figure.dpi_scale_trans
    )
    text = axes.annotate(
      end.name,
      (end.x, end.y),
      xytext=(end.x, 1.0),
      textcoords=at,
      ha="right",
      va="bottom",
      fontsize=FONT_SIZE,
      color=INK,
      bbox={
        "facecolor": "white",
        "edgecolor": "none",
        "pad": 0.6,
        "alpha": 0.8,
      },
      arrowprops={
        "arrowstyle": "-",
        "color": end.color,
        "linewidth": 1.0,
        "shrinkA": 0,
        "shrinkB": 0,
        "relpos": (along, 0.0),
      },
      annotation_clip=False,
      zorder=3.5,
    )
    text.set_in_layout(False)  # its room is made here
  return inches
