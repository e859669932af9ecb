"""What a sensor is like, found out from what it said. Pure functions.

Two sensors of one name differ: the power of an H100 is a mean of 1 s by one
call and of 25 ms by another, and boards not in the tables exist. So a sensor is
characterised at run time. And a sensor that sees a part of the time only can be
fooled by work that repeats in its rhythm: it then sees the same part of every
step, always the matrix products or always the pause. Resonance cannot be
repaired afterwards; it is detected and told.
"""

import cmath
import itertools
import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from jaxpower.power.correlation import joules_at
from jaxpower.power.history import History

# Seconds over which power readings of known boards average: 10, 20, 25, 100 and
# 1000 ms (Yang, Adamek and Armour, arXiv 2312.02741); the others fill the scale
# between. The rest is chosen.
CANDIDATES = (0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
FEWEST_TICKS, FEWEST_READINGS = 10, 6  # to compare at all
FEWEST_COMPARED = 5  # readings that a candidate's window must fit into
LIVELY = 0.05  # spread of the readings over their mean: steadier tells nothing
COARSEST_TICK = 1.2  # a candidate must be longer than this many ticks
GOOD_FIT = 0.3  # misfit of the best candidate over the readings' spread
CLEARLY_BETTER = 0.5  # misfit of the best over that of the second

# Starts are a rhythm when this share of the gaps is as near to their median.
REGULAR_SHARE, REGULAR_GAP = 0.9, 0.1
# Mean resultant length (of directional statistics: 1 where all phases are one,
# 0 where they are spread) above which updates are locked to the steps.
LOCKED = 0.5
FEWEST_PHASES = 8
PHASES_AROUND = 16  # updates by which a shorter window is judged; chosen
# Parts of a step that are looked at: sensors that see two instants of each step
# are fooled too, by three it is less. Power that jumps has waves of a swing of
# so many times its own, over the number of the wave: 2 / pi, of a square.
WAVES, WAVE_SWING = (1, 2, 3), 0.64
FOOLED_WAVES = 2  # of the first so many one that is locked fools the sensor
CHANCE = 3.0  # over the number of updates: one in twenty passes it by chance


def averaging_window(
  seconds: Sequence[float],
  joules: Sequence[float],
  power_seconds: Sequence[float],
  watts: Sequence[float],
) -> float | None:
  """Finds the seconds over which the power reading averages, by the counter.

  For each candidate the counter tells what the reading should have been; the
  best fit is taken. None where the power was too steady to tell, where two
  candidates fit alike, or where the counter is too coarse.
  """
  if len(seconds) < FEWEST_TICKS or len(watts) < FEWEST_READINGS:
    return None
  if statistics.pstdev(watts) < LIVELY * abs(statistics.fmean(watts)):
    return None
  tick = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
  misfits = []
  for window in CANDIDATES:
    if window < COARSEST_TICK * tick:
      continue
    squares = []
    for now, shown in zip(power_seconds, watts, strict=True):
      then = now - window
      if then < seconds[0] or now > seconds[-1]:
        continue
      energy = joules_at(seconds, joules, now) - joules_at(
        seconds, joules, then
      )
      squares.append((energy / window - shown) ** 2)
    if len(squares) >= FEWEST_COMPARED:
      misfits.append((math.sqrt(statistics.fmean(squares)), window))
  if len(misfits) < 2:
    return None
  misfits.sort()
  (best, window), (second, _) = misfits[:2]
  spread = statistics.pstdev(watts)
  if best > GOOD_FIT * spread or best > CLEARLY_BETTER * second:
    return None
  return window


def step_period(starts: Sequence[float]) -> float | None:
  """Returns the seconds from start to start, where they have a rhythm."""
  if len(starts) < FEWEST_PHASES:
    return None
  gaps = [b - a for a, b in itertools.pairwise(starts)]
  typical = statistics.median(gaps)
  if typical <= 0:
    return None
  regular = sum(abs(gap - typical) < REGULAR_GAP * typical for gap in gaps)
  return typical if regular >= REGULAR_SHARE * len(gaps) else None


def locking(
  samples: Sequence[float], start: float, end: float, period: float
) -> list[float]:
  """Tells how far power updates fall on the same parts of a repeating step.

  The phases of the updates within the step are points on a circle; when
  their mean lies far from the centre, part of the step is never seen. So for
  each of WAVES a length: 1 where always the same is seen, 0 where all is, or
  where chance may have done it. A window of few updates is judged by those
  around it too: what they all miss it cannot see. Nothing where there are too
  few at all.
  """
  first, last = bisect_left(samples, start), bisect_right(samples, end)
  more = max(0, PHASES_AROUND - (last - first) + 1) // 2
  first, last = max(0, first - more), min(len(samples), last + more)
  count = last - first
  if count < FEWEST_PHASES or period <= 0:
    return []
  phases = [(samples[i] - start) / period for i in range(first, last)]
  lengths = []
  for wave in WAVES:
    turns = [cmath.exp(2j * math.pi * wave * phase) for phase in phases]
    length = abs(sum(turns)) / count
    lengths.append(length if length**2 > CHANCE / count else 0.0)
  return lengths


def possible_locking(
  update: float, error: float, seconds: float, period: float
) -> list[float]:
  """Returns the same as the updates' own period, give or take an error, allows.

  Of updates that show nothing new the instants are not known, but steps that
  last a multiple or a part of their period are.
  """
  count = max(seconds / update, PHASES_AROUND)
  lengths = []
  for wave in WAVES:
    turns = wave * update / period
    off = abs(turns - max(1, round(turns))) - wave * error / period
    angle = math.pi * count * max(0.0, off)
    length = abs(math.sin(angle)) / angle if angle else 1.0
    lengths.append(length if length**2 > CHANCE / count else 0.0)
  return lengths


def is_resonant(locked: Sequence[float]) -> bool:
  """Tells whether power updates see one or two instants of a step alone."""
  return max(locked[:FOOLED_WAVES], default=0.0) > LOCKED


def missed_watts(locked: Sequence[float], swing: float) -> float:
  """Bounds the watts that such updates miss of power with that swing."""
  lengths = zip(WAVES, locked, strict=False)
  return WAVE_SWING * swing * sum(length / wave for wave, length in lengths)


def characterise(history: History) -> dict[str, object]:
  """Describes a sensor's rhythm and cost, ready for JSON; None: not known."""
  domain = history.domain
  counter_period = history.counter.period
  if history.continuous:
    counter_period = domain.update_seconds
  window = averaging_window(
    history.points,
    history.energies,
    history.power_points,
    history.power_watts,
  )
  reads = history.recording.count
  return {
    "counter_period_seconds": counter_period,
    "counter_continuous": history.continuous,
    "power_period_seconds": history.power.period,
    "power_window_seconds": window or domain.power_window_seconds or None,
    "read_seconds_mean": history.latency_total / reads if reads else None,
    "read_seconds_max": history.latency_highest if reads else None,
    "reads": reads,
    "counter_noise_joules": history.noise,
    "counter_lag_seconds": history.lag,
  }
