"""The devices that a trial trains on, as a mesh, and how arrays lie on them.

Training is data-parallel: weights and a set that lies on the devices are whole
on each, a batch is divided over them, and XLA sums the gradients.
"""

from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxpower.data.streaming import host_bytes

T = TypeVar("T")


def make_mesh(devices: int = 0) -> Mesh:
  """Returns a mesh of one axis, "data", over this many devices.

  0 takes all of them. Where a trial is over several processes, they are those
  of all, in the order of the processes.
  """
  every = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  chosen = every[: devices or None]
  # With explicit axes shardings become part of types, and a gather inside a
  # scanned epoch is refused.
  return Mesh(np.array(chosen), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array that is whole on every device."""
  return NamedSharding(mesh, P())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """Returns the sharding of an array whose axis is divided over the devices."""
  return NamedSharding(mesh, P(*[None] * axis, "data"))


def put(arrays: T, shardings: Any, *, may_alias: bool | None = None) -> T:
  """Brings a tree of arrays to the devices.

  Args:
    arrays: Of the host, or of this process's devices.
    shardings: Of each array, or one for all.
    may_alias: False: none may stay where it is, under the name of an array on
      the devices; None: as JAX likes.
  """
  if jax.process_count() == 1:
    return jax.device_put(arrays, shardings, may_alias=may_alias)

  def place(array: Any, sharding: NamedSharding) -> jax.Array:
    # Each process has the whole array, and gives its own devices their part.
    values = np.asarray(array)
    return jax.make_array_from_callback(
      values.shape, sharding, lambda part: values[part]
    )

  if isinstance(shardings, NamedSharding):
    return jax.tree.map(lambda array: place(array, shardings), arrays)
  return jax.tree.map(place, arrays, shardings)


def memory_bytes(mesh: Mesh) -> int | None:
  """Returns the memory of each device; None if JAX does not know it.

  For a GPU it is what JAX's allocator may take. CPU devices are parts of one
  machine and share its memory.
  """
  device = own_device(mesh)
  if device.platform == "cpu":
    return host_bytes() // mesh.size
  return (device.memory_stats() or {}).get("bytes_limit")


def own_device(mesh: Mesh) -> Any:
  """Returns the first device of a mesh that belongs to this process."""
  return next(
    device
    for device in mesh.devices.flat
    if device.process_index == jax.process_index()
  )
