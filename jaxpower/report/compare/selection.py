"""What choosing by the same data does: the cheapest setting, worst over best.

Of settings that cost the same the one that happens to look cheapest looks
cheaper than it is, and the ratio of the most over the least expensive lies
above 1 by noise alone: of 12 settings with 2 seeds, at a scatter of 25 %, it
is 1.8 (the winner's curse). The ratio as seen is therefore called raw. Beside
it stands the true ratio that would most often look like this one: the spread
of the settings is shrunk until the median of the raw ratios that it gives,
noise and choice included, is the raw ratio seen; its interval likewise, with
the raw ratio seen at its 97.5 % and 2.5 % quantiles (median-unbiased estimation
and inversion of a test; Lehmann and Romano, Testing Statistical Hypotheses,
3rd ed., 3.5). The low end is taken for settings that lie half at one end, half
at the other, where choosing does the most. On a grid where nothing differs the
interval begins at 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from jaxpower.report.compare.model import Fit
from jaxpower.report.compare.statistics import CONFIDENCE, Estimate

MOST_SPREAD = 4.0  # of the spread seen, that the true one may be; chosen
TOLERANCE = 1e-3  # of the spread seen; chosen, far below any interval


@dataclass(frozen=True)
class Extremes:
  """The cheapest and the most expensive of several settings.

  Attributes:
    cheapest: Index of the setting that looks cheapest.
    dearest: Index of the setting that looks most expensive.
    raw: The ratio of the two, as seen.
    ratio: The true ratio of the most over the least expensive setting, with
      its 95 % interval; None where no setting has two seeds.
    cheapest_cost: What the cheapest one costs, corrected for the choice, with
      its 95 % interval.
  """

  cheapest: int
  dearest: int
  raw: float
  ratio: Estimate | None
  cheapest_cost: Estimate


def extremes(fit: Fit) -> Extremes | None:
  """Finds the extremes of fitted settings; None for fewer than two of them."""
  if len(fit.known) < 2:
    return None
  low, high = int(fit.estimates.argmin()), int(fit.estimates.argmax())
  seen = float(fit.estimates[high] - fit.estimates[low])
  least = math.exp(fit.estimates[low])
  cheapest, dearest = fit.known[low], fit.known[high]
  if fit.draws is None:
    cost = Estimate(least)
    return Extremes(cheapest, dearest, math.exp(seen), None, cost)
  spread = fit.estimates - fit.estimates.mean()
  noise = fit.draws - fit.estimates
  tail = (1 - CONFIDENCE) / 2
  # Half the settings at either end: there the choice does the most, so that
  # the low end holds however the settings lie.
  halves = seen * (np.arange(len(spread)) < len(spread) / 2)
  shrunk = _spread_whose_range(spread, noise, seen, 0.5)
  small = _spread_whose_range(halves, noise, seen, 1 - tail)
  # Never below what was seen: a range that noise alone would seldom leave so
  # small says that the noise was, not that settings are equal.
  large = max(_spread_whose_range(spread, noise, seen, tail), 1.0)
  ratio = Estimate(
    math.exp(shrunk * seen),
    low=math.exp(small * seen),
    high=math.exp(large * seen),
  )
  return Extremes(
    cheapest,
    dearest,
    math.exp(seen),
    ratio,
    _chosen_cost(shrunk * spread, noise, low, least),
  )


def best_of_each(
  fit: Fit, kinds: Sequence[Sequence[int]], chosen: Sequence[int | None]
) -> Fit:
  """Takes the chosen setting of each kind, corrected for the choice.

  The cheapest of several settings of a kind looks cheaper than it is; by how
  much, on the median, its cost is raised, with all of its draws. In the
  result the kinds are the settings; without an estimate where nothing was
  chosen or what was has none.
  """
  places = [None if s is None else fit.column(s) for s in chosen]
  known = [kind for kind, place in enumerate(places) if place is not None]
  columns = [place for place in places if place is not None]
  bias = np.array([_choice_bias(fit, kinds[kind]) for kind in known])
  return Fit(
    tuple(known),
    fit.estimates[columns] - bias,
    None if fit.draws is None else fit.draws[:, columns] - bias,
    fit.noise,
    fit.seed_share,
  )


def _choice_bias(fit: Fit, among: Sequence[int]) -> float:
  """Finds how far the cost of the cheapest of some is off, in logs.

  Not above zero; zero where there was no choice, and where nothing says how
  costs scatter. As `extremes` it first shrinks the spread seen, since of
  settings that differ much the choice is none.
  """
  columns = [c for c in map(fit.column, among) if c is not None]
  if len(columns) < 2 or fit.draws is None:
    return 0.0
  estimates = fit.estimates[columns]
  noise = fit.draws[:, columns] - estimates
  spread = estimates - estimates.mean()
  shrunk = _spread_whose_range(spread, noise, float(np.ptp(spread)), 0.5)
  chosen = (min(shrunk, MOST_SPREAD) * spread + noise).argmin(axis=1)
  off = noise[np.arange(len(noise)), chosen]
  return min(float(np.median(off) - np.median(noise)), 0.0)


def _spread_whose_range(
  spread: np.ndarray, noise: np.ndarray, seen: float, quantile: float
) -> float:
  """Finds by which factor of the spread the range seen is that quantile.

  Zero where even without any spread the noise alone gives a larger range.
  """

  rows = np.ascontiguousarray(noise.T)  # a setting each, which a cache holds

  def too_large(factor: float) -> float:
    shifts = factor * spread
    lowest = shifts[0] + rows[0]
    highest = lowest.copy()
    for shift, row in zip(shifts[1:], rows[1:], strict=True):
      moved = shift + row
      np.minimum(lowest, moved, out=lowest)
      np.maximum(highest, moved, out=highest)
    return float(np.quantile(highest - lowest, quantile)) - seen

  if seen <= 0 or too_large(0.0) >= 0:
    return 0.0
  if too_large(MOST_SPREAD) <= 0:
    return math.inf
  return float(brentq(too_large, 0.0, MOST_SPREAD, xtol=TOLERANCE))  # type: ignore[arg-type]


def _chosen_cost(
  spread: np.ndarray, noise: np.ndarray, column: int, least: float
) -> Estimate:
  """Corrects the cost of the cheapest setting for having been chosen.

  Draws choose as the report did; how far what they choose is off, on the
  median beyond any setting, is taken off again.
  """
  chosen = (spread + noise).argmin(axis=1)
  off = noise[np.arange(len(noise)), chosen]
  tail = (1 - CONFIDENCE) / 2
  low, middle, high = np.quantile(off, (tail, 0.5, 1 - tail))
  middle -= np.median(noise[:, column])
  return Estimate(
    least * math.exp(-middle),
    low=least * math.exp(-high),
    high=least * math.exp(-low),
  )
