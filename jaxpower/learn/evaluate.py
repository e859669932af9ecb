"""Accuracy and loss over a whole test set, as one program."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from jaxpower.learn import heads, tasks

Sums = dict[str, jax.Array]

CHUNK = 250  # test examples a forward pass and device
CPU_CHUNK = 80  # there, to fit the caches


def chunk_size(examples: int, mesh: Mesh) -> int:
  """How many examples a forward pass takes: a multiple of the devices."""
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  most = (CPU_CHUNK if on_cpu else CHUNK) * mesh.size
  return -(-min(most, examples) // mesh.size) * mesh.size


def in_chunks(test: dict[str, np.ndarray], mesh: Mesh) -> dict[str, Any]:
  """The test set as [chunks, chunk, ...], filled up with weightless examples.

  The chunk is that of `chunk_size`, so that each device takes an equal part.
  """
  examples = len(test["label"])
  chunk = chunk_size(examples, mesh)
  chunks = -(-examples // chunk)
  filler = chunks * chunk - examples
  weighted = test | {"weight": np.ones(examples, np.float32)}
  return {
    name: np.concatenate(
      [values, np.zeros((filler, *values.shape[1:]), values.dtype)]
    ).reshape(chunks, chunk, *values.shape[1:])
    for name, values in weighted.items()
  }


def evaluate(
  network: nn.Module,
  dtype: jnp.dtype,
  variables: dict[str, Any],
  test: dict[str, Any],
  classes: Sequence[int] = (),
) -> dict[str, jax.Array]:
  """Mean "loss" and "accuracy" over a test set in chunks.

  With several tasks "loss" is the sum of theirs and "accuracy" the mean of
  their "accuracies" [tasks], each over the examples with a label of it.

  Args:
    network: Its `apply` takes `train`.
    dtype: Of the arithmetic.
    variables: What `apply` takes: "params" and "batch_stats".
    test: As `in_chunks` gives it, with "mean" and "std".
    classes: Of each task, where there are several.
  """
  start = zeros(classes)
  return means(sum_up(network, dtype, variables, test, start, classes))


def zeros(classes: Sequence[int] = ()) -> Sums:
  """The sums over no examples; of several tasks each [tasks]."""
  zero = jnp.zeros(len(classes) if len(classes) > 1 else (), jnp.float32)
  return dict.fromkeys(("loss", "accuracy", "weight"), zero)


def sum_up(
  network: nn.Module,
  dtype: jnp.dtype,
  variables: dict[str, Any],
  test: dict[str, Any],
  before: Sums,
  classes: Sequence[int] = (),
) -> Sums:
  """Adds what `evaluate` takes the means of to the sums `before`."""
  mean, std = test["mean"], test["std"]
  several = len(classes) > 1

  def add_chunk(sums: dict[str, jax.Array], chunk: dict[str, jax.Array]) -> Any:
    inputs = tasks.normalise(chunk["input"], mean, std, dtype)
    logits = network.apply(variables, inputs, train=False)
    assert isinstance(logits, jax.Array)
    label, weight = chunk["label"], chunk["weight"]
    if several:
      found = {
        "loss": heads.losses(logits, label, classes),
        "accuracy": heads.correct(logits, label, classes),
        "weight": heads.labelled(label),
      }
      weighted = {
        name: jnp.sum(values * weight[:, None], axis=0)
        for name, values in found.items()
      }
    else:
      found = {
        "loss": tasks.losses(logits, label),
        "accuracy": tasks.correct(logits, label),
        "weight": jnp.ones_like(weight),
      }
      weighted = {
        name: jnp.sum(values * weight) for name, values in found.items()
      }
    return jax.tree.map(jnp.add, sums, weighted), None

  chunks = {name: test[name] for name in ("input", "label", "weight")}
  sums, _ = jax.lax.scan(add_chunk, before, chunks)
  return sums


def means(sums: Sums) -> dict[str, jax.Array]:
  """The mean "loss" and "accuracy" of an example.

  Of several tasks the losses are added, the accuracies averaged, and
  "accuracies" [tasks] has each.
  """
  found = {name: sums[name] / sums["weight"] for name in ("loss", "accuracy")}
  if found["loss"].ndim == 0:
    return found
  return {
    "loss": found["loss"].sum(),
    "accuracy": found["accuracy"].mean(),
    "accuracies": found["accuracy"],
  }
