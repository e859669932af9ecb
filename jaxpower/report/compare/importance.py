"""How much each varied field matters: shares of the variance of log cost.

Over a full grid of settings the variance of log cost is the sum of what each
field explains alone (the mean square of its main effect over the grid's
values: the first-order Sobol index), of what only fields together explain, and
of what seeds do within a setting. These are variance components, with the noise
taken out of all but the last, and not what the sums of squares of one sweep
divide into: of those, noise gives a field a share where it does nothing.

Of complete blocks (every seed of every setting; others are left out) the sums
of squares are independent: chi-squared with the residual variance s2 as scale,
and a field's noncentral by n V / s2, of n trials and its component V (the
two-way analysis of variance; Fisher 1925). So each component has a confidence
distribution of its own, exact given s2, from which it is drawn: V is 0 as often
as the F test's p says (generalised pivotal quantities; Weerahandi 1993). A
share divides it by itself, seeds and what else is between settings; the latter
is drawn as one component, since several would each add their noise to it.

Misses are completed by the model, anew for each draw (`model.completed`), and
what boards add is taken off; how little is known of that is noise of each
component. How often the intervals hold the truth is simulated by
benchmarks/statements_importance.py.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxpower.report.compare.model import (
  completed,
)
from jaxpower.report.compare.posterior import DRAWS, LEAST_SCATTER
from jaxpower.report.compare.statistics import CONFIDENCE, SEED, Observation

# Costs closer than this, relatively, are the same: the rounding of their logs,
# about 1e-15, would be a share of their variance.
ROUNDING = 1e-9

# How much of 1 - CONFIDENCE lies below a share and above it. Chosen by
# simulation: with equal tails the truth lies above three times as often as
# below, since the heavy tail of the seeds' variance takes from shares.
TAIL_BELOW, TAIL_ABOVE = 0.035, 0.015
# Of the draws, in which the leading field must lie above all others: it is
# chosen by the same data, so that either of two could be named.
LEADS = 1 - (1 - CONFIDENCE) / 4

Setting = tuple[Any, ...]  # one value of each field


@dataclass(frozen=True)
class Share:
  """A part of the variance, from 0 to 1, with its 95 % interval."""

  value: float
  low: float
  high: float

  @property
  def beyond_chance(self) -> bool:
    """Whether there is such a part at all, at 95 % over all parts at once."""
    return self.low > 0


@dataclass(frozen=True, kw_only=True)
class Importance:
  """The shares of fields, in the order given, of interaction and of seeds.

  `leads`: whether the largest field's share is above every other field's.
  `trials`: seeds of settings, of which so many `missed`; `left_out` are those
  whose seed some setting lacks. Where there are no shares, `unknown` says why.
  """

  fields: dict[str, Share]
  interaction: Share | None = None
  seeds: Share | None = None
  leads: bool = False
  missed: int = 0
  trials: int = 0
  left_out: int = 0
  unknown: str = ""

  @property
  def ranked(self) -> tuple[str, ...]:
    """The fields, from the largest share to the smallest."""
    return tuple(sorted(self.fields, key=lambda name: -self.fields[name].value))


def importance(
  paths: Sequence[str], settings: Mapping[Setting, Sequence[Observation]]
) -> Importance:
  """Attributes the variance of log costs to the fields of a grid.

  `settings` maps one value of each of `paths` to what its seeds cost. It must
  hold every combination, with two seeds in common, costs above zero, and one
  trial of each setting that reached the target; else `unknown` says what is
  wrong.
  """
  axes = _axes(paths, settings)
  whole = [settings.get(key, ()) for key in itertools.product(*axes)]
  cells = _blocks(whole)
  observations = [each for cell in cells for each in cell]
  counted = Importance(
    fields={},
    missed=sum(each.cost.censored for each in observations),
    trials=len(observations),
    left_out=sum(map(len, whole)) - len(observations),
  )
  reason = _reason_unknown(axes, settings) or _reason_costs_unknown(cells)
  if reason:
    return replace(counted, unknown=reason)
  complete = completed(cells)
  if complete is None:
    reason = _how_many_missed(counted.missed, counted.trials)
    return replace(counted, unknown=reason)
  tables = [
    None if logs is None else _table(logs, cells, tuple(map(len, axes)))
    for logs in complete
  ]
  squares = _Squares.without_boards(*tables)
  drawn = _Drawn.of(squares, np.random.default_rng(SEED))
  shares, seeds = _shares(squares, drawn)
  weights = replace(
    counted,
    fields=dict(zip(paths, shares, strict=False)),
    interaction=shares[-1],
    seeds=seeds,
  )
  first, *others = (list(paths).index(name) for name in weights.ranked)
  above = drawn.parts[first] > drawn.parts[others].max(axis=0)
  leads = shares[first].beyond_chance and above.mean() >= LEADS
  return replace(weights, leads=bool(leads))


def _axes(
  paths: Sequence[str], settings: Mapping[Setting, Sequence[Observation]]
) -> list[list[Any]]:
  return [
    list(dict.fromkeys(key[axis] for key in settings))
    for axis in range(len(paths))
  ]


def _blocks(
  cells: Sequence[Sequence[Observation]],
) -> list[list[Observation]]:
  """Leaves out seeds that some setting lacks; sorts the others.

  Sorted, so that the order of records cannot move an interval.
  """
  common = set[Any]().union(*({each.seed for each in cell} for cell in cells))
  for cell in cells:
    common &= {each.seed for each in cell}
  return [
    sorted(
      (each for each in cell if each.seed in common),
      key=lambda each: (str(each.seed), each.board, each.cost),
    )
    for cell in cells
  ]


def _reason_unknown(
  axes: Sequence[Sequence[Any]],
  settings: Mapping[Setting, Sequence[Observation]],
) -> str:
  if len(axes) < 2 or any(len(axis) < 2 for axis in axes):
    return "fewer than two fields vary"
  whole = math.prod(map(len, axes))
  with_costs = [of_setting for of_setting in settings.values() if of_setting]
  if len(with_costs) < whole:
    return f"the energy of only {len(with_costs)} of {whole} settings is known"
  if any(each.cost.value <= 0 for cell in with_costs for each in cell):
    return "a trial's joules are not above zero"
  return ""


def _reason_costs_unknown(cells: Sequence[Sequence[Observation]]) -> str:
  """Says what is wrong with complete blocks."""
  if len({each.seed for each in cells[0]}) < 2:
    return "fewer than two seeds ran in every setting"
  missed = sum(all(each.cost.censored for each in cell) for cell in cells)
  if missed:
    return f"in {missed} of {len(cells)} settings no trial reached the target"
  costs = [each.cost for cell in cells for each in cell]
  values = [cost.value for cost in costs]
  alike = max(values) - min(values) <= ROUNDING * max(values)
  if alike and not any(cost.censored for cost in costs):
    return "every trial cost the same"
  return ""


def _how_many_missed(missed: int, trials: int) -> str:
  return f"{missed} of {trials} trials missed the target"


def _table(
  logs: np.ndarray,
  cells: Sequence[Sequence[Observation]],
  shape: tuple[int, ...],
) -> np.ndarray:
  """Averages what a seed cost on several boards; (draws, *shape, seeds)."""
  labels = [
    (index, each.seed) for index, cell in enumerate(cells) for each in cell
  ]
  place = {label: i for i, label in enumerate(dict.fromkeys(labels))}
  of_label = [place[label] for label in labels]
  sums = np.zeros((len(place), len(logs)))
  np.add.at(sums, of_label, logs.T)
  means = sums / np.bincount(of_label)[:, None]
  return means.T.reshape(len(logs), *shape, -1)


# Sums of squares, and the components drawn from them


@dataclass(frozen=True, eq=False)
class _Squares:
  """The two-way analysis of variance of complete blocks, of several draws.

  Attributes:
    parts: Sums of squares of each field and of their interaction,
      (parts, draws).
    freedom: Degrees of freedom of each, (parts,).
    seeds: That of the seeds' means, (draws,).
    residual: That of the rest, (draws,).
    settings: How many settings there are.
    blocks: How many seeds.
    of_boards: What unknown boards are expected to add to `parts`, (parts,).
  """

  parts: np.ndarray
  freedom: np.ndarray
  seeds: np.ndarray
  residual: np.ndarray
  settings: int
  blocks: int
  of_boards: np.ndarray

  @classmethod
  def without_boards(
    cls, logs: np.ndarray | None, boards: np.ndarray | None
  ) -> "_Squares":
    """Takes off draws of what boards add, None for nothing.

    From the parts their mean: the rest of them may be what a field does, where
    its values ran on boards of their own.
    """
    assert logs is not None
    if boards is None:
      return cls.of(logs)
    mean = boards.mean(axis=0)
    return replace(
      cls.of(logs - boards),
      parts=cls.of(logs - mean).parts,
      of_boards=cls.of(boards - mean).parts.mean(axis=1),
    )

  @classmethod
  def of(cls, logs: np.ndarray) -> "_Squares":
    """Splits the squares of logs, (draws, *grid, seeds)."""
    _, *shape, blocks = logs.shape
    axes = tuple(range(1, 1 + len(shape)))
    settings = math.prod(shape)
    logs = logs - logs.mean((*axes, -1), keepdims=True)
    rest, parts = logs.mean(-1), []
    for axis in axes:
      others = tuple(a for a in axes if a != axis)
      main = rest.mean(others, keepdims=True)
      rest = rest - main
      parts.append(main)
    seeds = logs.mean(axes, keepdims=True)
    residual = logs - logs.mean(-1, keepdims=True) - seeds
    freedom = [n - 1 for n in shape]
    freedom.append(settings - 1 - sum(freedom))
    return cls(
      parts=settings
      * blocks
      * np.stack([(part**2).mean(axes) for part in (*parts, rest)]),
      freedom=np.array(freedom),
      seeds=settings * (seeds**2).sum((*axes, -1)),
      # Equal costs leave a variance to divide by.
      residual=np.maximum((residual**2).sum((*axes, -1)), LEAST_SCATTER**2),
      settings=settings,
      blocks=blocks,
      of_boards=np.zeros(len(freedom)),
    )

  def values(self) -> np.ndarray:
    """Estimates the shares of all parts and, last, of seeds, (parts + 1,).

    Each component without bias, negative ones taken as 0 (omega squared of
    fixed effects; Hays 1963).
    """
    noise = self.residual / ((self.settings - 1) * (self.blocks - 1))
    expected = self.freedom[:, None] * noise + self.of_boards[:, None]
    parts = (self.parts - expected) / (self.settings * self.blocks)
    seeds = self.within(noise, self.seeds / (self.blocks - 1))
    values = np.maximum([*map(np.median, (*parts, seeds))], 0)
    return values / values.sum()

  def within(self, noise: np.ndarray, of_seeds: np.ndarray) -> np.ndarray:
    """Returns the variance of one trial of a setting: of seed and noise.

    `of_seeds` is the mean square of seeds: of their variance, times settings,
    and the noise's. Their variance may come out negative, as it does half of
    the time where seeds share nothing; the sum cannot.
    """
    return ((self.settings - 1) * noise + of_seeds) / self.settings


@dataclass(frozen=True, eq=False)
class _Drawn:
  """Draws of the components; (draws,) each, `parts` and `others` of all parts.

  `others` holds what is between settings besides each part, `between` all of
  it; each is drawn as one component.
  """

  parts: np.ndarray
  others: np.ndarray
  between: np.ndarray
  seeds: np.ndarray

  @classmethod
  def of(cls, squares: _Squares, generator: np.random.Generator) -> "_Drawn":
    """Draws from the confidence distribution of each component."""
    count, blocks = squares.settings, squares.blocks
    draws = len(squares.residual)  # as many as completed logs, if any
    draws = draws if draws > 1 else DRAWS
    chi2 = generator.chisquare((count - 1) * (blocks - 1), draws)
    noise = squares.residual / chi2
    of_seeds = squares.seeds / generator.chisquare(blocks - 1, draws)

    def draw(sums: np.ndarray, freedom: float, of_boards: float) -> np.ndarray:
      scale = noise + of_boards / freedom
      off = _noncentrality(sums / scale, freedom, generator)
      return off * scale / (count * blocks)

    whole = (
      squares.parts.sum(axis=0),
      squares.freedom.sum(),
      squares.of_boards.sum(),
    )
    each = list(
      zip(squares.parts, squares.freedom, squares.of_boards, strict=True)
    )
    return cls(
      parts=np.stack([draw(*part) for part in each]),
      others=np.stack(
        [
          draw(*(all_of - of for all_of, of in zip(whole, part, strict=True)))
          for part in each
        ]
      ),
      between=draw(*whole),
      seeds=squares.within(noise, of_seeds),
    )


def _noncentrality(
  squares: np.ndarray, freedom: float, generator: np.random.Generator
) -> np.ndarray:
  """Draws noncentralities given noncentral chi-squared values.

  From the distribution whose cdf in the noncentrality is the probability of a
  larger value. A noncentral chi-squared is a central one with 2 J degrees of
  freedom more, J Poisson; turned round, J counts the arrivals of a Poisson
  process until half of the value, of which the first comes after a gamma of
  half of the degrees of freedom; the noncentrality is a chi-squared of 2 J.
  """
  left = squares / 2 - generator.gamma(freedom / 2, size=squares.shape)
  arrivals = 1 + generator.poisson(np.maximum(left, 0))
  return np.where(left > 0, 2 * generator.gamma(arrivals), 0.0)


def _shares(squares: _Squares, drawn: _Drawn) -> tuple[list[Share], Share]:
  """Returns the shares of all parts, and of seeds, with their intervals."""
  values = [float(value) for value in squares.values()]
  ends = [
    _interval(part / (part + others + drawn.seeds), TAIL_BELOW, TAIL_ABOVE)
    for part, others in zip(drawn.parts, drawn.others, strict=True)
  ]
  real = _beyond_chance((drawn.parts == 0).mean(axis=1))
  shares = [
    _share(value, low if is_real else 0.0, high)
    for value, (low, high), is_real in zip(values[:-1], ends, real, strict=True)
  ]
  of_seeds = drawn.seeds / (drawn.seeds + drawn.between)
  low, high = _interval(of_seeds, TAIL_ABOVE, TAIL_BELOW)
  return shares, _share(values[-1], low, high)


def _beyond_chance(chances: np.ndarray) -> np.ndarray:
  """Tells which parts are not 0, at most one falsely in 5 % of grids.

  `chances` are p values; the smallest must lie below 5 % over their number, the
  next below 5 % over the number left, and so on (Holm 1979).
  """
  order = np.argsort(chances)
  limits = (1 - CONFIDENCE) / np.arange(len(chances), 0, -1)
  passed = np.logical_and.accumulate(chances[order] <= limits)
  return np.isin(np.arange(len(chances)), order[passed])


def _interval(
  draws: np.ndarray, below: float, above: float
) -> tuple[float, float]:
  low, high = np.quantile(draws, (below, 1 - above))
  return float(low), float(high)


def _share(value: float, low: float, high: float) -> Share:
  return Share(min(max(value, low), high), low, high)
