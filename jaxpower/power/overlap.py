"""How alike sensors err that look at one power: pure functions.

Whatever the sensor, its joules are linear in the power. So all that it misses
of a window is told by how it errs where the power jumps by 1 W, at any instant:

  counter    |_.-'|-._|_______|_.-'|-._|   in the ticks around both edges
  ticks      |    e   |       |    e   |   alone, most at the edge e

  readings   /|  /|  /|  /|  /|  /|  /|    in the whole window: by what came
  updates   / | / | / | / | / | / | / |    before a reading too much, by what
              |/  |/  |/  |/  |/  |/       comes after it too little

Two sensors whose ticks or updates come at other instants err otherwise by the
same jump. The mean product of their errors, over jumps at any instant alike,
tells how much they share. Below 0 one errs up where the other errs down; that
is not counted on, as steps in a rhythm are no jumps at any instant.

When the ticks were is each sensor's own, unless they fall together.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import mul

Matrix = list[list[float]]
Ticks = tuple[float, float]  # around an edge, before and after it

# Many sensors see 25 of every 100 ms (integral.py): so much before an update.
SEEN = 0.25
LONGEST = 4  # updates of a window that are looked at, at most; chosen
# Of an error: ticks further apart have fallen on their own. Chosen.
NEAR = 0.5
# The two points of Gauss between -1 and 1: exact for products of straight lines
GAUSS = (-1 / math.sqrt(3), 1 / math.sqrt(3))


def counters(
  rows: Sequence[Sequence[float]], start: float, end: float
) -> Matrix:
  """Returns how alike counters err in a window, 0 to 1, by their ticks."""
  if len(rows) < 2:
    return [[1.0]] * len(rows)
  edges = [(around(row, start), around(row, end)) for row in rows]
  ticks = {tick for both in edges for ticks in both for tick in ticks}
  points, roots = _gauss(sorted({start, end} | ticks))
  missed = []
  for first, last in edges:
    errors = [
      interpolated(u, end, last) - interpolated(u, start, first) for u in points
    ]
    missed.append(list(map(mul, errors, roots)))
  return _alike(missed)


def instants(
  rows: Sequence[Sequence[float]],
  errors: Sequence[Sequence[float]],
  start: float,
  end: float,
) -> Matrix:
  """Returns how alike ticks around the edges are misplaced, 0 to 1.

  One thread reads all sensors: ticks that fall together are placed by the same
  reads. Those that merely may, within their errors, are not.
  """
  rows_of_ticks = []
  for seconds, error in zip(rows, errors, strict=True):
    after = [_after(seconds, edge) for edge in (start, end)]
    numbers = [i - back for i in after for back in (1, 0)]
    rows_of_ticks.append([(seconds[i], error[i]) for i in numbers])
  return [
    [
      math.fsum(map(_together, first, second)) / len(first)
      for second in rows_of_ticks
    ]
    for first in rows_of_ticks
  ]


def _together(first: Ticks, second: Ticks) -> float:
  """Tells how near two ticks are, of seconds and an error each: 1 at once."""
  apart, reach = abs(first[0] - second[0]), NEAR * min(first[1], second[1])
  return max(0.0, 1.0 - apart / reach) if reach > 0 else float(apart == 0)


def readings(
  rows: Sequence[Sequence[float]], start: float, end: float
) -> Matrix:
  """Returns how alike integrals err in a window, 0 to 1, by their updates.

  Of a long window the beginning is looked at: the rest does as it does.
  """
  if len(rows) < 2:
    return [[1.0]] * len(rows)
  update = max((row[-1] - row[0]) / (len(row) - 1) for row in rows)
  stop = min(end + update, start + LONGEST * update)
  knots = {instant for instant in (start, end) if instant < stop}
  for row in rows:
    for before, instant in pairwise(row):
      for knot in (instant, instant - SEEN * (instant - before)):
        if start - 2 * update < knot < stop:
          knots.add(knot)
  points, roots = _gauss(sorted(knots))
  missed = []
  for row in rows:
    errors = [integrated(u, row, start, end) for u in points]
    missed.append(list(map(mul, errors, roots)))
  return _alike(missed)


def _gauss(knots: Sequence[float]) -> tuple[list[float], list[float]]:
  """Returns instants, and the roots of their weights in an integral."""
  points, roots = [], []
  for low, high in pairwise(knots):
    half = (high - low) / 2
    for place in GAUSS:
      points.append((low + high) / 2 + place * half)
      roots.append(math.sqrt(half))
  return points, roots


def _alike(missed: Sequence[Sequence[float]]) -> Matrix:
  """Returns the mean products of errors over their sizes, 0 to 1.

  1 where a sensor misses nothing that could be shared.
  """
  norms = [math.sqrt(sum(map(mul, row, row))) for row in missed]
  matrix = [[1.0] * len(missed) for _ in missed]
  for i, first in enumerate(missed):
    for j, second in enumerate(missed[:i]):
      norm = norms[i] * norms[j]
      product = sum(map(mul, first, second))
      alike = min(1.0, max(0.0, product / norm)) if norm > 0 else 1.0
      matrix[i][j] = matrix[j][i] = alike
  return matrix


def around(seconds: Sequence[float], instant: float) -> Ticks:
  """Returns the ticks around an instant."""
  after = _after(seconds, instant)
  return seconds[after - 1], seconds[after]


def _after(seconds: Sequence[float], instant: float) -> int:
  """Returns which tick comes after an instant, or is the nearest to do so."""
  return min(max(bisect_right(seconds, instant), 1), len(seconds) - 1)


def interpolated(jump: float, edge: float, ticks: Ticks) -> float:
  """Returns the error of a counter's joules up to an edge.

  They are interpolated between two ticks; 1 W is drawn from `jump` on.
  """
  low, high = (max(0.0, tick - jump) for tick in ticks)
  part = (edge - ticks[0]) / (ticks[1] - ticks[0])
  return low + part * (high - low) - max(0.0, edge - jump)


def integrated(
  jump: float, updates: Sequence[float], start: float, end: float
) -> float:
  """Returns the error of readings integrated by the trapezoid rule.

  A reading is the mean over `SEEN` of the time since the one before; 1 W is
  drawn from `jump` on.
  """
  i = min(max(bisect_right(updates, jump), 1), len(updates) - 2)
  before, update, later = updates[i - 1 : i + 2]
  seen = (update - jump) / (SEEN * (update - before))
  missed = max(0.0, start - jump) - max(0.0, end - jump)
  missed += _ramp(end, before, update) - _ramp(start, before, update)
  if seen >= 1.0:
    return missed
  # The rest of the jump is in the reading after.
  late = _ramp(end, update, later) - _ramp(start, update, later)
  late -= _ramp(end, before, update) - _ramp(start, before, update)
  return missed + (1.0 - max(0.0, seen)) * late


def _ramp(instant: float, low: float, high: float) -> float:
  """Returns the joules up to an instant of power that rises to 1 W."""
  inside = min(max(0.0, instant - low), high - low)
  return inside * inside / (2 * (high - low)) + max(0.0, instant - high)
