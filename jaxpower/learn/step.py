"""One update: from a batch to the next state."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxpower.learn import augment, optimizer, tasks
from jaxpower.learn.optimizer import Hyperparameters
from jaxpower.learn.spec import Data, Spec, network_of
from jaxpower.learn.state import TrainState


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
  loss, batch_stats, grads = find(spec, state, batch, numbers, key)
  rule = optimizer.rule(spec.optimizer, numbers)
  with jax.numpy_dtype_promotion("standard"):  # optax mixes ints and floats
    updates, opt_state = rule.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  return TrainState(state.step + 1, params, batch_stats, opt_state), loss


def _gradients(
  spec: Spec,
  state: TrainState,
  batch: Data,
  numbers: Hyperparameters,
  key: jax.Array,
) -> tuple[jax.Array, Any, Any]:
  """Mean loss of a batch, the new batch statistics, and the gradients."""
  network = network_of(spec)
  dtype = jnp.dtype(spec.precision)
  images = batch["input"]
  if "draws" in batch:
    images = augment.crop(images, batch["draws"])
  inputs = tasks.normalise(images, batch["mean"], batch["std"], dtype)
  dropout = {"dropout": numbers.dropout} if spec.dropout else {}
  rngs = {"dropout": key} if spec.dropout else {}

  def loss_of(params: Any) -> tuple[jax.Array, Any]:
    logits, updated = network.apply(
      {"params": params, "batch_stats": state.batch_stats},
      inputs,
      train=True,
      mutable=["batch_stats"],
      rngs=rngs,
      **dropout,
    )
    losses = tasks.losses(logits, batch["label"], numbers.label_smoothing)
    return losses.mean(), updated.get("batch_stats", {})

  (loss, batch_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(
    state.params
  )
  return loss, batch_stats, grads


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
  zeros = jax.tree.map(jnp.zeros_like, state.params)
  start = (state.batch_stats, jnp.float32(0), zeros)
  keys = jax.random.split(key, parts)
  (batch_stats, loss, grads), _ = jax.lax.scan(add, start, (micros, keys))
  return loss / parts, batch_stats, jax.tree.map(lambda g: g / parts, grads)
