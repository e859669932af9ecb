"""The face of the JAX wing: all that a trial asks of a framework.

Of the shape that `jaxpower.wings.Wing` describes: what is not defined here is
imported from the room of its idea and listed in `__all__`.
"""

import pathlib
from typing import Any

import jax

from jaxpower.config import Trial
from jaxpower.learn import checkpoint, cores, features
from jaxpower.learn.checkpoint import restore_backbone, save
from jaxpower.learn.devices import make_mesh
from jaxpower.learn.evaluation import Metrics
from jaxpower.learn.numerics import numerics_of
from jaxpower.learn.own import check
from jaxpower.learn.placement import Placed, place
from jaxpower.learn.programs import (
  Programs,
  compile_programs,
  flops_per_step,
  prepare_compiler,
)
from jaxpower.learn.segment import train
from jaxpower.learn.state import (
  TrainState,
  copy,
  count_parameters,
  fresh_state,
  head_seed,
)

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

wait = jax.block_until_ready


def start(placed: Placed, backbone: pathlib.Path | None = None) -> TrainState:
  """Returns the state that training starts from, its head always fresh.

  Args:
    placed: The trial.
    backbone: A folder of weights to begin with; None for fresh ones.

  Raises WeightsError if the folder is damaged or does not fit.
  """
  trial = placed.trial
  if backbone is None:
    return fresh_state(placed.spec, trial.seed)
  fresh = fresh_state(placed.spec, head_seed(trial))
  return restore_backbone(backbone, fresh)


def restore(folder: pathlib.Path, like: TrainState) -> TrainState:
  """Reads a state that `save` wrote, to the devices of the state `like`.

  Raises WeightsError if the folder is damaged or does not fit.
  """
  shardings = jax.tree.map(lambda array: array.sharding, like)
  return checkpoint.restore(folder, like, shardings)


def evaluate(
  programs: Programs, state: TrainState, placed: Placed, split: str = "test"
) -> Metrics:
  """Returns the mean "loss" and "accuracy" over a split.

  With several tasks also "accuracies" [tasks], of which it is the mean.
  """
  call = programs.evaluate
  if placed.spec.head_alone:
    assert programs.on_features is not None
    call = programs.on_features.evaluate
  return call(state, placed.evaluated[split])


def on_features(
  programs: Programs, state: TrainState, placed: Placed, split: str
) -> Placed:
  """Returns the trial with features, computed now, in place of its inputs."""
  assert programs.on_features is not None
  return features.compute(programs.on_features, state, placed, split)


def peak_memory_bytes(programs: Programs, placed: Placed) -> int | None:
  """Returns the most memory that training took of one device; None on CPUs.

  It is what lies on the device after training and what XLA planned to use
  beyond that. The allocator's own peak is of the whole process, whatever trial
  it was in.
  """
  in_use = [
    (device.memory_stats() or {}).get("bytes_in_use")
    for device in make_mesh(placed.spec.devices).devices.flat
    if device.process_index == jax.process_index()
  ]
  known = [number for number in in_use if number is not None]
  if len(known) < len(in_use):
    return None
  return max(known) + programs.workspace_bytes


def numerics(placed: Placed) -> dict[str, Any]:
  """Returns what differs by nature between frameworks, for this trial."""
  mesh = make_mesh(placed.spec.devices)
  return numerics_of(placed.trial, placed.spec, mesh.devices.flat[0])


def own_device() -> dict[str, Any]:
  """Returns the "platform" and "kind" of the first device of this process."""
  device = jax.local_devices()[0]
  return {"platform": device.platform, "kind": device.device_kind}


def devices(trial: Trial) -> list[dict[str, Any]]:
  """Returns the "platform", "kind" and "index" here of a trial's devices.

  A CPU is one, with the "cores" that a batch is divided over if it is.
  """
  found = [
    {
      "platform": device.platform,
      "kind": device.device_kind,
      "index": device.local_hardware_id,
    }
    for device in make_mesh(cores.devices_of(trial)).devices.flat
  ]
  if (divided := cores.divided_over(trial)) > 1:
    return [found[0] | {"cores": divided}]
  return found
