"""Draws from the posterior of the model: its closed form, and misses.

With the shares of seed and board in the variance given, settings, blocks and
noise have a closed form. The shares are integrated over on a grid: uniform for
the seed's, half-normal for the board's. Censored costs are drawn anew in each
step of a Gibbs sampler (Gelman et al., Bayesian Data Analysis, 3rd ed.,
chapters 11, 14 and 18).

What settings are off from one another has a variance of its own: it must hold
whatever seeds share, which the prior of their share does not promise
(`_contrasts`).
"""

import functools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincinv, log_ndtr, ndtri, ndtri_exp, stdtrit

from jaxpower.report.compare.statistics import SEED, Observation

DRAWS = 8_192  # of the posterior; a power of two for Sobol points; chosen so
# that t intervals of two seeds and more are right to 1.5 %
NOT_NORMAL = 3  # of a draw's random numbers: grid point and two variances
SMALLEST = 1e-12  # of a number between 0 and 1, so that its normal is finite
# A Gibbs sampler needs chains side by side, and steps to forget its start;
# chosen so that twice as many move no quantile by more than the draws do.
CHAINS = 512
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
# Variance of a board over that of the noise: more of it, where all costs are
# equal as examples to the target may be, makes matrices singular; chosen.
MOST_OVER_NOISE = 1e4
MOST_WIDER = math.sqrt(2)  # of the t quantile: where seeds share half
NOTHING = 1e-10  # of the largest eigenvalue: an effect that others add up to
LEAST_SCATTER = 1e-6  # keeps logs and ratios finite where all costs are equal
# Settings from which a matrix of them is a diagonal and few columns, and not
# dense: its cube would be most of what a report costs; chosen.
MANY_SETTINGS = 32


# Roots of covariances: L with L @ L.T the covariance


@dataclass(frozen=True, eq=False)
class DenseRoot:
  """A root (n, n)."""

  root: np.ndarray

  def times(self, normals: np.ndarray) -> np.ndarray:
    """Gives independent normals (draws, n) the covariance."""
    return normals @ self.root.T


@dataclass(frozen=True, eq=False)
class ThinRoot:
  """A root of `diag(scale) (1 + basis off basis.T)`, n by few.

  The symmetric one where all of `scale` (n,) is equal.
  """

  scale: np.ndarray
  basis: np.ndarray
  off: np.ndarray

  def times(self, normals: np.ndarray) -> np.ndarray:
    """Gives independent normals (draws, n) the covariance."""
    return (normals + normals @ self.basis @ self.off @ self.basis.T) * (
      self.scale
    )


# The closed form, at each point of the grid of shares


@dataclass(frozen=True, eq=False)
class Sums:
  """All that the likelihood needs of complete logs: sums of them.

  squares: (draws,); by_setting: (draws, settings); by_block: (draws, blocks).
  """

  squares: np.ndarray
  by_setting: np.ndarray
  by_block: np.ndarray

  @classmethod
  def of(cls, logs: np.ndarray, design: "Design") -> "Sums":
    """Adds up logs, (draws, observations)."""
    return cls(
      (logs**2).sum(axis=1), logs @ design.of_setting, logs @ design.of_block
    )


