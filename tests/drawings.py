"""What tests of figures read from axes, as plain values."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle


def rectangles(axes: Axes) -> list[Rectangle]:
  """The bars or cells of a panel, in the order in which they were drawn."""
  return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def xs(line: Line2D) -> list[float]:
  """Where a line is on the x axis."""
  return np.asarray(line.get_xdata(), float).tolist()


def points(line: Line2D) -> list[tuple[float, float]]:
  """The points of a line."""
  ys = np.asarray(line.get_ydata(), float).tolist()
  return list(zip(xs(line), ys, strict=True))


def face(patch: Rectangle) -> tuple[float, float, float, float]:
  """Red, green, blue and opacity of what is within."""
  color: Any = patch.get_facecolor()
  return to_rgba(color)


def name(artist: Artist) -> str:
  """The name of what is drawn; empty where it has none."""
  return artist.get_gid() or ""
