"""The devices that a trial trains on, as a mesh, and how arrays lie on them.

Training is data-parallel: weights and a set that lies on the devices are whole
on each, a batch is divided over them, and XLA sums the gradients.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxpower.data.streaming import host_bytes


def make_mesh(devices: int = 0) -> Mesh:
  """Returns a mesh of one axis, "data", over this many local devices.

  0 takes all of them.
  """
  chosen = jax.local_devices()[: devices or None]
  # With explicit axes shardings become part of types, and a gather inside a
  # scanned epoch is refused.
  return Mesh(np.array(chosen), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array that is whole on every device."""
  return NamedSharding(mesh, P())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """Returns the sharding of an array whose axis is divided over the devices."""
  return NamedSharding(mesh, P(*[None] * axis, "data"))


def memory_bytes(mesh: Mesh) -> int | None:
  """Returns the memory of each device; None if JAX does not know it.

  For a GPU it is what JAX's allocator may take. CPU devices are parts of one
  machine and share its memory.
  """
  device = mesh.devices.flat[0]
  if device.platform == "cpu":
    return host_bytes() // mesh.size
  return (device.memory_stats() or {}).get("bytes_limit")


def capability_of(device: Any) -> float:
  """Returns the compute capability of an NVIDIA GPU; 0 for what is none.

  JAX tells that of an AMD GPU as "gfx90a".
  """
  try:
    return float(getattr(device, "compute_capability", 0))
  except ValueError:
    return 0.0