@dataclass(frozen=True, eq=False)
class Design:
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
    blocks_root, settings_root: Square roots of both.
    log_prior: Log determinants, (g,).
    factor: Variance of an observation over that of the noise, (g,).
    seed_share: Of the seed in that variance, (g,).
    freedom: Observations less settings.
    contrast_freedom: Of the noise between settings, see `_contrasts`; it is
      estimated at the last `board_points` of the grid.
    pooled: Whether that noise has the seeds' own effects in it.
    board_points: How many points of the grid differ in the board alone.
  """

  column: np.ndarray
  of_setting: np.ndarray
  of_block: np.ndarray
  crossed: np.ndarray
  blocks: np.ndarray
  settings: np.ndarray
  blocks_root: np.ndarray
  settings_root: Sequence[DenseRoot | ThinRoot]
  log_prior: np.ndarray
  factor: np.ndarray
  seed_share: np.ndarray
  freedom: int
  contrast_freedom: int
  pooled: bool
  board_points: int

  @property
  def columns(self) -> int:
    """How many random numbers a draw takes."""
    return NOT_NORMAL + sum(self.crossed.shape)

  @classmethod
  def of(
    cls,
    observations: Sequence[Observation],
    column: np.ndarray,
    logs: np.ndarray,
    exact: np.ndarray,
  ) -> "Design":
    """Builds the design over the grid of shares of seed and board."""
    layout = _layout(
      tuple(column.tolist()),
      tuple(each.seed for each in observations),
      tuple(each.board for each in observations),
    )
    points = _points(layout, column, logs, exact)
    over_noise = np.array(points)
    of_setting, seeds = layout.of_setting, layout.of_seed.shape[1]
    several = layout.of_block.shape[1] > seeds
    blocks, settings, log_prior, roots = _grid(layout, points)
    board_points = len(BOARD_SDS) if several else 1
    log_prior = log_prior.copy()
    log_prior[-board_points:] = -np.inf
    factor = 1 + over_noise.sum(axis=1)
    return cls(
      column=column,
      of_setting=of_setting,
      of_block=layout.of_block,
      crossed=layout.counts.crossed,
      blocks=blocks,
      settings=settings,
      blocks_root=np.linalg.cholesky(blocks),
      settings_root=roots,
      log_prior=log_prior,
      factor=factor,
      seed_share=over_noise[:, 0] / factor,
      freedom=len(logs) - of_setting.shape[1],
      contrast_freedom=layout.freedom,
      pooled=layout.shared == NONE_SHARED,
      board_points=board_points,
    )


@dataclass(frozen=True, eq=False)
class _Layout:
  """Which observation is of which setting, seed and board.

  `of_block` has those of the seeds and, of several boards, of these. `shared`
  and `freedom` are what `_contrasts` decides.
  """

  of_setting: np.ndarray
  of_seed: np.ndarray
  of_block: np.ndarray
  counts: "Counts"
  shared: float
  freedom: int


# One is kept: joules, seconds and other costs of the same trials share it.
@functools.lru_cache(maxsize=1)
def _layout(
  column: tuple[int, ...],
  seeds: tuple[Hashable, ...],
  boards: tuple[str, ...],
) -> _Layout:
  """Lays observations out, by the setting, seed and board of each."""
  settings = np.array(column)
  of_setting = np.eye(settings.max() + 1)[settings]
  of_seed, of_board = _indicators(seeds), _indicators(boards)
  if of_board.shape[1] < 2:  # one board: common to all, seen in no ratio
    of_board = of_board[:, :0]
  of_block = np.hstack([of_seed, of_board])
  return _Layout(
    of_setting,
    of_seed,
    of_block,
    Counts.of(of_setting, of_block),
    *_contrasts(settings, of_seed.argmax(axis=1)),
  )


def _points(
  layout: _Layout, column: np.ndarray, logs: np.ndarray, exact: np.ndarray
) -> tuple[tuple[float, float], ...]:
  """Returns the grid: variances of seed and board over that of the noise."""
  shares = (*SEED_SHARES, layout.shared)
  if layout.of_block.shape[1] == layout.of_seed.shape[1]:
    return tuple((share / (1 - share), 0.0) for share in shares)
  nothing = np.empty((int(exact.sum()), 0))
  within = _scatter(column[exact], nothing, logs[exact])
  # Of the noise alone, in which the board's variance is counted.
  scatters = [within * math.sqrt(1 - share) for share in SEED_SHARES]
  if layout.shared == ALL_SHARED:
    within = _scatter(column[exact], layout.of_seed[exact], logs[exact])
  return tuple(
    (share / (1 - share), min((sd / scatter) ** 2, MOST_OVER_NOISE))
    for share, scatter in zip(shares, (*scatters, within), strict=True)
    for sd in BOARD_SDS
  )


@functools.lru_cache(maxsize=1)
def _grid(
  layout: _Layout, points: tuple[tuple[float, float], ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list["DenseRoot | ThinRoot"]]:
  """Computes `blocks`, `settings`, `log_prior` and roots at all points."""
  seeds, blocks = layout.of_seed.shape[1], layout.of_block.shape[1]
  kinds = np.repeat((0, 1), (seeds, blocks - seeds))
  parts = [
    _closed_form(layout.counts, over_noise[kinds])
    for over_noise in np.array(points)
  ]
  *stacked, roots = zip(*parts, strict=True)
  of_blocks, settings, log_prior = map(np.stack, stacked)
  return of_blocks, settings, log_prior, list(roots)


def _indicators(labels: Sequence[Hashable]) -> np.ndarray:
  """Marks which observation is in which block, (n, blocks)."""
  place = {label: index for index, label in enumerate(dict.fromkeys(labels))}
  return np.eye(len(place))[[place[label] for label in labels]]


def _scatter(
  column: np.ndarray, effects: np.ndarray, logs: np.ndarray
) -> float:
  """Estimates the standard deviation that settings and effects leave.

  Args:
    column: The setting of each observation, (n,).
    effects: Other columns of the regression, (n, effects).
    logs: What is regressed, (n,).
  """
  both = np.column_stack([effects, logs])
  count = np.bincount(column)[column][:, None]
  sums = np.zeros((column.max() + 1, both.shape[1]))
  np.add.at(sums, column, both)
  both = both - sums[column] / count  # Frisch-Waugh-Lovell
  effects, off, rank = both[:, :-1], both[:, -1], 0
  if effects.size:
    # The normal equations: as many as effects, and not as observations.
    fitted, _, rank, _ = np.linalg.lstsq(
      effects.T @ effects, effects.T @ off, NOTHING
    )
    off = off - effects @ fitted
  settings = len(np.unique(column))
  freedom = max(len(logs) - settings - int(rank), 1)
  return max(math.sqrt(float(off @ off) / freedom), LEAST_SCATTER)


def _contrasts(column: np.ndarray, seed: np.ndarray) -> tuple[float, int]:
  """Decides how ratios of settings take the noise: seed share, and freedom.

  What is said of ratios must hold whatever the seeds share. It does with the
  seeds' effects taken out entirely, as in the two-way analysis of variance, at
  the cost of degrees of freedom; and, wider than need be, with seeds that
  share nothing. The first is taken unless it has so few degrees of freedom
  that it is wider even where seeds share half of the variance.

  Args:
    column: The setting of each observation, (n,).
    seed: Its seed, a number from 0, (n,).
  """
  from scipy.sparse import coo_array
  from scipy.sparse.csgraph import connected_components

  n, settings, seeds = len(column), column.max() + 1, seed.max() + 1
  # Of settings and seeds that are linked through trials one effect each time
  # follows from the others.
  links = (np.ones(n), (column, settings + seed))
  parts, _ = connected_components(
    coo_array(links, shape=(settings + seeds,) * 2), directed=False
  )
  within, pooled = n - int(settings + seeds - parts), n - int(settings)
  if within > 0:
    wider = stdtrit(within, 0.975) / stdtrit(pooled, 0.975)
    if wider <= MOST_WIDER:
      return ALL_SHARED, within
  return NONE_SHARED, pooled


@dataclass(frozen=True, eq=False)
class Counts:
  """How many observations are in each setting and block, and in both.

  Attributes:
    of_setting: (settings,).
    crossed: (settings, blocks).
    of_blocks: In both of two blocks, (blocks, blocks).
    basis: Of many settings, what blocks span of them, each by the root of its
      count, (settings, few), orthonormal; None of few settings.
    upper: That in the basis, (few, blocks); None as `basis`.
  """

  of_setting: np.ndarray
  crossed: np.ndarray
  of_blocks: np.ndarray
  basis: np.ndarray | None = None
  upper: np.ndarray | None = None

  @classmethod
  def of(cls, of_setting: np.ndarray, of_block: np.ndarray) -> "Counts":
    """Counts by the indicators (n, settings) and (n, blocks)."""
    count, crossed = of_setting.sum(axis=0), of_setting.T @ of_block
    both = of_block.T @ of_block
    if len(count) <= MANY_SETTINGS:
      return cls(count, crossed, both)
    basis, upper = np.linalg.qr(crossed / np.sqrt(count)[:, None])
    return cls(count, crossed, both, basis, upper)


def _closed_form(
  counts: Counts, over_noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, DenseRoot | ThinRoot]:
  """Computes `blocks`, `settings`, `log_prior` and a root of one grid point.

  `over_noise` holds the variance of each block over that of the noise. By the
  Woodbury identity nothing here is larger than settings or blocks.
  """
  precision = np.diag(1 / over_noise) + counts.of_blocks
  blocks, crossed = np.linalg.inv(precision), counts.crossed
  log_variance = np.linalg.slogdet(precision)[1] + np.log(over_noise).sum()
  if counts.basis is not None and counts.upper is not None:
    settings, log_information, root = _many_settings(
      counts.of_setting, counts.basis, counts.upper, precision
    )
  else:
    information = np.diag(counts.of_setting) - crossed @ blocks @ crossed.T
    log_information = np.linalg.slogdet(information)[1]
    settings = np.linalg.inv(information)
    root = DenseRoot(_root(settings))
  log_prior = np.array(-(log_variance + log_information) / 2)
  return blocks, settings, log_prior, root


def _many_settings(
  count: np.ndarray,
  basis: np.ndarray,
  upper: np.ndarray,
  precision: np.ndarray,
) -> tuple[np.ndarray, float, ThinRoot]:
  """Inverts the information on many settings, which few blocks link.

  Args:
    count: Observations of each setting, (n,).
    basis: As in `Counts`, (n, few).
    upper: As in `Counts`, (few, blocks).
    precision: Of the blocks, (blocks, blocks).

  Returns:
    The covariance (n, n), the log determinant of the information, and a root.
  """
  scale, few = 1 / np.sqrt(count), np.eye(len(upper))
  inner = precision - upper.T @ upper
  log_information = (
    np.log(count).sum()
    + np.linalg.slogdet(inner)[1]
    - np.linalg.slogdet(precision)[1]
  )
  within = few + upper @ np.linalg.inv(inner) @ upper.T
  settings = basis @ (within - few) @ basis.T
  settings[np.diag_indices(len(count))] += 1
  settings *= scale[:, None] * scale
  root = ThinRoot(scale, basis, _root(within) - few)
  return settings, float(log_information), root


# Draws


@dataclass(frozen=True, eq=False)
class Drawn:
  """Draws of settings and blocks, (draws, ...), and of one number each.

  `complete` has the logs with the censored ones drawn, None where none is.
  """

  settings: np.ndarray
  blocks: np.ndarray
  noise: np.ndarray  # variance of the noise alone
  variance: np.ndarray  # of an observation
  seed_share: np.ndarray
  complete: np.ndarray | None = None


def draw_posterior(
  design: Design, logs: np.ndarray, censored: np.ndarray
) -> Drawn:
  """Draws from the posterior given logs, of which some are censored, (n,)."""
  if censored.any():
    return _gibbs(design, logs, censored, np.random.default_rng(SEED))
  return _draw(design, Sums.of(logs[None], design), *_even(design.columns))


def _draw(
  design: Design, sums: Sums, uniform: np.ndarray, normal: np.ndarray
) -> Drawn:
  """Draws from the posterior given sums of complete logs, of 1 or `draws`.

  Args:
    design: The plan of the trials.
    sums: Of their logs.
    uniform: Numbers between 0 and 1, (draws, NOT_NORMAL).
    normal: Normal ones, (draws, settings + blocks).
  """
  draws, (count, blocks_count) = len(uniform), design.crossed.shape
  estimates, squares = _least_squares(design, sums)
  below = _weights(design, squares).cumsum(axis=1)
  aim = uniform[:, :1] * below[:, -1:]
  point = np.minimum((below < aim).sum(axis=1), below.shape[1] - 1)
  row = np.arange(draws) if len(squares) > 1 else np.zeros(draws, int)
  noise = squares[row, point] / _chisquare(design.freedom, uniform[:, 1])
  between = squares[row, -design.board_points + point % design.board_points]
  between = between / _chisquare(design.contrast_freedom, uniform[:, 2])
  normals = normal * np.sqrt(noise)[:, None]
  settings, blocks = np.empty((draws, count)), np.empty((draws, blocks_count))
  apart = np.empty((draws, count))
  for g in np.unique(point):
    here = np.flatnonzero(point == g)
    off = design.settings_root[g].times(normals[here, :count])
    settings[here] = estimates[row[here], g] + off
    if design.pooled:  # else seeds that few settings share would count twice
      alone = g % design.board_points - design.board_points
      off = design.settings_root[alone].times(normals[here, :count])
    apart[here] = off
    off = sums.by_block[row[here]] - settings[here] @ design.crossed
    root = design.blocks_root[g]
    blocks[here] = off @ design.blocks[g] + normals[here, count:] @ root.T
  return Drawn(
    _with_contrasts(
      settings,
      estimates[row, point],
      np.sqrt(between / noise)[:, None] * apart,
    ),
    blocks,
    noise,
    noise * design.factor[point],
    design.seed_share[point],
  )


def _root(covariance: np.ndarray) -> np.ndarray:
  """Takes the symmetric root (n, n), which treats all settings alike."""
  values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
  return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _weights(design: Design, squares: np.ndarray) -> np.ndarray:
  """Returns the posterior of the grid's points, (draws, g), not normalised."""
  weight = design.log_prior - design.freedom / 2 * np.log(squares)
  return np.exp(weight - weight.max(axis=1, keepdims=True))


