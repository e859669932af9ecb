"""Writes live power and energy as Prometheus reads it (text format 0.0.4).

Names end in their units, energy is a counter. What is unknown has no sample,
and a counter says for how many seconds a device's energy was unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METRICS = {
  "jaxpower_power_watts": ("gauge", "Mean power since the last sample."),
  "jaxpower_energy_joules_total": (
    "counter",
    "Energy since the start, where it was known.",
  ),
  "jaxpower_energy_unknown_seconds_total": (
    "counter",
    "Time since the start in which energy was not known.",
  ),
}


@dataclass(frozen=True, kw_only=True)
class Device:
  """One device now.

  Attributes:
    name: Its domain: a GPU's UUID, a CPU package.
    description: What that is.
    estimated: Whether its power is modelled.
    counted: Whether it is of this job.
    watts: Mean power of the last moment; None where unknown.
    joules: So far, where they were known; None if they never were.
    unknown_seconds: For how long they were not.
  """

  name: str
  description: str
  estimated: bool
  counted: bool
  watts: float | None
  joules: float | None
  unknown_seconds: float


def text(devices: Iterable[Device]) -> str:
  """Writes all metrics of all devices."""
  devices = tuple(devices)
  samples = {
    "jaxpower_power_watts": [(each, each.watts) for each in devices],
    "jaxpower_energy_joules_total": [(each, each.joules) for each in devices],
    "jaxpower_energy_unknown_seconds_total": [
      (each, each.unknown_seconds) for each in devices
    ],
  }
  lines = []
  for name, (kind, what) in METRICS.items():
    lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    lines += [
      f"{name}{{{_labels(device)}}} {value!r}"
      for device, value in samples[name]
      if value is not None
    ]
  return "\n".join(lines) + "\n"


def _labels(device: Device) -> str:
  labels = {
    "device": device.name,
    "description": device.description,
    "source": "estimated" if device.estimated else "measured",
    "of_this_job": str(device.counted).lower(),
  }
  return ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items())


def _escaped(text: str) -> str:
  """Escapes a label's value, as the format asks."""
  return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
