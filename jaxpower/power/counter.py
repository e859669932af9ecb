"""Energy between two instants, from the ticks of a counter: pure functions.

A GPU's energy counter moves in ticks, every 20 or 100 ms. The difference of two
reads is off by up to a tick's energy at each edge. But at the ticks the
cumulative energy is known, so it is interpolated at the window's own instants:

  joules
    |                                _ o      o  a tick: a point, with the
    |                         _ x - '  :        error of its seconds
    |                 _ o - '   :      :     x  an edge of the window
    |       _ x - - '   :       :      :
    | o - '   :         :       :      :     energy = x at end - x at start
    +-:-------:---------:-------:------:--> seconds
     tick   start      tick    end    tick

A straight line between two ticks is right for a constant power. Where a tick's
mean power lies between those of its neighbours, one jump from the one to the
other explains it, and the energies say where it was: a line with a knee.

What the power did inside a tick cannot be seen: that is the error bar. Energy
is exact at both ticks, so the doubt is a bridge between them: variance grows as
part (1 - part) and is greatest in the middle. How much the power swings is told
by the ticks around the edge (swing.py).
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxpower.power.shares import COMMON, Shares, shares_of
from jaxpower.power.swing import TICK_VARIANCE, Ticks

NORMAL_95 = 1.96  # standard deviations in the half width of 95 %

# Correlation of the errors at two edges that are at most so many ticks apart:
# one rhythm of the work may hit both alike. Set in the same calibration.
EDGE_CORRELATION, NEAR_TICKS = 0.2, 2
# Seconds by which a value may be older than its tick: a standard deviation.
# Chosen: 15 ms are then within 95 %.
STALE_SECONDS = 7.6e-3
# A line past a tick is taken where its variance is below this share. Chosen.
CLEARLY = 0.7
EXTRAPOLATED_SWING = 0.5  # of the last power, at least, where it is carried on


@dataclass(frozen=True)
class Estimate:
  """Joules with a 95 % half width and the ticks inside, or None and why.

  `shares` tells what the bound is of.
  """

  joules: float | None
  bound: float | None
  ticks: int
  reasons: tuple[str, ...] = ()
  shares: Shares = COMMON


@dataclass(frozen=True)
class _Edge:
  """Cumulative joules at an edge of a window; `after` is the tick's end.

  `own` is the part of the variance that the ticks' instants have, `inside` that
  of the power inside a tick.
  """

  joules: float
  variance: float
  after: int
  own: float = 0.0
  inside: float = 0.0


def from_counter(
  seconds: Sequence[float],
  errors: Sequence[float],
  joules: Sequence[float],
  breaks: Mapping[int, str],
  start: float,
  end: float,
  *,
  extrapolate: bool = False,
  noise: float = 0.0,
  power: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> Estimate:
  """Estimates joules from `start` to `end` by a counter known at its ticks.

  With `extrapolate` the last power goes on after the last tick; otherwise
  an instant outside the ticks gives None, as does one of the `breaks` (by the
  tick that ends them) inside. `power` (seconds, watts) helps to judge how much
  the power moves inside a tick; `noise` is the counter's own, in joules.
  """
  count = len(seconds)
  if count < 2:
    return Estimate(None, None, count, ("the energy counter has not moved",))
  first = bisect_right(seconds, start)  # the ticks after the edges
  last = bisect_right(seconds, end)
  if first == 0:
    return Estimate(None, None, 0, ("it began before the first tick",))
  if last == count and seconds[-1] < end and not extrapolate:
    return Estimate(None, None, last - first, ("no tick after its end",))
  for i in range(first, min(last, count - 1) + 1):
    if i in breaks:
      return Estimate(None, None, last - first, (breaks[i],))
  ticks = Ticks(seconds, errors, joules, breaks, first, last, power)
  a = _edge(seconds, errors, joules, start, first, ticks)
  b = _edge(seconds, errors, joules, end, last, ticks)
  variance, own = a.variance + b.variance, a.own + b.own
  inside = a.inside + b.inside
  if last - first <= NEAR_TICKS:
    both = 2 * EDGE_CORRELATION * math.sqrt(a.variance * b.variance)
    more = 1 + both / variance if variance else 1.0
    own, inside, variance = own * more, inside * more, variance + both
  if first == last < count:
    # Both edges in one tick: their errors are those of one shorter stretch.
    span = seconds[first] - seconds[first - 1]
    part = (end - start) / span
    inside = (ticks.swing(first) * span) ** 2 * part * (1 - part)
    own = (ticks.watts(first) * errors[first]) ** 2 * part
    variance = inside + own
  elif first == count:
    variance, own, inside = _carried(seconds, ticks, start, end), 0.0, 0.0
  # A counter may lag behind by some milliseconds, which nothing tells.
  known = min(first, count - 1), min(last, count - 1)
  lag = STALE_SECONDS * (ticks.watts(known[0]) - ticks.watts(known[1]))
  variance += 2 * noise**2 + lag**2
  shares = shares_of(variance, own=own, edges=inside, late=lag)
  bound = NORMAL_95 * math.sqrt(variance)
  return Estimate(b.joules - a.joules, bound, last - first, shares=shares)


def _carried(
  seconds: Sequence[float], ticks: Ticks, start: float, end: float
) -> float:
  """Returns the variance of a window that lies beyond the last tick."""
  last = len(seconds) - 1
  wide = max(ticks.swing(last), EXTRAPOLATED_SWING * abs(ticks.watts(last)))
  return ((end - start) * wide) ** 2


def _edge(
  seconds: Sequence[float],
  errors: Sequence[float],
  joules: Sequence[float],
  instant: float,
  after: int,
  ticks: Ticks,
) -> _Edge:
  """Interpolates the cumulative energy at an instant, or carries it on."""
  after = min(after, len(seconds) - 1)
  span = seconds[after] - seconds[after - 1]
  part = (instant - seconds[after - 1]) / span
  if part <= 1.0:
    return _between(seconds, errors, joules, instant, after, ticks)
  # Beyond the last tick: the last power goes on.
  power, beyond = ticks.watts(after), (part - 1.0) * span
  value = joules[after] + beyond * power
  variance = (beyond * max(ticks.swing(after), EXTRAPOLATED_SWING * power)) ** 2
  variance += TICK_VARIANCE * (power * errors[after]) ** 2
  return _Edge(value, variance, after)


def _between(
  seconds: Sequence[float],
  errors: Sequence[float],
  joules: Sequence[float],
  instant: float,
  after: int,
  ticks: Ticks,
) -> _Edge:
  """Interpolates between the points around an instant that tell it best.

  The nearest two, except where one of them is known badly and power is so even
  that a line past it is better.
  """
  best: _Edge | None = None
  for low in (after - 1, after - 2):
    for high in (after, after + 1):
      if best and not ticks.joined(low, high):
        continue
      span = seconds[high] - seconds[low]
      part = (instant - seconds[low]) / span
      power = (joules[high] - joules[low]) / span
      # Moving a tick moves the line: the nearer tick's error counts for more.
      error = errors[low] * (1 - part) + errors[high] * part
      scale = ticks.scale(low, high, power)
      own = TICK_VARIANCE * (scale * error) ** 2
      swing = max(ticks.swing(i) for i in range(low + 1, high + 1))
      inside = (swing * span) ** 2 * part * (1 - part)
      variance = own + inside
      if best and variance > CLEARLY * best.variance:
        continue
      value = joules[low] + part * span * power
      if high - low == 1:
        value = joules[low] + _inside(ticks, after, part) * span
      best = _Edge(value, variance, after, own, inside)
  assert best is not None
  return best


def _inside(ticks: Ticks, i: int, part: float) -> float:
  """Returns energy over span up to a part of the tick that ends at i.

  Where the tick's mean power lies between its neighbours', one jump from the
  one to the other explains it, at the knee:

    before ________           here = knee before + (1 - knee) later
                  |___ later
           0     knee  1
  """
  here = ticks.watts(i)
  before, later = ticks.neighbours(i)
  if before is None or later is None or before == later:
    return part * here
  if ticks.is_long(i):  # it has many jumps
    return part * here
  if ticks.is_noise(i, before - later):
    return part * here
  knee = (here - later) / (before - later)
  if not 0.0 < knee < 1.0:
    return part * here
  return min(part, knee) * before + max(0.0, part - knee) * later