def posterior_mean(design: Design, sums: Sums) -> np.ndarray:
  """Averages the settings' estimates over the grid, (settings,)."""
  estimates, squares = _least_squares(design, sums)
  weight = _weights(design, squares)[0]
  return weight @ estimates[0] / weight.sum()


def _with_contrasts(
  settings: np.ndarray, estimates: np.ndarray, apart: np.ndarray
) -> np.ndarray:
  """Replaces what settings are off from one another, not what all are."""
  common = (settings - estimates).mean(axis=1, keepdims=True)
  return estimates + common + apart - apart.mean(axis=1, keepdims=True)


def _chisquare(freedom: int, uniform: np.ndarray) -> np.ndarray:
  return 2 * gammaincinv(freedom / 2, uniform)


@functools.lru_cache(maxsize=8)
def _even(columns: int) -> tuple[np.ndarray, np.ndarray]:
  """Spreads DRAWS points evenly, as numbers that `_draw` takes.

  Scrambled Sobol points (Owen 1998): a quantile of them is several times surer
  than one of as many random draws. The second half mirrors the normal columns
  of the first, so that draws are as often above an estimate as below it.
  """
  from scipy.stats import qmc  # half a second: only where there is a model

  points = qmc.Sobol(columns, rng=np.random.default_rng(SEED))
  points = points.random(DRAWS // 2)
  points = np.clip(points, SMALLEST, 1 - SMALLEST)
  mirrored = points.copy()
  mirrored[:, NOT_NORMAL:] = 1 - points[:, NOT_NORMAL:]
  return _halves(np.concatenate([points, mirrored]))


def _halves(uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Makes normal numbers of the columns of uniform ones that are to be such."""
  return uniform[:, :NOT_NORMAL].copy(), ndtri(uniform[:, NOT_NORMAL:])


def _least_squares(design: Design, sums: Sums) -> tuple[np.ndarray, np.ndarray]:
  """Returns generalised least squares estimates and residual squares.

  Shapes: (draws, g, settings) and (draws, g).
  """
  of_blocks = sums.by_block @ design.blocks  # (g, draws, blocks)
  off = sums.by_setting - of_blocks @ design.crossed.T
  estimates = off @ design.settings
  squares = sums.squares - (of_blocks * sums.by_block).sum(axis=2)
  squares = squares - (estimates * off).sum(axis=2)
  # Equal costs leave a variance that a log can be taken of.
  squares = np.maximum(squares, LEAST_SCATTER**2)
  return estimates.transpose(1, 0, 2), squares.T


def _gibbs(
  design: Design,
  logs: np.ndarray,
  censored: np.ndarray,
  generator: np.random.Generator,
) -> Drawn:
  """Draws from the posterior with censored logs, CHAINS at a time."""
  complete, bounds = np.tile(logs, (CHAINS, 1)), logs[censored]
  kept = []
  for step in range(FORGOTTEN_STEPS + -(-DRAWS // CHAINS) * STEPS_BETWEEN):
    uniform = generator.uniform(SMALLEST, 1, (CHAINS, design.columns))
    drawn = _draw(design, Sums.of(complete, design), *_halves(uniform))
    expected = drawn.settings[:, design.column[censored]]
    expected = expected + drawn.blocks @ design.of_block[censored].T
    sd = np.sqrt(drawn.noise)[:, None]
    beyond = _draw_above((bounds - expected) / sd, generator)
    complete[:, censored] = expected + sd * beyond
    if step >= FORGOTTEN_STEPS and step % STEPS_BETWEEN == 0:
      kept.append(replace(drawn, complete=complete.copy()))
  names = ("settings", "blocks", "noise", "variance", "seed_share", "complete")
  return Drawn(
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
