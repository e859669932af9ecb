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
part (1 - part) and is greatest in the middle. How much the power swings is
judged by four views of it around the edge (`_Ticks.swing`), whose weights are
calibrated, not derived.
"""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NORMAL_95 = 1.96  # standard deviations in the half width of 95 %
MEDIAN_TO_SD = 1.48  # standard deviations in a normal's median deviation

# Weights of the four views of how the power swings inside a tick. Calibrated by
# benchmarks/meter_accuracy.py on five kinds of power and counters of 20 and
# 100 ms, seeds 0 to 5 and 100 to 103, to cover the truth in 95 % of windows;
# meter_accuracy.json is of seeds 300 to 339, which were never used for it.
LOCAL = 0.13  # of the largest change to a neighbouring tick
TYPICAL = 0.27  # of the median change from tick to tick
RARE = 0.06  # of the root mean square change
INNER = 0.09  # of the spread of power readings within their tick
# Correlation of the errors at two edges that are at most so many ticks apart:
# one rhythm of the work may hit both alike. Set in the same calibration.
EDGE_CORRELATION, NEAR_TICKS = 0.4, 2
# Variance of a tick's instant over its error's square: a third if it lay
# anywhere in the interval alike, one if at its ends. Set in the same
# calibration.
TICK_VARIANCE = 0.5

# The rest is chosen, and was held while the weights were calibrated.
NEIGHBOURS = 8  # ticks on each side of an edge from which the swing is judged
# A stretch longer than this many of the tick at the edge (ticks between were
# not read) averages too much to say anything about one tick.
COMPARABLE = 1.6
# Power readings say something where there is one in so many ticks, and three.
TICKS_PER_READING, FEWEST_READINGS = 1.6, 3
# A reading up to this share of a tick after a tick's end counts to that tick: a
# sensor that updates both at once shows the power of before.
READING_LATENESS = 0.05
EXTRAPOLATED_SWING = 0.5  # of the last power, at least, where it is carried on


@dataclass(frozen=True)
class Estimate:
  """Joules with a 95 % half width and the ticks inside, or None and why."""

  joules: float | None
  bound: float | None
  ticks: int
  reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Edge:
  """Cumulative joules at an edge of a window; `after` is the tick's end."""

  joules: float
  variance: float
  after: int


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
  ticks = _Ticks(seconds, joules, breaks, first, last, power)
  a = _edge(seconds, errors, joules, start, first, ticks)
  b = _edge(seconds, errors, joules, end, last, ticks)
  variance = a.variance + b.variance
  if last - first <= NEAR_TICKS:
    variance += 2 * EDGE_CORRELATION * math.sqrt(a.variance * b.variance)
  if a.after == b.after:
    # Both edges in one tick: their errors are those of one shorter stretch.
    span = seconds[a.after] - seconds[a.after - 1]
    part = min(1.0, (end - start) / span)
    variance = (ticks.swing(a.after) * span) ** 2 * part * (1 - part)
    variance += (ticks.watts(a.after) * errors[a.after]) ** 2 * part
  variance += 2 * noise**2
  return Estimate(
    b.joules - a.joules, NORMAL_95 * math.sqrt(variance), last - first
  )


def _edge(
  seconds: Sequence[float],
  errors: Sequence[float],
  joules: Sequence[float],
  instant: float,
  after: int,
  ticks: "_Ticks",
) -> _Edge:
  """Interpolates the cumulative energy at an instant, or carries it on."""
  after = min(after, len(seconds) - 1)
  span = seconds[after] - seconds[after - 1]
  power = ticks.watts(after)
  part = (instant - seconds[after - 1]) / span
  swing = ticks.swing(after)
  if part > 1.0:  # beyond the last tick: the last power goes on
    beyond = (part - 1.0) * span
    value = joules[after] + beyond * power
    variance = (beyond * max(swing, EXTRAPOLATED_SWING * power)) ** 2
  else:
    value = joules[after - 1] + _inside(ticks, after, part) * span
    variance = (swing * span) ** 2 * part * (1 - part)
  # Moving a tick moves the line: the nearer tick's error counts for more.
  inside = min(part, 1.0)
  error = errors[after - 1] * (1 - inside) + errors[after] * inside
  variance += TICK_VARIANCE * (power * error) ** 2
  return _Edge(value, variance, after)


