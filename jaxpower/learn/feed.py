"""How the examples of a streamed set reach the devices.

A set that would fill too much of the devices' memory stays in host memory or
on disk. The examples of several steps travel as one chunk, read and copied by
threads while the devices compute on the chunk before: a call and a copy for
each step would cost small steps much of their time, and one chunk a segment
would leave nothing to read ahead. Order and arithmetic are those of a set on
the devices; so is the state after each segment, on CPUs to the bit.

`data.read_ahead` calls the sources below from its threads. They return when
their arrays are on the devices, so that what training waits for is the data
and nothing else.
"""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxpower.config import Trial
from jaxpower.learn import evaluation
from jaxpower.learn.devices import put, replicated, split
from jaxpower.learn.spec import SCALE, Data

# The most that travels in one chunk; up to 1 + `AHEAD` of them lie on the
# devices at once. Chosen, not fitted.
CHUNK_BYTES = 32 << 20

# The fewest chunks of a segment, or parts of a test set, if it has that many
# steps. Measured on two CPU cores (BUILD_NOTES.md): against a set on the
# devices, small steps took 1.4 to 1.6 times the CPU time with a call for each,
# 0.97 to 1.01 times with four calls a segment.
MIN_CHUNKS = 4

# Chunks that are read or on the devices before they are asked for. Chosen, not
# fitted: while one is computed on, one may be ready and one under way.
AHEAD = 2


@dataclasses.dataclass(frozen=True)
class TrainChunks:
  """The chunks of a segment; indexing one brings it to the devices.

  A chunk is what `programs.update_chunk` takes.
  """

  arrays: Mapping[str, np.ndarray]  # the whole training set
  scale: Data  # "mean" and "std", on the devices
  indices: np.ndarray  # int32 [chunks, steps, batch]
  draws: np.ndarray | None  # int8 [chunks, steps, batch, 3]
  sharding: NamedSharding

  def __len__(self) -> int:
    return len(self.indices)

  def __getitem__(self, number: int) -> Data:
    indices = self.indices[number]
    chunk = {name: values[indices] for name, values in self.arrays.items()}
    if self.draws is not None:
      chunk["draws"] = self.draws[number]
    on_devices = jax.block_until_ready(put(chunk, self.sharding))
    return self.scale | on_devices


@dataclasses.dataclass(frozen=True)
class EvaluationParts:
  """Equal parts of a test set; indexing one brings it to the devices.

  A part is [chunks, chunk, ...] as `evaluation.in_chunks` makes it of a whole
  set; the last one is filled up with examples of weight 0.
  """

  arrays: Mapping[str, np.ndarray]  # the whole test set
  scale: Data  # "mean" and "std", on the devices
  shape: tuple[int, int]  # chunks of a part, examples of a chunk
  sharding: NamedSharding

  def __len__(self) -> int:
    return math.ceil(len(self.arrays["label"]) / math.prod(self.shape))

  def __getitem__(self, number: int) -> Data:
    size = math.prod(self.shape)
    part = {
      name: np.asarray(values[number * size : (number + 1) * size])
      for name, values in self.arrays.items()
    }
    part["weight"] = np.ones(len(part["label"]), np.float32)
    filled = {
      name: np.concatenate(
        [
          values,
          np.zeros((size - len(values), *values.shape[1:]), values.dtype),
        ]
      ).reshape(*self.shape, *values.shape[1:])
      for name, values in part.items()
    }
    on_devices = jax.block_until_ready(put(filled, self.sharding))
    return self.scale | on_devices


def part_shapes(
  test: Mapping[str, np.ndarray], mesh: Mesh, chosen: int = 0
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of a part of a test set, but for "mean" and "std".

  `chosen` are the examples of a pass on a device, as in
  `evaluation.chunk_size`.
  """
  examples = len(test["label"])
  chunk = evaluation.chunk_size(examples, mesh, chosen)
  most = max(1, CHUNK_BYTES // (chunk * _example_bytes(test)))
  lead = min(most, math.ceil(examples / (chunk * MIN_CHUNKS))), chunk
  return {"weight": jax.ShapeDtypeStruct(lead, jnp.float32)} | {
    name: jax.ShapeDtypeStruct((*lead, *values.shape[1:]), values.dtype)
    for name, values in test.items()
  }


def steps_per_chunk(trial: Trial, train: Mapping[str, np.ndarray]) -> int:
  """Returns how many steps travel together: a divisor of a segment's."""
  if trial.program == "step":
    return 1
  steps = trial.evaluate_every_examples // trial.batch_size
  most = CHUNK_BYTES // (trial.batch_size * _example_bytes(train))
  most = min(most, steps // MIN_CHUNKS)
  return max(n for n in range(1, max(1, most) + 1) if steps % n == 0)


def shardings(mesh: Mesh, data: Data) -> dict[str, NamedSharding]:
  """Returns where arrays lie whose examples are [steps or chunks, batch, ...].

  Each device has its share of every batch, and the whole of all else.
  """
  whole = (*SCALE, evaluation.RANGE)
  return {
    name: replicated(mesh) if name in whole else split(mesh, axis=1)
    for name in data
  }


def _example_bytes(arrays: Mapping[str, np.ndarray]) -> int:
  """Returns the bytes of one example."""
  return sum(
    values.dtype.itemsize * int(np.prod(values.shape[1:]))
    for values in arrays.values()
  )
