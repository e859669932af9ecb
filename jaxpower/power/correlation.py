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

Not all of an error is shared (shares.py). When the ticks were is each sensor's
own, so that it adds up as chance; and sensors that tick at other instants miss
less of the same (overlap.py).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from jaxpower.power.overlap import Matrix, counters, instants, readings
from jaxpower.power.shares import COMMON, Shares

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
# What is missed at other instants counts once, in what overlaps. Set on seeds
# 200, 300, and by the worst kinds of 41000.
CAUTION = 2.0
# An instant's error is the half width of where it may lie; so much of what the
# bound takes for it is its mean square (single boards of seed 200), and no more
# can be shared where ticks fall together.
OWN = 0.45
FEWEST_UPDATES = 2  # fewer tell nothing of where they fall
# A power that spreads by less than this share of its mean tells nothing.
LIVELY = 1e-3


@dataclass(frozen=True)
class Line:
  """The points of a sensor's cumulative energy: seconds, joules.

  They are `ticks` of a counter, known to some `errors` in seconds, or of
  integrated power, without. `updates` are those of its power reading. `shares`
  tells what its error is of.
  """

  seconds: Sequence[float]
  joules: Sequence[float]
  errors: Sequence[float] = ()
  shares: Shares = COMMON
  updates: Sequence[float] = ()


def integrated(
  seconds: Sequence[float], watts: Sequence[float], start: float, end: float
) -> Line:
  """Returns the line of power readings around a window."""
  watts = watts[_around(seconds, start, end)]
  seconds = near(seconds, start, end)
  means = [(a + b) / 2 for a, b in pairwise(watts)]
  spans = [b - a for a, b in pairwise(seconds)]
  steps = (mean * span for mean, span in zip(means, spans, strict=True))
  joules = list(accumulate(steps, initial=0.0)) if seconds else []
  return Line(seconds, joules, updates=seconds)


def near(seconds: Sequence[float], start: float, end: float) -> Sequence[float]:
  """Returns the instants in and around a window."""
  return seconds[_around(seconds, start, end)]


def _around(seconds: Sequence[float], start: float, end: float) -> slice:
  low = max(0, bisect_left(seconds, start) - AROUND)
  return slice(low, bisect_right(seconds, end) + AROUND)


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
  matrix = [[1.0] * len(lines) for _ in lines]
  own = _ticks_alike(lines, start, end)
  edges = _edges_alike(lines, start, end)
  unseen = _readings_alike(lines, start, end)
  for i, first in enumerate(lines):
    for j, second in enumerate(lines[:i]):
      a, b = first.shares, second.shares
      rho = math.sqrt(a.common * b.common)
      rho += OWN * math.sqrt(a.own * b.own) * own[i][j]
      rho += math.sqrt(a.edges * b.edges) * edges[i][j]
      rho += math.sqrt(a.unseen * b.unseen) * unseen[i][j]
      rho *= correlation(powers[i], powers[j])
      # Where power falls on one and rises on the other, not counted on.
      rho += max(0.0, a.late * b.late)
      matrix[i][j] = matrix[j][i] = rho
  return matrix


def _with_ticks(lines: Sequence[Line]) -> list[int]:
  return [i for i, line in enumerate(lines) if len(line.errors) > 1]


def _ticks_alike(lines: Sequence[Line], start: float, end: float) -> Matrix:
  """Returns how alike lines err by when their ticks were."""
  known = _with_ticks(lines)
  rows = [lines[i].seconds for i in known]
  errors = [lines[i].errors for i in known]
  return _among(len(lines), known, instants(rows, errors, start, end))


def _edges_alike(lines: Sequence[Line], start: float, end: float) -> Matrix:
  """Returns how alike lines err by power inside the ticks at the edges."""
  known = _with_ticks(lines)
  rows = [lines[i].seconds for i in known]
  return _among(len(lines), known, counters(rows, start, end))


def _readings_alike(lines: Sequence[Line], start: float, end: float) -> Matrix:
  """Returns how alike lines err by power that no reading sees."""
  known = [
    i
    for i, line in enumerate(lines)
    if line.shares.unseen and len(line.updates) > FEWEST_UPDATES
  ]
  rows = [lines[i].updates for i in known]
  return _among(len(lines), known, readings(rows, start, end))


def _among(count: int, known: Sequence[int], found: Matrix) -> Matrix:
  """Returns a matrix of all where some are known, 1 where not."""
  matrix = [[1.0] * count for _ in range(count)]
  for i, row in zip(known, found, strict=True):
    for j, alike in zip(known, row, strict=True):
      matrix[i][j] = alike
  return matrix


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
