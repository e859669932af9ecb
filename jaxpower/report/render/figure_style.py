"""What all figures share: colours, axes of joules, faint grids."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from matplotlib.axes import Axes

INK, FAINT = "#30343b", "#c9ccd1"
LOG_FROM = 8.0  # the most joules over the least from which on axes are in logs


def shades(count: int) -> list[str]:
  """Picks colours in order, dark to light, safe for colour-blind eyes."""
  from matplotlib import colormaps
  from matplotlib.colors import to_hex

  # The yellow end of the map is too pale for a line on white.
  step = 0.86 / max(1, count - 1)
  return [to_hex(colormaps["viridis"](step * index)) for index in range(count)]


def logarithmic(axes: "Axes") -> None:
  """Makes the axis of joules logarithmic, with ticks at 1, 2, 5, 10, ..."""
  from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

  # The evaluation before training cost no joule: it has no place there.
  axes.set_xscale("log", nonpositive="mask")
  axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
  axes.xaxis.set_minor_formatter(NullFormatter())


def plain(axes: "Axes") -> None:
  """Takes the box off a panel and lays a faint grid below its lines."""
  axes.grid(color=FAINT, linewidth=0.6, alpha=0.6)
  axes.set_axisbelow(True)
  axes.tick_params(which="both", colors=INK, length=0)
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)
  for side in ("left", "bottom"):
    axes.spines[side].set_color(FAINT)
