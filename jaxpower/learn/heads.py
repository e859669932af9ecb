"""Several tasks in one network: a head each, and one loss from theirs.

The head of a network is one dense layer; where it learns several tasks its
outputs are those of all tasks side by side. Cut at their borders that is a head
each on a shared backbone, since no output of a dense layer depends on the
weights of another, and every network stays as it is for one task.

Labels are int32 [batch, tasks], -1 where an example has none.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower.learn import tasks

# Of the head's parameters: learned weights of the tasks are no backbone.
LOG_VARIANCES = "log_variances"


def cut(logits: jax.Array, classes: Sequence[int]) -> list[jax.Array]:
  """Logits [batch, sum of classes] as those of each task's head."""
  return jnp.split(logits, np.cumsum(classes)[:-1].tolist(), axis=-1)


def labelled(labels: jax.Array) -> jax.Array:
  """Which examples have a label of which task: float32 of 0 and 1."""
  return (labels >= 0).astype(jnp.float32)


def counts(labels: jax.Array) -> jax.Array:
  """How many examples have a label of each task, at least 1: [tasks]."""
  return jnp.maximum(jnp.sum(labelled(labels), axis=0), 1)


def losses(
  logits: jax.Array,
  labels: jax.Array,
  classes: Sequence[int],
  smoothing: jax.Array | float = 0.0,
) -> jax.Array:
  """Cross entropy in nats of each example and task, 0 without a label.

  Returns:
    float32 [batch, tasks].
  """
  found = [
    tasks.losses(scores, jnp.maximum(labels[:, task], 0), smoothing)
    for task, scores in enumerate(cut(logits, classes))
  ]
  return jnp.stack(found, axis=1) * labelled(labels)


def correct(
  logits: jax.Array, labels: jax.Array, classes: Sequence[int]
) -> jax.Array:
  """Whether the largest logit of a task's head is its label's.

  Returns:
    float32 [batch, tasks] of 0 and 1, 0 without a label.
  """
  found = [
    tasks.correct(scores, labels[:, task])
    for task, scores in enumerate(cut(logits, classes))
  ]
  return jnp.stack(found, axis=1)


def together(losses: jax.Array, weights: jax.Array) -> jax.Array:
  """The sum of the tasks' losses [tasks], each times its weight."""
  return jnp.sum(weights * losses)


def by_uncertainty(losses: jax.Array, log_variances: jax.Array) -> jax.Array:
  """The tasks' losses weighed by what is learned of their noise.

  With s = log(sigma ** 2) of each task it is the sum of exp(-s) * loss + s / 2,
  the form for classification of Kendall, Gal and Cipolla (2018), equation 10.
  """
  return jnp.sum(jnp.exp(-log_variances) * losses + log_variances / 2)
