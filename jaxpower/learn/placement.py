"""Where the data of a trial lies: on its devices, or on the host.

A set that fits lies whole on every device, and examples are gathered there: an
epoch then moves nothing but indices. One that does not is left where it is
loaded, perhaps on disk, and streamed (`feed`). Memory decides, or the trial.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.facts import DataError
from jaxpower.data.labels import chosen_indices, classes_of
from jaxpower.data.streaming import FEATURES_STREAMED, is_streamed
from jaxpower.learn import feed
from jaxpower.learn.devices import make_mesh, memory_bytes, replicated, split
from jaxpower.learn.evaluation import RANGE, together
from jaxpower.learn.spec import Data, Spec, spec_of
from jaxpower.passes import chunk_of


@dataclasses.dataclass(frozen=True)
class Placed:
  """A trial with its data where training wants it.

  Attributes:
    trial: What is trained.
    train: The training set on every device; empty if it is streamed.
    host: "input" and "label" of the training set, in host memory or on disk;
      empty if the set lies on the devices.
    evaluated: By split, "validation" (if any) and "test", the set in chunks
      on the devices, or parts of it to be streamed.
    scale: "mean" and "std" of the inputs, on the devices.
    spec: What the executables depend on.
    chosen: int32, indices of the training examples that the trial uses.
    examples: By split, how many an evaluation looks at.
    passes: By split, how many equal forward passes an evaluation is.
  """

  trial: Trial
  train: Data
  host: Mapping[str, np.ndarray]
  evaluated: Mapping[str, Data | feed.EvaluationParts]
  scale: Data
  spec: Spec
  chosen: np.ndarray
  examples: Mapping[str, int]
  passes: Mapping[str, int]


def place(trial: Trial, sets: DataSet) -> Placed:
  """Copies a set to the devices whole, or leaves it to be streamed.

  Its "label" is what is learned; other labels are left out.
  """
  mesh = make_mesh(trial.devices)
  whole = replicated(mesh)
  train, *looked_at = (
    {name: split[name] for name in ("input", "label")}
    for split in (sets.train, *sets.evaluated.values())
  )
  splits = dict(zip(sets.evaluated, looked_at, strict=True))
  examples = {name: len(held["label"]) for name, held in splits.items()}
  scale = {"mean": sets.mean, "std": sets.std}
  streamed = is_streamed(trial.streaming, sets, memory_bytes(mesh))
  if streamed and trial.transfer.features == "once":
    raise DataError(FEATURES_STREAMED.format(trial.data))
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  chosen = chunk_of(trial, train["input"].shape[1:], on_cpu=on_cpu)
  if streamed:
    chunks: Data = feed.part_shapes(looked_at[0], mesh, chosen)
    ranges = {}
  else:
    chunks, ranges = together(splits, mesh, chosen)
    chunks |= {RANGE: ranges["test"]}
  spec = spec_of(
    trial,
    train | scale,
    chunks | scale,
    classes=classes_of(sets.facts, trial.tasks),
    vocabulary=sets.facts.vocabulary,
    chunk=feed.steps_per_chunk(trial, train) if streamed else 0,
  )
  scale_on_devices = jax.device_put(scale, whole)
  if streamed:
    evaluated: Any = {
      name: feed.EvaluationParts(
        split_arrays,
        scale_on_devices,
        chunks["label"].shape[:2],
        split(mesh, axis=1),
      )
      for name, split_arrays in splits.items()
    }
  else:
    evaluated = _divided(chunks | scale, ranges, mesh)
  return Placed(
    trial=trial,
    # What was left on disk must not stay there under the name of an array.
    train={} if streamed else jax.device_put(train, whole, may_alias=False),
    host=train if streamed else {},
    evaluated=evaluated,
    scale=scale_on_devices,
    spec=spec,
    chosen=chosen_indices(sets, len(trial.tasks), trial.data_share),
    examples=examples,
    passes={
      name: -(-count // chunks["label"].shape[1])
      for name, count in examples.items()
    },
  )


def _divided(
  chunks: Data, ranges: Mapping[str, Any], mesh: jax.sharding.Mesh
) -> dict[str, Data]:
  """Divides what is evaluated over the devices; each split with its range."""
  on_devices = jax.device_put(chunks, feed.shardings(mesh, chunks))
  return {
    name: on_devices | {RANGE: jax.device_put(bounds, replicated(mesh))}
    for name, bounds in ranges.items()
  }
