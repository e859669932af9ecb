"""A task: how inputs reach the network and what its outputs are held to."""

import jax
import jax.numpy as jnp
import optax


def normalise(
  inputs: jax.Array, mean: jax.Array, std: jax.Array, dtype: jnp.dtype
) -> jax.Array:
  """Raw inputs [batch, ..., channels] to zero mean and unit deviation."""
  return ((inputs.astype(jnp.float32) - mean) / std).astype(dtype)


def losses(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Cross entropy of each example in nats: float32 [batch]."""
  return optax.softmax_cross_entropy_with_integer_labels(
    logits.astype(jnp.float32), labels
  )


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Whether the largest logit is the label's: float32 [batch] of 0 and 1."""
  return (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
