"""Medians over seeds and their intervals, where some values are lower bounds.

A trial that missed its target spent joules without getting there, so what the
target would have cost lies above them: such a value is censored. It takes part
all the same; leaving it out would make a setup that often misses look cheap.

Every statistic is computed twice: with each censored cost at its bound, the
least it can have been, and with each endless, the most. A median grows with
each of its values, so the truth lies between the two. Intervals are percentile
bootstraps over trials (Efron and Tibshirani 1993, chapter 13): the 2.5 %
quantile of the resampled least, the 97.5 % quantile of the resampled most.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
RESAMPLES = 10_000  # of a bootstrap; chosen, not fitted
SEED = 20_240_229  # of the resampling, so that a report repeats exactly

# From six values on, the range of a sample contains the true median in 95 of
# 100 cases (1 - 2 ** (1 - n)); no interval inside the range can with fewer.
ENOUGH_SEEDS = 6


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
  """A median or a ratio of medians, with its 95 % bootstrap interval.

  Where `at_least` is set, `value` is a lower bound of the truth. `low` and
  `high` are None where one seed allows no interval; `high` is infinite where
  too many trials missed the target for an upper end to be known.
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


def mean_with_interval(values: Sequence[float]) -> Estimate | None:
  """Takes a mean with its 95 % t interval; None for no values.

  For what adds rather than multiplies, as differences of accuracy seed by seed.
  """
  if not values:
    return None
  mean = math.fsum(values) / len(values)
  if len(values) < 2:
    return Estimate(mean)
  error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
  wide = error * float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
  return Estimate(mean, low=mean - wide, high=mean + wide)


def middle(costs: Sequence[Cost]) -> Estimate | None:
  """Takes the median cost, without its interval; None for no costs.

  Where the least and the most that it can be agree the median is known,
  though single costs are not: with costs of 10, 20 and at least 30 it is 20.
  Where they differ only the least is given, as a lower bound (`at_least`):
  with costs of 10, at least 30 and at least 30 the median is at least 30.
  """
  if not costs:
    return None
  value = float(np.median(_floors(costs)))
  return Estimate(value, at_least=float(np.median(_ceilings(costs))) != value)


def median(costs: Sequence[Cost]) -> Estimate | None:
  """Takes the median cost, with its interval over trials; None for no costs."""
  value = middle(costs)
  if value is None or len(costs) < 2:
    return value
  low, high = percentile_interval(*_resampled_medians(costs, stream=0))
  return replace(value, low=low, high=high)


def ratio(costs: Sequence[Cost], base: Sequence[Cost]) -> Estimate | None:
  """Divides the median of `costs` by that of `base`, each resampled alone.

  None where either is empty or the median of `base` is not known and above
  zero, since then there is nothing to divide by.
  """
  dividend, divisor = middle(costs), middle(base)
  if dividend is None or divisor is None:
    return None
  if divisor.at_least or divisor.value <= 0:
    return None
  value = Estimate(dividend.value / divisor.value, dividend.at_least)
  if len(costs) < 2 or len(base) < 2:
    return value
  least, most = _resampled_medians(costs, stream=0)
  base_least, base_most = _resampled_medians(base, stream=1)
  with np.errstate(divide="ignore"):
    low, high = percentile_interval(least / base_most, most / base_least)
  return replace(value, low=low, high=high)


def paired_ratio(
  costs: Mapping[Any, Cost], base: Mapping[Any, Cost]
) -> Estimate | None:
  """Divides medians over the keys, such as seeds, that both sides have.

  Each resample draws whole pairs, so that what a seed does to both sides
  cancels. Where fewer than two keys are shared nothing can be paired: then
  `ratio` of all.
  """
  shared = sorted(costs.keys() & base.keys())
  if len(shared) < 2:
    return ratio(tuple(costs.values()), tuple(base.values()))
  above = [costs[key] for key in shared]
  below = [base[key] for key in shared]
  value = ratio(above, below)
  if value is None:
    return None
  draws = draw_trials(len(shared), stream=2)
  with np.errstate(divide="ignore"):
    low, high = percentile_interval(
      _medians_of([c.value for c in above], draws)
      / _medians_of([c.ceiling for c in below], draws),
      _medians_of([c.ceiling for c in above], draws)
      / _medians_of([c.value for c in below], draws),
    )
  return replace(value, low=low, high=high)


@dataclass(frozen=True)
class Span:
  """A median over seeds that lies between `least` and `most`.

  The two are equal where no censored value decides it; `most` is infinite
  where it has no upper end. `low` and `high` are its 95 % bootstrap interval,
  None for one seed.
  """

  least: float
  most: float
  low: float | None = None
  high: float | None = None


def median_ratio(pairs: Sequence[tuple[Cost, Cost]]) -> Span | None:
  """Takes the median over seeds of each first cost over its own second.

  Unlike a ratio of medians it is known where either side has misses: a first
  cost that is only bounded leaves its ratio open above, a second one leaves it
  open below. None for no pairs, or where a second cost is not above zero,
  since then there is nothing to divide by.
  """
  if not pairs or any(base.value <= 0 for _, base in pairs):
    return None
  return span(
    [
      (cost.value / base.ceiling, cost.ceiling / base.value)
      for cost, base in pairs
    ]
  )


def span(values: Sequence[tuple[float, float]]) -> Span:
  """Takes the median of values of which only the least and most are known."""
  # Sorted, so that the order of records cannot move an interval.
  least, most = np.array(sorted(values)).T
  value = Span(float(np.median(least)), float(np.median(most)))
  if len(values) < 2:
    return value
  draws = draw_trials(len(values), stream=0)
  low, high = percentile_interval(
    np.median(least[draws], axis=1), np.median(most[draws], axis=1)
  )
  return replace(value, low=low, high=high)


def range_coverage(seeds: int) -> float:
  """Returns how often the range of so many values contains the true median."""
  return 1 - 2.0 ** (1 - seeds)


def draw_trials(trials: int, stream: int) -> np.ndarray:
  """Draws trials with replacement: their indices, (RESAMPLES, trials).

  Another `stream` gives independent draws; the same one the same draws, so
  that two sides drawn together stay paired.
  """
  generator = np.random.default_rng((SEED, stream))
  return generator.integers(trials, size=(RESAMPLES, trials))


def percentile_interval(
  least: np.ndarray, most: np.ndarray
) -> tuple[float, float]:
  """Takes the 2.5 % quantile of the least and the 97.5 % one of the most.

  Outward to a resampled value: between a number and endless lies nothing that
  could be interpolated.
  """
  tail = (1 - CONFIDENCE) / 2
  low = np.quantile(least, tail, method="lower")
  high = np.quantile(most, 1 - tail, method="higher")
  return float(low), float(high)


def _floors(costs: Sequence[Cost]) -> list[float]:
  # Sorted, so that the order of records cannot move an interval.
  return sorted(cost.value for cost in costs)


def _ceilings(costs: Sequence[Cost]) -> list[float]:
  return sorted(cost.ceiling for cost in costs)


def _resampled_medians(
  costs: Sequence[Cost], stream: int
) -> tuple[np.ndarray, np.ndarray]:
  """Resamples medians of floors and ceilings; shape (RESAMPLES,) each."""
  draws = draw_trials(len(costs), stream)
  return _medians_of(_floors(costs), draws), _medians_of(
    _ceilings(costs), draws
  )


def _medians_of(values: Sequence[float], draws: np.ndarray) -> np.ndarray:
  return np.median(np.array(values)[draws], axis=1)
