"""Sensors that do not exist: a known power seen through a known sensor.

`SensorModel` has what real sensors have: an update period, a phase, an
averaging window, latency, quantum, gain. `Fault`s break it from an instant on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxpower.power.reading import Domain, Kind, Reading
from jaxpower.power.waveform import Waveform, as_waveform

# Jitter must differ from read to read and yet repeat from run to run: a sine
# that turns many times between two reads.
JITTER_RADIANS_PER_SECOND = 1e4
JUMP_JOULES = 1e6


@dataclass(frozen=True)
class SensorModel:
  """How a sensor distorts what it sees. Zero period: always fresh.

  `energy_period`, `power_period`: seconds between updates. `phase`: when the
  first update falls. `power_window`: seconds the power reading averages over.
  `latency`: age of a value when it appears. `quantum`: joules of one count.
  `gain` multiplies everything; `noise` is the joules of jitter per read,
  `power_noise` the watts of jitter per update.
  """

  energy_period: float = 0.0
  power_period: float = 0.0
  phase: float = 0.0
  power_window: float = 0.0
  latency: float = 0.0
  quantum: float = 0.0
  gain: float = 1.0
  noise: float = 0.0
  power_noise: float = 0.0
  has_counter: bool = True
  has_power: bool = True

  def joules(self, waveform: Waveform, seconds: float) -> float:
    """Returns what the counter shows `seconds` after its start."""
    last = _last_update(seconds, self.energy_period, self.phase)
    joules = self.gain * waveform.joules(max(0.0, last - self.latency))
    if self.noise:
      joules += self.noise * math.sin(JITTER_RADIANS_PER_SECOND * seconds)
    if self.quantum:
      joules = math.floor(joules / self.quantum) * self.quantum
    return joules

  def watts(self, waveform: Waveform, seconds: float) -> float:
    """Returns what the power reading shows `seconds` after its start."""
    last = _last_update(seconds, self.power_period, self.phase)
    jitter = self.power_noise * math.sin(JITTER_RADIANS_PER_SECOND * last)
    last = max(0.0, last - self.latency)
    first = max(0.0, last - self.power_window)
    if first == last:
      return self.gain * waveform.watts(last) + jitter
    joules = waveform.joules(last) - waveform.joules(first)
    return self.gain * joules / (last - first) + jitter


def _last_update(seconds: float, period: float, phase: float) -> float:
  """Returns when the value shown at an instant appeared, at 0 or later."""
  if not period:
    return seconds
  return max(0.0, math.floor((seconds - phase) / period) * period + phase)


@dataclass(frozen=True)
class Fault:
  """Breaks a simulated sensor between two instants after its start.

  `reset` sets the counter to zero at `begin`; `stuck` holds what was shown at
  `begin` and catches up after `end`, `frozen` goes on from there; `jump` adds
  JUMP_JOULES; `stuck_power` holds the power; `lost` fails every read.
  """

  kind: str
  begin: float
  end: float = math.inf
  message: str = "the GPU is lost"


class SimulatedSource:
  """A sensor that reads a known power: `SimulatedSource(100.0)` is 100 W.

  `power` is watts, a `Waveform`, or a function of the seconds since the
  start. Counter without period gives exact joules.
  """

  def __init__(
    self,
    power: float | Waveform | Callable[[float], float] = 100.0,
    *,
    name: str = "GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f",
    kind: Kind = "gpu",
    sensor: SensorModel | None = None,
    faults: Sequence[Fault] = (),
    clock: Callable[[], float] = time.monotonic,
    counted: bool = True,
  ):
    self.waveform = as_waveform(power)
    self.sensor = sensor or SensorModel()
    self.faults = tuple(faults)
    self._clock = clock
    self._start = clock()
    method = "counter" if self.sensor.has_counter else "power_instant"
    fresh = self.sensor.has_counter and not self.sensor.energy_period
    self._domain = Domain(
      name,
      kind,
      method,
      "simulated sensor",
      counted=counted,
      update_seconds=0.0 if fresh else None,
    )

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The one simulated domain."""
    return (self._domain,)

  def read(self) -> tuple[Reading]:
    """Reads what the simulated sensor shows now."""
    begin = self._clock()
    seconds = begin - self._start
    joules = watts = failure = None
    counter_time = power_time = seconds
    offset = self._frozen(seconds)
    for fault in self.faults:
      if not fault.begin <= seconds < fault.end:
        continue
      if fault.kind == "lost":
        failure = fault.message
      elif fault.kind in ("stuck", "frozen"):
        counter_time = min(counter_time, fault.begin)
      elif fault.kind == "stuck_power":
        power_time = min(power_time, fault.begin)
      elif fault.kind == "jump":
        offset -= JUMP_JOULES
      elif fault.kind == "reset":
        offset = self.sensor.joules(self.waveform, fault.begin)
    if failure is None and self.sensor.has_counter:
      joules = self.sensor.joules(self.waveform, counter_time) - offset
    if failure is None and self.sensor.has_power:
      watts = self.sensor.watts(self.waveform, power_time)
    reading = Reading(
      self._domain.name,
      begin,
      begin,  # a simulated read takes no time
      joules,
      watts,
      failure=failure,
    )
    return (reading,)

  def _frozen(self, seconds: float) -> float:
    """Returns the joules that the counter lost while it was frozen."""
    joules = self.sensor.joules
    return sum(
      joules(self.waveform, fault.end) - joules(self.waveform, fault.begin)
      for fault in self.faults
      if fault.kind == "frozen" and fault.end <= seconds
    )

  def truth(self, start: float, end: float) -> float:
    """Returns the joules between two instants of the clock, exactly."""
    return self.waveform.joules(end - self._start) - self.waveform.joules(
      start - self._start
    )

  def describe(self) -> dict[str, object]:
    """Describes the sensor model."""
    return {"source": "simulated", "sensor": vars(self.sensor)}

  def close(self) -> None:
    """Does nothing: nothing was opened."""
