"""What all figures share: colours, axes of energy, faint grids."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxpower.report.cells import unit_to_target
from jaxpower.report.compare.comparison import Comparison
from jaxpower.wording import as_given, capitalised, joules_name

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


def energy_axis(
  axes: "Axes", comparison: Comparison, joules: Sequence[float]
) -> None:
  """Makes the x axis one of training energy that spans these joules.

  Points stay in joules; labels are in the unit that the table of the same
  comparison has. Units are powers of ten, so round ticks stay round.
  """
  from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

  unit = unit_to_target(comparison)
  name = capitalised(joules_name(comparison.estimated, unit))
  axes.set_xlabel(f"{name} of training", color=INK)
  positive = [x for x in joules if x > 0]
  if positive and max(positive) / min(positive) > LOG_FROM:
    # The evaluation before training cost no joule: it has no place there.
    axes.set_xscale("log", nonpositive="mask")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_formatter(NullFormatter())
  axes.xaxis.set_major_formatter(
    FuncFormatter(lambda x, _: as_given(x / unit.joules))
  )


def plain(axes: "Axes") -> None:
  """Takes the box off a panel and lays a faint grid below its lines."""
  axes.grid(color=FAINT, linewidth=0.6, alpha=0.6)
  axes.set_axisbelow(True)
  axes.tick_params(which="both", colors=INK, length=0)
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)
  for side in ("left", "bottom"):
    axes.spines[side].set_color(FAINT)
