"""What an executable depends on, and nothing else of a trial."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxpower import config
from jaxpower.accumulation import accumulation_of
from jaxpower.learn import networks
from jaxpower.learn.state import make_mesh

Data = dict[str, Any]  # "input", "label", "mean", "std"; test sets "weight"


@dataclasses.dataclass(frozen=True)
class Spec:
  """What an executable depends on; trials that share it share the executable.

  Learning rate and schedule, weight decay, momentum, label smoothing, how
  much is dropped, the backbone's rate, the weights of tasks, the share of the
  data and the seed are data and not here.
  """

  model: config.Model
  optimizer: str
  precision: str
  matmul_precision: str
  dropout: bool  # whether any
  augmentation: str
  accumulation: int
  program: str
  freeze: bool  # whether the head alone is trained
  tasks: tuple[int, ...]  # the classes of each
  uncertainty: bool  # whether the weights of the tasks are learned
  vocabulary: int | None  # None: the inputs are no tokens
  batch_size: int
  steps: int  # in a segment
  chunk: int  # steps whose examples are streamed together; 0: not streamed
  devices: int  # 0: all
  shapes: tuple[tuple[str, tuple[int, ...], str], ...]  # of the data

  @property
  def classes(self) -> int:
    """The outputs of the head: those of every task side by side."""
    return sum(self.tasks)

  @property
  def micro_batch(self) -> int:
    """Examples that one pass of the network sees on a device."""
    devices = make_mesh(self.devices).size
    return self.batch_size // self.accumulation // devices


def spec_of(
  trial: config.Trial,
  train: Data,
  test: Data,
  *,
  classes: int | tuple[int, ...],
  vocabulary: int | None = None,
) -> Spec:
  """The part of a trial that its executables depend on.

  `classes` are those of each task, where there are several.
  """
  mesh = make_mesh(trial.devices)
  tasks = (classes,) if isinstance(classes, int) else classes
  shapes = tuple(
    (f"{split}.{name}", tuple(values.shape), str(values.dtype))
    for split, data in (("train", train), ("test", test))
    for name, values in sorted(data.items())
  )
  return Spec(
    model=trial.model,
    optimizer=trial.optimizer.name,
    precision=trial.precision,
    matmul_precision=trial.matmul_precision,
    dropout=trial.dropout > 0,
    augmentation=trial.augmentation,
    accumulation=accumulation_of(
      trial, on_cpu=mesh.devices.flat[0].platform == "cpu", devices=mesh.size
    ),
    program=trial.program,
    freeze=trial.transfer.freeze,
    tasks=tasks,
    uncertainty=trial.task_weighting == "uncertainty" and len(tasks) > 1,
    vocabulary=vocabulary,
    batch_size=trial.batch_size,
    steps=trial.evaluate_every_examples // trial.batch_size,
    chunk=0,
    devices=trial.devices,
    shapes=shapes,
  )


def network_of(spec: Spec) -> nn.Module:
  """The network that a spec trains."""
  return networks.build(
    spec.model, spec.classes, spec.vocabulary, precision=spec.precision
  )


def shapes_of(spec: Spec, split: str) -> dict[str, jax.ShapeDtypeStruct]:
  """The shapes of the arrays of one split, "train" or "test"."""
  return {
    name.removeprefix(f"{split}."): jax.ShapeDtypeStruct(
      shape, jnp.dtype(dtype)
    )
    for name, shape, dtype in spec.shapes
    if name.startswith(f"{split}.")
  }
