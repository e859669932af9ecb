"""Training on a set that stays in host memory or on disk.

The examples of a few steps travel together while those before them are
trained on. Order and arithmetic are those of a set that lies on the devices,
and so are the results.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxpower import data, schedule
from jaxpower.config import Trial
from jaxpower.learn import evaluate as evaluation
from jaxpower.learn import optimizer
from jaxpower.learn.augment import draws_of
from jaxpower.learn.optimizer import Hyperparameters, hyperparameters
from jaxpower.learn.segment import (
  order_of,
  shapes_of_state,
  test_shardings,
  weighed_tasks,
  workspace_bytes,
)
from jaxpower.learn.spec import Data, Spec, network_of, shapes_of
from jaxpower.learn.state import TrainState, make_mesh, replicated, split
from jaxpower.learn.step import train_step

CHUNK_BYTES = 32 << 20  # what travels in one piece
# Of a segment: with one, nothing would be read ahead. A call a step took small
# steps 1.4 times the CPU time of the whole set on the device, four calls 1.0.
FEWEST_CHUNKS = 4
AHEAD = 2  # chunks on the devices that are not yet trained on


@dataclasses.dataclass(frozen=True)
class Streamed:
  """A trial whose examples come to its devices as they are needed."""

  trial: Trial
  train: Mapping[str, np.ndarray]
  test: Mapping[str, np.ndarray]
  scale: Data  # "mean" and "std", on the devices
  spec: Spec
  chosen: np.ndarray  # int32, indices into `train`
  test_examples: int


@dataclasses.dataclass(frozen=True)
class Programs:
  """The executables of a spec whose set is streamed."""

  train: Callable[..., tuple[TrainState, jax.Array]]
  add: Callable[..., Any]  # a part of the test set to the sums before it
  zeros: Any  # the sums of nothing
  means: Callable[[Any], dict[str, jax.Array]]
  workspace_bytes: int  # of training, beyond what lies on a device before it


@dataclasses.dataclass(frozen=True)
class Chunks:
  """The examples of a segment by their chunk, brought to the devices."""

  arrays: Mapping[str, np.ndarray]
  rows: np.ndarray  # int32 [chunks, steps, batch]
  draws: np.ndarray | None  # int8 [chunks, steps, batch, 3]
  sharding: NamedSharding

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, place: int) -> Data:
    rows = self.rows[place]
    chunk = {name: values[rows] for name, values in self.arrays.items()}
    if self.draws is not None:
      chunk["draws"] = self.draws[place]
    return jax.block_until_ready(jax.device_put(chunk, self.sharding))


@dataclasses.dataclass(frozen=True)
class Parts:
  """The test set in equal parts, brought to the devices.

  A part is [chunks, chunk, ...] as `in_chunks` would give it; the last one is
  filled up with weightless examples.
  """

  arrays: Mapping[str, np.ndarray]
  shape: tuple[int, int]
  shardings: Mapping[str, NamedSharding]

  def __len__(self) -> int:
    return math.ceil(len(self.arrays["label"]) / math.prod(self.shape))

  def __getitem__(self, place: int) -> Data:
    size = math.prod(self.shape)
    part = {
      name: np.asarray(values[place * size : (place + 1) * size])
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
    return jax.block_until_ready(jax.device_put(filled, dict(self.shardings)))


def part_shapes(
  test: Mapping[str, np.ndarray], mesh: Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
  """The shapes of a part of the test set, as `Parts` gives it."""
  examples = len(test["label"])
  chunk = evaluation.chunk_size(examples, mesh)
  most = max(1, CHUNK_BYTES // (chunk * _example_bytes(test)))
  lead = min(most, math.ceil(examples / (chunk * FEWEST_CHUNKS))), chunk
  return {"weight": jax.ShapeDtypeStruct(lead, jnp.float32)} | {
    name: jax.ShapeDtypeStruct((*lead, *values.shape[1:]), values.dtype)
    for name, values in test.items()
  }


def steps_together(trial: Trial, train: Mapping[str, np.ndarray]) -> int:
  """How many steps travel together: a divisor of those of a segment."""
  if trial.program == "step":
    return 1
  steps = trial.evaluate_every_examples // trial.batch_size
  most = CHUNK_BYTES // (trial.batch_size * _example_bytes(train))
  most = min(most, steps // FEWEST_CHUNKS)
  return max(n for n in range(1, max(1, most) + 1) if steps % n == 0)


def train_chunk(
  spec: Spec,
  state: TrainState,
  scale: Data,
  chunk: Data,
  numbers: Hyperparameters,
) -> tuple[TrainState, jax.Array]:
  """The updates of some steps; their examples are [steps, batch, ...].

  Returns the state after and the loss of each step, [steps].
  """

  def body(state: TrainState, step: Any) -> tuple[TrainState, jax.Array]:
    batch, rate = step
    numbers_now = numbers._replace(learning_rate=rate)
    return train_step(spec, state, scale | batch, numbers_now)

  return jax.lax.scan(body, state, (chunk, numbers.learning_rate))


def compile_programs(spec: Spec) -> Programs:
  """Compiles what the spec needs, before any of it is called."""
  mesh, network = make_mesh(spec.devices), network_of(spec)
  whole = replicated(mesh)
  state = shapes_of_state(spec)
  scale, examples = _apart(shapes_of(spec, "train"))
  chunk = {
    name: jax.ShapeDtypeStruct(
      (spec.chunk, spec.batch_size, *values.shape[1:]), values.dtype
    )
    for name, values in examples.items()
  }
  if spec.augmentation != "none":
    shape = (spec.chunk, spec.batch_size, 3)
    chunk["draws"] = jax.ShapeDtypeStruct(shape, jnp.int8)
  _, part = _apart(shapes_of(spec, "test"))

  def sum_up(state: TrainState, scale: Data, part: Data, before: Any) -> Any:
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    dtype = jnp.dtype(spec.precision)
    return evaluation.sum_up(
      network, dtype, variables, scale | part, before, spec.tasks
    )

  with jax.default_matmul_precision(spec.matmul_precision):
    sums = evaluation.zeros(spec.tasks)
    train = (
      jax.jit(
        functools.partial(train_chunk, spec),
        donate_argnums=0,
        in_shardings=(whole, whole, split(mesh, axis=1), whole),
        out_shardings=whole,
      )
      .lower(
        state,
        scale,
        chunk,
        optimizer.shapes(spec.chunk, tasks=weighed_tasks(spec)),
      )
      .compile()
    )
    return Programs(
      train=train,
      workspace_bytes=workspace_bytes(train),
      add=jax.jit(
        sum_up,
        in_shardings=(whole, whole, test_shardings(mesh, part), whole),
        out_shardings=whole,
      )
      .lower(state, scale, part, sums)
      .compile(),
      zeros=jax.device_put(sums, whole),
      means=jax.jit(evaluation.means, in_shardings=whole, out_shardings=whole)
      .lower(sums)
      .compile(),
    )


def train(
  programs: Programs, state: TrainState, placed: Streamed, segment: int
) -> tuple[TrainState, np.floating, float]:
  """The updates of one segment; what is read for it is gone at its end.

  Returns the new state, the mean loss, and the seconds that the devices
  waited for data, from the end of one chunk to the beginning of the next.
  """
  spec, trial = placed.spec, placed.trial
  first = segment * spec.steps
  rows = order_of(trial, placed.chosen, first, spec.steps)
  rates = schedule.learning_rates(trial, first, spec.steps)
  numbers = hyperparameters(trial, rates)
  shape = placed.train["input"].shape[1:]
  drawn = draws_of(trial, shape, first, spec.steps)
  lead = (-1, spec.chunk, trial.batch_size)
  source = Chunks(
    placed.train,
    rows.reshape(lead),
    drawn[0].reshape(*lead, 3) if drawn else None,
    split(make_mesh(spec.devices), axis=1),
  )
  losses = []
  with data.read_ahead(source, ahead=AHEAD) as chunks:
    for chunk, rate in zip(chunks, np.split(rates, len(source)), strict=True):
      numbers_now = numbers._replace(learning_rate=rate)
      state, loss = programs.train(state, placed.scale, chunk, numbers_now)
      # The devices are at rest before the next chunk is asked for, or they
      # would seem to wait for data while they compute.
      losses.append(jax.block_until_ready(loss))
  return state, np.mean(np.concatenate(losses)), chunks.waited_seconds


def evaluate(
  programs: Programs, state: TrainState, placed: Streamed
) -> dict[str, jax.Array]:
  """What a look at the whole test set finds."""
  mesh = make_mesh(placed.spec.devices)
  _, part = _apart(shapes_of(placed.spec, "test"))
  shape = part["weight"].shape
  source = Parts(placed.test, shape, test_shardings(mesh, part))
  sums = programs.zeros
  with data.read_ahead(source, ahead=AHEAD) as parts:
    for part in parts:
      sums = programs.add(state, placed.scale, part, sums)
      jax.block_until_ready(sums)
  return programs.means(sums)


def _apart(arrays: Data) -> tuple[Data, Data]:
  """The scale of the inputs, and all that is of single examples."""
  scale = {name: arrays[name] for name in ("mean", "std")}
  return scale, {n: arrays[n] for n in arrays if n not in scale}


def _example_bytes(arrays: Mapping[str, np.ndarray]) -> int:
  return sum(
    values.dtype.itemsize * int(np.prod(values.shape[1:]))
    for values in arrays.values()
  )
