"""After how many uses an investment is paid back, and how certain that is.

Uses = invested / (before - after), each of the three a median over seeds. It is
a ratio of medians, and not a median of ratios, so that a reader can check it
against the medians in the same table. A seed draws all three together, since
what it does to one side it does to the other, and that cancels in the saving.

A trial that missed its target cost at least what it spent. That leaves the
quotient open above or below: then it is "at most", "at least", never or unknown
instead of a number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxpower.report.compare.statistics import (
  Cost,
  draw_trials,
  percentile_interval,
)


@dataclass(frozen=True)
class BreakEven:
  """How many uses pay back what was invested, with a 95 % interval.

  `uses` is infinite where the saving is not above zero, never paid back; None
  where nothing can be said. `at_least` and `at_most` mark bounds, from trials
  that missed the target. `low` and `high` are None where one seed allows no
  interval; `high` is infinite where the interval includes never.
  """

  uses: float | None
  at_least: bool = False
  at_most: bool = False
  low: float | None = None
  high: float | None = None

  @property
  def never(self) -> bool:
    """Whether it is never paid back, as far as the medians say."""
    return self.uses == math.inf

  @property
  def perhaps_never(self) -> bool:
    """Whether the interval cannot exclude never."""
    return self.high == math.inf


def break_even(
  invested: Sequence[Cost], before: Sequence[Cost], after: Sequence[Cost]
) -> BreakEven | None:
  """Divides the investment by the saving: I / (B - A), medians over seeds.

  The three are of the same seeds in the same order, and seeds are drawn
  together: the percentile bootstrap over pairs (Efron and Tibshirani 1993,
  section 8.3). A censored cost lies anywhere from its bound to endless, so
  each draw gives the least and the most that the quotient can be; the interval
  runs from the 2.5 % quantile of the least to the 97.5 % quantile of the most.

  Returns None for no seeds. Raises ValueError where lengths differ.
  """
  if not len(invested) == len(before) == len(after):
    raise ValueError(f"{len(invested)}, {len(before)}, {len(after)} seeds")
  seeds = len(invested)
  if not seeds:
    return None
  all_once = np.arange(seeds)[None]
  point = _point(*_uses(invested, before, after, all_once))
  if seeds == 1:
    return point
  # The same draws as those of other costs that are paired by seed.
  draws = draw_trials(seeds, stream=2)
  low, high = percentile_interval(*_uses(invested, before, after, draws))
  return replace(point, low=low, high=high)


def break_even_by_seed(
  invested: Mapping[int, Cost],
  before: Mapping[int, Cost],
  after: Mapping[int, Cost],
) -> BreakEven | None:
  """Breaks even over the seeds that all three have; None where there is none.

  Costs are keyed by seed, as by `costs.costs_by_seed`.
  """
  seeds = sorted(invested.keys() & before.keys() & after.keys())
  return break_even(
    [invested[seed] for seed in seeds],
    [before[seed] for seed in seeds],
    [after[seed] for seed in seeds],
  )


def _point(least: np.ndarray, most: np.ndarray) -> BreakEven:
  """Reads the quotient of the medians from its least and its most value."""
  low, high = float(least[0]), float(most[0])
  if low == high:
    return BreakEven(low)
  if math.isfinite(high):
    return BreakEven(high, at_most=True)
  if low > 0:
    return BreakEven(low, at_least=True)
  return BreakEven(None)


def _uses(
  invested: Sequence[Cost],
  before: Sequence[Cost],
  after: Sequence[Cost],
  draws: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Computes the least and the most uses that each draw of seeds allows.

  `draws` holds indices of seeds, (draws, seeds); returns (draws,) each.
  """
  invested_least, invested_most = _medians(invested, draws)
  before_least, before_most = _medians(before, draws)
  after_least, after_most = _medians(after, draws)
  return (
    _divide(invested_least, before_most - after_least),
    _divide(invested_most, before_least - after_most),
  )


def _medians(
  costs: Sequence[Cost], draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Computes the least and the most median of each draw."""
  floors = np.array([cost.value for cost in costs])
  ceilings = np.array([cost.ceiling for cost in costs])
  return np.median(floors[draws], axis=1), np.median(ceilings[draws], axis=1)


def _divide(invested: np.ndarray, saved: np.ndarray) -> np.ndarray:
  """Divides; infinite where nothing is saved, zero where the saving is."""
  uses = np.full(invested.shape, np.inf)
  pays_back = (saved > 0) & np.isfinite(invested)
  np.divide(invested, saved, out=uses, where=pays_back)
  return uses
