"""How the errors of several sensors add up in one window: pure functions.

GPUs that train one model compute and wait together, so that both edges of a
window lie at the same place of every GPU's step, and what the power did inside
a tick is missed by all alike: one error, eight times. GPUs that do work of
their own err by chance, and their errors cancel in part. The ticks tell which:

  power    GPU 0   _--_--_--_      in step: the powers of the ticks rise and
           GPU 1   _--_--_--_      fall together, and bounds add linearly
           GPU 2   --_-__-__-      on its own: bounds add in squares

Where the powers say nothing, because there are too few ticks or the power
stays, the errors are taken as one.

Sensors whose ticks come at other instants miss different things, though the
power is the same. What the one misses at an edge lies between its two ticks
around it, and only what is between the ticks of both is missed by both:

  GPU 0   |       e       |       the error at the edge e: of what happened
  GPU 1       |   e           |   in either half, the less the further away
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

# Chosen. Intervals compared on each side of an edge: as many ticks as the
# counter's bound looks at, and some more, since few tell little.
INTERVALS = 16
FEWEST_INTERVALS = 8
AROUND = 2 * INTERVALS + 2  # readings before and after a window
# Sensors of one rhythm may tick at other instants: the best of these shifts, in
# intervals, counts.
SHIFTS = (-1, 0, 1)
# Errors are taken to be so much more alike than the powers, at most as one:
# ticks of 20 ms under steps of 37 ms, not in step with one another, moved alike
# by 0.34 (median), and their errors were nearly one (tests, power_correlation).
CAUTION = 1.2
# So much of what is said to be a sensor's own is taken for it: instants that
# are known better than said leave more to what is shared. Set on seed 9600.
OWN = 0.75
# A power that spreads by less than this share of its mean tells nothing.
LIVELY = 1e-3


@dataclass(frozen=True)
class Line:
  """The points of a sensor's cumulative energy: seconds, joules.

  They are `ticks` of a counter, or of integrated power. `own_share` of the
  variance of its error is what it shares with no other sensor.
  """

  seconds: Sequence[float]
  joules: Sequence[float]
  ticks: bool = True
  own_share: float = 0.0


def integrated(
  seconds: Sequence[float], watts: Sequence[float], start: float, end: float
) -> Line:
  """Returns the line of power readings around a window."""
  low = max(0, bisect_left(seconds, start) - AROUND)
  high = bisect_right(seconds, end) + AROUND
  seconds, watts = seconds[low:high], watts[low:high]
  means = [(a + b) / 2 for a, b in pairwise(watts)]
  spans = [b - a for a, b in pairwise(seconds)]
  steps = (mean * span for mean, span in zip(means, spans, strict=True))
  joules = list(accumulate(steps, initial=0.0)) if seconds else []
  return Line(seconds, joules, ticks=False)


def add_bounds(
  bounds: Sequence[float],
  correlations: Sequence[Sequence[float]] | None = None,
) -> float:
  """Adds half widths of errors: linearly, or by their correlations.

  The square of the sum is the sum of rho_ij b_i b_j.
  """
  if correlations is None:
    return math.fsum(bounds)
  square = math.fsum(
    rho * bounds[i] * bounds[j]
    for i, row in enumerate(correlations)
    for j, rho in enumerate(row)
  )
  return math.sqrt(max(0.0, square))


def correlations(
  lines: Sequence[Line], start: float, end: float
) -> list[list[float]]:
  """Finds how alike several sensors err in a window, from 0 to 1.

  0 is independent, 1 one error, or not known.
  """
  if len(lines) < 2:
    return [[1.0]] * len(lines)
  step = max(_typical_step(line, start, end) for line in lines)
  powers = [_mean_powers(line, start, end, step) for line in lines]
  around = [[_tick_at(line, edge) for edge in (start, end)] for line in lines]
  matrix = [[1.0] * len(lines) for _ in lines]
  for i, first in enumerate(lines):
    for j, second in enumerate(lines[:i]):
      rho = correlation(powers[i], powers[j]) * overlap(around[i], around[j])
      own = (OWN * first.own_share, OWN * second.own_share)
      rho *= math.sqrt((1 - own[0]) * (1 - own[1]))
      matrix[i][j] = matrix[j][i] = rho
  return matrix


Tick = tuple[float, float]  # seconds before and after an edge, to its ticks


def _tick_at(line: Line, instant: float) -> Tick | None:
  """Returns how far the ticks around an instant are, None: not known."""
  seconds, after = line.seconds, bisect_right(line.seconds, instant)
  if not line.ticks or not 0 < after < len(seconds):
    return None
  return instant - seconds[after - 1], seconds[after] - instant


def overlap(
  first: Sequence[Tick | None], second: Sequence[Tick | None]
) -> float:
  """Returns how alike two sensors miss the same power at the same edges.

  1 where their ticks fall together, or are not known.
  """
  alike = [
    1.0 if a is None or b is None else shared(a, b)
    for a, b in zip(first, second, strict=True)
  ]
  return math.fsum(alike) / len(alike)


def shared(first: Tick, second: Tick) -> float:
  """Returns the correlation of what two ticks around one edge miss.

  Of one jump of power, at any instant alike: a line between the ticks errs at
  the edge by the jump, less the further away it is, and by nothing beyond them.
  Power that is white would share a tenth less; then 93 % were covered on some
  seeds.
  """
  own = _missed(first, first) * _missed(second, second)
  return _missed(first, second) / math.sqrt(own) if own > 0 else 1.0


def _missed(first: Tick, second: Tick) -> float:
  """Returns the mean product of two errors at an edge, over all jumps."""
  parts = [before / (before + after) for before, after in (first, second)]
  product = 0.0
  for side, weights in ((1, parts), (0, [1 - part for part in parts])):
    x, y = first[side], second[side]
    reach = min(x, y)
    integral = reach * (x * y - (x + y) * reach / 2 + reach**2 / 3)
    product += weights[0] * weights[1] * integral
  return product


def correlation(
  first: Sequence[float | None], second: Sequence[float | None]
) -> float:
  """Bounds the correlation of two rows of powers from above; 1: not known."""
  found = []
  for shift in SHIFTS:
    pairs = [
      (a, b)
      for a, b in zip(
        first[max(0, shift) :], second[max(0, -shift) :], strict=False
      )
      if a is not None and b is not None
    ]
    found.append(_cautious(pairs))
  return max(found)


def _cautious(pairs: Sequence[tuple[float, float]]) -> float:
  """Returns the correlation of pairs, raised, its sign left out.

  Which sign the errors have is not known where the shift is not zero.
  """
  if len(pairs) < FEWEST_INTERVALS:
    return 1.0
  means = [
    math.fsum(column) / len(pairs) for column in zip(*pairs, strict=True)
  ]
  off = [(a - means[0], b - means[1]) for a, b in pairs]
  squares = [
    math.fsum(x * x for x in column) for column in zip(*off, strict=True)
  ]
  for square, mean in zip(squares, means, strict=True):
    if square <= len(pairs) * (LIVELY * mean) ** 2:
      return 1.0
  r = math.fsum(a * b for a, b in off) / math.sqrt(squares[0] * squares[1])
  return min(1.0, CAUTION * abs(r))


def _typical_step(line: Line, start: float, end: float) -> float:
  """Returns the mean seconds from point to point around a window."""
  seconds = line.seconds
  low = max(0, bisect_left(seconds, start) - INTERVALS)
  high = min(len(seconds) - 1, bisect_right(seconds, end) + INTERVALS)
  return (seconds[high] - seconds[low]) / (high - low) if high > low else 0.0


def _mean_powers(
  line: Line, start: float, end: float, step: float
) -> list[float | None]:
  """Returns mean watts of equal intervals around both edges, None: unknown."""
  seconds, joules = line.seconds, line.joules
  if step <= 0 or len(seconds) < 2:
    return []
  first = start - INTERVALS * step
  count = math.ceil((end - first) / step) + INTERVALS
  last = max(2 * INTERVALS, count - 2 * INTERVALS)
  numbers = (*range(min(2 * INTERVALS, count)), *range(last, count))
  return [_mean_power(seconds, joules, first + i * step, step) for i in numbers]


def _mean_power(
  seconds: Sequence[float], joules: Sequence[float], begin: float, step: float
) -> float | None:
  if begin < seconds[0] or begin + step > seconds[-1]:
    return None
  end = joules_at(seconds, joules, begin + step)
  return (end - joules_at(seconds, joules, begin)) / step


def joules_at(
  seconds: Sequence[float], joules: Sequence[float], instant: float
) -> float:
  """Returns the cumulative joules at an instant, on a line between points."""
  i = min(max(bisect_left(seconds, instant), 1), len(seconds) - 1)
  span = seconds[i] - seconds[i - 1]
  part = (instant - seconds[i - 1]) / span if span > 0 else 0.0
  return joules[i - 1] + part * (joules[i] - joules[i - 1])
