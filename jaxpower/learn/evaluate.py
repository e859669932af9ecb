"""Accuracy and loss over a whole test set, as one program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxpower.learn import tasks

CHUNK = 250  # test examples a forward pass; small enough for a CPU's caches


def in_chunks(test: dict[str, np.ndarray], devices: int) -> dict[str, Any]:
  """The test set as [chunks, chunk, ...], filled up with weightless examples.

  The chunk is a multiple of `devices`, so that each takes an equal part.
  """
  examples = len(test["label"])
  chunk = -(-min(CHUNK, examples) // devices) * devices
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

  zero = jnp.float32(0)
  chunks = {name: test[name] for name in ("input", "label", "weight")}
  sums, _ = jax.lax.scan(
    add_chunk, {"loss": zero, "accuracy": zero, "weight": zero}, chunks
  )
  return {name: sums[name] / sums["weight"] for name in ("loss", "accuracy")}
