"""Trains several tasks in one network: a head for each, one loss from theirs.

The head of a network is one dense layer; where it learns several tasks its
outputs are those of all tasks side by side. Split at their borders that is a
head for each on a shared backbone, since no output of a dense layer depends on
the weights of another. So every network stays as it is for one task, and so do
its first weights: Flax draws a kernel by the number of its inputs alone.

Labels are int32 [batch, tasks], -1 where an example has none.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower.learn import tasks

# Learned weights of the tasks: kept beside the head's parameters, since they
# are no part of a backbone.
LOG_VARIANCES = "log_variances"


def losses(
  logits: jax.Array,
  labels: jax.Array,
  classes: Sequence[int],
  smoothing: jax.Array | float = 0.0,
) -> jax.Array:
  """Computes the cross entropy of each example and task in nats.

  Returns:
    float32 [batch, tasks], 0 without a label.
  """
  entropies = [
    tasks.losses(scores, jnp.maximum(labels[:, task], 0), smoothing)
    for task, scores in enumerate(split(logits, classes))
  ]
  return jnp.stack(entropies, axis=1) * labelled(labels)


def correct(
  logits: jax.Array, labels: jax.Array, classes: Sequence[int]
) -> jax.Array:
  """Tells whether the largest logit of a task's head is its label's.

  Returns:
    float32 [batch, tasks] of 0 and 1, 0 without a label.
  """
  hits = [
    tasks.correct(scores, labels[:, task])
    for task, scores in enumerate(split(logits, classes))
  ]
  return jnp.stack(hits, axis=1)


def by_uncertainty(losses: jax.Array, log_variances: jax.Array) -> jax.Array:
  """Weighs the tasks' losses [tasks] by the learned uncertainty of each.

  With s = log(sigma ** 2) of each task it is the sum of exp(-s) * loss + s / 2,
  the form for classification of Kendall, Gal and Cipolla (2018), equation 10.
  """
  return jnp.sum(jnp.exp(-log_variances) * losses + log_variances / 2)


def weighted_sum(losses: jax.Array, weights: jax.Array) -> jax.Array:
  """Sums the tasks' losses [tasks], each times its fixed weight."""
  return jnp.sum(weights * losses)


def labelled(labels: jax.Array) -> jax.Array:
  """Marks the examples with a label of each task: float32 of 0 and 1."""
  return (labels >= 0).astype(jnp.float32)


def counts(labels: jax.Array) -> jax.Array:
  """Counts the examples with a label of each task, at least 1: [tasks]."""
  return jnp.maximum(jnp.sum(labelled(labels), axis=0), 1)


def split(logits: jax.Array, classes: Sequence[int]) -> list[jax.Array]:
  """Splits logits [batch, sum of classes] into those of each task's head."""
  return jnp.split(logits, np.cumsum(classes)[:-1].tolist(), axis=-1)
