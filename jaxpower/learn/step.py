"""One update: from a batch to the next state."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxpower.learn import augment, heads, optimizer, tasks
from jaxpower.learn.optimizer import Hyperparameters
from jaxpower.learn.spec import Data, Spec, network_of
from jaxpower.learn.state import TrainState, backbone_of, head_of


def train_step(
  spec: Spec, state: TrainState, batch: Data, numbers: Hyperparameters
) -> tuple[TrainState, jax.Array]:
  """One update; returns the new state and the batch's mean loss.

  Dropout is drawn from the seed and the number of the step, so that a step is
  the same whatever came before it; how images are moved is given with them,
  as "draws".
  """
  key = jax.random.fold_in(jax.random.key(numbers.seed), state.step)
  find = _gradients if spec.accumulation == 1 else _accumulate
  if len(spec.tasks) > 1:
    # Over the whole batch, so that micro-batches with few labels of a task
    # weigh what they hold.
    counted = heads.counts(batch["label"]) / spec.accumulation
    batch = batch | {"counted": counted}
  loss, batch_stats, grads = find(spec, state, batch, numbers, key)
  rule = optimizer.build(spec.optimizer, numbers, spec.uncertainty)
  trained = trained_of(spec, state.params)
  with jax.numpy_dtype_promotion("standard"):  # optax mixes ints and floats
    updates, opt_state = rule.update(grads, state.opt_state, trained)
  updates = _at_backbone_rate(updates, numbers.backbone_rate)
  params = state.params | optax.apply_updates(trained, updates)
  return TrainState(state.step + 1, params, batch_stats, opt_state), loss


def trained_of(spec: Spec, params: dict[str, Any]) -> dict[str, Any]:
  """The weights that updates change: all, or the head's alone."""
  return head_of(params) if spec.freeze else params


def _at_backbone_rate(updates: Any, rate: jax.Array) -> Any:
  slower = jax.tree.map(lambda update: update * rate, backbone_of(updates))
  return updates | slower


def _gradients(
  spec: Spec,
  state: TrainState,
  batch: Data,
  numbers: Hyperparameters,
  key: jax.Array,
) -> tuple[jax.Array, Any, Any]:
  """Mean loss of a batch, the new batch statistics, and the gradients.

  There are gradients of what is trained and of nothing else, so that under a
  frozen backbone there is no backward pass.
  """
  network = network_of(spec)
  dtype = jnp.dtype(spec.precision)
  images = batch["input"]
  if "draws" in batch:
    images = augment.crop(images, batch["draws"])
  inputs = tasks.normalise(images, batch["mean"], batch["std"], dtype)
  dropout = {"dropout": numbers.dropout} if spec.dropout else {}
  rngs = {"dropout": key} if spec.dropout else {}

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
  """The loss of a batch: the mean over examples, put together over tasks."""
  labels, smoothing = batch["label"], numbers.label_smoothing
  if len(spec.tasks) == 1:
    return tasks.losses(logits, labels, smoothing).mean()
  each = heads.losses(logits, labels, spec.tasks, smoothing)
  means = jnp.sum(each, axis=0) / batch["counted"]
  if spec.uncertainty:
    return heads.by_uncertainty(means, params["head"][heads.LOG_VARIANCES])
  return heads.weighted_sum(means, numbers.task_weights)


def _accumulate(
  spec: Spec,
  state: TrainState,
  batch: Data,
  numbers: Hyperparameters,
  key: jax.Array,
) -> tuple[jax.Array, Any, Any]:
  """As `_gradients`, from micro-batches one after another.

  The means over micro-batches of equal size are those over the batch. Only
  batch statistics are others: each micro-batch is normalised by its own, and
  the running ones take a step for each.
  """
  parts = spec.accumulation

  def divide(values: jax.Array) -> jax.Array:
    # Every so many-th example, so that each device keeps the examples it has.
    divided = values.reshape(-1, parts, *values.shape[1:])
    return jnp.swapaxes(divided, 0, 1)

  def add(sums: Any, part: Any) -> tuple[Any, None]:
    batch_stats, loss_sum, grads_sum = sums
    micro, micro_key = part
    loss, batch_stats, grads = _gradients(
      spec,
      dataclasses.replace(state, batch_stats=batch_stats),
      batch | micro,
      numbers,
      micro_key,
    )
    grads_sum = jax.tree.map(jnp.add, grads_sum, grads)
    return (batch_stats, loss_sum + loss, grads_sum), None

  micros = {
    name: divide(batch[name])
    for name in ("input", "label", "draws")
    if name in batch
  }
  zeros = jax.tree.map(jnp.zeros_like, trained_of(spec, state.params))
  start = (state.batch_stats, jnp.float32(0), zeros)
  keys = jax.random.split(key, parts)
  (batch_stats, loss, grads), _ = jax.lax.scan(add, start, (micros, keys))
  return loss / parts, batch_stats, jax.tree.map(lambda g: g / parts, grads)
