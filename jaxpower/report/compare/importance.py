"""How much each varied field matters: shares of the variance of log joules.

Over a full grid of settings the variance of log joules-to-accuracy is exactly
the sum of what each field explains alone (its main effect, the first-order
Sobol index on the grid), of what only fields together explain, and of what
seeds do within a setting (the analysis of variance; Fisher 1925). Every
setting counts the same, however many of its seeds ran.

A trial that missed its target is only known to cost more than it spent. So
every share is taken for each factor from one upwards by which the misses may
have fallen short of the truth, one factor for all, and its range is given.

How that range is found: a log cost is a line in t, the log of that factor:
log cost + t where the trial missed, else log cost. A mean of squares of such
lines is a parabola in t, and a share of a variance is a quotient of two
parabolas, whose extremes over t from 0 on are known in closed form.

Certainty: seeds are drawn anew within each setting (bootstrap). That adds
their noise a second time, which is taken off the interval again; and a share
counts as real only where its whole interval lies above what the noise of seeds
alone would give it on average (`chance`).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxpower.report.compare.statistics import CONFIDENCE, SEED, Cost

RESAMPLES = 2_000  # of each setting's seeds; chosen, not fitted

# Costs closer than this, relatively, are the same: the rounding of their logs,
# about 1e-15, would be a share of their variance.
ROUNDING = 1e-9
MOST_MISSED = 0.5  # of the trials; of more, the misses would decide alone


Setting = tuple[Any, ...]  # one value of each field


@dataclass(frozen=True)
class Share:
  """A part of the variance, from 0 to 1.

  `least` and `most` differ only where trials missed. `low` and `high` are the
  ends of the 95 % bootstrap interval over seeds, None with one seed. `chance`
  is what the noise of seeds alone would give on average (at most, where trials
  missed); None with one seed.
  """

  least: float
  most: float
  low: float | None = None
  high: float | None = None
  chance: float | None = None

  @property
  def beyond_chance(self) -> bool:
    """Whether the whole interval lies above what noise alone would give."""
    if self.low is None or self.chance is None:
      return False
    return self.low > self.chance


@dataclass(frozen=True, kw_only=True)
class Importance:
  """The shares of fields, in the order given, of interaction and of seeds.

  `seeds` is None with one seed a setting: then noise stands among the others.
  `leads`: whether the largest field's share is above every other field's in
  the whole interval. Where there are no shares, `unknown` says why.
  """

  fields: dict[str, Share]
  interaction: Share | None = None
  seeds: Share | None = None
  leads: bool = False
  missed: int = 0
  trials: int = 0
  unknown: str = ""

  @property
  def ranked(self) -> tuple[str, ...]:
    """The fields, from the largest share to the smallest."""
    return tuple(
      sorted(
        self.fields,
        key=lambda name: -(self.fields[name].least + self.fields[name].most),
      )
    )


def importance(
  paths: Sequence[str], settings: Mapping[Setting, Sequence[Cost]]
) -> Importance:
  """Attributes the variance of log costs to the fields of a grid.

  `settings` maps one value of each of `paths` to the costs of its trials. It
  must hold every combination, each with a cost above zero, and at most half
  of the trials may have missed; else `unknown` says what is wrong.
  """
  costs = [cost for of_setting in settings.values() for cost in of_setting]
  missed = sum(cost.censored for cost in costs)
  reason = _reason_unknown(paths, settings, costs, missed)
  if reason:
    return Importance(
      fields={}, missed=missed, trials=len(costs), unknown=reason
    )
  axes = _axes(paths, settings)
  shape = tuple(map(len, axes))
  cells = [settings[key] for key in itertools.product(*axes)]
  observed = _Variance.of(_means(cells), shape)
  drawn = None
  if all(len(cell) > 1 for cell in cells):
    drawn = _Variance.of(_resampled(cells), shape)
  noise = _noise_of_means(cells) if drawn else None
  freedom = [n - 1 for n in shape]
  freedom.append(math.prod(shape) - 1 - sum(freedom))
  chances = [
    None if noise is None else observed.ends(noise * degrees / len(cells))
    for degrees in freedom
  ]
  shares = [
    observed.share(index, drawn, chance) for index, chance in enumerate(chances)
  ]
  degrees = math.prod(shape) - 1
  weights = Importance(
    fields=dict(zip(paths, shares, strict=False)),
    interaction=shares[len(paths)],
    seeds=None
    if drawn is None or noise is None
    else observed.seeds(drawn, observed.ends(noise * degrees / len(cells))),
    missed=missed,
    trials=len(costs),
  )
  first, *others = (list(paths).index(name) for name in weights.ranked)
  leads = drawn is not None and all(
    drawn.low_end_of_lead(first, other) > 0 for other in others
  )
  return replace(weights, leads=leads)


def _reason_unknown(
  paths: Sequence[str],
  settings: Mapping[Setting, Sequence[Cost]],
  costs: Sequence[Cost],
  missed: int,
) -> str:
  if len(paths) < 2:
    return "fewer than two fields vary"
  axes = _axes(paths, settings)
  if any(len(axis) < 2 for axis in axes):
    return "fewer than two fields vary"
  whole = math.prod(map(len, axes))
  with_costs = sum(bool(of_setting) for of_setting in settings.values())
  if with_costs < whole:
    return f"the energy of only {with_costs} of {whole} settings is known"
  if any(cost.value <= 0 for cost in costs):
    return "a trial's joules are not above zero"
  if missed > MOST_MISSED * len(costs):
    return f"{missed} of {len(costs)} trials missed the target"
  values = [cost.value for cost in costs]
  alike = max(values) - min(values) <= ROUNDING * max(values)
  if alike and len({cost.censored for cost in costs}) == 1:
    return "every trial cost the same"
  return ""


def _axes(
  paths: Sequence[str], settings: Mapping[Setting, Sequence[Cost]]
) -> list[list[Any]]:
  return [
    list(dict.fromkeys(key[axis] for key in settings))
    for axis in range(len(paths))
  ]


@dataclass(frozen=True)
class _Variance:
  """The variance and its components as parabolas in t: coefficients last.

  components: (fields + 2, ..., 3), the last two being interaction and seeds;
  whole: (..., 3).
  """

  components: np.ndarray
  whole: np.ndarray

  @classmethod
  def of(
    cls, cells: tuple[np.ndarray, np.ndarray], shape: tuple[int, ...]
  ) -> "_Variance":
    """Splits means (2, ..., cells) and adds parabolas of noise (..., 3)."""
    means, noise = cells
    lines = means.reshape(*means.shape[:-1], *shape)
    axes = tuple(range(-len(shape), 0))
    lines = lines - lines.mean(axes, keepdims=True)
    mains = [
      parabola(lines.mean(tuple(a for a in axes if a != axis)), (-1,))
      for axis in axes
    ]
    together = parabola(_residual(lines, axes), axes)
    components = np.stack([*mains, together, noise])
    return cls(components, parabola(lines, axes) + noise)

  def ends(self, over: np.ndarray) -> tuple[float, float]:
    """Returns the least and most of a parabola's share of the whole."""
    least, most = quotient_range(over, self.whole)
    return _inside(least, most)

  def share(
    self,
    index: int,
    drawn: "_Variance | None",
    chance: tuple[float, float] | None,
  ) -> Share:
    """Returns a component's share, with its interval where seeds allow."""
    least, most = self.ends(self.components[index])
    if drawn is None or chance is None:
      return Share(least, most)
    # Drawing seeds anew adds their noise a second time: taken off again.
    low, high = drawn.interval(index, -chance[1], -chance[0])
    return Share(least, most, min(least, low), max(most, high), chance[1])

  def seeds(self, drawn: "_Variance", lost: tuple[float, float]) -> Share:
    """Returns the share of seeds; resampling takes from it what others gain."""
    least, most = self.ends(self.components[-1])
    low, high = drawn.interval(-1, *lost)
    return Share(least, most, min(least, low), max(most, high))

  def interval(self, index: int, down: float, up: float) -> tuple[float, float]:
    """Returns the 95 % interval of a component's share, its ends shifted."""
    lower, upper = quotient_range(self.components[index], self.whole)
    tail = (1 - CONFIDENCE) / 2
    return _inside(
      np.quantile(lower, tail) + down, np.quantile(upper, 1 - tail) + up
    )

  def low_end_of_lead(self, first: int, second: int) -> float:
    """Returns the 2.5 % quantile of one share minus another."""
    lower, _ = quotient_range(
      self.components[first] - self.components[second], self.whole
    )
    return float(np.quantile(lower, (1 - CONFIDENCE) / 2))


