"""Accuracy and loss over a test set, summed chunk by chunk on the devices.

A test set is laid out as [chunks, chunk, ...] and looped over: one forward pass
over all examples would hold their activations at once. Examples of weight 0
fill the last chunk, so that all passes have one shape. A validation set lies
before it in the same arrays, and a range of chunks says which is meant: one
program evaluates both, and nothing is compiled for the test.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxpower.learn import heads, tasks

Sums = dict[str, jax.Array]
Metrics = dict[str, jax.Array]  # "loss", "accuracy"; "accuracies" of tasks
RANGE = "range"  # int32 [2] of a test set: its first chunk, and that after it

# Test examples of a forward pass on each device. On GPUs chosen, not measured;
# on CPUs a pass is to fit the caches: with 80 and not 250 the transformer took
# 442 against 916 ms for 1,012 windows, the ViT 145 against 218, the CNN 12.7
# against 15.2 for 1,000 images (two cores, BUILD_NOTES.md).
CHUNK = 250
CPU_CHUNK = 80


def evaluate(
  network: Any,
  dtype: jnp.dtype,
  variables: dict[str, Any],
  test: dict[str, Any],
  classes: Sequence[int] = (),
) -> Metrics:
  """Returns the mean "loss" and "accuracy" over a test set in chunks.

  With several tasks "loss" is the sum of theirs and "accuracy" the mean of
  their "accuracies" [tasks], each over the examples with a label of it.

  Args:
    network: Its `apply` takes `train`.
    dtype: Of the arithmetic.
    variables: What `apply` takes: "params" and "batch_stats".
    test: As `in_chunks` or `together` returns it, with "mean" and "std".
    classes: Of each task, if there are several.
  """
  sums = sum_up(network, dtype, variables, test, zeros(classes), classes)
  return means(sums)


def zeros(classes: Sequence[int] = ()) -> Sums:
  """Returns the sums over no examples; of several tasks each is [tasks]."""
  zero = jnp.zeros(len(classes) if len(classes) > 1 else (), jnp.float32)
  return dict.fromkeys(("loss", "accuracy", "weight"), zero)


def sum_up(
  network: Any,
  dtype: jnp.dtype,
  variables: dict[str, Any],
  test: dict[str, Any],
  sums: Sums,
  classes: Sequence[int] = (),
) -> Sums:
  """Adds the losses, hits and weights of test examples to their sums.

  Arguments are as in `evaluate`, and `sums` those of the examples before.
  Without a "range" all chunks are looked at.
  """
  mean, std = test["mean"], test["std"]
  several = len(classes) > 1

  chunks = {name: test[name] for name in ("input", "label", "weight")}

  def add_chunk(number: jax.Array, sums: Sums) -> Sums:
    chunk = {
      name: jax.lax.dynamic_index_in_dim(values, number, keepdims=False)
      for name, values in chunks.items()
    }
    inputs = tasks.normalise(chunk["input"], mean, std, dtype)
    logits = network.apply(variables, inputs, train=False)
    assert isinstance(logits, jax.Array)
    label, weight = chunk["label"], chunk["weight"]
    if several:
      values = {
        "loss": heads.losses(logits, label, classes),
        "accuracy": heads.correct(logits, label, classes),
        "weight": heads.labelled(label),
      }
      weighted = {
        name: jnp.sum(value * weight[:, None], axis=0)
        for name, value in values.items()
      }
    else:
      values = {
        "loss": tasks.losses(logits, label),
        "accuracy": tasks.correct(logits, label),
        "weight": jnp.ones_like(weight),
      }
      weighted = {
        name: jnp.sum(value * weight) for name, value in values.items()
      }
    return jax.tree.map(jnp.add, sums, weighted)

  first, end = test.get(RANGE, (0, len(chunks["label"])))
  return jax.lax.fori_loop(first, end, add_chunk, sums)


def means(sums: Sums) -> Metrics:
  """Returns the mean "loss" and "accuracy" of an example.

  Of several tasks the losses are added, the accuracies averaged, and
  "accuracies" [tasks] has each.
  """
  metrics = {name: sums[name] / sums["weight"] for name in ("loss", "accuracy")}
  if metrics["loss"].ndim == 0:
    return metrics
  return {
    "loss": metrics["loss"].sum(),
    "accuracy": metrics["accuracy"].mean(),
    "accuracies": metrics["accuracy"],
  }


def chunk_size(examples: int, mesh: Mesh, chosen: int = 0) -> int:
  """Returns the examples of a forward pass: a multiple of the devices.

  `chosen` are those of a device; 0: as many as suit a device of this kind, or
  fewer, so that the last pass is as full as the others: 1,000 examples on two
  cores are 7 passes of 144, where 7 of 160 would look at 120 fillers.
  """
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  most = (chosen or (CPU_CHUNK if on_cpu else CHUNK)) * mesh.size
  passes = max(1, -(-examples // most))
  share = min(most, examples) if chosen else -(-examples // passes)
  return -(-share // mesh.size) * mesh.size


def together(
  splits: Mapping[str, Mapping[str, Any]], mesh: Mesh, chosen: int = 0
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """Lays out several splits in the same arrays, one after the other.

  The chunk is that of the first, which is looked at most; `chosen` as in
  `chunk_size`.

  Returns:
    The arrays [chunks, chunk, ...] of all, and by split its RANGE.
  """
  first, *_ = splits.values()
  chunk = chunk_size(len(first["label"]), mesh, chosen)
  parts = [in_chunks(split, mesh, chunk) for split in splits.values()]
  ends = np.cumsum([0, *(len(part["label"]) for part in parts)], dtype=np.int32)
  ranges = {name: ends[i : i + 2] for i, name in enumerate(splits)}
  if len(parts) == 1:
    return parts[0], ranges
  arrays = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
  return arrays, ranges


def in_chunks(
  test: Mapping[str, Any], mesh: Mesh, chunk: int = 0
) -> dict[str, Any]:
  """Reshapes a test set to [chunks, chunk, ...], filled up with weight 0.

  The chunk is that of `chunk_size` unless it is given, so that each device
  takes an equal part.
  """
  examples = len(test["label"])
  chunk = chunk or chunk_size(examples, mesh)
  chunks = -(-examples // chunk)
  filler = chunks * chunk - examples
  weighted = {**test, "weight": np.ones(examples, np.float32)}
  return {
    name: np.concatenate(
      [values[:], np.zeros((filler, *values.shape[1:]), values.dtype)]
    ).reshape(chunks, chunk, *values.shape[1:])
    for name, values in weighted.items()
  }
