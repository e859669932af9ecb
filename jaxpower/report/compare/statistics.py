"""Costs and estimates as values, and the intervals of a plain mean.

A trial that missed its target spent joules without getting there, so what the
target would have cost lies above them: such a cost is censored. It takes part
all the same; leaving it out would make a setup that often misses look cheap.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
SEED = 20_240_229  # of all draws, so that a report repeats exactly


@dataclass(frozen=True, order=True)
class Cost:
  """What one trial cost in joules or seconds; `censored`: at least that."""

  value: float
  censored: bool = False

  @property
  def ceiling(self) -> float:
    """The most it can have been: endless where it is censored."""
    return math.inf if self.censored else self.value


@dataclass(frozen=True)
class Observation:
  """What one seed of a setting cost on one board, its repeats averaged.

  Attributes:
    cost: The geometric mean of its repeats; censored where one of them is.
    seed: The trial's seed, or whatever else it shares with other settings.
    board: The block of boards it ran on (`system.blocks`); empty if unknown.
    repeats: How many trials stand behind it.
  """

  cost: Cost
  seed: Hashable
  board: str = ""
  repeats: int = 1


@dataclass(frozen=True)
class Estimate:
  """A cost, a ratio or a sum of them, with its 95 % interval.

  Where `at_least` is set, `value` is a lower bound: a sum of which the meter
  missed a part. `low` and `high` are None where one seed allows no interval;
  `high` is infinite where misses leave no upper end.
  """

  value: float
  at_least: bool = False
  low: float | None = None
  high: float | None = None


def typical(values: Sequence[float]) -> Estimate | None:
  """Takes the geometric mean of values above zero; None for none.

  Its interval is Student's t on the logs; one value has none.
  """
  if not values:
    return None
  return converted(_mean(list(map(math.log, values))), math.exp)


def mean(values: Sequence[float]) -> Estimate | None:
  """Takes the mean, with the interval of Student's t; None for no values."""
  return _mean(values) if values else None


def typical_draws(
  values: Sequence[float], count: int, stream: int
) -> np.ndarray:
  """Draws from what `typical` of two values or more leaves open, (count,).

  From Student's t, the posterior of a mean (Gelman et al., Bayesian Data
  Analysis, 3rd ed., 3.2). Another `stream` gives independent draws.
  """
  generator = np.random.default_rng((SEED, stream))
  middle, error = _mean_and_error(list(map(math.log, values)))
  t = generator.standard_t(len(values) - 1, count)
  with np.errstate(over="ignore"):  # endless, as far as two values say
    return np.exp(middle + error * t)


def _mean(values: Sequence[float]) -> Estimate:
  if len(values) < 2:
    return Estimate(values[0])
  middle, error = _mean_and_error(values)
  off = error * float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
  return Estimate(middle, low=middle - off, high=middle + off)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
  """Returns the mean, and its standard error, of two values or more."""
  middle, count = math.fsum(values) / len(values), len(values)
  squares = math.fsum((value - middle) ** 2 for value in values)
  return middle, math.sqrt(squares / (count - 1) / count)


def converted(
  estimate: Estimate, convert: Callable[[float], float]
) -> Estimate:
  """Converts an estimate and the ends of its interval, as to another unit."""
  low, high = estimate.low, estimate.high
  return replace(
    estimate,
    value=convert(estimate.value),
    low=None if low is None else convert(low),
    high=None if high is None else convert(high),
  )
