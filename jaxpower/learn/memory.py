"""Whether a set is to lie on the devices or to be streamed to them."""

import os
import pathlib

from jax.sharding import Mesh

from jaxpower.config import Trial
from jaxpower.data import DataSet

SHARE = 0.5  # of a device's memory; weights and activations need the rest
LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")  # of a container


def is_streamed(trial: Trial, sets: DataSet, mesh: Mesh) -> bool:
  """Whether the examples of a trial come to its devices as they are needed.

  "auto" asks whether both splits would take more than a share of what a
  device has. What it has, and not what is free at the moment: else trials of
  one sweep could be decided differently.
  """
  if trial.streaming != "auto":
    return trial.streaming == "always"
  room = memory_bytes(mesh)
  needed = sum(
    part[name].nbytes
    for part in (sets.train, sets.test)
    for name in ("input", "label")
  )
  return room is not None and needed > SHARE * room


def memory_bytes(mesh: Mesh) -> int | None:
  """The memory of each device; None where it is not told.

  CPU devices are parts of one machine and share its memory.
  """
  device = mesh.devices.flat[0]
  if device.platform == "cpu":
    return host_bytes() // mesh.size
  return (device.memory_stats() or {}).get("bytes_limit")


def host_bytes() -> int:
  """The memory of this machine, or what its container allows."""
  installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  try:
    return min(installed, int(LIMIT.read_text()))
  except (OSError, ValueError):  # no container, or "max": it has no limit
    return installed
