"""One update: from a batch to the next state.

Traced into every training program (`programs`), so nothing here runs while a
trial trains. What training takes as data, learning rates and all, comes as
traced numbers: changing it compiles nothing.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxpower import architectures
from jaxpower.learn import augment, heads, optimizer, tasks
from jaxpower.learn.devices import divided, gathered, make_mesh
from jaxpower.learn.optimizer import Hyperparameters
from jaxpower.learn.spec import Data, Spec, network_of
from jaxpower.learn.state import TrainState, backbone_of, head_of

# Of JAX, by what a config calls them. Threefry draws the same on any number of
# devices; XLA's own generator is one operation on a GPU.
GENERATORS = {"threefry": "threefry2x32", "rbg": "rbg"}


def train_step(
  spec: Spec, state: TrainState, batch: Data, numbers: Hyperparameters
) -> tuple[TrainState, jax.Array]:
  """Makes one update; returns the new state and the batch's mean loss.

  Dropout is drawn from the seed and the number of the step, so that a step is
  the same whatever came before it; how images are moved is given with them,
  as "draws".

  Args:
    spec: What the program depends on.
    state: Before the update.
    batch: "input" and "label" [batch, ...], "mean", "std", and "draws" if
      images are augmented.
    numbers: Scalars; `task_weights` is [tasks].
  """
  draws = GENERATORS[spec.execution.draws]
  key = jax.random.key(numbers.seed, impl=draws)
  key = jax.random.fold_in(key, state.step)
  gradients = _gradients if spec.accumulation == 1 else _accumulated_gradients
  if len(spec.tasks) > 1:
    # Over the whole batch, so that micro-batches with few labels of a task
    # weigh what they hold.
    counts = heads.counts(batch["label"]) / spec.accumulation
    batch = batch | {"counts": counts}
  mesh = make_mesh(spec.devices)
  # Divided weights are gathered once an update, and its gradients divided: what
  # lies on a device from step to step is its part of the state.
  whole = dataclasses.replace(
    state, params=gathered(mesh, spec.sharding, state.params)
  )
  loss, batch_stats, grads = gradients(spec, whole, batch, numbers, key)
  grads = divided(mesh, spec.sharding, grads)
  rule = optimizer.build(
    spec.optimizer,
    numbers,
    uncertainty=spec.uncertainty,
    decay=spec.decay,
    muon_matrices=spec.muon_matrices,
  )
  trained = trained_of(spec, state.params)
  with jax.numpy_dtype_promotion("standard"):  # optax mixes ints and floats
    updates, opt_state = rule.update(grads, state.opt_state, trained)
  updates = _at_backbone_rate(updates, numbers.backbone_rate)
  params = state.params | optax.apply_updates(trained, updates)
  params, opt_state = divided(mesh, spec.sharding, (params, opt_state))
  return TrainState(state.step + 1, params, batch_stats, opt_state), loss


def trained_of(spec: Spec, params: dict[str, Any]) -> dict[str, Any]:
  """Returns the weights that updates change: all, or the head's alone."""
  return head_of(params) if spec.freeze else params


def _at_backbone_rate(updates: Any, rate: jax.Array) -> Any:
  """Multiplies the backbone's updates by its rate over the head's.

  Exact for every rule here: all of them are proportional to their rate.
  """
  slower = jax.tree.map(lambda update: update * rate, backbone_of(updates))
  return updates | slower


def _gradients(
  spec: Spec,
  state: TrainState,
  batch: Data,
  numbers: Hyperparameters,
  key: jax.Array,
) -> tuple[jax.Array, Any, Any]:
  """Returns the mean loss of a batch, its batch statistics, the gradients.

  Gradients are taken of what is trained and of nothing else, so that no
  backward pass goes through a frozen backbone.
  """
  network = network_of(spec)
  dtype = jnp.dtype(spec.precision)
  images = batch["input"]
  if "draws" in batch:
    images = augment.crop(images, batch["draws"])
  inputs = tasks.normalise(images, batch["mean"], batch["std"], dtype)
  dropout = {"dropout": numbers.dropout} if spec.dropout else {}
  # A user's network may have a dropout of its own.
  drops = spec.dropout or architectures.network_of(spec.model.name).own
  rngs = {"dropout": key} if drops else {}

  def loss_of(trained: Any) -> tuple[jax.Array, Any]:
    params = state.params | trained
    logits, updated = network.apply(
      {"params": params, "batch_stats": state.batch_stats},
      inputs,
      train=not spec.freeze,  # else the batch would move its statistics
      mutable=["batch_stats"],
      rngs=rngs,
      **dropout,
    )
    loss = _loss(spec, params, logits, batch, numbers)
    if spec.head_alone:  # it has none, and those of its backbone stay
      return loss, state.batch_stats
    return loss, updated.get("batch_stats", {})

  (loss, batch_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(
    trained_of(spec, state.params)
  )
  return loss, batch_stats, grads


def _loss(
  spec: Spec,
  params: Any,
  logits: jax.Array,
  batch: Data,
  numbers: Hyperparameters,
) -> jax.Array:
  """Returns the loss of a batch: the mean over examples, summed over tasks."""
  labels, smoothing = batch["label"], numbers.label_smoothing
  if len(spec.tasks) == 1:
    return tasks.losses(logits, labels, smoothing).mean()
  losses = heads.losses(logits, labels, spec.tasks, smoothing)
  means = jnp.sum(losses, axis=0) / batch["counts"]
  if spec.uncertainty:
    return heads.by_uncertainty(means, params["head"][heads.LOG_VARIANCES])
  return heads.weighted_sum(means, numbers.task_weights)


def _accumulated_gradients(
  spec: Spec,
  state: TrainState,
  batch: Data,
  numbers: Hyperparameters,
  key: jax.Array,
) -> tuple[jax.Array, Any, Any]:
  """Returns what `_gradients` does, from micro-batches one after another.

  The means over micro-batches of equal size are those over the batch. Only
  batch statistics differ: each micro-batch is normalised by its own, and the
  running ones take a step for each.
  """
  count = spec.accumulation

  def divide(values: jax.Array) -> jax.Array:
    # Every count-th example, so that each device keeps the examples it has.
    divided = values.reshape(-1, count, *values.shape[1:])
    return jnp.swapaxes(divided, 0, 1)

  def add(sums: Any, step: Any) -> tuple[Any, None]:
    batch_stats, loss_sum, grads_sum = sums
    micro_batch, micro_key = step
    loss, batch_stats, grads = _gradients(
      spec,
      dataclasses.replace(state, batch_stats=batch_stats),
      batch | micro_batch,
      numbers,
      micro_key,
    )
    grads_sum = jax.tree.map(jnp.add, grads_sum, grads)
    return (batch_stats, loss_sum + loss, grads_sum), None

  micro_batches = {
    name: divide(batch[name])
    for name in ("input", "label", "draws")
    if name in batch
  }
  zeros = jax.tree.map(jnp.zeros_like, trained_of(spec, state.params))
  sums = (state.batch_stats, jnp.float32(0), zeros)
  keys = jax.random.split(key, count)
  sums, _ = jax.lax.scan(add, sums, (micro_batches, keys))
  batch_stats, loss, grads = sums
  return loss / count, batch_stats, jax.tree.map(lambda g: g / count, grads)
