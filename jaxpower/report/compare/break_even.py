"""After how many uses an investment is paid back, and how certain that is.

Uses = invested / (before - after), of typical costs, so that a reader can check
it against the same table. Before and after are settings of one fit: the seeds
are its blocks, so that what a seed does to both cancels in the saving, and all
settings of the comparison say how costs scatter. Each draw of the fit gives a
number of uses; a draw in which nothing is saved is never paid back, which is
infinitely many uses and not a large number of them. The interval runs between
the 2.5 % and 97.5 % quantiles of the draws, and so may end with never, or be
never alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.statistics import (
  CONFIDENCE,
  Estimate,
  typical,
  typical_draws,
)

STREAM = 2  # of random numbers, apart from those of fits and of compiling
UNKNOWN = "what one of the two costs is unknown"


@dataclass(frozen=True)
class BreakEven:
  """How many uses pay back what was invested, with a 95 % interval.

  `uses` is infinite where the saving is not above zero, never paid back; None
  where nothing can be said, and `unknown` says why. With `at_least` part of
  the investment was not seen. `low` and `high` are None where one seed allows
  no interval; `high` is infinite where the interval includes never.
  """

  uses: float | None
  at_least: bool = False
  low: float | None = None
  high: float | None = None
  unknown: str = ""

  @property
  def never(self) -> bool:
    """Whether it is never paid back, by the whole of its interval."""
    return self.low == math.inf

  @property
  def perhaps_never(self) -> bool:
    """Whether it may never be: nothing excludes it."""
    return math.inf in (self.uses, self.high) and not self.never


@dataclass(frozen=True)
class Invested:
  """The joules that are to be paid back.

  `of_repeats` are those of each time that they were spent, as by the
  pretraining of each seed; empty where the joules are exact, as a sum is.
  """

  joules: Estimate
  of_repeats: tuple[float, ...] = ()

  @classmethod
  def typically(cls, repeats: Sequence[float]) -> "Invested | None":
    """Takes the typical one of repeats; None for none.

    One alone is exact. Of several each must be above zero, to have a log.
    """
    if len(repeats) == 1:
      return cls(Estimate(repeats[0]))
    if not all(joules > 0 for joules in repeats):
      return None
    joules = typical(repeats)
    return None if joules is None else cls(joules, tuple(repeats))

  def draws(self, count: int) -> np.ndarray:
    """Draws what it is typically, (count,): the same where it is exact."""
    if not self.of_repeats:
      return np.full(count, self.joules.value)
    return typical_draws(self.of_repeats, count, STREAM)


def break_even(
  invested: Invested, costs: Fit, before: int, after: int
) -> BreakEven:
  """Divides the investment by the saving: I / (B - A).

  `before` and `after` are settings of one fit.
  """
  drawn = costs.costs(before), costs.costs(after)
  if costs.column(before) is None or costs.column(after) is None:
    return BreakEven(None, unknown=UNKNOWN)
  saved = costs.value(before) - costs.value(after)
  uses = float(_divide(np.array([invested.joules.value]), np.array([saved]))[0])
  least = invested.joules.at_least and math.isfinite(uses)
  if drawn[0] is None or drawn[1] is None:
    return BreakEven(uses, least)
  with np.errstate(invalid="ignore"):  # two endless costs: nothing is saved
    saved = drawn[0] - drawn[1]
  draws = _divide(invested.draws(len(saved)), saved)
  tail = (1 - CONFIDENCE) / 2
  # At a draw: between a number and never lies nothing to be interpolated.
  low = float(np.quantile(draws, tail, method="lower"))
  high = float(np.quantile(draws, 1 - tail, method="higher"))
  if invested.joules.at_least and high < math.inf:
    return BreakEven(uses, least, low)  # of which no upper end is known
  return BreakEven(uses, least, low, high)


def _divide(invested: np.ndarray, saved: np.ndarray) -> np.ndarray:
  """Divides; infinite where nothing is saved, or too little for a number."""
  uses = np.full(invested.shape, np.inf)
  pays_back = (saved > 0) & np.isfinite(invested)
  with np.errstate(over="ignore"):
    np.divide(invested, saved, out=uses, where=pays_back)
  return uses
