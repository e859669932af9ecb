"""What a sensor is like, found out from what it said. Pure functions."""

import cmath
import itertools
import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from jaxpower.power.history import History

CANDIDATES = (0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
CLEARLY_BETTER = 0.5
LOCKED = 0.5  # mean resultant length above which phases are not spread
FEWEST_PHASES = 8


def averaging_window(
  seconds: Sequence[float],
  joules: Sequence[float],
  power_seconds: Sequence[float],
  watts: Sequence[float],
) -> float | None:
  """Seconds over which the power reading averages, judged by the counter.

  For each candidate the counter tells what the reading should have been; the
  best fit is taken. None where the power was too steady to tell, where two
  candidates fit alike, or where the counter is too coarse.
  """
  if len(seconds) < 10 or len(watts) < 6:
    return None
  if statistics.pstdev(watts) < 0.05 * abs(statistics.fmean(watts)):
    return None
  tick = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
  misfits = []
  for window in CANDIDATES:
    if window < 1.2 * tick:
      continue
    squares = []
    for now, shown in zip(power_seconds, watts, strict=True):
      then = now - window
      if then < seconds[0] or now > seconds[-1]:
        continue
      energy = _at(seconds, joules, now) - _at(seconds, joules, then)
      squares.append((energy / window - shown) ** 2)
    if len(squares) >= 5:
      misfits.append((math.sqrt(statistics.fmean(squares)), window))
  if len(misfits) < 2:
    return None
  misfits.sort()
  (best, window), (second, _) = misfits[:2]
  spread = statistics.pstdev(watts)
  if best > 0.3 * spread or best > CLEARLY_BETTER * second:
    return None
  return window


def _at(
  seconds: Sequence[float], joules: Sequence[float], instant: float
) -> float:
  i = min(max(bisect_left(seconds, instant), 1), len(seconds) - 1)
  span = seconds[i] - seconds[i - 1]
  part = (instant - seconds[i - 1]) / span if span > 0 else 0.0
  return joules[i - 1] + part * (joules[i] - joules[i - 1])


def step_period(starts: Sequence[float]) -> float | None:
  """Seconds from start to start, where they follow a rhythm; else None."""
  if len(starts) < FEWEST_PHASES:
    return None
  gaps = [b - a for a, b in itertools.pairwise(starts)]
  typical = statistics.median(gaps)
  if typical <= 0:
    return None
  regular = sum(abs(gap - typical) < 0.1 * typical for gap in gaps)
  return typical if regular >= 0.9 * len(gaps) else None


def is_resonant(
  samples: Sequence[float], start: float, end: float, period: float
) -> bool:
  """Whether power updates always fall on the same part of a repeating step.

  The phases of the updates within the step are points on a circle; when
  their mean lies far from the centre, part of the step is never seen.
  """
  first, last = bisect_left(samples, start), bisect_right(samples, end)
  if last - first < FEWEST_PHASES or period <= 0:
    return False
  turns = [
    cmath.exp(2j * math.pi * ((samples[i] - start) / period))
    for i in range(first, last)
  ]
  return abs(sum(turns)) / len(turns) > LOCKED


def characterise(history: History) -> dict[str, object]:
  """A sensor's rhythm and cost, ready for JSON. None where not known."""
  domain = history.domain
  counter = history.counter.period
  if history.continuous:
    counter = domain.update_seconds
  window = averaging_window(
    history.points,
    history.energies,
    history.power_points,
    history.power_watts,
  )
  reads = len(history.seconds)
  return {
    "counter_period_seconds": counter,
    "counter_continuous": history.continuous,
    "power_period_seconds": history.power.period,
    "power_window_seconds": window or domain.power_window_seconds or None,
    "read_seconds_mean": history.latency_total / reads if reads else None,
    "read_seconds_max": history.latency_highest if reads else None,
    "reads": reads,
    "counter_noise_joules": history.noise,
  }
