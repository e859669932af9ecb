"""After how many uses an investment is paid back, and how certain that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxpower.report.compare.statistics import CONFIDENCE, RESAMPLES, SEED, Cost


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
  """Investment over saving: I / (B - A), each a median over seeds.

  The three are of the same seeds in the same order, and seeds are drawn
  together: the percentile bootstrap over pairs (Efron and Tibshirani 1993,
  section 8.3). A censored cost lies anywhere from its bound to endless, so
  each draw gives the least and the most that the quotient can be; the interval
  runs from the 2.5 % quantile of the least to the 97.5 % quantile of the most.

  Returns None for no seeds. Raises ValueError where lengths differ.
  """
  if not len(invested) == len(before) == len(after):
    raise ValueError(f"{len(invested)}, {len(before)}, {len(after)} seeds")
  count = len(invested)
  if not count:
    return None
  found = _point(*_uses(invested, before, after, np.arange(count)[None]))
  if count == 1:
    return found
  generator = np.random.default_rng((SEED, 2))
  drawn = generator.integers(count, size=(RESAMPLES, count))
  least, most = _uses(invested, before, after, drawn)
  tail = (1 - CONFIDENCE) / 2
  return replace(
    found,
    low=float(np.quantile(least, tail, method="lower")),
    high=float(np.quantile(most, 1 - tail, method="higher")),
  )


def _point(least: np.ndarray, most: np.ndarray) -> BreakEven:
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
  drawn: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """The least and the most that each draw of seeds allows."""
  spent, spent_most = _medians(invested, drawn)
  dear, dear_most = _medians(before, drawn)
  cheap, cheap_most = _medians(after, drawn)
  return (
    _over(spent, dear_most - cheap),
    _over(spent_most, dear - cheap_most),
  )


def _medians(
  costs: Sequence[Cost], drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  floors = np.array([cost.value for cost in costs])
  ceilings = np.array([cost.ceiling for cost in costs])
  return np.median(floors[drawn], axis=1), np.median(ceilings[drawn], axis=1)


def _over(spent: np.ndarray, saving: np.ndarray) -> np.ndarray:
  """Infinite where nothing is saved; zero where the saving is endless."""
  uses = np.full(spent.shape, np.inf)
  pays = (saving > 0) & np.isfinite(spent)
  np.divide(spent, saving, out=uses, where=pays)
  return uses
