"""Energy between two instants, from points of a sensor: pure functions.

The counter is known at its ticks; between two ticks the cumulative energy is
drawn as a straight line. What the power did inside the tick is not known:
that is the error bar.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NORMAL_95 = 1.96
NEIGHBOURS = 8  # ticks on each side from which the restlessness is taken
RESTLESSNESS = 1.0  # calibrated: benchmarks/meter_accuracy.py


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
) -> Estimate:
  """Joules from `start` to `end` by a counter known at points.

  With `extrapolate` the last power goes on after the last point; otherwise
  an instant outside the points gives None.
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
  restless = _restlessness(seconds, joules, breaks, first, last)
  a = _edge(seconds, errors, joules, start, first, restless)
  b = _edge(seconds, errors, joules, end, last, restless)
  variance = a.variance + b.variance
  if a.after == b.after:
    # Both edges in one tick: their errors are those of one shorter stretch.
    span = seconds[a.after] - seconds[a.after - 1]
    part = min(1.0, (end - start) / span)
    variance = (restless * span) ** 2 * part * (1 - part) + (
      _power(seconds, joules, a.after) * errors[a.after]
    ) ** 2 * part
  return Estimate(
    b.joules - a.joules, NORMAL_95 * math.sqrt(variance), last - first
  )


def _power(seconds: Sequence[float], joules: Sequence[float], i: int) -> float:
  return (joules[i] - joules[i - 1]) / (seconds[i] - seconds[i - 1])


def _edge(
  seconds: Sequence[float],
  errors: Sequence[float],
  joules: Sequence[float],
  instant: float,
  after: int,
  restless: float,
) -> _Edge:
  after = min(after, len(seconds) - 1)
  span = seconds[after] - seconds[after - 1]
  power = (joules[after] - joules[after - 1]) / span
  part = (instant - seconds[after - 1]) / span
  value = joules[after - 1] + part * span * power
  inside = min(max(part, 0.0), 1.0)
  beyond = max(0.0, part - 1.0) * span
  variance = (restless * span) ** 2 * inside * (1 - inside)
  variance += (beyond * max(restless, power / 2)) ** 2
  error = errors[after - 1] * (1 - inside) + errors[after] * inside
  variance += (power * error) ** 2 / 3  # anywhere in the interval
  return _Edge(value, variance, after)


def _restlessness(
  seconds: Sequence[float],
  joules: Sequence[float],
  breaks: Mapping[int, str],
  first: int,
  last: int,
) -> float:
  """Watts by which the power differs from tick to tick, around both edges."""
  squares: list[float] = []
  for centre in (first, last):
    low = max(2, centre - NEIGHBOURS)
    high = min(len(seconds), centre + NEIGHBOURS)
    before = None
    for i in range(low - 1, high):
      if i in breaks or seconds[i] <= seconds[i - 1]:
        before = None
        continue
      power = _power(seconds, joules, i)
      if before is not None:
        squares.append((power - before) ** 2)
      before = power
  if not squares:
    return 0.0
  return RESTLESSNESS * math.sqrt(sum(squares) / len(squares))


def from_power(
  seconds: Sequence[float],
  watts: Sequence[float],
  start: float,
  end: float,
  *,
  gap: float = math.inf,
  extrapolate: bool = False,
) -> Estimate:
  """Joules by the trapezoid rule over power readings, edges interpolated.

  A hole longer than `gap` seconds gives None.
  """
  kept = _known(seconds, watts, start, end)
  if len(kept) < 2:
    return Estimate(None, None, len(kept), ("too few power readings",))
  if kept[0][0] > start:
    return Estimate(None, None, 0, ("it began before the first reading",))
  if kept[-1][0] < end:
    if not extrapolate:
      return Estimate(None, None, 0, ("no power reading after its end",))
    kept.append((end, kept[-1][1]))
  joules = squares = 0.0
  inside = 0
  for (t0, w0), (t1, w1) in itertools.pairwise(kept):
    if t1 - t0 > gap:
      reason = f"no power reading for {t1 - t0:.2g} s"
      return Estimate(None, None, inside, (reason,))
    low, high = max(t0, start), min(t1, end)
    if high <= low:
      continue
    inside += 1
    slope = (w1 - w0) / (t1 - t0) if t1 > t0 else 0.0
    middle = w0 + slope * ((low + high) / 2 - t0)
    joules += middle * (high - low)
    squares += ((w1 - w0) * (high - low)) ** 2
  return Estimate(joules, NORMAL_95 * math.sqrt(squares / 2), inside)


def _known(
  seconds: Sequence[float], watts: Sequence[float], start: float, end: float
) -> list[tuple[float, float]]:
  """The readings from the last before `start` to the first after `end`."""
  low = bisect_right(seconds, start) - 1
  while low > 0 and math.isnan(watts[low]):
    low -= 1
  low = max(low, 0)
  kept: list[tuple[float, float]] = []
  for i in range(low, len(seconds)):
    if math.isnan(watts[i]):
      continue
    kept.append((seconds[i], watts[i]))
    if seconds[i] >= end:
      break
  return kept
