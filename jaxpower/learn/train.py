"""The step, the segment between two evaluations, and their compilation.

A segment is one program on the device: the host sends the indices of the
examples and the learning rates, nothing else, and is not asked again until
the next evaluation.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxpower import config
from jaxpower.learn import networks, optimizer, tasks
from jaxpower.learn.evaluate import evaluate
from jaxpower.learn.optimizer import Hyperparameters
from jaxpower.learn.state import TrainState, make_mesh, replicated, split

Data = dict[str, Any]  # "input", "label", "mean", "std"; test sets "weight"


@dataclasses.dataclass(frozen=True)
class Spec:
  """What an executable depends on; trials that share it share the executable.

  Learning rates, weight decay, momentum and the seed are data and not here.
  """

  model: config.Model
  optimizer: str
  precision: str
  classes: int
  batch_size: int
  steps: int  # in a segment
  devices: int  # 0: all
  shapes: tuple[tuple[str, tuple[int, ...], str], ...]  # of the data


@dataclasses.dataclass(frozen=True)
class Programs:
  """The executables of a spec, compiled ahead of any call."""

  train: Callable[..., tuple[TrainState, jax.Array]]
  evaluate: Callable[[TrainState, Data], dict[str, jax.Array]]


def spec_of(trial: config.Trial, train: Data, test: Data, classes: int) -> Spec:
  """The part of a trial that its executables depend on."""
  shapes = tuple(
    (f"{split}.{name}", tuple(values.shape), str(values.dtype))
    for split, data in (("train", train), ("test", test))
    for name, values in sorted(data.items())
  )
  return Spec(
    model=trial.model,
    optimizer=trial.optimizer.name,
    precision=trial.precision,
    classes=classes,
    batch_size=trial.batch_size,
    steps=trial.evaluate_every_examples // trial.batch_size,
    devices=trial.devices,
    shapes=shapes,
  )


@functools.partial(
  jax.jit, static_argnames=("model", "classes", "precision", "rule", "shape")
)
def init_state(
  seed: jax.Array | np.uint32,
  *,
  model: config.Model,
  classes: int,
  precision: str,
  rule: str,
  shape: tuple[int, ...],
) -> TrainState:
  """Fresh weights drawn from a seed, and the update rule's state for them.

  Nothing here depends on the batch size, so trials of all of them share it;
  `shape` is that of one input.
  """
  network = networks.build(model, classes, precision)
  inputs = jnp.zeros((1, *shape))
  variables = network.init(jax.random.key(seed), inputs, train=False)
  params = variables["params"]
  return TrainState(
    step=jnp.int32(0),
    params=params,
    batch_stats=variables.get("batch_stats", {}),
    opt_state=optimizer.init(rule, params),
  )


def fresh_state(spec: Spec, seed: int) -> TrainState:
  """The state that training starts from, on every device of the spec."""
  state = _init(spec)(np.uint32(seed))
  return jax.device_put(state, replicated(make_mesh(spec.devices)))


def test_shardings(mesh: Mesh, test: Data) -> dict[str, Any]:
  """Each chunk of a test set divided over the devices, the rest whole."""
  divided = {"input", "label", "weight"}
  return {
    name: split(mesh, axis=1) if name in divided else replicated(mesh)
    for name in test
  }


def train_step(
  spec: Spec, state: TrainState, batch: Data, numbers: Hyperparameters
) -> tuple[TrainState, jax.Array]:
  """One update; returns the new state and the batch's mean loss."""
  network = networks.build(spec.model, spec.classes, spec.precision)
  dtype = jnp.dtype(spec.precision)
  inputs = tasks.normalise(batch["input"], batch["mean"], batch["std"], dtype)

  def loss_of(params: Any) -> tuple[jax.Array, Any]:
    logits, updated = network.apply(
      {"params": params, "batch_stats": state.batch_stats},
      inputs,
      train=True,
      mutable=["batch_stats"],
    )
    loss = tasks.losses(logits, batch["label"]).mean()
    return loss, updated.get("batch_stats", {})

  (loss, batch_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(
    state.params
  )
  rule = optimizer.rule(spec.optimizer, numbers)
  with jax.numpy_dtype_promotion("standard"):  # optax mixes ints and floats
    updates, opt_state = rule.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  return TrainState(state.step + 1, params, batch_stats, opt_state), loss


def train_segment(
  spec: Spec,
  mesh: Mesh,
  state: TrainState,
  data: Data,
  indices: jax.Array,
  numbers: Hyperparameters,
) -> tuple[TrainState, jax.Array]:
  """The updates up to the next evaluation.

  Args:
    spec: What the program depends on.
    mesh: The devices a batch is divided over.
    state: Before; it is donated.
    data: The whole training set, on every device.
    indices: int32 [steps, batch], the examples of each update.
    numbers: `learning_rate` is float32 [steps], the others scalars.

  Returns:
    The state after, and the mean loss over the segment's steps.
  """

  def body(state: TrainState, step: Any) -> tuple[TrainState, jax.Array]:
    index, rate = step
    batch = data | {name: data[name][index] for name in ("input", "label")}
    for name in ("input", "label"):
      batch[name] = jax.lax.with_sharding_constraint(batch[name], split(mesh))
    return train_step(spec, state, batch, numbers._replace(learning_rate=rate))

  state, losses = jax.lax.scan(body, state, (indices, numbers.learning_rate))
  return state, losses.mean()


def compile_programs(spec: Spec) -> Programs:
  """Compiles what the spec needs, before any of it is called."""
  mesh = make_mesh(spec.devices)
  whole = replicated(mesh)
  state = jax.eval_shape(_init(spec), np.uint32(0))
  data = {"train": {}, "test": {}}
  for name, shape in _shapes(spec).items():
    part, _, key = name.partition(".")
    data[part][key] = shape
  train = jax.jit(
    functools.partial(train_segment, spec, mesh),
    donate_argnums=0,
    in_shardings=(whole, whole, split(mesh, axis=1), whole),
    out_shardings=whole,
  )
  network = networks.build(spec.model, spec.classes, spec.precision)

  def evaluate_state(state: TrainState, test: Data) -> dict[str, jax.Array]:
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return evaluate(network, jnp.dtype(spec.precision), variables, test)

  return Programs(
    train=train.lower(
      state, data["train"], _indices(spec), _numbers(spec)
    ).compile(),
    evaluate=jax.jit(
      evaluate_state,
      in_shardings=(whole, test_shardings(mesh, data["test"])),
      out_shardings=whole,
    )
    .lower(state, data["test"])
    .compile(),
  )


def flops_per_step(spec: Spec) -> float | None:
  """Floating-point operations of one update over all devices, as XLA counts.

  Taken from one step before optimisation: the count of a segment would hold
  its loop's body only once.
  """
  state = jax.eval_shape(_init(spec), np.uint32(0))
  shapes = _shapes(spec)
  batch = {
    key: jax.ShapeDtypeStruct((spec.batch_size, *shape.shape[1:]), shape.dtype)
    for key in ("input", "label")
    for shape in [shapes[f"train.{key}"]]
  } | {key: shapes[f"train.{key}"] for key in ("mean", "std")}
  numbers = Hyperparameters(*[jax.ShapeDtypeStruct((), jnp.float32)] * 3)
  step = jax.jit(functools.partial(train_step, spec))
  cost = step.lower(state, batch, numbers).cost_analysis()
  return (cost or {}).get("flops")


def _init(spec: Spec) -> Callable[[np.uint32], TrainState]:
  return functools.partial(
    init_state,
    model=spec.model,
    classes=spec.classes,
    precision=spec.precision,
    rule=spec.optimizer,
    shape=_shapes(spec)["train.input"].shape[1:],
  )


def _shapes(spec: Spec) -> dict[str, jax.ShapeDtypeStruct]:
  return {
    name: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    for name, shape, dtype in spec.shapes
  }


def _indices(spec: Spec) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct((spec.steps, spec.batch_size), jnp.int32)


def _numbers(spec: Spec) -> Hyperparameters:
  scalar = jax.ShapeDtypeStruct((), jnp.float32)
  rates = jax.ShapeDtypeStruct((spec.steps,), jnp.float32)
  return Hyperparameters(rates, scalar, scalar)
