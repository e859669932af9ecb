"""Medians over seeds and their certainty, where some values are lower bounds.

A trial that missed its target spent joules without getting there, so what the
target would have cost lies above them: such a value is censored. It takes part
all the same; leaving it out would make a setup that often misses look cheap.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

CONFIDENCE = 0.95

RESAMPLES = 10_000

SEED = 20_240_229  # of the resampling, so that a report repeats exactly


# From six values on, the range of a sample holds the true median in 95 of 100
# cases (1 - 2 ** (1 - n)); no interval inside the range can do so with fewer.
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


def middle(costs: Sequence[Cost]) -> Estimate | None:
  """The median cost without its interval; None for no costs.

  A median grows with each of its values. So the median with every censored
  cost at its bound is never above the true one, and with every censored cost
  endless it is never below. Where the two agree the median is known, though
  single costs are not: with costs of 10, 20 and at least 30 it is 20. Where
  they differ only the first is given, as a lower bound (`at_least`): with
  costs of 10, at least 30 and at least 30 the median is at least 30.
  """
  if not costs:
    return None
  value = float(np.median(_floors(costs)))
  return Estimate(value, at_least=float(np.median(_ceilings(costs))) != value)


def median(costs: Sequence[Cost]) -> Estimate | None:
  """The median cost with its percentile bootstrap interval over trials.

  The interval runs from the 2.5 % quantile of the resampled medians with
  censored costs at their bounds to the 97.5 % quantile of those with censored
  costs endless. None for no costs.
  """
  found = middle(costs)
  if found is None or len(costs) < 2:
    return found
  lower, upper = _medians(costs, stream=0)
  low, high = _interval(lower, upper)
  return replace(found, low=low, high=high)


def ratio(costs: Sequence[Cost], base: Sequence[Cost]) -> Estimate | None:
  """The median of `costs` over that of `base`, each resampled on its own.

  None where either is empty or the median of `base` is not known and above
  zero, since then there is nothing to divide by.
  """
  over, under = middle(costs), middle(base)
  if over is None or under is None or under.at_least or under.value <= 0:
    return None
  found = Estimate(over.value / under.value, over.at_least)
  if len(costs) < 2 or len(base) < 2:
    return found
  lower, upper = _medians(costs, stream=0)
  base_lower, base_upper = _medians(base, stream=1)
  with np.errstate(divide="ignore"):
    low, high = _interval(lower / base_upper, upper / base_lower)
  return replace(found, low=low, high=high)


def paired_ratio(
  costs: Mapping[Any, Cost], base: Mapping[Any, Cost]
) -> Estimate | None:
  """The ratio of medians over the keys, such as seeds, that both have.

  Each resample draws whole pairs, so that what a seed does to both sides
  cancels. Where fewer than two keys are shared nothing can be paired: then
  `ratio` of all.
  """
  shared = sorted(costs.keys() & base.keys())
  if len(shared) < 2:
    return ratio(tuple(costs.values()), tuple(base.values()))
  over = [costs[key] for key in shared]
  under = [base[key] for key in shared]
  found = ratio(over, under)
  if found is None:
    return None
  generator = np.random.default_rng((SEED, 2))
  drawn = generator.integers(len(shared), size=(RESAMPLES, len(shared)))
  with np.errstate(divide="ignore"):
    low, high = _interval(
      _drawn([c.value for c in over], drawn)
      / _drawn([c.ceiling for c in under], drawn),
      _drawn([c.ceiling for c in over], drawn)
      / _drawn([c.value for c in under], drawn),
    )
  return replace(found, low=low, high=high)


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
  """The median over seeds of each first cost over its own second.

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
  """The median of values of which only least and most are known.

  The interval runs from the 2.5 % quantile of the resampled medians of the
  least to the 97.5 % quantile of those of the most.
  """
  # Sorted, so that the order of records cannot move an interval.
  least, most = np.array(sorted(values)).T
  found = Span(float(np.median(least)), float(np.median(most)))
  if len(values) < 2:
    return found
  generator = np.random.default_rng((SEED, 0))
  drawn = generator.integers(len(values), size=(RESAMPLES, len(values)))
  low, high = _interval(
    np.median(least[drawn], axis=1), np.median(most[drawn], axis=1)
  )
  return replace(found, low=low, high=high)


def range_coverage(seeds: int) -> float:
  """How often the range of so many values holds their true median."""
  return 1 - 2.0 ** (1 - seeds)


def _floors(costs: Sequence[Cost]) -> list[float]:
  # Sorted, so that the order of records cannot move an interval.
  return sorted(cost.value for cost in costs)


def _ceilings(costs: Sequence[Cost]) -> list[float]:
  return sorted(cost.ceiling for cost in costs)


def _medians(
  costs: Sequence[Cost], stream: int
) -> tuple[np.ndarray, np.ndarray]:
  """Medians of resampled floors and ceilings; shape (RESAMPLES,) each."""
  generator = np.random.default_rng((SEED, stream))
  drawn = generator.integers(len(costs), size=(RESAMPLES, len(costs)))
  return _drawn(_floors(costs), drawn), _drawn(_ceilings(costs), drawn)


def _drawn(values: Sequence[float], drawn: np.ndarray) -> np.ndarray:
  return np.median(np.array(values)[drawn], axis=1)


def _interval(lower: np.ndarray, upper: np.ndarray) -> tuple[float, float]:
  # Outward to a resampled value: between a number and endless lies nothing
  # that could be interpolated.
  tail = (1 - CONFIDENCE) / 2
  low = np.quantile(lower, tail, method="lower")
  high = np.quantile(upper, 1 - tail, method="higher")
  return float(low), float(high)
