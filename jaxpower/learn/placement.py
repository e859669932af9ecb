"""Where the data of a trial lies: on its devices, or on the host.

A set that fits lies whole on every device, and examples are gathered there: an
epoch then moves nothing but indices. One that fits all devices together is
divided over them by ranges of examples: each step's examples then travel from
those that have them to those that train on them, since their order is the
seed's and no device's. One that does not fit is left where it is loaded,
perhaps on disk, and streamed (`feed`). Memory decides, or the trial.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.facts import DataError
from jaxpower.data.labels import chosen_indices, classes_of
from jaxpower.data.streaming import FEATURES_STREAMED, is_streamed
from jaxpower.learn import feed
from jaxpower.learn.cores import devices_of, divided_over
from jaxpower.learn.devices import (
  filled,
  make_mesh,
  memory_bytes,
  put,
  put_divided,
  put_shared,
  replicated,
  split,
)
from jaxpower.learn.evaluation import RANGE, together
from jaxpower.learn.spec import Data, Spec, spec_of
from jaxpower.passes import chunk_of


@dataclasses.dataclass(frozen=True)
class Placed:
  """A trial with its data where training wants it.

  Attributes:
    trial: What is trained.
    train: The training set, whole on every device or divided over them;
      empty if it is streamed.
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
  """Brings a set to the devices, or leaves it to be streamed.

  Its "label" is what is learned; other labels are left out.
  """
  mesh, cores = make_mesh(devices_of(trial)), divided_over(trial)
  train, *looked_at = (
    {name: split[name] for name in ("input", "label")}
    for split in (sets.train, *sets.evaluated.values())
  )
  splits = dict(zip(sets.evaluated, looked_at, strict=True))
  examples = {name: len(held["label"]) for name, held in splits.items()}
  scale = {"mean": sets.mean, "std": sets.std}
  streamed, divided = _lies(trial, sets, mesh, cores)
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
    _shapes(train, mesh, divided) | scale,
    chunks | scale,
    classes=classes_of(sets.facts, trial.tasks),
    vocabulary=sets.facts.vocabulary,
    chunk=feed.steps_per_chunk(trial, train) if streamed else 0,
    data_divided=divided,
  )
  scale_on_devices = put(scale, replicated(mesh))
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
    train={} if streamed else _on_devices(train, mesh, divided, cores),
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


def _lies(
  trial: Trial, sets: DataSet, mesh: Mesh, cores: int
) -> tuple[bool, bool]:
  """Decides whether a set is streamed, and if not whether it is divided."""
  room = memory_bytes(mesh, cores)
  pool = None if room is None else room * mesh.size
  # Features are looked up where the whole set lies.
  may_divide = mesh.size > cores and trial.transfer.features != "once"
  if trial.data_sharding == "replicated" or not may_divide:
    return is_streamed(trial.streaming, sets, room), False
  streamed = is_streamed(trial.streaming, sets, pool)
  too_large = is_streamed("auto", sets, room)
  asked = trial.data_sharding == "divided"
  return streamed, not streamed and (asked or too_large)


def _shapes(train: Data, mesh: Mesh, divided: bool) -> Data:
  """Returns what has the shapes of a training set on the devices."""
  if not divided:
    return train
  return {name: filled(values, mesh) for name, values in train.items()}


def _on_devices(train: Data, mesh: Mesh, divided: bool, cores: int) -> Data:
  """Brings a training set to the devices, whole or divided over them."""
  if cores > 1:
    return put_shared(train, mesh)
  if divided:
    return {name: put_divided(values, mesh) for name, values in train.items()}
  # What was left on disk must not stay there under the name of an array.
  return put(train, replicated(mesh), may_alias=False)


def _divided(
  chunks: Data, ranges: Mapping[str, Any], mesh: Mesh
) -> dict[str, Data]:
  """Divides what is evaluated over the devices; each split with its range."""
  on_devices = put(chunks, feed.shardings(mesh, chunks))
  return {
    name: on_devices | {RANGE: put(bounds, replicated(mesh))}
    for name, bounds in ranges.items()
  }
