"""A training in PyTorch: all that a trial asks of a framework.

The face of this wing, of the shape that `jaxpower.wings.Wing` describes, but
that `start` is given the first weights: `jaxpower.torch_wing` draws them as JAX
does. "torch" calls each operation; "torch_compile" compiles the loss and its
gradient.
"""

import copy as copying
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.learn_torch import evaluate as evaluating
from jaxpower.learn_torch import flax_weights, replica
from jaxpower.learn_torch.checkpoint import save as save
from jaxpower.learn_torch.distributed import coordinator
from jaxpower.learn_torch.numerics import numerics_of
from jaxpower.learn_torch.programs import Programs, TrainState, build, state_of
from jaxpower.learn_torch.programs import compile_programs as programs_of
from jaxpower.learn_torch.programs import flops_per_step as flops_per_step
from jaxpower.learn_torch.replica import Placed
from jaxpower.learn_torch.segment import matmul_precision
from jaxpower.learn_torch.spec import Spec, device_of, devices_of, spec_of


def wait(values: Any) -> Any:
  """Returns once this process's GPU has done what it was told to.

  Where others train too, `train` has waited for theirs.
  """
  if torch.cuda.is_available() and torch.cuda.is_initialized():
    torch.cuda.synchronize()
  return values


def place(trial: Trial, sets: DataSet) -> Placed:
  """Lays a set on each device whole, or leaves it to be streamed.

  Each further device has a worker process, which is spawned unless it lives.
  """
  spec = spec_of(trial, sets)
  if distributed := coordinator.start(spec.devices):
    spec = dataclasses.replace(spec, group_id=distributed.group_id)
    return distributed.place(trial, sets, spec)
  return replica.place(trial, sets, spec)


def compile_programs(spec: Spec) -> Programs:
  """Makes what the spec needs, in every process that trains."""
  if distributed := coordinator.for_spec(spec):
    return distributed.compile(spec)
  return programs_of(spec)


def start(
  placed: Placed, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> TrainState:
  """The state that training starts from: weights as Flax names them."""
  network = build(placed.spec)
  network.load_state_dict(flax_weights.from_jax(network, params, batch_stats))
  return state_of(network.to(device_of()))


def copy(state: TrainState) -> TrainState:
  """Another state of the same values; `train` uses up what it is given."""
  return copying.deepcopy(state)


def train(
  programs: Programs, state: TrainState, placed: Placed, segment: int
) -> tuple[TrainState, Tensor, float]:
  """The updates of one segment, its order and rates drawn on the host.

  Returns the new state, the mean loss, and the seconds that the device waited
  for data: 0 where the set lies on it. Raises DistributedError where one of
  several processes dies or fails.
  """
  trial = placed.trial
  programs.hold(state, trial)
  steps = (segment + 1) * (trial.evaluate_every_examples // trial.batch_size)
  distributed = coordinator.for_spec(placed.spec)
  if distributed is None:
    loss, waited = replica.train(programs.loss_of, programs, placed, segment)
    return programs.keep(steps), loss, waited
  loss, waited = distributed.train(programs, placed, segment)
  state = programs.keep(steps)
  distributed.keep(programs, state)
  return state, loss, waited


def evaluate(
  programs: Programs, state: TrainState, placed: Placed
) -> dict[str, Tensor]:
  """Mean "loss" and "accuracy" over the test set.

  With several tasks also "accuracies" [tasks], of which it is the mean.
  """
  programs.hold(state, placed.trial)
  programs.network.eval()
  scale = placed.scale["mean"], placed.scale["std"]
  with matmul_precision(placed.trial.matmul_precision):
    return evaluating.evaluate(
      functools.partial(programs.logits_of, *scale),
      placed.test,
      placed.spec.tasks,
    )


def count_parameters(state: TrainState) -> int:
  """How many numbers the network has, those of a frozen backbone too."""
  return sum(values.numel() for values in state.weights.values())


def peak_memory_bytes(programs: Programs, placed: Placed) -> int | None:
  """Most memory of one device that training took; None on CPUs.

  Beyond what earlier trials of the process had left there. Trials that share
  programs and update rule take the same; it is seen in the first of them.
  """
  if placed.bytes_before is None:
    return None
  rule = placed.trial.optimizer.name
  peak = torch.cuda.max_memory_allocated(device_of()) - placed.bytes_before
  return programs.peaks.setdefault(rule, peak)


def numerics(placed: Placed) -> dict[str, Any]:
  """What differs by nature between frameworks, as this trial had it."""
  return numerics_of(placed.trial, placed.spec, device_of())


def devices(trial: Trial) -> list[dict[str, Any]]:
  """The devices a trial is trained on: platform, kind, index here."""
  return [
    {"platform": "cpu", "kind": "cpu", "index": number}
    if device.type == "cpu"
    else {
      "platform": "gpu",
      "kind": torch.cuda.get_device_name(device),
      "index": device.index,
    }
    for number, device in enumerate(devices_of(trial))
  ]
