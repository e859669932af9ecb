"""A training in PyTorch: all that a trial asks of a framework.

The face of this wing, of the shape that `jaxpower.wings.Wing` describes, but
that `start` is given the first weights: `jaxpower.bridge` draws them as JAX
does. "torch" calls each operation; "torch_compile" compiles the loss and its
gradient.
"""

import copy as copying
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.share import examples_of
from jaxpower.learn_torch import feed, weights
from jaxpower.learn_torch.programs import Programs, TrainState, build
from jaxpower.learn_torch.programs import compile_programs as compile_programs
from jaxpower.learn_torch.programs import flops_per_step as flops_per_step
from jaxpower.learn_torch.spec import Spec, device_of, spec_of


@dataclasses.dataclass(frozen=True)
class Placed:
  """A trial with its data where training wants it."""

  trial: Trial
  train: Mapping[str, Tensor] | Mapping[str, np.ndarray]  # host: not resident
  test: dict[str, Tensor]
  scale: dict[str, Tensor]
  spec: Spec
  chosen: np.ndarray  # int32, indices into `train`
  test_examples: int


def wait(values: Any) -> Any:
  """Returns once every GPU has done what it was told to."""
  if torch.cuda.is_available() and torch.cuda.is_initialized():
    for index in range(torch.cuda.device_count()):
      torch.cuda.synchronize(index)
  return values


def place(trial: Trial, sets: DataSet) -> Placed:
  """Lays a set on the device whole, or keeps it where it would not fit."""
  device = device_of()
  if device.type == "cuda":
    torch.backends.cudnn.benchmark = True  # warm-up is there to choose in
    torch.cuda.reset_peak_memory_stats(device)
  pairs = [
    {name: part[name] for name in ("input", "label")}
    for part in (sets.train, sets.test)
  ]
  train = pairs[0]
  if feed.fits(train, device):
    train = feed.to_device(train, device)
  return Placed(
    trial=trial,
    train=train,
    test=feed.to_device(pairs[1], device),
    scale=feed.to_device({"mean": sets.mean, "std": sets.std}, device),
    spec=spec_of(trial, sets),
    chosen=examples_of(sets.train["label"], trial.data_share),
    test_examples=len(sets.test["label"]),
  )


def start(
  placed: Placed, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> TrainState:
  """The state that training starts from: weights as Flax names them."""
  values = weights.from_jax(build(placed.spec), params, batch_stats)
  device = device_of()
  return TrainState(0, {name: v.to(device) for name, v in values.items()})


def copy(state: TrainState) -> TrainState:
  """Another state of the same values; `train` uses up what it is given."""
  return copying.deepcopy(state)


def train(
  programs: Programs, state: TrainState, placed: Placed, segment: int
) -> tuple[TrainState, Tensor, float]:
  """The updates of one segment, its order and rates drawn on the host.

  Returns the new state, the mean loss, and the seconds that the device waited
  for data: 0 where the set lies on it.
  """
  trial = placed.trial
  steps = trial.evaluate_every_examples // trial.batch_size
  first = segment * steps
  optimizer = programs.hold(state, trial.optimizer)
  torch.manual_seed((trial.seed << 32) + first)  # of dropout
