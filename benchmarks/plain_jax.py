"""The loop that a user of JAX writes: the straw man's opposite.

Flax's own layers at the bundled sizes, arrays on the device and normalised,
optax's Adam, one jitted call a step that donates its state.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from throughput_cases import resident_mib, split_of

from jaxpower.architectures import patch_side, sizes_of

EVALUATED_AT_ONCE = 250


class Cnn(nn.Module):
  """Strided convolutions and a dense layer."""

  channels: Any
  hidden: int
  classes: int
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    del train
    for channels in self.channels:
      x = nn.relu(nn.Conv(channels, (3, 3), (2, 2), dtype=self.dtype)(x))
    x = x.reshape(len(x), -1)
    x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
    return nn.Dense(self.classes, dtype=self.dtype)(x)


class ResNet(nn.Module):
  """A ResNet of basic blocks, in its CIFAR form."""

  stages: Any
  channels: int
  classes: int
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    conv = functools.partial(nn.Conv, use_bias=False, dtype=self.dtype)
    norm = functools.partial(
      nn.BatchNorm, use_running_average=not train, dtype=self.dtype
    )
    x = nn.relu(norm()(conv(self.channels, (3, 3))(x)))
    for stage, count in enumerate(self.stages):
      for block in range(count):
        stride = (2, 2) if stage and not block else (1, 1)
        features = self.channels * 2**stage
        y = nn.relu(norm()(conv(features, (3, 3), stride)(x)))
        y = norm()(conv(features, (3, 3))(y))
        if x.shape != y.shape:
          x = norm()(conv(features, (1, 1), stride)(x))
        x = nn.relu(x + y)
    return nn.Dense(self.classes, dtype=self.dtype)(x.mean((1, 2)))


class Sequence(nn.Module):
  """A transformer of Flax's layers, for windows, images or text."""

  name_of: str
  sizes: Any
  classes: int
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    del train
    features = self.sizes.features
    dense = functools.partial(nn.Dense, dtype=self.dtype)
    if self.name_of == "vit":
      side = patch_side(x.shape[1])
      x = nn.Conv(features, (side, side), (side, side), dtype=self.dtype)(x)
      x = x.reshape(len(x), -1, features)
      token = self.param("token", nn.initializers.zeros, (1, 1, features))
      token = jnp.broadcast_to(token.astype(x.dtype), (len(x), 1, features))
      x = jnp.concatenate([token, x], 1)
    elif self.name_of == "decoder":
      x = nn.Embed(self.classes, features, dtype=self.dtype)(x)
    else:
      x = dense(features)(x)
    table = nn.initializers.zeros
    x = x + self.param("positions", table, x.shape[1:]).astype(x.dtype)
    mask = None
    if self.name_of == "decoder":
      mask = nn.make_causal_mask(jnp.ones(x.shape[:2]))
    for _ in range(self.sizes.layers):
      y = nn.LayerNorm(dtype=self.dtype)(x)
      heads = self.sizes.heads
      y = nn.MultiHeadDotProductAttention(heads, dtype=self.dtype)(y, mask=mask)
      x = x + y
      y = nn.LayerNorm(dtype=self.dtype)(x)
      x = x + dense(features)(nn.gelu(dense(4 * features)(y)))
    x = nn.LayerNorm(dtype=self.dtype)(x)
    if self.name_of != "decoder":
      x = x[:, 0] if self.name_of == "vit" else x.mean(1)
    return dense(self.classes)(x)


def network_of(trial: Any, classes: int) -> nn.Module:
  """Builds the network of a trial."""
  name = trial.model.name
  sizes: Any = sizes_of(trial.model)
  dtype: Any = jnp.dtype(trial.precision)
  if name == "cnn":
    return Cnn(sizes.channels, sizes.hidden, classes, dtype)
  if name == "resnet18":
    return ResNet(sizes.stages, sizes.channels, classes, dtype)
  return Sequence(name, sizes, classes, dtype)


def loops(trial: Any) -> tuple[Any, Any, float]:
  """Returns what trains and what evaluates, and the memory before."""
  inputs, labels, test_inputs, test_labels, facts = split_of(trial)
  jax.devices()
  before = resident_mib()
  network = network_of(trial, facts.labels["label"])
  x, y = jnp.asarray(inputs), jnp.asarray(labels)
  test_x, test_y = jnp.asarray(test_inputs), jnp.asarray(test_labels)
  variables = network.init(jax.random.key(0), x[:1], False)
  rule = optax.adam(1e-3)

  def loss_of(params: Any, stats: Any, part: Any, target: Any) -> Any:
    logits, updated = network.apply(
      {"params": params, "batch_stats": stats}, part, True, mutable=True
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(
      logits.astype(jnp.float32), target
    )
    return losses.mean(), updated.get("batch_stats", {})

  @functools.partial(jax.jit, donate_argnums=0)
  def step(state: Any, x: Any, y: Any, picked: Any) -> Any:
    params, stats, moments = state
    grad = jax.value_and_grad(loss_of, has_aux=True)
    (loss, stats), grads = grad(params, stats, x[picked], y[picked])
    updates, moments = rule.update(grads, moments)
    return (optax.apply_updates(params, updates), stats, moments), loss

  @jax.jit
  def evaluated(params: Any, stats: Any, part: Any, target: Any) -> Any:
    found: Any = network.apply(
      {"params": params, "batch_stats": stats}, part, False
    )
    return optax.softmax_cross_entropy_with_integer_labels(
      found.astype(jnp.float32), target
    ).sum()

  params = variables["params"]
  stats = variables.get("batch_stats", {})
  states = [(params, stats, rule.init(params))]
  batch, order = trial.batch_size, np.random.default_rng(0).permutation(len(x))
  place = [0]

  def train() -> int:
    loss = None
    for _ in range(trial.evaluate_every_examples // batch):
      if place[0] + batch > len(order):
        place[0] = 0
      picked = order[place[0] : place[0] + batch]
      place[0] += batch
      states[0], loss = step(states[0], x, y, picked)
    jax.block_until_ready((states[0], loss))
    return trial.evaluate_every_examples

  def evaluate() -> int:
    params, stats, _ = states[0]
    total = []
    for first in range(0, len(test_x), EVALUATED_AT_ONCE):
      part = slice(first, first + EVALUATED_AT_ONCE)
      total.append(evaluated(params, stats, test_x[part], test_y[part]))
    jax.block_until_ready(total)
    return len(test_x)

  return train, evaluate, before
