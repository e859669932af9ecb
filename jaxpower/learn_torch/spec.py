"""The spec: all of a trial that its programs depend on.

Compiling costs joules, so trials whose specs are equal share what one of them
compiled. Whatever need not be known when a loss is compiled stays out of here:
a sweep over learning rates compiles once.
"""

import dataclasses

import torch
from torch import nn

from jaxpower import config
from jaxpower.accumulation import accumulation_of
from jaxpower.data import DataSet
from jaxpower.data.labels import classes_of
from jaxpower.learn_torch import evaluation, heads, networks
from jaxpower.learn_torch.backbone import freeze
from jaxpower.learn_torch.devices import devices_of
from jaxpower.passes import chunk_of


@dataclasses.dataclass(frozen=True)
class Spec:
  """What programs depend on; equal specs share their programs.

  Learning rate and schedule, the backbone's rate, update rule, weight decay,
  momentum, the weights of tasks, the share of the data and the seed are no part
  of what is compiled and not here.
  """

  model: config.Model
  precision: str
  matmul_precision: str
  dropout: float
  label_smoothing: float
  augmentation: str
  accumulation: int  # micro-batches of an update, in each process
  freeze: bool  # whether the head alone is trained
  tasks: tuple[int, ...]  # the classes of each
  uncertainty: bool  # whether the weights of the tasks are learned
  vocabulary: int | None  # None: the inputs are no tokens
  batch_size: int  # over all processes
  input_shape: tuple[int, ...]  # of one input
  input_dtype: str
  label_shape: tuple[int, ...]  # of one label
  evaluated: int  # examples of a forward pass without a gradient
  compiled: bool
  devices: int  # how many, a process each
  batch_norm: str  # "device": each normalises its own examples; or "global"
  sharding: str = "replicated"  # or "fsdp": weights divided over processes
  features_once: bool = False  # whether the head is trained on kept features
  head_alone: bool = False  # whether the inputs are such features
  group_id: int = 0  # of those processes' group; 0: one process, no group

  @property
  def classes(self) -> int:
    """The outputs of the head: those of every task side by side."""
    return sum(self.tasks)

  @property
  def micro_batch(self) -> int:
    """Examples that one pass of the network sees on a device."""
    return self.batch_size // self.accumulation // self.devices


def spec_of(trial: config.Trial, sets: DataSet) -> Spec:
  """Returns the spec of a trial on a data set."""
  tasks, devices = classes_of(sets.facts, trial.tasks), devices_of(trial)
  features_once = trial.transfer.features == "once"
  shape = tuple(sets.train["input"].shape[1:])
  return Spec(
    model=trial.model,
    precision=trial.precision,
    matmul_precision=trial.matmul_precision,
    dropout=trial.dropout,
    label_smoothing=trial.label_smoothing,
    augmentation=trial.augmentation,
    # Micro-batches are chosen for whole networks; a head takes its batch whole.
    accumulation=(trial.accumulation or 1)
    if features_once
    else accumulation_of(
      trial, on_cpu=devices[0].type == "cpu", devices=len(devices)
    ),
    freeze=trial.transfer.freeze,
    tasks=tasks,
    uncertainty=trial.task_weighting == "uncertainty" and len(tasks) > 1,
    vocabulary=sets.facts.vocabulary,
    batch_size=trial.batch_size,
    input_shape=shape,
    input_dtype=str(sets.train["input"].dtype),
    label_shape=tuple(sets.train["label"].shape[1:]),
    evaluated=min(
      chunk_of(trial, shape, on_cpu=devices[0].type == "cpu")
      or evaluation.CHUNK,
      *(len(split["label"]) for split in sets.evaluated.values()),
    ),
    compiled=trial.framework == "torch_compile",
    devices=len(devices),
    batch_norm=trial.batch_norm if len(devices) > 1 else "device",
    sharding=trial.sharding if len(devices) > 1 else "replicated",
    features_once=features_once,
  )


def network_of(spec: Spec) -> nn.Module:
  """Returns the network that a spec trains, on the CPU.

  Its weights mean nothing until a state is loaded into it.
  """
  network = networks.build(
    spec.model,
    spec.classes,
    spec.vocabulary,
    input_shape=spec.input_shape,
    dropout=spec.dropout,
  )
  if spec.uncertainty:
    heads.add_log_variances(network, len(spec.tasks))
  if spec.freeze:
    freeze(network)
  return network


def dtype_of(spec: Spec) -> torch.dtype:
  """Returns the type of the arithmetic."""
  return torch.bfloat16 if spec.precision == "bfloat16" else torch.float32
