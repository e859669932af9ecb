"""A task: how inputs reach the network and what its outputs are held to.

Labels are one class an example, [batch], or the next token at each position,
[batch, length], where 0 is padding and counts for nothing.
"""

import jax
import jax.numpy as jnp


def normalise(
  inputs: jax.Array, mean: jax.Array, std: jax.Array, dtype: jnp.dtype
) -> jax.Array:
  """Raw inputs [batch, ..., channels] to zero mean and unit deviation.

  Tokens, [batch, length], are names and not numbers and stay as they are.
  """
  if inputs.ndim == 2:
    return inputs
  return ((inputs.astype(jnp.float32) - mean) / std).astype(dtype)


def losses(
  logits: jax.Array, labels: jax.Array, smoothing: jax.Array | float = 0.0
) -> jax.Array:
  """Cross entropy of each example in nats: float32 [batch].

  With `smoothing` that share of the label is spread evenly over all classes
  (Szegedy et al. 2016). Over next tokens it is the mean over an example's
  positions.
  """
  scores = jax.nn.log_softmax(logits.astype(jnp.float32))
  index = labels.astype(jnp.int32)[..., None]
  hit = jnp.take_along_axis(scores, index, axis=-1)[..., 0]
  spread = jnp.mean(scores, axis=-1)
  return _over_positions(-(1 - smoothing) * hit - smoothing * spread, labels)


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Whether the largest logit is the label's: float32 [batch] of 0 and 1.

  Over next tokens the share of an example's positions where it is.
  """
  found = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
  return _over_positions(found, labels)


def _over_positions(values: jax.Array, labels: jax.Array) -> jax.Array:
  """[batch] as it is, [batch, length] as the mean where a label is."""
  if values.ndim == 1:
    return values
  real = (labels > 0).astype(jnp.float32)
  count = jnp.maximum(jnp.sum(real, axis=1), 1)
  return jnp.sum(values * real, axis=1) / count
