"""The face of the JAX wing in a process that leads others.

Of the shape that `jaxpower.wings.Wing` describes. What runs on devices is
called in every process at once; the rest is asked of this one alone.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.learn import wing
from jaxpower.learn.distributed import coordinator
from jaxpower.learn.evaluation import Metrics
from jaxpower.learn.placement import Placed
from jaxpower.learn.programs import Programs
from jaxpower.learn.spec import Spec
from jaxpower.learn.state import TrainState
from jaxpower.learn.wing import (
  check,
  count_parameters,
  flops_per_step,
  numerics,
  peak_memory_bytes,
  prepare_compiler,
  wait,
)
from jaxpower.weights import NO_TEXTS

__all__ = [
  "check",
  "compile_programs",
  "copy",
  "count_parameters",
  "devices",
  "evaluate",
  "flops_per_step",
  "numerics",
  "on_features",
  "peak_memory_bytes",
  "place",
  "prepare_compiler",
  "restore",
  "save",
  "start",
  "train",
  "wait",
]


def place(trial: Trial, sets: DataSet) -> Placed:
  """Places a trial on all devices; workers load the data set themselves."""
  return _call("place", trial, own=lambda: wing.place(trial, sets))


def compile_programs(spec: Spec) -> Programs:
  """Compiles all that a spec needs, in every process."""
  return _call("compile_programs", spec)


def start(placed: Placed, backbone: pathlib.Path | None = None) -> TrainState:
  """Returns the state that training starts from, its head always fresh."""
  return _call("start", placed, None if backbone is None else _whole(backbone))


def copy(state: TrainState) -> TrainState:
  """Copies a state; training writes over the one that it is given."""
  return _call("copy", state)


def train(
  programs: Programs, state: TrainState, placed: Placed, segment: int
) -> tuple[TrainState, Any, float]:
  """Makes the updates of one segment, each batch over all processes."""
  return _call("train", programs, state, placed, segment)


def evaluate(
  programs: Programs, state: TrainState, placed: Placed, split: str = "test"
) -> Metrics:
  """Returns the mean "loss" and "accuracy" over a split."""
  return _call("evaluate", programs, state, placed, split)


def on_features(
  programs: Programs, state: TrainState, placed: Placed, split: str
) -> Placed:
  """Returns the trial with features in place of its inputs."""
  return _call("on_features", programs, state, placed, split)


def save(
  folder: pathlib.Path,
  state: TrainState,
  texts: Mapping[str, str] = NO_TEXTS,
) -> None:
  """Writes a state; every process writes what it alone holds."""
  _call("save", _whole(folder), state, dict(texts))


def restore(folder: pathlib.Path, like: TrainState) -> TrainState:
  """Reads a state that `save` wrote, over however many processes."""
  return _call("restore", _whole(folder), like)


def devices(trial: Trial) -> list[dict[str, Any]]:
  """Returns the "platform", "kind" and "index" of the device of each rank here.

  Rank i has the i-th device that this process sees. Of ranks that a launcher
  started only this one's own.
  """
  own = wing.own_device()
  return [own | {"index": rank} for rank in range(_coordinator().here)]


def _call(name: str, *arguments: Any, own: Any = None) -> Any:
  """Makes a call in every process; `own`: how it is made here."""
  function = getattr(wing, name)
  return _coordinator().call(
    name, arguments, own or (lambda: function(*arguments))
  )


def _coordinator() -> coordinator.Coordinator:
  found = coordinator.current()
  assert found is not None  # `wings.wing_of` has looked
  return found


def _whole(path: pathlib.Path) -> pathlib.Path:
  """Returns a path that means the same in every process."""
  return path.resolve()
