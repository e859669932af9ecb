"""How far an energy counter lags behind the power reading: pure functions.

A counter may show now what was used half a second ago. Over a long window that
cancels; at the edges of a short one it does not. The power reading tells, while
the power moves and both are read often: shifted by the lag, the power that the
counter shows goes up and down with the readings.

  readings  _____|----|_________|--
  counter   __________|----|_______    late by the lag

A reading that is itself late hides as much of it, and steps of one length hide
whole steps of it. So a lag found is a doubt to be allowed for, none to repair.
"""

import itertools
import math
from collections.abc import Sequence

from jaxpower.power.correlation import joules_at

# All chosen.
STEP, LONGEST = 0.02, 0.8  # seconds between the lags tried, and up to
FEWEST_READINGS = 8  # that a lag is judged by
LIVELY = 0.1  # spread of the readings over their mean: steadier tells nothing
STAYING = 0.15  # seconds: readings are updated as often, or power stayed
SHORTEST_SPAN = 0.025  # seconds over which a reading averages, at least
SMALL = 0.06  # seconds: a lag up to here may be that of the reading
CLEARLY = 0.4  # misfit with the lag over that without
GOOD_FIT = 0.35  # misfit with the lag over the spread of the readings


def fresh(
  seconds: Sequence[float], watts: Sequence[float]
) -> tuple[list[float], list[float]]:
  """Returns when readings changed, between two reads, and to what watts.

  One that stays is of some instant since; it counts now and then.
  """
  rows = [(s, w) for s, w in zip(seconds, watts, strict=True) if w == w]
  instants, values = [], []
  for (before, old), (after, new) in itertools.pairwise(rows):
    if new != old:
      instants.append((before + after) / 2)
      values.append(new)
    elif instants and after - instants[-1] > STAYING:
      instants.append(after - STAYING / 3)
      values.append(new)
  return instants, values


def lag_behind(
  seconds: Sequence[float],
  joules: Sequence[float],
  power_seconds: Sequence[float],
  watts: Sequence[float],
) -> float | None:
  """Finds the seconds by which a counter is late; 0 where not clearly so.

  None where the power was too even, or seen too little, to tell.
  """
  if len(seconds) < 2 or len(watts) < FEWEST_READINGS:
    return None
  tick = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
  span = max(SHORTEST_SPAN, tick)
  misfits = [
    _misfit(seconds, joules, power_seconds, watts, lag, span)
    for lag in (i * STEP for i in range(round(LONGEST / STEP) + 1))
  ]
  near = [m for i, m in enumerate(misfits) if i * STEP <= SMALL and m]
  known = [(m, i * STEP) for i, m in enumerate(misfits) if m]
  if not near or not known:
    return None
  (share, _), lag = min(known)
  if min(near)[0] <= GOOD_FIT:
    return 0.0
  if share > GOOD_FIT or share > CLEARLY * min(near)[0]:
    return None
  return lag


def _misfit(
  seconds: Sequence[float],
  joules: Sequence[float],
  power_seconds: Sequence[float],
  watts: Sequence[float],
  lag: float,
  span: float,
) -> tuple[float, int] | None:
  """Returns how badly readings fit the counter so much later, and how many.

  The mean square difference over the readings' variance; None where too few
  readings can be compared, or those are too even.
  """
  shown, found = [], []
  for instant, watt in zip(power_seconds, watts, strict=True):
    # A reading is of an instant or nearly so: the middle of the span.
    end = instant + lag + span / 2
    begin = end - span
    if seconds[0] <= begin and end <= seconds[-1]:
      energy = joules_at(seconds, joules, end)
      energy -= joules_at(seconds, joules, begin)
      found.append(energy / span)
      shown.append(watt)
  if len(shown) < FEWEST_READINGS:
    return None
  mean = math.fsum(shown) / len(shown)
  variance = math.fsum((w - mean) ** 2 for w in shown) / len(shown)
  if variance <= (LIVELY * mean) ** 2:
    return None
  squares = math.fsum((a - b) ** 2 for a, b in zip(shown, found, strict=True))
  return squares / len(shown) / variance, len(shown)


def late_joules(
  seconds: Sequence[float],
  joules: Sequence[float],
  start: float,
  end: float,
  lag: float,
) -> float:
  """Bounds what a window is wrong by if its counter is late by up to the lag.

  By how much what was used in the lag before, or after, its end differs from
  that at its start.
  """

  def used(begin: float, stop: float) -> float:
    low, high = (min(max(x, seconds[0]), seconds[-1]) for x in (begin, stop))
    return joules_at(seconds, joules, high) - joules_at(seconds, joules, low)

  before = used(end - lag, end) - used(start - lag, start)
  after = used(end, end + lag) - used(start, start + lag)
  return max(abs(before), abs(after))