def _inside(ticks: "_Ticks", i: int, part: float) -> float:
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
  knee = (here - later) / (before - later)
  if not 0.0 < knee < 1.0:
    return part * here
  return min(part, knee) * before + max(0.0, part - knee) * later


class _Ticks:
  """Mean watts of each tick, and how they swing around a window's edges.

  Four views, because power comes in kinds: `swing` looks at the changes to the
  tick's own neighbours, `typical` is the usual change from tick to tick (small
  where jumps are rare), `rms` the root mean square change (so that a rare jump
  is never ruled out), `inner` how power readings differ from the mean of their
  tick. Tick i ends at point i.
  """

  def __init__(
    self,
    seconds: Sequence[float],
    joules: Sequence[float],
    breaks: Mapping[int, str],
    first: int,
    last: int,
    power: tuple[Sequence[float], Sequence[float]],
  ):
    self._seconds, self._joules, self._breaks = seconds, joules, breaks
    changes: list[float] = []
    for edge in sorted({first, last}):
      longest = COMPARABLE * self.span(edge)
      for i in range(edge - NEIGHBOURS, edge + NEIGHBOURS + 1):
        before = self.known_watts(i - 1, longest)
        here = self.known_watts(i, longest)
        if before is not None and here is not None:
          changes.append(abs(here - before))
    changes.sort()
    self.typical = changes[len(changes) // 2] * MEDIAN_TO_SD if changes else 0.0
    squares = sum(change * change for change in changes)
    self.rms = math.sqrt(squares / len(changes)) if changes else 0.0
    self.inner = self._inner(first, last, *power)

  def _inner(
    self,
    first: int,
    last: int,
    seconds: Sequence[float],
    watts: Sequence[float],
  ) -> float:
    """Returns the spread of power readings about the mean of their tick.

    Only for ticks longer than the distance of the readings; a shorter tick
    shows the movement itself.
    """
    differences: list[float] = []
    count = len(self._seconds)
    for edge in sorted({first, last}):
      low = max(0, edge - NEIGHBOURS)
      high = min(count - 1, edge + NEIGHBOURS)
      if high <= low:
        continue
      length = self._seconds[high] - self._seconds[low]
      tick = length / (high - low)
      begin = bisect_right(seconds, self._seconds[low])
      end = bisect_right(seconds, self._seconds[high])
      readings = end - begin
      if readings < FEWEST_READINGS:
        continue
      if length > TICKS_PER_READING * tick * readings:
        continue
      for j in range(begin, end):
        i = bisect_left(self._seconds, seconds[j] - READING_LATENESS * tick)
        mean = self.known_watts(i)
        if mean is not None:
          differences.append(watts[j] - mean)
    if len(differences) < FEWEST_READINGS:
      return 0.0
    return statistics.pstdev(differences)

  def watts(self, i: int) -> float:
    """Returns the mean watts of tick i, from point i-1 to point i."""
    span = self._seconds[i] - self._seconds[i - 1]
    return (self._joules[i] - self._joules[i - 1]) / span

  def known_watts(self, i: int, longest: float = math.inf) -> float | None:
    """Returns the same, or None where it is unknown or the tick too long."""
    if not 0 < i < len(self._seconds) or i in self._breaks:
      return None
    if not 0.0 < self._seconds[i] - self._seconds[i - 1] <= longest:
      return None
    return self.watts(i)

  def neighbours(self, i: int) -> tuple[float | None, float | None]:
    """Returns the mean watts of the ticks before and after tick i."""
    longest = COMPARABLE * self.span(i)
    return self.known_watts(i - 1, longest), self.known_watts(i + 1, longest)

  def span(self, i: int) -> float:
    """Returns the seconds of tick i, or of the nearest tick there is."""
    i = min(max(i, 1), len(self._seconds) - 1)
    return self._seconds[i] - self._seconds[i - 1]

  def swing(self, i: int) -> float:
    """Returns the watts by which power may swing inside tick i."""
    here = self.watts(i)
    around = [watts for watts in self.neighbours(i) if watts is not None]
    local = max((abs(watts - here) for watts in around), default=0.0)
    return math.sqrt(
      (LOCAL * local) ** 2
      + (TYPICAL * self.typical) ** 2
      + (RARE * self.rms) ** 2
      + (INNER * self.inner) ** 2
    )
