"""Accuracy and loss over a whole test set, as one program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxpower.learn import tasks

Sums = dict[str, jax.Array]

CHUNK = 250  # test examples a forward pass; small enough for a CPU's caches


def chunk_size(examples: int, devices: int) -> int:
  """How many examples a forward pass takes: a multiple of `devices`."""
  return -(-min(CHUNK, examples) // devices) * devices


def in_chunks(test: dict[str, np.ndarray], devices: int) -> dict[str, Any]:
  """The test set as [chunks, chunk, ...], filled up with weightless examples.

  The chunk is that of `chunk_size`, so that each device takes an equal part.
  """
  examples = len(test["label"])
  chunk = chunk_size(examples, devices)
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
) -> dict[str, jax.Array]:
  """Mean "loss" and "accuracy" over a test set in chunks.

  Args:
    network: Its `apply` takes `train`.
    dtype: Of the arithmetic.
    variables: What `apply` takes: "params" and "batch_stats".
    test: As `in_chunks` gives it, with "mean" and "std".
  """
  return means(sum_up(network, dtype, variables, test, zeros()))


def zeros() -> Sums:
  """The sums over no examples."""
  return dict.fromkeys(("loss", "accuracy", "weight"), jnp.float32(0))


def sum_up(
  network: nn.Module,
  dtype: jnp.dtype,
  variables: dict[str, Any],
  test: dict[str, Any],
  before: Sums,
) -> Sums:
  """Adds what `evaluate` takes the means of to the sums `before`."""
  mean, std = test["mean"], test["std"]

  def add_chunk(sums: dict[str, jax.Array], chunk: dict[str, jax.Array]) -> Any:
    inputs = tasks.normalise(chunk["input"], mean, std, dtype)
    logits = network.apply(variables, inputs, train=False)
    assert isinstance(logits, jax.Array)
    found = {
      "loss": tasks.losses(logits, chunk["label"]),
      "accuracy": tasks.correct(logits, chunk["label"]),
      "weight": jnp.ones_like(chunk["weight"]),
    }
    weighted = {
      name: jnp.sum(values * chunk["weight"]) for name, values in found.items()
    }
    return jax.tree.map(jnp.add, sums, weighted), None

  chunks = {name: test[name] for name in ("input", "label", "weight")}
  sums, _ = jax.lax.scan(add_chunk, before, chunks)
  return sums


def means(sums: Sums) -> dict[str, jax.Array]:
  """The mean "loss" and "accuracy" of an example."""
  return {name: sums[name] / sums["weight"] for name in ("loss", "accuracy")}
