"""A frozen backbone's features, computed once and kept on the devices.

What a frozen backbone makes of an example is the same in every update, so it
can be computed in one pass before the first, and the head be trained on it:
the updates that follow cost as little as their last layer. All programs of the
head are those of a whole network, with the head as the network and features as
inputs.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxpower.learn import evaluation, feed, tasks
from jaxpower.learn.compiler import options_of
from jaxpower.learn.devices import make_mesh, put, replicated, split
from jaxpower.learn.evaluation import RANGE, Metrics
from jaxpower.learn.placement import Placed
from jaxpower.learn.spec import (
  SCALE,
  Data,
  Spec,
  network_of,
  shapes_of,
  spec_on_features,
)
from jaxpower.learn.state import (
  TrainState,
  shapes_of_state,
  shardings_of_state,
  variables_of,
)


@dataclasses.dataclass(frozen=True)
class FeaturePrograms:
  """The executables that compute features, and that evaluate a head on them.

  Attributes:
    spec: Of the head alone.
    rows: Training examples of a call.
    empty: Makes the array that `add_rows` fills.
    add_rows: Computes the features of some training examples.
    of_chunks: Computes those of a test set in chunks.
    evaluate: As `programs.Programs.evaluate`, on features.
  """

  spec: Spec
  rows: int
  empty: Callable[[], jax.Array]
  add_rows: Callable[..., jax.Array]
  of_chunks: Callable[..., jax.Array]
  evaluate: Callable[[TrainState, Any], Metrics]


def spec_of_head(spec: Spec) -> Spec:
  """Returns the spec of the head alone, its inputs what a backbone gives."""
  inputs = shapes_of(spec, "train")["input"]
  one = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
  scale = {name: shapes_of(spec, "train")[name] for name in SCALE}
  found = jax.eval_shape(
    functools.partial(features_of, spec), shapes_of_state(spec), one, scale
  )
  feature = jax.ShapeDtypeStruct(found.shape[1:], found.dtype)
  return spec_on_features(spec, feature)


def features_of(
  spec: Spec, state: TrainState, inputs: jax.Array, scale: Data
) -> jax.Array:
  """Returns what the backbone makes of raw inputs [batch, ...]."""
  inputs = tasks.normalise(
    inputs, scale["mean"], scale["std"], jnp.dtype(spec.precision)
  )
  variables = variables_of(spec, state)
  found = network_of(spec).apply(variables, inputs, train=False, logits=False)
  assert isinstance(found, jax.Array)
  return found


def add_rows(
  spec: Spec,
  mesh: Mesh,
  state: TrainState,
  train: Data,
  index: jax.Array,
  features: jax.Array,
) -> jax.Array:
  """Computes the features of some examples of a set on the devices.

  Args:
    spec: Of the whole network.
    mesh: The devices that the examples are divided over.
    state: Its backbone.
    train: "input" of the whole set, and "mean" and "std".
    index: int32 [rows], the examples.
    features: Of the whole set; it is donated.

  Returns:
    `features` with those of the examples in their places.
  """
  picked = jax.lax.with_sharding_constraint(train["input"][index], split(mesh))
  return features.at[index].set(features_of(spec, state, picked, train))


def of_chunks(spec: Spec, state: TrainState, test: Data) -> jax.Array:
  """Computes the features of a RANGE of a test set: [chunks, chunk, ...].

  Those of other chunks are zeros.
  """
  inputs = test["input"]

  def add(number: jax.Array, features: jax.Array) -> jax.Array:
    chunk = jax.lax.dynamic_index_in_dim(inputs, number, keepdims=False)
    found = features_of(spec, state, chunk, test)
    return jax.lax.dynamic_update_index_in_dim(features, found, number, 0)

  wanted = shapes_of(spec_of_head(spec), "test")["input"]
  zeros = jnp.zeros(wanted.shape, wanted.dtype)
  first, end = test[RANGE]
  return jax.lax.fori_loop(first, end, add, zeros)


def compile_programs(
  spec: Spec, evaluate: Callable[[TrainState, Any], Metrics]
) -> FeaturePrograms:
  """Compiles what computes features; `evaluate` is that of the head."""
  mesh, head = make_mesh(spec.devices), spec_of_head(spec)
  state, lies = shapes_of_state(spec), shardings_of_state(spec)
  whole, divided = replicated(mesh), split(mesh)
  train, test = shapes_of(spec, "train"), shapes_of(spec, "test")
  train = {name: train[name] for name in ("input", *SCALE)}
  test = {name: test[name] for name in ("input", RANGE, *SCALE)}
  wanted = shapes_of(head, "train")["input"]
  examples = len(train["input"])
  chunk = shapes_of(spec, "test")["label"].shape[1]
  rows = evaluation.chunk_size(examples, mesh, chunk // mesh.size)
  add = (
    jax.jit(
      functools.partial(add_rows, spec, mesh),
      donate_argnums=3,
      in_shardings=(lies, whole, divided, whole),
      out_shardings=whole,
    )
    .lower(state, train, jax.ShapeDtypeStruct((rows,), jnp.int32), wanted)
    .compile(options_of(spec))
  )

  def add_rows_of_host(
    state: TrainState, train: Data, index: np.ndarray, features: jax.Array
  ) -> jax.Array:
    return add(state, train, put(index, divided), features)

  return FeaturePrograms(
    spec=head,
    rows=rows,
    empty=jax.jit(
      lambda: jnp.zeros(wanted.shape, wanted.dtype), out_shardings=whole
    )
    .lower()
    .compile(options_of(spec)),
    add_rows=add_rows_of_host,
    of_chunks=jax.jit(
      functools.partial(of_chunks, spec),
      in_shardings=(lies, feed.shardings(mesh, test)),
      out_shardings=split(mesh, axis=1),
    )
    .lower(state, test)
    .compile(options_of(spec)),
    evaluate=evaluate,
  )


def compute(
  programs: FeaturePrograms, state: TrainState, placed: Placed, split: str
) -> Placed:
  """Returns a trial with features in place of its inputs, all computed.

  Args:
    programs: Those of the trial's spec.
    state: Its backbone.
    placed: The trial.
    split: Of what is evaluated, the only one to be passed through as well.
  """
  inputs = {"input": placed.train["input"]} | placed.scale
  features = programs.empty()
  # Calls of one shape: the last one takes its last example several times.
  missing = -len(placed.chosen) % programs.rows
  index = np.concatenate([placed.chosen, np.repeat(placed.chosen[-1], missing)])
  for rows in index.reshape(-1, programs.rows).astype(np.int32):
    features = programs.add_rows(state, inputs, rows, features)
  test: Any = placed.evaluated[split]  # on the devices: nothing is streamed
  needed = {name: test[name] for name in ("input", RANGE, *SCALE)}
  test = {**test, "input": programs.of_chunks(state, needed)}
  jax.block_until_ready((features, test))
  return dataclasses.replace(
    placed,
    train=placed.train | {"input": features},
    evaluated={split: test},
    spec=programs.spec,
  )
