"""Energy between two instants, from the ticks of a counter: pure functions.

The counter is known at its ticks; between two ticks the cumulative energy is
drawn as a straight line. What the power did inside the tick is not known:
that is the error bar.
"""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NORMAL_95 = 1.96

NEIGHBOURS = 8  # ticks on each side from which the restlessness is taken

ALIKE = 1.6  # stretches this much longer say nothing about one tick

MEDIAN_TO_SD = 1.48  # of a normal distribution

# Shares of the views of restlessness, calibrated by
# benchmarks/meter_accuracy.py to cover the truth in 95 % of windows.
LOCAL, TYPICAL, RARE, INNER = 0.13, 0.27, 0.06, 0.09

KINSHIP = 0.4


@dataclass(frozen=True)
class Estimate:
  """Joules with a 95 % half width, or None and why."""

  joules: float | None
  bound: float | None
  ticks: int
  reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Edge:
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
  """Joules from `start` to `end` by a counter known at points.

  With `extrapolate` the last power goes on after the last point; otherwise
  an instant outside the points gives None. `power` (seconds, watts) helps to
  judge how much the power moves inside a tick; `noise` is the counter's own,
  in joules.
  """
  count = len(seconds)
  if count < 2:
    return Estimate(None, None, count, ("the energy counter has not moved",))
  first = bisect_right(seconds, start)
  last = bisect_right(seconds, end)
  if first == 0:
    return Estimate(None, None, 0, ("it began before the first tick",))
  if last == count and seconds[-1] < end and not extrapolate:
    return Estimate(None, None, last - first, ("no tick after its end",))
  for i in range(first, min(last, count - 1) + 1):
    if i in breaks:
      return Estimate(None, None, last - first, (breaks[i],))
  scale = _Scale(seconds, joules, breaks, first, last, power)
  a = _edge(seconds, errors, joules, start, first, scale)
  b = _edge(seconds, errors, joules, end, last, scale)
  variance = a.variance + b.variance
  if last - first <= 2:  # near edges: the same rhythm may hit both
    variance += 2 * KINSHIP * math.sqrt(a.variance * b.variance)
  if a.after == b.after:
    # Both edges in one tick: their errors are those of one shorter stretch.
    span = seconds[a.after] - seconds[a.after - 1]
    part = min(1.0, (end - start) / span)
    variance = (scale.around(a.after) * span) ** 2 * part * (1 - part)
    variance += (scale.power(a.after) * errors[a.after]) ** 2 * part
  variance += 2 * noise**2
  return Estimate(
    b.joules - a.joules, NORMAL_95 * math.sqrt(variance), last - first
  )


class _Scale:
  """How restless the power is around the edges of a window, in watts.

  Four views, because power comes in kinds: steps seen in the tick itself,
  the typical change from tick to tick (nothing where jumps are rare), and a
  share of the mean square change (so that a rare jump is never ruled out),
  and power readings that differ from the mean of their tick.
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
    for centre in sorted({first, last}):
      longest = ALIKE * self.span(centre)
      for i in range(centre - NEIGHBOURS, centre + NEIGHBOURS + 1):
        before, here = self.maybe(i - 1, longest), self.maybe(i, longest)
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
    """Spread of the power readings about the mean of the tick they fall in.

    Only for ticks longer than the distance of the readings; a shorter tick
    shows the movement itself.
    """
    differences: list[float] = []
    count = len(self._seconds)
    for centre in sorted({first, last}):
      low = max(0, centre - NEIGHBOURS)
      high = min(count - 1, centre + NEIGHBOURS)
      if high <= low:
        continue
      tick = (self._seconds[high] - self._seconds[low]) / (high - low)
      begin = bisect_right(seconds, self._seconds[low])
      end = bisect_right(seconds, self._seconds[high])
      if end - begin < 3 or self._seconds[high] - self._seconds[low] > (
        1.6 * tick * (end - begin)
      ):
        continue
      for j in range(begin, end):
        i = bisect_left(self._seconds, seconds[j] - 0.05 * tick)
        mean = self.maybe(i)
        if mean is not None:
          differences.append(watts[j] - mean)
    if len(differences) < 3:
      return 0.0
    return statistics.pstdev(differences)

  def beside(self, i: int) -> tuple[float | None, float | None]:
    """Mean watts of the ticks before and after the one that ends at i."""
    longest = ALIKE * self.span(i)
    return self.maybe(i - 1, longest), self.maybe(i + 1, longest)

  def power(self, i: int) -> float:
    """Mean watts between points i-1 and i."""
    span = self._seconds[i] - self._seconds[i - 1]
    return (self._joules[i] - self._joules[i - 1]) / span

  def span(self, i: int) -> float:
    """Seconds between points i-1 and i, or the nearest two there are."""
    i = min(max(i, 1), len(self._seconds) - 1)
    return self._seconds[i] - self._seconds[i - 1]

  def maybe(self, i: int, longest: float = math.inf) -> float | None:
    """The same, or None where it is not known or its stretch too long."""
    if not 0 < i < len(self._seconds) or i in self._breaks:
      return None
    if not 0.0 < self._seconds[i] - self._seconds[i - 1] <= longest:
      return None
    return self.power(i)

  def around(self, i: int) -> float:
    """Watts by which power may swing inside the tick that ends at i."""
    here = self.power(i)
    sides = [s for s in self.beside(i) if s is not None]
    local = max((abs(s - here) for s in sides), default=0.0)
    return math.sqrt(
      (LOCAL * local) ** 2
      + (TYPICAL * self.typical) ** 2
      + (RARE * self.rms) ** 2
      + (INNER * self.inner) ** 2
    )


def _edge(
  seconds: Sequence[float],
  errors: Sequence[float],
  joules: Sequence[float],
  instant: float,
  after: int,
  scale: _Scale,
) -> _Edge:
  after = min(after, len(seconds) - 1)
  span = seconds[after] - seconds[after - 1]
  power = scale.power(after)
  part = (instant - seconds[after - 1]) / span
  swing = scale.around(after)
  if part > 1.0:  # beyond the last tick: the last power goes on
    beyond = (part - 1.0) * span
    value = joules[after] + beyond * power
    variance = (beyond * max(swing, power / 2)) ** 2
  else:
    value = joules[after - 1] + _inside(scale, after, part) * span
    variance = (swing * span) ** 2 * part * (1 - part)
  inside = min(part, 1.0)
  error = errors[after - 1] * (1 - inside) + errors[after] * inside
  variance += (power * error) ** 2 / 2  # mostly anywhere in the interval
  return _Edge(value, variance, after)


def _inside(scale: _Scale, i: int, part: float) -> float:
  """Energy over span up to a part of the tick that ends at i.

  Where the tick's mean power lies between its neighbours', one jump from the
  one to the other explains it, and its place follows from the energy.
  Otherwise the power is taken as constant.
  """
  here = scale.power(i)
  before, later = scale.beside(i)
  if before is None or later is None or before == later:
    return part * here
  knee = (here - later) / (before - later)
  if not 0.0 < knee < 1.0:
    return part * here
  return min(part, knee) * before + max(0.0, part - knee) * later
