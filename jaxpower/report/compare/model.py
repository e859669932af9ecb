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

How it is computed: with the shares of seed and board in the variance given,
all else has a closed form (generalised least squares; flat prior on settings,
1 / variance on the noise). The shares are integrated over on a grid: uniform
for the seed's, half-normal for the board's. Censored costs are drawn anew in
each step of a Gibbs sampler (Gelman et al., Bayesian Data Analysis, 3rd ed.,
chapters 11, 14 and 18). Of complete blocks without misses this is the two-way
analysis of variance, its t intervals a little narrower where the seeds turn
out to share little. How often each interval holds the truth is simulated in
benchmarks/statements.py.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr, ndtri, ndtri_exp, stdtrit

from jaxpower.report.compare.statistics import (
  CONFIDENCE,
  SEED,
  Estimate,
  Observation,
)

DRAWS = 4_000  # of the posterior; chosen: its quantiles are then good to 2 %
# A Gibbs sampler needs chains side by side, and steps to forget its start;
# chosen so that twice as many move no quantile by more than the draws do.
CHAINS = 400
FORGOTTEN_STEPS = 20
STEPS_BETWEEN = 2  # of those kept

# Shares of the seed in the variance: midpoints of a uniform prior.
SEED_SHARES = (np.arange(16) + 0.5) / 16
# Standard deviation of the log joules of equal boards: the makers' +-5 %
# (NVML's documentation of nvmlDeviceGetPowerUsage) taken as that of one board.
BOARD_SD = 0.05
BOARD_SDS = BOARD_SD * ndtri(0.5 + (np.arange(8) + 0.5) / 16)  # half-normal

# Shares of the seed that stand for all and for nothing: to be finite.
ALL_SHARED, NONE_SHARED = 1 - 1e-6, 1e-9
MOST_WIDER = math.sqrt(2)  # of the t quantile: where seeds share half
ONE_SIGMA = (0.1587, 0.5, 0.8413)  # quantiles of a normal distribution
LEAST_SCATTER = 1e-6  # keeps logs and ratios finite where all costs are equal

# Of a setting that missed more often than this the typical cost lies beyond
# everything that was seen of it: nothing is estimated.
MOST_MISSED = 0.5


