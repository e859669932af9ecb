"""Energy between two instants, from readings of power: pure functions.

A sensor may see a quarter of the time. What it did not see is judged by how
the readings differ, and by whether they differ by chance or in a rhythm.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from jaxpower.power.counter import NEIGHBOURS, NORMAL_95, Estimate

# Calibrated on seeds 100 to 139 and 200 to 239 of benchmarks/meter_accuracy.py,
# whose work is drawn anew for each seed; what it says is of others.
UNSEEN_LOCAL, UNSEEN_TYPICAL = 0.21, 0.26
INTERIOR = 0.75  # errors of whole intervals cancel in part even by chance
CHANCE = 1.15
MANY, WIDE = 16, 64  # updates in a sum, and on each side of a window


def from_power(
  seconds: Sequence[float],
  watts: Sequence[float],
  start: float,
  end: float,
  *,
  gap: float = math.inf,
  extrapolate: bool = False,
) -> Estimate:
  """Joules by the trapezoid rule over power updates, edges interpolated.

  A hole longer than `gap` seconds gives None. The bound takes the changes
  from update to update as the measure of what was not seen between them.
  """
  low = max(0, bisect_right(seconds, start) - 1)
  high = bisect_right(seconds, end)
  if len(seconds) < 2:
    return Estimate(None, None, 0, ("too few power readings",))
  if seconds[low] > start:
    return Estimate(None, None, 0, ("it began before the first reading",))
  if high == len(seconds) and seconds[-1] < end and not extrapolate:
    return Estimate(None, None, 0, ("no power reading after its end",))
  typical = _typical_change(watts, low, high)
  chance = _chance(watts, low, high)
  joules = variance = 0.0
  for i in range(low, min(high, len(seconds) - 1)):
    span = seconds[i + 1] - seconds[i]
    if span > gap:
      reason = f"no power reading for {span:.2g} s"
      return Estimate(None, None, i - low, (reason,))
    begin, stop = max(seconds[i], start), min(seconds[i + 1], end)
    if stop <= begin or span <= 0:
      continue
    change = watts[i + 1] - watts[i]
    middle = watts[i] + change * ((begin + stop) / 2 - seconds[i]) / span
    joules += middle * (stop - begin)
    swing = (UNSEEN_LOCAL * change) ** 2 + (UNSEEN_TYPICAL * typical) ** 2
    whole = stop - begin >= span
    share = min(INTERIOR, chance) if whole else 1.0
    variance += swing * (stop - begin) * span * share
  beyond = end - max(start, seconds[-1])
  if beyond > 0:
    joules += watts[-1] * beyond
    variance += (beyond * max(typical, watts[-1] / 2)) ** 2
  return Estimate(joules, NORMAL_95 * math.sqrt(variance), high - low)


def _typical_change(watts: Sequence[float], low: int, high: int) -> float:
  """Root mean square of the change from update to update, around a window."""
  first = max(1, low - NEIGHBOURS)
  last = min(len(watts), high + NEIGHBOURS)
  squares = [(watts[i] - watts[i - 1]) ** 2 for i in range(first, last)]
  return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def _chance(watts: Sequence[float], low: int, high: int) -> float:
  """How what is unseen adds up over updates: 1 as chance, 0 as a rhythm.

  What is missed between two updates adds up like chance where the power moves
  by chance, and cancels where it moves in a rhythm, except in resonance. Sums
  of readings with alternating signs do the same, and they can be seen: the
  mean square of sums of many over that of sums of two, per reading.
  """
  around = watts[max(0, low - WIDE) : high + WIDE]
  if len(around) < 2 * MANY:
    return 1.0
  signed = (watt if i % 2 else -watt for i, watt in enumerate(around))
  sums = list(accumulate(signed, initial=0.0))

  def square(length: int) -> float:
    parts = [b - a for a, b in zip(sums, sums[length:], strict=False)]
    return sum(part * part for part in parts) / (len(parts) * length)

  short = square(2)
  return CHANCE * square(MANY) / short if short else 1.0
