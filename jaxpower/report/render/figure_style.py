"""What all figures share: colours, axes of energy, faint grids."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from jaxpower.report.cells import unit_to_target
from jaxpower.report.compare.comparison import Comparison
from jaxpower.wording import as_given, capitalised, joules_name

if TYPE_CHECKING:
  from matplotlib.axes import Axes

INK, FAINT = "#30343b", "#c9ccd1"
LONGEST_REASON = 72  # characters in a panel; the page has all of them
MOST_COLORS = 9  # that eyes tell apart, colour-blind ones too; chosen
LOG_FROM = 8.0  # the most joules over the least from which on axes are in logs


def shades(count: int) -> list[str]:
  """Picks colours in order, dark to light, safe for colour-blind eyes."""
  from matplotlib import colormaps
  from matplotlib.colors import to_hex

  # The yellow end of the map is too pale for a line on white.
  step = 0.86 / max(1, count - 1)
  return [to_hex(colormaps["viridis"](step * index)) for index in range(count)]


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
  from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

  unit = unit_to_target(comparison)
  name = capitalised(joules_name(comparison.estimated, unit))
  axis = axes.xaxis if direction == "x" else axes.yaxis
  axis.set_label_text(f"{name} of training", color=INK)
  positive = [x for x in joules if x > 0]
  if positive and max(positive) / min(positive) > LOG_FROM:
    # The evaluation before training cost no joule: it has no place there.
    set_scale = axes.set_xscale if direction == "x" else axes.set_yscale
    set_scale("log", nonpositive="mask")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_formatter(NullFormatter())
  axis.set_major_formatter(
    FuncFormatter(lambda x, _: as_given(x / unit.joules))
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
