"""Defines one task: normalised inputs, loss and accuracy.

Labels are one class an example, [batch], or the next token at each position,
[batch, length], where 0 is padding and counts for nothing.
"""

import jax
import jax.numpy as jnp


def normalise(
  inputs: jax.Array, mean: jax.Array, std: jax.Array, dtype: jnp.dtype
) -> jax.Array:
  """Scales raw inputs [batch, ..., channels] to mean 0 and deviation 1.

  Tokens, [batch, length], stay as they are.
  """
  if inputs.ndim == 2:
    return inputs
  return ((inputs.astype(jnp.float32) - mean) / std).astype(dtype)


def losses(
  logits: jax.Array, labels: jax.Array, smoothing: jax.Array | float = 0.0
) -> jax.Array:
  """Computes each example's cross entropy in nats: float32 [batch].

  With `smoothing` that share of the label is spread evenly over all classes
  (Szegedy et al. 2016). Over next tokens it is the mean over an example's
  positions.
  """
  logs = jax.nn.log_softmax(logits.astype(jnp.float32))
  index = labels.astype(jnp.int32)[..., None]
  of_label = jnp.take_along_axis(logs, index, axis=-1)[..., 0]
  mean = jnp.mean(logs, axis=-1)
  return _over_positions(-(1 - smoothing) * of_label - smoothing * mean, labels)


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Tells whether the largest logit is the label's: float32 [batch], 0 or 1.

  Over next tokens it is the share of an example's positions where it is.
  """
  hits = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
  return _over_positions(hits, labels)


def _over_positions(values: jax.Array, labels: jax.Array) -> jax.Array:
  """Averages [batch, length] over labelled positions; [batch] stays."""
  if values.ndim == 1:
    return values
  labelled = (labels > 0).astype(jnp.float32)
  count = jnp.maximum(jnp.sum(labelled, axis=1), 1)
  return jnp.sum(values * labelled, axis=1) / count
