"""The devices that a trial trains on, as a mesh, and how arrays lie on them.

Training is data-parallel over the one axis of the mesh: a batch is divided over
it, and XLA sums the gradients. All decisions of where an array lies are here.

- The state is whole on every device ("replicated"), or each of its larger
  arrays is divided over them ("fsdp").
- The training set is whole on each device, or divided over them by ranges of
  examples; then `taken` brings each device its part of a batch.

Arrays of the host come to the devices by `put` alone.
"""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxpower.data.streaming import host_bytes

T = TypeVar("T")

# Bytes; arrays of the host that begin at a multiple XLA's CPU devices read
# where they are (measured: one buffer of two devices at 64, two at 4).
ALIGNMENT = 64

AXIS = "data"  # the one axis of every mesh
HOPPER = 9.0  # compute capability of NVIDIA's H100, H200
# Numbers of the smallest array that "fsdp" divides. Chosen: what is smaller
# saves no memory worth a message.
FSDP_LEAST = 1024


def make_mesh(devices: int = 0) -> Mesh:
  """Returns a mesh of one axis, "data", over this many devices.

  0 takes all of them. Where a trial is over several processes, they are those
  of all, in the order of the processes.
  """
  every = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  chosen = every[: devices or None]
  # With explicit axes shardings become part of types, and a gather inside a
  # scanned epoch is refused.
  return Mesh(np.array(chosen), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array that is whole on every device."""
  return NamedSharding(mesh, P())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """Returns the sharding of an array whose axis is divided over the devices."""
  return NamedSharding(mesh, P(*[None] * axis, AXIS))


def of_state(mesh: Mesh, sharding: str, state: Any) -> Any:
  """Returns the sharding of each array of a state, or of a part of one.

  With "fsdp" (fully sharded data parallel, ZeRO stage 3 in storage) an array
  is divided along its longest axis that the number of devices divides; one
  without such an axis, or with less than `FSDP_LEAST` numbers, is whole on each
  device, as all are with "replicated". The rule asks for the shape alone, so
  that moments lie as their weights.
  """

  def of_array(array: Any) -> NamedSharding:
    shape = array.shape
    fitting = [axis for axis, n in enumerate(shape) if n % mesh.size == 0]
    if sharding != "fsdp" or array.size < FSDP_LEAST or not fitting:
      return replicated(mesh)
    return split(mesh, max(fitting, key=lambda axis: shape[axis]))

  return jax.tree.map(of_array, state)


def gathered(mesh: Mesh, sharding: str, values: T) -> T:
  """Brings divided arrays whole to every device, inside a program."""
  if sharding != "fsdp":
    return values
  return jax.lax.with_sharding_constraint(values, replicated(mesh))


def divided(mesh: Mesh, sharding: str, values: T) -> T:
  """Divides arrays as a state's are, inside a program."""
  if sharding != "fsdp":
    return values
  return jax.lax.with_sharding_constraint(
    values, of_state(mesh, sharding, values)
  )


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


def filled(values: np.ndarray, mesh: Mesh) -> jax.ShapeDtypeStruct:
  """Returns the shape of an array whose first axis can be divided equally."""
  rows = -(-len(values) // mesh.size) * mesh.size
  return jax.ShapeDtypeStruct((rows, *values.shape[1:]), values.dtype)


def put_divided(values: np.ndarray, mesh: Mesh) -> jax.Array:
  """Divides an array's first axis over the devices, filled up with zeros.

  Each part is read by itself: one that is mapped from disk never lies in the
  host's memory as a whole.
  """
  shape = filled(values, mesh).shape

  def part(index: Any) -> np.ndarray:
    first, end, _ = index[0].indices(shape[0])
    rows = np.zeros((end - first, *shape[1:]), values.dtype)
    held = values[first:end]
    rows[: len(held)] = held
    return rows

  return jax.make_array_from_callback(shape, split(mesh), part)


def taken(mesh: Mesh, values: jax.Array, index: jax.Array) -> jax.Array:
  """Brings the examples of a batch from where they lie to where they are used.

  Each device looks up those that it has, zeros in place of the others, and
  receives the sum over all devices of its own part of the batch: one
  reduce-scatter. The order is that of `index`.

  Args:
    mesh: The devices.
    values: [examples, ...], divided over them along the first axis.
    index: int32 [batch], whole on each.

  Returns:
    [batch, ...], divided along the first axis.
  """

  def of_device(held: jax.Array, index: jax.Array) -> jax.Array:
    place = index - jax.lax.axis_index(AXIS).astype(index.dtype) * len(held)
    here = (place >= 0) & (place < len(held))
    found = held[jnp.where(here, place, 0)]
    shape = (len(index), *[1] * (held.ndim - 1))
    found = jnp.where(here.reshape(shape), found, jnp.zeros_like(found))
    return jax.lax.psum_scatter(found, AXIS, scatter_dimension=0, tiled=True)

  return jax.shard_map(
    of_device, mesh=mesh, in_specs=(P(AXIS), P()), out_specs=P(AXIS)
  )(values, index)


def put_shared(arrays: T, mesh: Mesh) -> T:
  """Brings arrays whole to CPU devices, which all read the same copy."""

  def aligned(values: np.ndarray) -> np.ndarray:
    room = np.empty(values.nbytes + ALIGNMENT, np.uint8)
    first = -room.ctypes.data % ALIGNMENT
    copied = room[first : first + values.nbytes].view(values.dtype)
    copied = copied.reshape(values.shape)
    copied[...] = values
    return copied

  return put(jax.tree.map(aligned, arrays), replicated(mesh))


def memory_bytes(mesh: Mesh, cores: int = 1) -> int | None:
  """Returns the memory of each device; None if JAX does not know it.

  For a GPU it is what JAX's allocator may take. CPU devices are parts of one
  machine and share its memory; so many of them are cores, which read the same.
  """
  device = own_device(mesh)
  if device.platform == "cpu":
    return host_bytes() * cores // mesh.size
  return (device.memory_stats() or {}).get("bytes_limit")


def capability_of(device: Any) -> float:
  """Returns the compute capability of an NVIDIA GPU; 0 for what is none.

  JAX tells that of an AMD GPU as "gfx90a".
  """
  try:
    return float(getattr(device, "compute_capability", 0))
  except ValueError:
    return 0.0


def own_device(mesh: Mesh) -> Any:
  """Returns the first device of a mesh that belongs to this process."""
  return next(
    device
    for device in mesh.devices.flat
    if device.process_index == jax.process_index()
  )