def _means(cells: Sequence[Sequence[Cost]]) -> tuple[np.ndarray, np.ndarray]:
  """Returns mean lines of each cell (2, cells) and the noise (3,)."""
  lines = [_lines(cell) for cell in cells]
  means = np.stack([line.mean(-1) for line in lines], axis=-1)
  noise = sum(parabola(_centred(line), (-1,)) for line in lines)
  return means, np.asarray(noise) / len(cells)


def _resampled(
  cells: Sequence[Sequence[Cost]],
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the same for resampled seeds of each cell, RESAMPLES times."""
  generator = np.random.default_rng(SEED)
  means, noise = [], np.zeros((RESAMPLES, 3))
  for cell in cells:
    picks = generator.integers(len(cell), size=(RESAMPLES, len(cell)))
    lines = _lines(cell)[:, picks]
    means.append(lines.mean(-1))
    noise += parabola(_centred(lines), (-1,)) / len(cells)
  return np.stack(means, axis=-1), noise


def _noise_of_means(cells: Sequence[Sequence[Cost]]) -> np.ndarray:
  """Averages over cells the variance that seeds give to a cell's mean."""
  squares = sum(
    parabola(_centred(_lines(cell)), (-1,)) * len(cell) for cell in cells
  )
  variance = np.asarray(squares) / sum(len(cell) - 1 for cell in cells)
  return variance * sum(1 / len(cell) for cell in cells) / len(cells)


def _lines(cell: Sequence[Cost]) -> np.ndarray:
  # Sorted, so that the order of records cannot move an interval.
  cell = sorted(cell)
  return np.array(
    [[math.log(c.value) for c in cell], [float(c.censored) for c in cell]]
  )


def _centred(lines: np.ndarray) -> np.ndarray:
  return lines - lines.mean(-1, keepdims=True)


def _residual(lines: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
  """Subtracts the main effects from centred lines."""
  for axis in axes:
    others = tuple(a for a in axes if a != axis)
    lines = lines - lines.mean(others, keepdims=True)
  return lines


def _inside(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
  low, high = np.clip((low, high), 0, 1)
  return float(low), float(high)


def parabola(lines: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
  """Takes the mean over `axes` of (value + slope t) squared; shape (..., 3)."""
  value, slope = lines
  return np.stack(
    [
      (value**2).mean(axes),
      2 * (value * slope).mean(axes),
      (slope**2).mean(axes),
    ],
    axis=-1,
  )


def quotient_range(
  over: np.ndarray, under: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Finds the least and most of a quotient of parabolas over t from 0 on.

  It turns where its derivative is zero, which is a quadratic in t; so its
  extremes lie there, at t = 0 or at t without end. Nothing over nothing is
  left out; where that is all, both are zero.
  """
  c, b, a = np.moveaxis(over, -1, 0)  # c + b t + a t ** 2
  z, y, x = np.moveaxis(under, -1, 0)
  # The numerator of the derivative is p t ** 2 + q t + r.
  p, q, r = a * y - b * x, 2 * (a * z - c * x), b * z - c * y
  with np.errstate(all="ignore"):
    root = np.sqrt(q**2 - 4 * p * r)
    turns = [(-q + root) / (2 * p), (-q - root) / (2 * p), -r / q]
    at = [c / z, a / x]
    for t in turns:
      t = np.where(t > 0, t, np.nan)
      at.append((c + b * t + a * t**2) / (z + y * t + x * t**2))
  quotients = np.stack([np.where(np.isfinite(v), v, np.nan) for v in at])
  # Rounding may take a quotient beyond the whole by a hair.
  quotients = np.clip(quotients, -1.0, 1.0)
  undefined = np.isnan(quotients).all(0)
  quotients = np.where(undefined, 0.0, quotients)
  return np.nanmin(quotients, 0), np.nanmax(quotients, 0)
