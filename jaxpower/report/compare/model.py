"""One statistical model of what training costs, behind every number told.

  log cost = setting + seed + board + noise

Costs scatter by factors, so the model is of their logs, and a setting's cost is
the median of the log-normal: what a training typically costs. A seed is a
block: it gives every setting the same first weights and order of examples, so
part of what it does is common to all settings and cancels in a ratio. So is a
board. The variance of the noise is shared by all settings: two or three seeds
of one setting say next to nothing about it, those of all settings together do.

A trial that missed its target is a censored observation: the likelihood takes
it as costing more than it spent (Tobit 1958), not as a number.

How it is computed is in `compare.posterior`: generalised least squares, a flat
prior on settings, 1 / variance on the noise. Of complete blocks without misses
ratios have the intervals of the two-way analysis of variance. How often each
interval holds the truth is simulated in benchmarks/statements.py.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxpower.report.compare.posterior import (
  Design,
  Sums,
  draw_posterior,
  posterior_mean,
)
from jaxpower.report.compare.statistics import (
  CONFIDENCE,
  Cost,
  Estimate,
  Observation,
)

LARGEST_LOG = math.log(np.finfo(float).max)
ONE_SIGMA = (0.1587, 0.5, 0.8413)  # quantiles of a normal distribution

# Of a setting that missed more often than this the typical cost lies beyond
# everything that was seen of it: nothing is estimated.
MOST_MISSED = 0.5

# From so many settings on intervals of all pairs take the standard deviation
# of a pair's draws for its scale, up and down alike, and fewer draws for the
# largest deviation: pairs grow with the square of settings. Both chosen, so
# that intervals of 40 settings are those of every draw to 1 %.
MANY_SETTINGS = 32
# Of each half of the draws, from its start: Sobol points are even in their
# first power of two, but every eighth lies in a quarter of the grid's points.
FEWER_DRAWS = 2_048
LARGEST_SCALE = 1e30  # of settings whose draws are equal; a single float
AT_ONCE = 512  # draws whose pairs fit into a cache; chosen


@dataclass(frozen=True, eq=False)
class Fit:
  """The typical costs of settings, as logs, with what is not known of them.

  Attributes:
    known: Which settings, by index, have an estimate: the columns below.
    estimates: Means of the posterior, its medians where trials missed,
      (known,).
    draws: Draws from the posterior, (draws, known); None where no setting has
      two seeds, since then nothing says how they scatter.
    noise: Relative standard deviation of one cost, seeds and boards included;
      None as `draws`.
    seed_share: The share of the seed in that variance; None as `draws`.
  """

  known: tuple[int, ...]
  estimates: np.ndarray
  draws: np.ndarray | None = None
  noise: float | None = None
  seed_share: float | None = None

  def column(self, setting: int) -> int | None:
    """Returns the column of a setting; None where it has no estimate."""
    return self.known.index(setting) if setting in self.known else None

  def value(self, setting: int) -> float:
    """Returns the typical cost of a setting that has an estimate."""
    return math.exp(self.estimates[self.known.index(setting)])

  def cost(self, setting: int) -> Estimate | None:
    """Returns a setting's typical cost with its 95 % interval."""
    column = self.column(setting)
    if column is None:
      return None
    value = math.exp(self.estimates[column])
    if self.draws is None:
      return Estimate(value)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(self.draws[:, column], (tail, 1 - tail))
    return Estimate(value, low=_exp(low), high=_exp(high))

  def costs(self, setting: int) -> np.ndarray | None:
    """Returns draws of a setting's typical cost, (draws,), for sums."""
    column = self.column(setting)
    if column is None or self.draws is None:
      return None
    with np.errstate(over="ignore"):  # endless, as far as misses say
      return np.exp(self.draws[:, column])

  def ratio(self, setting: int, base: int) -> Estimate | None:
    """Divides the cost of one setting by another's; 95 % for this one alone.

    Only for a comparison that was planned before the costs were seen.
    """
    return self.ratios(((setting, base),))[0]

  def ratios(
    self, pairs: Sequence[tuple[int, int]]
  ) -> tuple[Estimate | None, ...]:
    """Divides costs, with intervals that hold for all these pairs at once.

    Of all pairs this is Tukey's method, so that choosing the cheapest setting
    by the same costs makes no interval wrong. None where a setting of the pair
    has no estimate.
    """
    columns = [
      (self.column(above), self.column(below)) for above, below in pairs
    ]
    known = [
      (above, below)
      for above, below in columns
      if above is not None and below is not None
    ]
    intervals = iter(self._intervals(known))
    return tuple(
      None if above is None or below is None else next(intervals)
      for above, below in columns
    )

  def ratios_to(self, base: int) -> tuple[Estimate | None, ...]:
    """Divides each setting's cost by one that was chosen by these costs.

    Entry by setting up to the last one known; simultaneous over all pairs.
    """
    settings = range(max(self.known, default=-1) + 1)
    if self.draws is None:
      return self.ratios([(setting, base) for setting in settings])
    return tuple(self.ratio_to(setting, base) for setting in settings)

  def ratio_to(self, setting: int, base: int) -> Estimate | None:
    """Divides one setting's cost by another's, as `ratios_to` does."""
    above, below = self.column(setting), self.column(base)
    if self.draws is None or above is None or below is None:
      return self.ratio(setting, base)
    if above == below:
      return Estimate(1.0)
    return self._interval(above, below, self._wide)

  def differs(self) -> bool:
    """Whether any two settings differ, at 95 % over all pairs."""
    if self.draws is None or len(self.known) < 2:
      return False
    pairs = _all_pairs(len(self.known))
    wide = self._wide
    return any(_excludes_one(self._interval(*pair, wide)) for pair in pairs)

  @functools.cached_property
  def _wide(self) -> float:
    """How many scales wide intervals are that hold for all pairs at once."""
    if self._deviations is None:
      return self._critical(_all_pairs(len(self.known)))
    assert self.draws is not None
    # Single precision: a quantile of them is read to three digits.
    off = (_fewer(self.draws) - self._medians).astype(np.float32)
    scale = np.minimum(1 / self._deviations, LARGEST_SCALE)
    scale = scale.astype(np.float32)
    largest = []
    for first in range(0, len(off), AT_ONCE):
      largest.append(_largest(off[first : first + AT_ONCE], scale))
    return float(np.quantile(np.concatenate(largest), CONFIDENCE))

  @functools.cached_property
  def _deviations(self) -> np.ndarray | None:
    """Standard deviations of all pairs' draws, (known, known), if many."""
    if self.draws is None or len(self.known) <= MANY_SETTINGS:
      return None
    covariance = np.cov(self.draws, rowvar=False)
    variance = np.diag(covariance)
    squares = variance[:, None] + variance - 2 * covariance
    return np.sqrt(np.maximum(squares, np.finfo(float).tiny))

  def _intervals(self, pairs: Sequence[tuple[int, int]]) -> list[Estimate]:
    if self.draws is None:
      return [Estimate(math.exp(self._log_ratio(*pair))) for pair in pairs]
    apart = [pair for pair in pairs if pair[0] != pair[1]]
    wide = self._critical(apart) if apart else 0.0
    return [
      Estimate(1.0) if above == below else self._interval(above, below, wide)
      for above, below in pairs
    ]

  def _log_ratio(self, above: int, below: int) -> float:
    return float(self.estimates[above] - self.estimates[below])

  @functools.cached_property
  def _medians(self) -> np.ndarray:
    assert self.draws is not None
    return np.median(self.draws, axis=0)

  def _interval(self, above: int, below: int, wide: float) -> Estimate:
    middle, down, up = self._scales(above, below)
    return Estimate(
      math.exp(self._log_ratio(above, below)),
      low=_exp(middle - wide * down),
      high=_exp(middle + wide * up),
    )

  def _critical(self, pairs: Sequence[tuple[int, int]]) -> float:
    """Finds how many scales wide intervals are that hold for all pairs.

    The 95 % quantile over the draws of the largest deviation among the pairs,
    each in its own scale, upward and downward apart.
    """
    assert self.draws is not None
    largest = np.zeros(len(self.draws))
    for above, below in pairs:
      middle, down, up = self._scales(above, below)
      off = self.draws[:, above] - self.draws[:, below] - middle
      np.maximum(largest, np.where(off > 0, off / up, -off / down), out=largest)
    return float(np.quantile(largest, CONFIDENCE))

  def _scales(self, above: int, below: int) -> tuple[float, float, float]:
    """Returns median, and the distances down and up to one sigma, of a ratio.

    Two distances, since a censored cost leaves more room above than below.
    """
    assert self.draws is not None
    if self._deviations is not None:
      middle = float(self._medians[above] - self._medians[below])
      deviation = float(self._deviations[above, below])
      return middle, deviation, deviation
    off = self.draws[:, above] - self.draws[:, below]
    low, middle, high = np.quantile(off, ONE_SIGMA)
    return float(middle), float(middle - low), float(high - middle)


