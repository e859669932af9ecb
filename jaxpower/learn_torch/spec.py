"""What a network and its functions are made for, and nothing else."""

import dataclasses
import os

import torch

from jaxpower import config
from jaxpower.accumulation import accumulation_of
from jaxpower.data import DataSet
from jaxpower.data.labels import classes_of

CPU_PROCESSES = "JAXPOWER_TORCH_CPU_PROCESSES"


@dataclasses.dataclass(frozen=True)
class Spec:
  """What programs depend on; trials that share it share the programs.

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
  tasks: tuple[int, ...]  # the classes of each
  uncertainty: bool  # whether the weights of the tasks are learned
  vocabulary: int | None  # None: the inputs are no tokens
  input_shape: tuple[int, ...]  # of one input
  input_dtype: str
  label_shape: tuple[int, ...]  # of one label
  test_examples: int
  batch_size: int
  accumulation: int
  freeze: bool  # whether the head alone is trained
  compiled: bool
  devices: int  # how many, a process each
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
  """The part of a trial that its programs depend on."""
  tasks, devices = classes_of(sets.facts, trial.tasks), devices_of(trial)
  return Spec(
    model=trial.model,
    precision=trial.precision,
    matmul_precision=trial.matmul_precision,
    dropout=trial.dropout,
    label_smoothing=trial.label_smoothing,
    augmentation=trial.augmentation,
    tasks=tasks,
    uncertainty=trial.task_weighting == "uncertainty" and len(tasks) > 1,
    vocabulary=sets.facts.vocabulary,
    input_shape=tuple(sets.train["input"].shape[1:]),
    input_dtype=str(sets.train["input"].dtype),
    label_shape=tuple(sets.train["label"].shape[1:]),
    test_examples=len(sets.test["label"]),
    batch_size=trial.batch_size,
    accumulation=accumulation_of(
      trial, on_cpu=devices[0].type == "cpu", devices=len(devices)
    ),
    freeze=trial.transfer.freeze,
    compiled=trial.framework == "torch_compile",
    devices=len(devices),
  )


def dtype_of(spec: Spec) -> torch.dtype:
  """The type of the arithmetic."""
  return torch.bfloat16 if spec.precision == "bfloat16" else torch.float32


def device_of(index: int = 0) -> torch.device:
  """The GPU of this index where there is one, else the CPU."""
  if torch.cuda.is_available():
    return torch.device("cuda", index)
  return torch.device("cpu")


def devices_of(trial: config.Trial) -> list[torch.device]:
  """The devices a trial is trained on, a process each: all where it says 0.

  A machine without a GPU counts as one device, or as many as the environment
  variable JAXPOWER_TORCH_CPU_PROCESSES says.
  """
  gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
  count = gpus or int(os.environ.get(CPU_PROCESSES, "1"))
  return [device_of(index) for index in range(count)][: trial.devices or None]
