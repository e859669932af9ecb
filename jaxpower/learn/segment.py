"""The segment between two evaluations, and its compilation.

A segment is one program on the device: the host sends the indices of the
examples, how each is moved where images are augmented, and the learning rates,
nothing else, and is not asked again until the next evaluation. Or, to see what
that is worth, a call a step.

The work of one update, counted before it is compiled.

In which order a trial sees its examples.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxpower import config
from jaxpower.config import Trial
from jaxpower.data import batch_indices
from jaxpower.learn import networks, optimizer
from jaxpower.learn.evaluate import evaluate
from jaxpower.learn.heads import LOG_VARIANCES
from jaxpower.learn.optimizer import Hyperparameters
from jaxpower.learn.spec import Data, Spec, network_of, shapes_of
from jaxpower.learn.state import (
  TrainState,
  head_of,
  make_mesh,
  replicated,
  split,
)
from jaxpower.learn.step import train_step


def order_of(
  trial: Trial, chosen: np.ndarray, first_step: int, steps: int
) -> np.ndarray:
  """The examples of some steps of a trial: int32 [steps, batch].

  `chosen` are the examples of its share.
  """
  places = batch_indices(
    seed=trial.seed,
    examples=len(chosen),
    batch_size=trial.batch_size,
    first_step=first_step,
    steps=steps,
  )
  return chosen[places]


def flops_per_step(spec: Spec) -> float | None:
  """Floating-point operations of one update over all devices, as XLA counts.

  Taken from one step before optimisation, its batch in one piece: a count of
  a loop, over steps or micro-batches, would hold its body only once.
  """
  spec = dataclasses.replace(spec, accumulation=1)
  state = shapes_of_state(spec)
  whole = shapes_of(spec, "train")
  batch = whole | {
    name: jax.ShapeDtypeStruct(
      (spec.batch_size, *whole[name].shape[1:]), whole[name].dtype
    )
    for name in ("input", "label")
  }
  if spec.augmentation != "none":
    shape = (spec.batch_size, 3)
    batch["draws"] = jax.ShapeDtypeStruct(shape, jnp.int8)
  step = jax.jit(functools.partial(train_step, spec))
  numbers = optimizer.shapes(tasks=weighed_tasks(spec))
  cost = step.lower(state, batch, numbers).cost_analysis()
  return (cost or {}).get("flops")


@dataclasses.dataclass(frozen=True)
class Programs:
  """The executables of a spec, compiled ahead of any call.

  `workspace_bytes` is what training needs on a device beyond what lies there
  before it: XLA plans all memory when it compiles.
  """

  train: Callable[..., tuple[TrainState, Any]]
  evaluate: Callable[[TrainState, Data], dict[str, jax.Array]]
  workspace_bytes: int


@functools.partial(
  jax.jit,
  static_argnames=(
    "model",
    "classes",
    "vocabulary",
    "precision",
    "rule",
    "shape",
    "freeze",
    "uncertain_tasks",
  ),
)
def init_state(
  seed: jax.Array | np.uint32,
  *,
  model: config.Model,
  classes: int,
  vocabulary: int | None,
  precision: str,
  rule: str,
  shape: tuple[int, ...],
  freeze: bool = False,
  uncertain_tasks: int = 0,
) -> TrainState:
  """Fresh weights drawn from a seed, and the update rule's state for them.

  Nothing here depends on the batch size, so trials of all of them share it;
  `shape` is that of one input. With `freeze` the rule is the head's alone.
  `uncertain_tasks` is the number of tasks whose weights are learned: each
  begins at a weight of 1.
  """
  network = networks.build(model, classes, vocabulary, precision=precision)
  inputs = jnp.zeros((1, *shape), "float32" if vocabulary is None else "int32")
  variables = network.init(jax.random.key(seed), inputs, train=False)
  params = variables["params"]
  if uncertain_tasks:
    start = jnp.zeros(uncertain_tasks, jnp.float32)
    params["head"] = {**params["head"], LOG_VARIANCES: start}
  return TrainState(
    step=jnp.int32(0),
    params=params,
    batch_stats=variables.get("batch_stats", {}),
    opt_state=optimizer.init(
      rule, head_of(params) if freeze else params, uncertain_tasks > 0
    ),
  )


def fresh_state(spec: Spec, seed: int | np.uint32) -> TrainState:
  """The state that training starts from, on every device of the spec."""
  state = _init(spec)(np.uint32(seed))
  return jax.device_put(state, replicated(make_mesh(spec.devices)))


def shapes_of_state(spec: Spec) -> TrainState:
  """The shapes of the state, for compiling."""
  return jax.eval_shape(_init(spec), np.uint32(0))


def test_shardings(mesh: Mesh, test: Data) -> dict[str, Any]:
  """Each chunk of a test set divided over the devices, the rest whole."""
  divided = {"input", "label", "weight"}
  return {
    name: split(mesh, axis=1) if name in divided else replicated(mesh)
    for name in test
  }


def step_of_set(
  spec: Spec,
  mesh: Mesh,
  state: TrainState,
  data: Data,
  index: jax.Array,
  numbers: Hyperparameters,
  draws: jax.Array | None = None,
) -> tuple[TrainState, jax.Array]:
  """One update on the examples that `index`, int32 [batch], picks.

  `draws`, int8 [batch, 3], is how each is moved where images are augmented.
  """
  picked = {name: data[name][index] for name in ("input", "label")}
  if draws is not None:
    picked["draws"] = draws
  batch = data | {
    name: jax.lax.with_sharding_constraint(values, split(mesh))
    for name, values in picked.items()
  }
  return train_step(spec, state, batch, numbers)


def train_segment(
  spec: Spec,
  mesh: Mesh,
  state: TrainState,
  data: Data,
  indices: jax.Array,
  numbers: Hyperparameters,
  draws: jax.Array | None = None,
) -> tuple[TrainState, jax.Array]:
  """The updates up to the next evaluation.

  Args:
    spec: What the program depends on.
    mesh: The devices a batch is divided over.
    state: Before; it is donated.
    data: The whole training set, on every device.
    indices: int32 [steps, batch], the examples of each update.
    numbers: `learning_rate` is float32 [steps], the others scalars.
    draws: int8 [steps, batch, 3], how each example is moved; None where
      images are not augmented.

  Returns:
    The state after, and the mean loss over the segment's steps.
  """

  def body(state: TrainState, step: Any) -> tuple[TrainState, jax.Array]:
    index, rate, drawn = step
    numbers_now = numbers._replace(learning_rate=rate)
    return step_of_set(spec, mesh, state, data, index, numbers_now, drawn)

  steps = (indices, numbers.learning_rate, draws)
  state, losses = jax.lax.scan(body, state, steps)
  return state, losses.mean()


def compile_programs(spec: Spec) -> Programs:
  """Compiles what the spec needs, before any of it is called."""
  with jax.default_matmul_precision(spec.matmul_precision):
    program = _compile_train(spec)
    return Programs(
      train=program
      if spec.program == "segment"
      else functools.partial(_call_by_step, program),
      evaluate=_compile_eval(spec),
      workspace_bytes=workspace_bytes(program),
    )


def _compile_train(spec: Spec) -> jax.stages.Compiled:
  mesh = make_mesh(spec.devices)
  whole = replicated(mesh)
  state = shapes_of_state(spec)
  by_segment = spec.program == "segment"
  lead = (spec.steps,) if by_segment else ()
  divided = split(mesh, axis=len(lead))
  drawn = (
    (jax.ShapeDtypeStruct((*lead, spec.batch_size, 3), jnp.int8),)
    if spec.augmentation != "none"
    else ()
  )
  return (
    jax.jit(
      functools.partial(
        train_segment if by_segment else step_of_set, spec, mesh
      ),
      donate_argnums=0,
      in_shardings=(whole, whole, divided, whole, *[divided] * len(drawn)),
      out_shardings=whole,
    )
    .lower(
      state,
      shapes_of(spec, "train"),
      jax.ShapeDtypeStruct((*lead, spec.batch_size), jnp.int32),
      optimizer.shapes(*lead, tasks=weighed_tasks(spec)),
      *drawn,
    )
    .compile()
  )


def workspace_bytes(program: jax.stages.Compiled) -> int:
  """What a program needs on a device beyond its arguments."""
  needs: Any = program.memory_analysis()
  # What is donated is written over and needs no place of its own.
  results = needs.output_size_in_bytes - needs.alias_size_in_bytes
  return needs.temp_size_in_bytes + max(0, results)


def _call_by_step(
  step: Callable[..., tuple[TrainState, jax.Array]],
  state: TrainState,
  data: Data,
  indices: np.ndarray,
  numbers: Hyperparameters,
  *draws: np.ndarray,
) -> tuple[TrainState, np.floating]:
  """What `train_segment` does, with a call a step."""
  losses = []
  steps = zip(indices, numbers.learning_rate, *draws, strict=True)
  for index, rate, *drawn in steps:
    numbers_now = numbers._replace(learning_rate=rate)
    state, loss = step(state, data, index, numbers_now, *drawn)
    losses.append(loss)
  return state, np.mean(jax.device_get(losses))


def _compile_eval(
  spec: Spec,
) -> Callable[[TrainState, Data], dict[str, jax.Array]]:
  mesh, test = make_mesh(spec.devices), shapes_of(spec, "test")
  whole, network = replicated(mesh), network_of(spec)

  def evaluate_state(state: TrainState, test: Data) -> dict[str, jax.Array]:
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    dtype = jnp.dtype(spec.precision)
    return evaluate(network, dtype, variables, test, spec.tasks)

  return (
    jax.jit(
      evaluate_state,
      in_shardings=(whole, test_shardings(mesh, test)),
      out_shardings=whole,
    )
    .lower(shapes_of_state(spec), test)
    .compile()
  )


def weighed_tasks(spec: Spec) -> int:
  """How many tasks have weights that are data."""
  return 0 if spec.uncertainty or len(spec.tasks) == 1 else len(spec.tasks)


def _init(spec: Spec) -> Callable[[np.uint32], TrainState]:
  return functools.partial(
    init_state,
    model=spec.model,
    classes=spec.classes,
    vocabulary=spec.vocabulary,
    precision=spec.precision,
    rule=spec.optimizer,
    shape=shapes_of(spec, "train")["input"].shape[1:],
    freeze=spec.freeze,
    uncertain_tasks=len(spec.tasks) if spec.uncertainty else 0,
  )