def fit(settings: Sequence[Sequence[Observation]]) -> Fit:
  """Fits the model to the observations of each setting.

  Costs must be above zero. A setting without observations, or that missed in
  more than half of them, has no estimate.
  """
  known = tuple(
    index
    for index, cell in enumerate(settings)
    if cell and _missed(cell) <= MOST_MISSED * len(cell)
  )
  # Sorted, so that the order of records moves no interval.
  cells = [sorted(settings[index], key=_order) for index in known]
  observations, column, logs, censored = _flattened(cells)
  freedom = int((~censored).sum()) - len(cells)
  if freedom < 1:
    return Fit(known, np.array([_mean_log(cell) for cell in cells]))
  middle = logs.mean()
  logs -= middle  # else sums of squares lose digits
  design = Design.of(observations, column, logs, ~censored)
  drawn = draw_posterior(design, logs, censored)
  if censored.any():
    estimates = np.median(drawn.settings, axis=0)
  else:
    estimates = posterior_mean(design, Sums.of(logs[None], design))
  return Fit(
    known,
    estimates + middle,
    drawn.settings + middle,
    float(np.sqrt(np.median(drawn.variance))),
    float(np.median(drawn.seed_share)),
  )


def _order(each: Observation) -> tuple[str, str, Cost]:
  return str(each.seed), each.board, each.cost


