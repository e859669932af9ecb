"""Twelve kinds of power, drawn from a seed, and the sensors that look at it.

No kind is one waveform: lengths, levels, rhythm and unrest are drawn for each
seed, over two decades of time and beyond both sides of a sensor's own period.
The energy is exact on a grid of a millisecond, in which power is constant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

GRID = 1e-3  # seconds in which power is constant
Array = np.ndarray
Dice = np.random.Generator


def log_uniform(dice: Dice, low: float, high: float) -> float:
  """Draws a length, so that each decade is as likely."""
  return float(np.exp(dice.uniform(np.log(low), np.log(high))))


def levels(dice: Dice) -> tuple[float, float]:
  """Draws a low and a high power of a board, in watts."""
  low = dice.uniform(60, 250)
  return low, low + log_uniform(dice, 40, 500)


def _held(lengths: Array, watts: Array, count: int) -> Array:
  """Holds each power for its seconds, on the grid."""
  cells = np.maximum(1, np.round(lengths / GRID)).astype(int)
  return np.resize(np.repeat(watts, cells), count)


def steps(dice: Dice, count: int) -> Array:
  """Levels by chance, for lengths by chance."""
  mean, low_high = log_uniform(dice, 0.005, 1.0), levels(dice)
  n = int(3 * count * GRID / mean) + 10
  return _held(dice.exponential(mean, n), dice.uniform(*low_high, n), count)


def white(dice: Dice, count: int) -> Array:
  """A new level every few milliseconds."""
  low, high = levels(dice)
  cells = int(dice.integers(1, 12))
  n = count // cells + 1
  watts = dice.normal((low + high) / 2, (high - low) / 4, n)
  return np.repeat(np.maximum(watts, 20.0), cells)[:count]


def ramps(dice: Dice, count: int) -> Array:
  """Straight lines between levels by chance."""
  mean = log_uniform(dice, 0.05, 3.0)
  knots = np.cumsum(dice.exponential(mean, int(3 * count * GRID / mean) + 10))
  watts = dice.uniform(*levels(dice), len(knots))
  return np.interp(np.arange(count) * GRID, knots, watts)


def square(dice: Dice, count: int) -> Array:
  """Two levels in a strict rhythm."""
  low, high = levels(dice)
  turns = np.arange(count) * GRID / log_uniform(dice, 0.008, 2.0)
  return np.where(turns % 1.0 < dice.uniform(0.2, 0.8), high, low)


def loose_square(dice: Dice, count: int) -> Array:
  """Two levels, whose lengths stray by a few per cent."""
  low, high = levels(dice)
  period, duty = log_uniform(dice, 0.02, 1.0), dice.uniform(0.2, 0.8)
  n = int(2 * count * GRID / period) + 10
  lengths = np.tile([duty * period, (1 - duty) * period], n)
  lengths *= dice.normal(1.0, dice.uniform(0.02, 0.15), 2 * n).clip(0.2, 2)
  return _held(lengths, np.tile([high, low], n), count)


def bursts(dice: Dice, count: int) -> Array:
  """Bursts by chance, now and then, of lengths by chance."""
  low, high = levels(dice)
  length = log_uniform(dice, 0.005, 0.2)
  pause = length * log_uniform(dice, 1.0, 20.0)
  n = int(2 * count * GRID / (length + pause)) + 10
  pairs = np.stack([dice.exponential(pause, n), dice.exponential(length, n)])
  return _held(pairs.T.ravel(), np.tile([low, high], n), count)


def walk(dice: Dice, count: int) -> Array:
  """A random walk that is drawn back to its mean."""
  low, high = levels(dice)
  keep = np.exp(-GRID / log_uniform(dice, 0.05, 5.0))
  kicks = dice.normal(0, np.sqrt(1 - keep**2), count)
  place, places = 0.0, np.empty(count)
  for i, kick in enumerate(kicks):
    place = keep * place + kick
    places[i] = place
  return np.maximum((low + high) / 2 + (high - low) / 4 * places, 20.0)


def sines(dice: Dice, count: int) -> Array:
  """One to three sines at once."""
  low, high = levels(dice)
  seconds = np.arange(count) * GRID
  n = int(dice.integers(1, 4))
  swing = (high - low) / 2 / n
  waves = [
    np.sin(2 * np.pi * (seconds / log_uniform(dice, 0.02, 2) + dice.random()))
    for _ in range(n)
  ]
  return (low + high) / 2 + swing * np.sum(waves, axis=0)


def epochs(dice: Dice, count: int) -> Array:
  """Long stretches of training, short ones of evaluation, a little noise."""
  low, high = levels(dice)
  n = int(count * GRID) + 10
  pairs = np.stack([dice.uniform(0.5, 4.0, n), dice.uniform(0.05, 0.4, n)])
  watts = _held(pairs.T.ravel(), np.tile([high, low], n), count)
  return watts + dice.normal(0, dice.uniform(0, 0.05) * low, count)


def train_steps(dice: Dice, count: int) -> Array:
  """Steps of some parts each, the same again and again."""
  period, n = log_uniform(dice, 0.03, 0.6), int(dice.integers(3, 7))
  shares = dice.dirichlet(np.ones(n))
  watts = dice.uniform(*levels(dice), n)
  turns = (np.arange(count) * GRID / period) % 1.0
  return watts[np.searchsorted(np.cumsum(shares)[:-1], turns, side="right")]


def telegraph(dice: Dice, count: int) -> Array:
  """Two levels, from one to the other by chance."""
  low, high = levels(dice)
  mean = log_uniform(dice, 0.005, 1.0)
  n = int(2 * count * GRID / mean) + 10
  return _held(dice.exponential(mean, n), np.resize([high, low], n), count)


SIMPLE: dict[str, Callable[[Dice, int], Array]] = {
  "steps": steps,
  "white noise": white,
  "ramps": ramps,
  "square": square,
  "loose square": loose_square,
  "bursts": bursts,
  "random walk": walk,
  "sines": sines,
  "epochs": epochs,
  "training steps": train_steps,
  "telegraph": telegraph,
}


def mixture(dice: Dice, count: int) -> Array:
  """The mean of two other kinds."""
  a, b = dice.choice(list(SIMPLE), 2, replace=False)
  return (SIMPLE[a](dice, count) + SIMPLE[b](dice, count)) / 2


KINDS = {**SIMPLE, "mixture": mixture}


class Power:
  """Drawn power and its energy, from an instant on."""

  def __init__(self, watts: Array, start: float):
    self.start = start
    self._joules = np.concatenate([[0.0], np.cumsum(watts) * GRID])
    self._seconds = start + np.arange(len(self._joules)) * GRID

  def joules(self, seconds: Array | float) -> Array:
    """Returns the energy up to one or many instants."""
    return np.asarray(np.interp(seconds, self._seconds, self._joules))


@dataclass(frozen=True)
class Sensor:
  """How a sensor looks at power.

  `jitter` is by how much of a period a tick strays at most: about its rhythm,
  or with `wanders` from the tick before. `latency` is the age of a counter's
  value when it appears. `seen` is the seconds of each tick that the counter
  sees (0: all of it). Power readings come every `power_period` and average
  `power_window` seconds.
  """

  period: float = 0.1
  jitter: float = 0.0
  wanders: bool = False
  latency: float = 0.0
  seen: float = 0.0
  gain: float = 1.0
  has_counter: bool = True
  power_period: float = 0.1
  power_window: float = 0.025
  call_seconds: float = 2e-4

  def ticks(self, dice: Dice, start: float, seconds: float) -> Array:
    """Draws the instants of the ticks of one board."""
    period = self.period if self.has_counter else self.power_period
    n = int(seconds / period * (1 + self.jitter)) + 8
    stray = dice.uniform(-self.jitter, self.jitter, n) * period
    if self.wanders:
      instants = np.cumsum(period + stray)
    else:
      instants = np.arange(n) * period + stray
    return start - dice.uniform(0, period) + instants

  def counts(self, power: Power, ticks: Array) -> Array:
    """Returns what the counter shows from each tick on, in whole mJ."""
    joules = power.joules(ticks - self.latency)
    if self.seen:
      known = joules - power.joules(ticks - self.latency - self.seen)
      share = np.diff(ticks, prepend=ticks[0] - self.period) / self.seen
      joules = np.cumsum(known * share)
    return np.floor(self.gain * joules * 1e3) / 1e3

  def readings(self, power: Power, ticks: Array) -> Array:
    """Returns the power shown from each instant on, in whole mW."""
    joules = power.joules(ticks) - power.joules(ticks - self.power_window)
    return np.round(self.gain * joules / self.power_window, 3)


def choose(dice: Dice, values: Sequence[float]) -> float:
  """Draws one of some values."""
  return float(values[int(dice.integers(len(values)))])


PERIODS = (0.01, 0.02, 0.033, 0.061, 0.1, 0.2)
JITTERS = (0.0, 0.0, 0.0, 0.03, 0.16)
LATENCIES = (0.0, 0.0, 0.0, 0.0, 0.005, 0.015)
CALLS = (2e-4, 2e-4, 2e-4, 2e-4, 8e-3)


def draw_sensor(dice: Dice, number: int) -> Sensor:
  """Draws a sensor; of ten in a row seven have a plain counter."""
  common = {
    "gain": dice.uniform(0.95, 1.05),
    "jitter": choose(dice, JITTERS),
    "wanders": bool(dice.integers(2)),
    "call_seconds": choose(dice, CALLS),
  }
  place = number % 10
  if place == 7:  # the counter sums samples that see a part of the time
    seen = choose(dice, (0.025, 0.05))
    common["jitter"] = 0.0
    return Sensor(
      4 * seen, seen=seen, power_period=4 * seen, power_window=seen, **common
    )
  if place == 8:
    return Sensor(has_counter=False, **common)
  if place == 9:
    window = choose(dice, (0.1, 1.0))
    return Sensor(has_counter=False, power_window=window, **common)
  return Sensor(
    PERIODS[(number + number // 10) % len(PERIODS)],
    latency=choose(dice, LATENCIES),
    **common,
  )
