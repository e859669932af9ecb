"""How much memory JAX has on a device."""

from jax.sharding import Mesh

from jaxpower.data.memory import host_bytes


def memory_bytes(mesh: Mesh) -> int | None:
  """The memory of each device; None where it is not told.

  Of a GPU it is what JAX's allocator may take. CPU devices are parts of one
  machine and share its memory.
  """
  device = mesh.devices.flat[0]
  if device.platform == "cpu":
    return host_bytes() // mesh.size
  return (device.memory_stats() or {}).get("bytes_limit")
