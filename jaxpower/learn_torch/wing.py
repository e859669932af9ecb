"""The face of the PyTorch wing: all that a trial asks of a framework.

Of the shape that `jaxpower.wings.Wing` describes, but for `start`: JAX draws
the first weights of both wings, and this one knows no JAX, so `start` is in
`jaxpower.torch_wing`. What is not defined here is imported from the room of
its idea and listed in `__all__`. "torch" calls each operation; "torch_compile"
compiles the loss and its gradient.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from jaxpower import weights
from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.learn_torch import (
  checkpoint,
  evaluation,
  features,
  placement,
  programs,
)
from jaxpower.learn_torch import state as states
from jaxpower.learn_torch.checkpoint import restore
from jaxpower.learn_torch.devices import LAUNCHED, device_of, devices_of
from jaxpower.learn_torch.distributed import coordinator
from jaxpower.learn_torch.evaluation import Metrics
from jaxpower.learn_torch.numerics import numerics_of
from jaxpower.learn_torch.placement import Placed
from jaxpower.learn_torch.programs import (
  Programs,
  flops_per_step,
  prepare_compiler,
)
from jaxpower.learn_torch.segment import train_share
from jaxpower.learn_torch.spec import Spec, spec_of
from jaxpower.learn_torch.state import TrainState, count_parameters
from jaxpower.learn_torch.step import matmul_precision

__all__ = [
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
  "train",
  "wait",
]


def wait(values: Any) -> Any:
  """Returns `values` once this process's GPU has done all that was queued.

  With several processes, `train` has waited for the other GPUs.
  """
  if torch.cuda.is_available() and torch.cuda.is_initialized():
    torch.cuda.synchronize()
  return values


def place(trial: Trial, sets: DataSet) -> Placed:
  """Copies a set to each device whole, or leaves it to be streamed.

  Each further device has a worker process, which is spawned unless it lives.
  Raises DistributedError if it dies or fails.
  """
  spec = spec_of(trial, sets)
  if distributed := coordinator.start(spec.devices):
    spec = dataclasses.replace(spec, group_id=distributed.group_id)
    return distributed.place(trial, sets, spec)
  return placement.place(trial, sets, spec)


def compile_programs(spec: Spec) -> Programs:
  """Makes all that a spec needs, in every process that trains.

  Raises DistributedError if one of several dies or fails.
  """
  if distributed := coordinator.for_spec(spec):
    return distributed.compile(spec)
  return programs.compile_programs(spec)


def train(
  programs: Programs, state: TrainState, placed: Placed, segment: int
) -> tuple[TrainState, Tensor, float]:
  """Makes the updates of one segment, from the state after those before.

  Args:
    programs: Those of the trial's spec.
    state: Written over.
    placed: The trial.
    segment: Which one, from 0.

  Returns:
    The new state, the mean loss over the segment's steps, and the seconds for
    which the device waited for data: 0 if the set lies on it.

  Raises DistributedError if one of several processes dies or fails.
  """
  trial = placed.trial
  programs.hold(state, trial)
  steps = (segment + 1) * (trial.evaluate_every_examples // trial.batch_size)
  distributed = coordinator.for_spec(placed.spec)
  if distributed is None:
    loss, waited = train_share(programs, placed, segment, programs.loss_of)
    return programs.keep(steps), loss, waited
  loss, waited = distributed.train(programs, placed, segment)
  state = programs.keep(steps)
  distributed.keep(programs, state)
  return state, loss, waited


def evaluate(
  programs: Programs, state: TrainState, placed: Placed, split: str = "test"
) -> Metrics:
  """Returns the mean "loss" and "accuracy" over a split.

  With several tasks also "accuracies" [tasks], of which it is the mean.
  """
  programs.hold(state, placed.trial)
  programs.network.eval()
  logits_of = programs.logits_of
  if placed.spec.head_alone:
    assert programs.head_logits_of is not None
    logits_of = programs.head_logits_of
  scale = placed.scale["mean"], placed.scale["std"]
  distributed = coordinator.for_spec(placed.spec)
  whole = contextlib.nullcontext()
  if distributed is not None:
    whole = distributed.gathered(programs, placed)
  with whole, matmul_precision(placed.trial.matmul_precision):
    return evaluation.evaluate(
      functools.partial(logits_of, *scale),
      placed.evaluated[split],
      placed.spec.tasks,
      placed.spec.evaluated,
    )


def copy(state: TrainState) -> TrainState:
  """Copies a state, whole; training writes over the one that it is given."""
  return states.copy(coordinator.whole(state))


def save(
  folder: pathlib.Path,
  state: TrainState,
  texts: Mapping[str, str] = weights.NO_TEXTS,
) -> None:
  """Writes a state to a folder of its own, with files `texts` by name.

  One that is divided over processes is gathered and written whole, so that any
  other number of them reads it.
  """
  checkpoint.save(folder, coordinator.whole(state), texts)


def on_features(
  programs: Programs, state: TrainState, placed: Placed, split: str
) -> Placed:
  """Returns the trial with features, computed now, in place of its inputs."""
  programs.hold(state, placed.trial)
  with matmul_precision(placed.trial.matmul_precision):
    return wait(features.compute(programs, placed, split))


def peak_memory_bytes(programs: Programs, placed: Placed) -> int | None:
  """Returns the most memory that training took of one GPU; None on CPUs.

  Without what earlier trials of the process had left there. Trials that share
  programs and update rule take the same, and the first of them sees all of it:
  for the others the network lies there before.
  """
  if placed.bytes_before is None:
    return None
  rule = placed.trial.optimizer.name
  peak = torch.cuda.max_memory_allocated(device_of()) - placed.bytes_before
  return programs.peaks.setdefault(rule, peak)


def numerics(placed: Placed) -> dict[str, Any]:
  """Returns what differs by nature between frameworks, for this trial."""
  return numerics_of(placed.trial, placed.spec, device_of())


def devices(trial: Trial) -> list[dict[str, Any]]:
  """Returns the "platform", "kind" and "index" here of a trial's devices.

  With the "uuid" that CUDA gives a GPU, where this PyTorch tells it. Of those
  of several hosts only this process's own.
  """
  found = devices_of(trial)
  if LAUNCHED in os.environ:
    found = found[:1]
  return [
    {"platform": "cpu", "kind": "cpu", "index": number}
    if device.type == "cpu"
    else {
      "platform": "gpu",
      "kind": torch.cuda.get_device_name(device),
      "index": device.index,
      "uuid": _uuid(device),
    }
    for number, device in enumerate(found)
  ]


def _uuid(device: torch.device) -> str | None:
  """Returns a GPU's UUID without a prefix; None before PyTorch 2.4."""
  uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
  return None if uuid is None else str(uuid)
