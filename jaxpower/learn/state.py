"""How much memory JAX has on a device.

The seed of a head that no backbone has met.

What training changes, and where it lies on the devices.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxpower import config
from jaxpower.data.streaming import host_bytes

HEAD = "head"  # the name of the last layer in every network


@flax.struct.dataclass
class TrainState:
  """All that an update reads and writes; nothing but arrays.

  Where the backbone is frozen `opt_state` is that of the head alone.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any


def head_of(params: Mapping[str, Any]) -> dict[str, Any]:
  """The head's weights alone, under their name."""
  return {HEAD: params[HEAD]}


def backbone_of(params: Mapping[str, Any]) -> dict[str, Any]:
  """All weights but the head's."""
  return {name: part for name, part in params.items() if name != HEAD}


def make_mesh(devices: int = 0) -> Mesh:
  """A mesh of one axis, "data", over this many local devices (0: all)."""
  chosen = jax.local_devices()[: devices or None]
  # With explicit axes shardings become part of types, and a gather inside a
  # scanned epoch is refused.
  return Mesh(np.array(chosen), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """A whole copy on every device."""
  return NamedSharding(mesh, P())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
  """The given axis divided over the devices."""
  return NamedSharding(mesh, P(*[None] * axis, "data"))


def count_parameters(state: TrainState) -> int:
  """How many numbers the network has, those of a frozen backbone too."""
  return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def head_seed(trial: config.Trial) -> np.uint32:
  """What the head over a restored backbone is drawn from.

  The trial's own seed may have given the head that the backbone was trained
  under, which would know the classes before any training.
  """
  depth = len(tuple(config.sources(trial))) or 1
  (seed,) = np.random.SeedSequence([trial.seed, depth]).generate_state(1)
  return seed


def memory_bytes(mesh: Mesh) -> int | None:
  """The memory of each device; None where it is not told.

  Of a GPU it is what JAX's allocator may take. CPU devices are parts of one
  machine and share its memory.
  """
  device = mesh.devices.flat[0]
  if device.platform == "cpu":
    return host_bytes() // mesh.size
  return (device.memory_stats() or {}).get("bytes_limit")
