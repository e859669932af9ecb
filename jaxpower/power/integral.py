"""Energy between two instants, from readings of power: pure functions.

For boards without an energy counter, and as a check of those that have one. The
trapezoid rule over the updates of the reading, both edges interpolated:

  watts
    |             o           o  an update of the reading
    |        . '  :  ' .       x  an edge of the window
    |    x '      :      ' x
    | o' :        :        : 'o   energy = area below the line, x to x
    +----:--------:--------:-----> seconds
       start              end

Many sensors see 25 of every 100 ms only. What they did not see is judged by how
the readings differ. But where the power moves by chance, what is missed between
two updates adds up over a window as chance does; where it moves in a rhythm, it
cancels. One factor for both gave bounds 30 times too wide for a rhythm and yet
too narrow for chance, so `_chance` tells which it is.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from jaxpower.power.counter import (
  EXTRAPOLATED_SWING,
  NORMAL_95,
  Estimate,
)
from jaxpower.power.swing import NEIGHBOURS

# Calibrated on seeds 100 to 139 and 200 to 239 of benchmarks/meter_accuracy.py,
# whose work is drawn anew for each seed; meter_accuracy.json is of seeds 300 to
# 339, which nothing was fitted to.
UNSEEN_LOCAL = 0.21  # of the change between the two updates
UNSEEN_TYPICAL = 0.26  # of the root mean square change around the window
INTERIOR = 0.75  # errors of whole intervals cancel in part even by chance
CHANCE = 1.15  # times the ratio of sums that `_chance` takes
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
  """Integrates power updates by the trapezoid rule, edges interpolated.

  A hole longer than `gap` seconds gives None. The bound takes the changes
  from update to update as the measure of what was not seen between them. With
  `extrapolate` the last power goes on after the last update.
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
    # An interval cut by an edge has no partner to cancel with.
    whole = stop - begin >= span
    share = min(INTERIOR, chance) if whole else 1.0
    variance += swing * (stop - begin) * span * share
  beyond = end - max(start, seconds[-1])
  if beyond > 0:
    joules += watts[-1] * beyond
    swing = max(typical, EXTRAPOLATED_SWING * watts[-1])
    variance += (beyond * swing) ** 2
  return Estimate(joules, NORMAL_95 * math.sqrt(variance), high - low)


def _typical_change(watts: Sequence[float], low: int, high: int) -> float:
  """Returns the root mean square change between updates around a window."""
  first = max(1, low - NEIGHBOURS)
  last = min(len(watts), high + NEIGHBOURS)
  squares = [(watts[i] - watts[i - 1]) ** 2 for i in range(first, last)]
  return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def _chance(watts: Sequence[float], low: int, high: int) -> float:
  """Returns how what is unseen adds up: about 1 as chance, 0 as a rhythm.

  What is missed between two updates cannot be seen, but the sums of readings
  with alternating signs can, and they behave alike: they add up where the power
  moves by chance, and cancel where it moves in a rhythm, except in resonance.
  The value is the mean square of sums of MANY over that of sums of two, each
  per reading.
  """
  around = watts[max(0, low - WIDE) : high + WIDE]
  if len(around) < 2 * MANY:
    return 1.0
  signed = (watt if i % 2 else -watt for i, watt in enumerate(around))
  sums = list(accumulate(signed, initial=0.0))

  def mean_square(length: int) -> float:
    parts = [b - a for a, b in zip(sums, sums[length:], strict=False)]
    return sum(part * part for part in parts) / (len(parts) * length)

  of_two = mean_square(2)
  return CHANCE * mean_square(MANY) / of_two if of_two else 1.0