def completed(
  cells: Sequence[Sequence[Observation]],
) -> tuple[np.ndarray, np.ndarray | None] | None:
  """Draws the logs of all costs as they may be without misses.

  What missed trials would have cost is drawn from the posterior (multiple
  imputation; Rubin 1987).

  Args:
    cells: The observations of each setting, of which one did not miss.

  Returns:
    The logs, (draws, observations), setting by setting, of one draw where no
    trial missed; and what its board adds to each, (draws, observations), None
    where there is one board. None where too few costs are known to say how they
    scatter.
  """
  observations, column, logs, censored = _flattened(cells)
  if int((~censored).sum()) <= len(cells):
    return None
  middle = logs.mean()
  logs -= middle
  if not censored.any() and len({each.board for each in observations}) < 2:
    return logs[None] + middle, None  # nothing to draw
  design = Design.of(observations, column, logs, ~censored)
  drawn = draw_posterior(design, logs, censored)
  complete = logs[None] if drawn.complete is None else drawn.complete
  seeds = len({each.seed for each in observations})
  of_board = design.of_block[:, seeds:]
  boards = drawn.blocks[:, seeds:] @ of_board.T if of_board.size else None
  return complete + middle, boards


def _flattened(
  cells: Sequence[Sequence[Observation]],
) -> tuple[list[Observation], np.ndarray, np.ndarray, np.ndarray]:
  """Returns observations, and of each its setting, log and whether censored."""
  observations = [each for cell in cells for each in cell]
  return (
    observations,
    np.repeat(np.arange(len(cells)), list(map(len, cells))),
    np.array([math.log(each.cost.value) for each in observations]),
    np.array([each.cost.censored for each in observations], bool),
  )


def _missed(cell: Sequence[Observation]) -> int:
  return sum(each.cost.censored for each in cell)


def _mean_log(cell: Sequence[Observation]) -> float:
  return math.fsum(math.log(each.cost.value) for each in cell) / len(cell)


def _fewer(draws: np.ndarray) -> np.ndarray:
  """Takes some of the draws (draws, n) that spread as all do."""
  return np.concatenate([half[:FEWER_DRAWS] for half in np.split(draws, 2)])


def _largest(off: np.ndarray, scale: np.ndarray) -> np.ndarray:
  """Finds how far apart any two are, of draws (draws, n), as (draws,).

  Each two by a factor of their own, `scale` (n, n).
  """
  off = np.ascontiguousarray(off.T)
  apart, largest = np.empty_like(off), np.zeros_like(off[0])
  for above in range(1, len(off)):
    here = apart[:above]
    np.subtract(off[:above], off[above], out=here)
    np.abs(here, out=here)
    here *= scale[above, :above, None]
    np.maximum(largest, here.max(axis=0), out=largest)
  return largest


def _all_pairs(count: int) -> list[tuple[int, int]]:
  return [(a, b) for a in range(count) for b in range(a)]


def _excludes_one(ratio: Estimate) -> bool:
  if ratio.low is None or ratio.high is None:
    return False
  return ratio.low > 1 or ratio.high < 1


def _exp(log: float) -> float:
  """Takes the exponential; infinite where that is beyond all numbers."""
  return math.exp(log) if log < LARGEST_LOG else math.inf
