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
the readings differ. Power that is white (swing.py) strays as much unseen as it
does from reading to reading; slow power strays by a part of each change. And
what is missed adds up over a window as chance does where the power moves by
chance, but cancels where it moves in a rhythm: `_chance` tells which it is. A
rhythm near a multiple of the sensor's own looks slow, and hides: against that
there is a floor, and steps that are known are checked (sensor.py).

Readings that average a second or so are shifted to the middle of it by whoever
notes them; at the edges of a window they have smoothed away what happened.
"""

import itertools
import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from jaxpower.power.counter import (
  EXTRAPOLATED_SWING,
  NORMAL_95,
  Estimate,
)
from jaxpower.power.shares import shares_of
from jaxpower.power.swing import NEIGHBOURS, whiteness

# Calibrated by benchmarks/meter_accuracy.py on seeds below 1000, and 7000.
UNSEEN_LOCAL = 0.25  # of the change between the two updates, of slow power
UNSEEN_TYPICAL = 0.17  # of the root mean square change, of slow power
# Of white power the mean square change is twice the variance of readings; a
# reading of a quarter of the time leaves three quarters of that unseen.
UNSEEN_WHITE = 0.32
INTERIOR = 1.0  # whole intervals add up as chance at most
LEAST_CHANCE = 0.35  # some of it never cancels
CHANCE = 1.15  # times the ratio of sums that `_chance` takes
MANY, WIDE = 16, 64  # updates in a sum, and on each side of a window
# The reading stands for an instant some part of an update earlier.
LAG = 0.25  # of an update
FLOOR = 0.01  # of the energy, by which no integral is better; chosen
# Power inside a long averaging window swings by this part of itself, at least.
SMOOTHED = 0.02  # chosen
SHARED = 0.75  # power of the share; calibrated as the weights above
BOXCAR = 0.29  # sqrt(1 / 12): what a boxcar smooths away of white power


def from_power(
  seconds: Sequence[float],
  watts: Sequence[float],
  start: float,
  end: float,
  *,
  gap: float = math.inf,
  extrapolate: bool = False,
  window: float = 0.0,
) -> Estimate:
  """Integrates power updates by the trapezoid rule, edges interpolated.

  A hole longer than `gap` seconds gives None. The bound takes the changes
  from update to update as the measure of what was not seen between them. With
  `extrapolate` the last power goes on after the last update. `window` is how
  many seconds a reading averages, where that is longer than an update.
  """
  low = max(0, bisect_right(seconds, start) - 1)
  high = bisect_right(seconds, end)
  if len(seconds) < 2:
    return Estimate(None, None, 0, ("too few power readings",))
  if seconds[low] > start:
    return Estimate(None, None, 0, ("it began before the first reading",))
  if high == len(seconds) and seconds[-1] < end and not extrapolate:
    return Estimate(None, None, 0, ("no power reading after its end",))
  kind = _kind(watts, low, high)
  final = min(high, len(seconds) - 1)
  update = (seconds[final] - seconds[low]) / max(1, final - low)
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
    # An interval cut by an edge has no partner to cancel with.
    share = kind.chance if stop - begin >= span else 1.0
    # A value that stayed until just before was no update just before.
    whole = max(span, update)
    variance += kind.unseen(change) * (stop - begin) / span * whole**2 * share
  unseen = variance
  beyond = end - max(start, seconds[-1])
  if beyond > 0:
    joules += watts[-1] * beyond
    swing = max(kind.rms, EXTRAPOLATED_SWING * abs(watts[-1]))
    variance += (beyond * swing) ** 2
  lag = LAG * update * (watts[low] - watts[final])
  variance += lag**2
  if window:
    smoothed = _smoothed(seconds, watts, low, final, window)
    # In less than a window both edges miss much of the same.
    variance += 2 * smoothed * min(1.0, (end - start) / window) ** SHARED
  variance += (FLOOR * joules / NORMAL_95) ** 2
  shares = shares_of(variance, unseen=unseen, late=lag)
  bound = NORMAL_95 * math.sqrt(variance)
  return Estimate(joules, bound, high - low, shares=shares)


@dataclass(frozen=True)
class _Kind:
  """How power moves between readings.

  `rms` is of the changes, `white` 1 where they are of chance, `chance` how
  what is missed adds up.
  """

  rms: float
  white: float
  chance: float

  def unseen(self, change: float) -> float:
    """Returns the variance of power unseen between two readings."""
    slow = (UNSEEN_LOCAL * change) ** 2 + (UNSEEN_TYPICAL * self.rms) ** 2
    white = UNSEEN_WHITE * self.rms**2
    return (1 - self.white) * slow + self.white * max(slow, white)


def _kind(watts: Sequence[float], low: int, high: int) -> _Kind:
  """Judges by the readings around a window how power moves between them."""
  first = max(1, low - NEIGHBOURS)
  last = min(len(watts), high + NEIGHBOURS)
  changes = [watts[i] - watts[i - 1] for i in range(first, last)]
  squares = sum(change * change for change in changes)
  rms = math.sqrt(squares / len(changes)) if changes else 0.0
  chance = min(INTERIOR, max(LEAST_CHANCE, _chance(watts, low, high)))
  return _Kind(rms, whiteness(list(itertools.pairwise(changes))), chance)


def _smoothed(
  seconds: Sequence[float],
  watts: Sequence[float],
  low: int,
  high: int,
  window: float,
) -> float:
  """Returns the variance at an edge of what a long average smooths away."""
  update = (seconds[high] - seconds[low]) / max(1, high - low)
  apart = max(1, round(window / update)) if update > 0 else 1
  first = max(0, low - 2 * apart)
  last = min(len(watts), high + 2 * apart)
  squares = [
    (watts[i] - watts[i - apart]) ** 2 for i in range(first + apart, last)
  ]
  spread = math.sqrt(sum(squares) / len(squares) / 2) if squares else 0.0
  typical = statistics.fmean(watts[low : high + 1])
  return (window * max(BOXCAR * spread, SMOOTHED * typical)) ** 2


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