@dataclass(frozen=True, eq=False)
class Fit:
  """The typical costs of settings, as logs, with what is not known of them.

  Attributes:
    known: Which settings, by index, have an estimate: the columns below.
    estimates: Medians of the posterior, (known,).
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

  def cost(self, setting: int) -> Estimate | None:
    """Returns a setting's typical cost with its 95 % interval."""
    column = self.column(setting)
    if column is None:
      return None
    value = math.exp(self.estimates[column])
    if self.draws is None:
      return Estimate(value)
    return _estimate(value, np.exp(self.draws[:, column]))

  def costs(self, setting: int) -> np.ndarray | None:
    """Returns draws of a setting's typical cost, (draws,), for sums."""
    column = self.column(setting)
    if column is None or self.draws is None:
      return None
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
    wide = self._critical(_all_pairs(len(self.known)))
    below = self.column(base)
    results = []
    for setting in settings:
      above = self.column(setting)
      if above is None or below is None:
        results.append(None)
      elif above == below:
        results.append(Estimate(1.0))
      else:
        results.append(self._interval(above, below, wide))
    return tuple(results)

  def differs(self) -> bool:
    """Whether any two settings differ, at 95 % over all pairs."""
    if self.draws is None or len(self.known) < 2:
      return False
    pairs = _all_pairs(len(self.known))
    wide = self._critical(pairs)
    return any(_excludes_one(self._interval(*pair, wide)) for pair in pairs)

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

  def _interval(self, above: int, below: int, wide: float) -> Estimate:
    middle, down, up = self._scales(above, below)
    return Estimate(
      math.exp(self._log_ratio(above, below)),
      low=math.exp(middle - wide * down),
      high=math.exp(middle + wide * up),
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
  cells = [settings[index] for index in known]
  observations, column, logs, censored = _flattened(cells)
  freedom = int((~censored).sum()) - len(cells)
  if freedom < 1:
    return Fit(known, np.array([_mean_log(cell) for cell in cells]))
  middle = logs.mean()
  logs -= middle  # else sums of squares lose digits
  design = _Design.of(observations, column, logs, ~censored)
  generator = np.random.default_rng(SEED)
  if censored.any():
    drawn = _gibbs(design, logs, censored, generator)
  else:
    drawn = _draw(design, _Sums.of(logs[None], design), DRAWS, generator)
  return Fit(
    known,
    np.median(drawn.settings, axis=0) + middle,
    drawn.settings + middle,
    float(np.sqrt(np.median(drawn.variance))),
    float(np.median(drawn.seed_share)),
  )


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
  design = _Design.of(observations, column, logs, ~censored)
  generator = np.random.default_rng(SEED)
  if censored.any():
    drawn = _gibbs(design, logs, censored, generator)
  else:
    drawn = _draw(design, _Sums.of(logs[None], design), DRAWS, generator)
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


def _all_pairs(count: int) -> list[tuple[int, int]]:
  return [(a, b) for a in range(count) for b in range(a)]


def _excludes_one(ratio: Estimate) -> bool:
  if ratio.low is None or ratio.high is None:
    return False
  return ratio.low > 1 or ratio.high < 1


def _estimate(value: float, draws: np.ndarray) -> Estimate:
  tail = (1 - CONFIDENCE) / 2
  low, high = np.quantile(draws, (tail, 1 - tail))
  return Estimate(value, low=float(low), high=float(high))


# The closed form, at each point of the grid of shares


@dataclass(frozen=True, eq=False)
class _Sums:
  """All that the likelihood needs of complete logs: sums of them.

  squares: (draws,); by_setting: (draws, settings); by_block: (draws, blocks).
  """

  squares: np.ndarray
  by_setting: np.ndarray
  by_block: np.ndarray

  @classmethod
  def of(cls, logs: np.ndarray, design: "_Design") -> "_Sums":
    """Adds up logs, (draws, observations)."""
    return cls(
      (logs**2).sum(axis=1), logs @ design.of_setting, logs @ design.of_block
    )


@dataclass(frozen=True, eq=False)
class _Design:
  """What depends on the plan of the trials alone; g points of the grid.

  Attributes:
    column: The setting of each observation, (n,).
    of_setting: Which observation is of which setting, (n, settings).
    of_block: Which observation is in which seed or board, (n, blocks).
    crossed: How many observations each setting has in each block,
      (settings, blocks).
    blocks: Covariance of the blocks' effects over the noise's variance, given
      the settings, (g, blocks, blocks).
    settings: That of the settings' estimates, (g, settings, settings).
    log_prior: Log determinants, (g,).
    factor: Variance of an observation over that of the noise, (g,).
    seed_share: Of the seed in that variance, (g,).
    freedom: Observations less settings.
    contrast_freedom: Of the noise between settings, see `_contrasts`; it is
      estimated at the last `board_points` of the grid.
    board_points: How many points of the grid differ in the board alone.
  """

  column: np.ndarray
  of_setting: np.ndarray
  of_block: np.ndarray
  crossed: np.ndarray
  blocks: np.ndarray
  settings: np.ndarray
  log_prior: np.ndarray
  factor: np.ndarray
  seed_share: np.ndarray
  freedom: int
  contrast_freedom: int
  board_points: int

  @classmethod
  def of(
    cls,
    observations: Sequence[Observation],
    column: np.ndarray,
    logs: np.ndarray,
    exact: np.ndarray,
  ) -> "_Design":
    """Builds the design over the grid of shares of seed and board."""
    of_setting = np.eye(column.max() + 1)[column]
    of_seed = _indicators([each.seed for each in observations])
    of_board = _indicators([each.board for each in observations])
    sds = BOARD_SDS
    if of_board.shape[1] < 2:  # one board: common to all, seen in no ratio
      of_board, sds = of_board[:, :0], np.zeros(1)
    scatter = _scatter(of_setting[exact], logs[exact])
    shared, freedom = _contrasts(of_setting, of_seed)
    points = np.array(
      [
        (share / (1 - share), (sd / scatter) ** 2)
        for share in (*SEED_SHARES, shared)
        for sd in sds
      ]
    )
    of_block = np.hstack([of_seed, of_board])
    kinds = np.repeat((0, 1), (of_seed.shape[1], of_board.shape[1]))
    parts = [_closed_form(of_setting, of_block, p[kinds]) for p in points]
    blocks, settings, log_prior = map(np.stack, zip(*parts, strict=True))
    log_prior[-len(sds) :] = -np.inf
    factor = 1 + points.sum(axis=1)
    return cls(
      column=column,
      of_setting=of_setting,
      of_block=of_block,
      crossed=of_setting.T @ of_block,
      blocks=blocks,
      settings=settings,
      log_prior=log_prior,
      factor=factor,
      seed_share=points[:, 0] / factor,
      freedom=len(logs) - of_setting.shape[1],
      contrast_freedom=freedom,
      board_points=len(sds),
    )


def _indicators(labels: Sequence[Hashable]) -> np.ndarray:
  """Marks which observation is in which block, (n, blocks)."""
  place = {label: index for index, label in enumerate(dict.fromkeys(labels))}
  return np.eye(len(place))[[place[label] for label in labels]]


def _scatter(of_setting: np.ndarray, logs: np.ndarray) -> float:
  """Estimates the standard deviation within settings."""
  counts = np.maximum(of_setting.sum(axis=0), 1)
  off = logs - of_setting @ (logs @ of_setting / counts)
  freedom = max(len(logs) - of_setting.shape[1], 1)
  return max(math.sqrt(float(off @ off) / freedom), LEAST_SCATTER)


def _contrasts(
  of_setting: np.ndarray, of_seed: np.ndarray
) -> tuple[float, int]:
  """Decides how ratios of settings take the noise: seed share, and freedom.

  What is said of ratios must hold whatever the seeds share. It does with the
  seeds' effects taken out entirely, as in the two-way analysis of variance, at
  the cost of degrees of freedom; and, wider than need be, with seeds that
  share nothing. The first is taken unless it has so few degrees of freedom
  that it is wider even where seeds share half of the variance.
  """
  n, settings = of_setting.shape
  rank = int(np.linalg.matrix_rank(np.hstack([of_setting, of_seed])))
  within, pooled = n - rank, n - settings
  if within > 0:
    wider = stdtrit(within, 0.975) / stdtrit(pooled, 0.975)
    if wider <= MOST_WIDER:
      return ALL_SHARED, within
  return NONE_SHARED, pooled


def _closed_form(
  of_setting: np.ndarray, of_block: np.ndarray, over_noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Computes `blocks`, `settings` and `log_prior` of one grid point.

  `over_noise` holds the variance of each block over that of the noise. By the
  Woodbury identity nothing here is larger than settings or blocks.
  """
  precision = np.diag(1 / over_noise) + of_block.T @ of_block
  blocks = np.linalg.inv(precision)
  crossed = of_setting.T @ of_block
  information = of_setting.T @ of_setting - crossed @ blocks @ crossed.T
  log_variance = np.linalg.slogdet(precision)[1] + np.log(over_noise).sum()
  log_information = np.linalg.slogdet(information)[1]
  return (
    blocks,
    np.linalg.inv(information),
    np.array(-(log_variance + log_information) / 2),
  )


# Draws


@dataclass(frozen=True, eq=False)
class _Drawn:
  """Draws of settings and blocks, (draws, ...), and of one number each.

  `complete` has the logs with the censored ones drawn, None where none is.
  """

  settings: np.ndarray
  blocks: np.ndarray
  noise: np.ndarray  # variance of the noise alone
  variance: np.ndarray  # of an observation
  seed_share: np.ndarray
  complete: np.ndarray | None = None


def _draw(
  design: _Design, sums: _Sums, draws: int, generator: np.random.Generator
) -> _Drawn:
  """Draws from the posterior given sums of complete logs, of 1 or `draws`."""
  estimates, squares = _least_squares(design, sums)
  weight = design.log_prior - design.freedom / 2 * np.log(squares)
  weight = np.exp(weight - weight.max(axis=1, keepdims=True))
  below = np.broadcast_to(weight.cumsum(axis=1), (draws, weight.shape[1]))
  aim = generator.random((draws, 1)) * below[:, -1:]
  point = np.minimum((below < aim).sum(axis=1), below.shape[1] - 1)
  row = np.arange(draws) if len(squares) > 1 else np.zeros(draws, int)
  noise = squares[row, point] / generator.chisquare(design.freedom, draws)
  between = squares[row, -design.board_points + point % design.board_points]
  between = between / generator.chisquare(design.contrast_freedom, draws)
  count, blocks_count = design.crossed.shape
  normals = generator.standard_normal((draws, count + blocks_count))
  normals *= np.sqrt(noise)[:, None]
  settings, blocks = np.empty((draws, count)), np.empty((draws, blocks_count))
  for g in np.unique(point):
    here = np.flatnonzero(point == g)
    root = np.linalg.cholesky(design.settings[g])
    settings[here] = estimates[row[here], g] + normals[here, :count] @ root.T
    off = sums.by_block[row[here]] - settings[here] @ design.crossed
    root = np.linalg.cholesky(design.blocks[g])
    blocks[here] = off @ design.blocks[g] + normals[here, count:] @ root.T
  return _Drawn(
    _rescaled(settings, estimates[row, point], np.sqrt(between / noise)),
    blocks,
    noise,
    noise * design.factor[point],
    design.seed_share[point],
  )


def _rescaled(
  settings: np.ndarray, estimates: np.ndarray, factor: np.ndarray
) -> np.ndarray:
  """Multiplies what settings are off from one another, not what all are."""
  off = settings - estimates
  common = off.mean(axis=1, keepdims=True)
  return estimates + common + factor[:, None] * (off - common)


def _least_squares(
  design: _Design, sums: _Sums
) -> tuple[np.ndarray, np.ndarray]:
  """Returns generalised least squares estimates and residual squares.

  Shapes: (draws, g, settings) and (draws, g).
  """
  of_blocks = np.einsum("db,gbc->dgc", sums.by_block, design.blocks)
  off = sums.by_setting[:, None] - of_blocks @ design.crossed.T
  estimates = np.einsum("dgk,gkl->dgl", off, design.settings)
  squares = sums.squares[:, None]
  squares = squares - np.einsum("dgb,db->dg", of_blocks, sums.by_block)
  squares = squares - np.einsum("dgk,dgk->dg", estimates, off)
  # Equal costs leave a variance that a log can be taken of.
  return estimates, np.maximum(squares, LEAST_SCATTER**2)


def _gibbs(
  design: _Design,
  logs: np.ndarray,
  censored: np.ndarray,
  generator: np.random.Generator,
) -> _Drawn:
  """Draws from the posterior with censored logs, CHAINS at a time."""
  complete, bounds = np.tile(logs, (CHAINS, 1)), logs[censored]
  kept = []
  for step in range(FORGOTTEN_STEPS + -(-DRAWS // CHAINS) * STEPS_BETWEEN):
    drawn = _draw(design, _Sums.of(complete, design), CHAINS, generator)
    expected = drawn.settings[:, design.column[censored]]
    expected = expected + drawn.blocks @ design.of_block[censored].T
    sd = np.sqrt(drawn.noise)[:, None]
    beyond = _draw_above((bounds - expected) / sd, generator)
    complete[:, censored] = expected + sd * beyond
    if step >= FORGOTTEN_STEPS and step % STEPS_BETWEEN == 0:
      kept.append(replace(drawn, complete=complete.copy()))
  names = ("settings", "blocks", "noise", "variance", "seed_share", "complete")
  return _Drawn(
    *(np.concatenate([getattr(d, name) for d in kept]) for name in names)
  )


def _draw_above(
  bounds: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
  """Draws from the standard normal above each bound.

  By its inverse, in logs: far out in the tail the probabilities themselves
  would be zero.
  """
  log_above = log_ndtr(-bounds)
  return -ndtri_exp(log_above + np.log1p(-generator.random(bounds.shape)))
