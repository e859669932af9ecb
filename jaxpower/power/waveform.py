"""Power over time with its exact energy: what simulated sensors watch."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol


class Waveform(Protocol):
  """Power whose integral is known."""

  def watts(self, seconds: float) -> float:
    """Returns the power at an instant."""
    ...

  def joules(self, seconds: float) -> float:
    """Returns the energy from 0 to an instant."""
    ...


@dataclass(frozen=True)
class Constant:
  """The same power always."""

  level: float

  def watts(self, seconds: float) -> float:
    """Returns the level."""
    return self.level

  def joules(self, seconds: float) -> float:
    """Returns level times seconds."""
    return self.level * seconds


@dataclass(frozen=True)
class Sine:
  """Power that swings: mean + swing sin(2 pi t / period)."""

  mean: float
  swing: float
  period: float

  def watts(self, seconds: float) -> float:
    """Returns the power at an instant."""
    return self.mean + self.swing * math.sin(
      2 * math.pi * seconds / self.period
    )

  def joules(self, seconds: float) -> float:
    """Returns the integral in closed form."""
    angle = 2 * math.pi / self.period
    return self.mean * seconds + self.swing / angle * (
      1 - math.cos(angle * seconds)
    )


@dataclass(frozen=True)
class Square:
  """`high` for the first `duty` of every period, then `low`."""

  low: float
  high: float
  period: float
  duty: float = 0.5

  def watts(self, seconds: float) -> float:
    """Returns the power at an instant."""
    return self.high if (seconds / self.period) % 1.0 < self.duty else self.low

  def joules(self, seconds: float) -> float:
    """Adds whole periods and the begun one."""
    whole, part = divmod(seconds / self.period, 1.0)
    high = whole * self.duty + min(part, self.duty)
    low = seconds / self.period - high
    return (high * self.high + low * self.low) * self.period


@dataclass(frozen=True)
class Steps:
  """Piecewise constant: `levels[i]` lasts `seconds[i]`, then it repeats."""

  levels: Sequence[float]
  seconds: Sequence[float]
  ends: tuple[float, ...] = field(init=False, repr=False)
  energies: tuple[float, ...] = field(init=False, repr=False)

  def __post_init__(self) -> None:
    parts = [w * s for w, s in zip(self.levels, self.seconds, strict=True)]
    object.__setattr__(self, "ends", tuple(accumulate(self.seconds)))
    object.__setattr__(self, "energies", (0.0, *accumulate(parts)))

  def _place(self, seconds: float) -> tuple[float, float, int]:
    """Returns whole rounds, seconds into the begun one, and its step."""
    whole, part = divmod(seconds, self.ends[-1])
    return whole, part, min(bisect_right(self.ends, part), len(self.ends) - 1)

  def watts(self, seconds: float) -> float:
    """Returns the power at an instant."""
    return self.levels[self._place(seconds)[2]]

  def joules(self, seconds: float) -> float:
    """Adds whole rounds, whole steps, and the begun one."""
    whole, part, i = self._place(seconds)
    begun = part - (self.ends[i] - self.seconds[i])
    return whole * self.energies[-1] + self.energies[i] + begun * self.levels[i]


@dataclass
class Sampled:
  """Any function of time, integrated on a fixed grid by the midpoint rule."""

  function: Callable[[float], float]
  step: float = 1e-3
  cumulative: list[float] = field(default_factory=lambda: [0.0], repr=False)

  def watts(self, seconds: float) -> float:
    """Returns the power at an instant."""
    return self.function(seconds)

  def joules(self, seconds: float) -> float:
    """Sums up to the grid point before, plus the rest of its cell."""
    cell = max(0, int(seconds / self.step))
    while len(self.cumulative) <= cell:
      middle = (len(self.cumulative) - 0.5) * self.step
      self.cumulative.append(
        self.cumulative[-1] + self.function(middle) * self.step
      )
    rest = seconds - cell * self.step
    return self.cumulative[cell] + self.function(seconds - rest / 2) * rest


def as_waveform(
  power: "float | Waveform | Callable[[float], float]",
) -> Waveform:
  """Takes a number as constant power; integrates a function numerically."""
  if isinstance(power, (int, float)):
    return Constant(float(power))
  if hasattr(power, "joules"):
    return power  # type: ignore[return-value]
  return Sampled(power)  # type: ignore[arg-type]
