"""The meter wing: joules of named windows; knows neither project nor jax.

From the bottom up: sources read sensors (nvml, rapl, estimate, simulated,
replay), the sampler asks them near their ticks, a history keeps what they said,
counter and integral make joules of it, the monitor opens windows.
"""

from jaxpower.power.board_state import Use, gpu_state, gpu_uses
from jaxpower.power.devices import gpu_uuid
from jaxpower.power.monitor import Monitor
from jaxpower.power.reading import (
  Domain,
  MeterError,
  Problem,
  Reading,
  Source,
)
from jaxpower.power.recording import Chunk, Sample, Timeline
from jaxpower.power.replay import ReplaySource
from jaxpower.power.simulated import Fault, SensorModel, SimulatedSource
from jaxpower.power.window import Energy, Handle, Load, Window

__all__ = [
  "Chunk",
  "Domain",
  "Energy",
  "Fault",
  "Handle",
  "Load",
  "MeterError",
  "Monitor",
  "Problem",
  "Reading",
  "ReplaySource",
  "Sample",
  "SensorModel",
  "SimulatedSource",
  "Source",
  "Timeline",
  "Use",
  "Window",
  "gpu_state",
  "gpu_uses",
  "gpu_uuid",
]
