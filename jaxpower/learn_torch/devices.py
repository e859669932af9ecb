"""The devices that a trial trains on: GPUs, or the CPU.

There is one process for each device. Workers see one GPU alone
(`distributed.process`), so that `device_of()` is a process's own.
"""

import os

import torch

from jaxpower import config
from jaxpower.data.streaming import host_bytes

# An environment variable: as how many devices a machine without a GPU counts.
CPU_PROCESSES = "JAXPOWER_TORCH_CPU_PROCESSES"
# One that rank 0 of several hosts sets for itself: how many ranks a launcher
# started, each with one device.
LAUNCHED = "JAXPOWER_LAUNCHED"


def device_of(index: int = 0) -> torch.device:
  """Returns the GPU of this index if there is any, else the CPU."""
  if torch.cuda.is_available():
    return torch.device("cuda", index)
  return torch.device("cpu")


def devices_of(trial: config.Trial) -> list[torch.device]:
  """Returns the devices a trial is trained on: all if it says 0.

  A machine without a GPU counts as one device, or as many as the environment
  variable JAXPOWER_TORCH_CPU_PROCESSES says. Where a launcher started a process
  for each device, those of all hosts count, and each is the first of its own.
  """
  if launched := int(os.environ.get(LAUNCHED, "0")):
    return [device_of()] * (trial.devices or launched)
  gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
  count = gpus or int(os.environ.get(CPU_PROCESSES, "1"))
  return [device_of(index) for index in range(count)][: trial.devices or None]


def memory_bytes(device: torch.device, devices: int) -> int:
  """Returns the memory of one of so many devices; on a CPU they share it."""
  if device.type == "cpu":
    return host_bytes() // devices
  return torch.cuda.get_device_properties(device).total_memory
