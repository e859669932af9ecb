"""What one process does of a training; there is one on each device."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jaxpower import data, schedule
from jaxpower.config import Trial
from jaxpower.data import DataSet
from jaxpower.data.labels import strata, subset_indices
from jaxpower.data.streaming import is_streamed
from jaxpower.learn_torch import feed, heads
from jaxpower.learn_torch.programs import Programs
from jaxpower.learn_torch.segment import matmul_precision, run
from jaxpower.learn_torch.spec import Spec, device_of


@dataclasses.dataclass(frozen=True)
class Placed:
  """A trial with its data where training wants it."""

  trial: Trial
  train: dict[str, Tensor]
  host: dict[str, np.ndarray]  # in place of `train` where it is streamed
  test: Mapping[str, Tensor | feed.HostArray]
  scale: dict[str, Tensor]
  spec: Spec
  chosen: np.ndarray  # int32, indices into `train`
  labels: np.ndarray  # those of `train`, on the host
  bytes_before: int | None  # on the GPU, before any of it was placed
  rank: int = 0  # of this process among those that train

  @property
  def test_examples(self) -> int:
    """How many examples an evaluation looks at."""
    return self.spec.test_examples


def place(trial: Trial, sets: DataSet, spec: Spec, rank: int = 0) -> Placed:
  """Lays a set on the device whole, or leaves it to be streamed.

  The test set is for the first process alone, which evaluates.
  """
  device = device_of()
  before = None
  if device.type == "cuda":
    torch.backends.cudnn.benchmark = True  # warm-up is there to choose in
    torch.cuda.init()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
  pairs = [
    {name: part[name] for name in ("input", "label")}
    for part in (sets.train, sets.test)
  ]
  labels = sets.train["label"]
  stratum = strata(labels, len(trial.tasks))
  chosen = subset_indices(stratum, trial.data_share)
  room = feed.memory_bytes(device, spec.devices)
  streaming = is_streamed(trial.streaming, sets, room)
  lay = feed.on_host if streaming else feed.to_device
  return Placed(
    trial=trial,
    train={} if streaming else feed.to_device(pairs[0], device),
    host=pairs[0] if streaming else {},
    test=lay(pairs[1], device) if rank == 0 else {},
    scale=feed.to_device({"mean": sets.mean, "std": sets.std}, device),
    spec=spec,
    chosen=chosen,
    labels=labels,
    bytes_before=before,
    rank=rank,
  )


def train(
  loss_of: Callable[..., Tensor],
  programs: Programs,
  placed: Placed,
  segment: int,
) -> tuple[Tensor, float]:
  """The updates of one segment, its order and rates drawn on the host.

  They begin from the state that the programs hold. Returns the mean loss of
  this process's share, and the seconds that the device waited for data: 0
  where the set lies on it.
  """
  trial = placed.trial
  assert programs.optimizer is not None
  steps = trial.evaluate_every_examples // trial.batch_size
  first = segment * steps
  programs.network.train()
  # Of dropout: not the same in any two processes.
  torch.manual_seed((placed.rank << 56) + (trial.seed << 32) + first)
  with (
    matmul_precision(trial.matmul_precision),
    _batches(placed, first, steps) as (batches, waited_seconds),
  ):
    loss = run(
      loss_of,
      programs.optimizer,
      batches,
      schedule.learning_rates(trial, first, steps),
      placed.spec.accumulation,
      placed.scale,
    )
  return loss, waited_seconds()


@contextlib.contextmanager
def _batches(
  placed: Placed, first_step: int, steps: int
) -> Iterator[tuple[Iterator[feed.Batch], Callable[[], float]]]:
  """Micro-batches of some steps, and how long they were waited for so far."""
  trial, parts = placed.trial, placed.spec.accumulation
  order: dict[str, Any] = {
    "seed": trial.seed,
    "batch_size": trial.batch_size,
    "first_step": first_step,
    "steps": steps,
  }
  size = trial.batch_size // placed.spec.devices
  part = slice(placed.rank * size, (placed.rank + 1) * size)  # of each batch
  draws = None
  if trial.augmentation != "none":
    height, width, _ = placed.spec.input_shape
    flip = trial.augmentation == "crop_flip"
    drawn = data.augmentation_draws(
      **order, height=height, width=width, flip=flip
    )
    draws = feed.in_parts(drawn[:, part], parts)
  several = len(trial.tasks) > 1
  places, shares = np.empty((0, 0), np.int32), None
  if several or not placed.host:  # what is streamed has its own order
    places = data.batch_indices(examples=len(placed.chosen), **order)
    places = placed.chosen[places]
  if several:
    labels = placed.labels[places]
    shares = heads.shares(labels, trial, parts, placed.spec.devices)
  if placed.host:
    chosen = placed.chosen
    with data.stream(placed.host, chosen=chosen, part=part, **order) as stream:
      batches = feed.from_host(stream, parts, draws, shares, device_of())
      yield batches, lambda: stream.waited_seconds
    return
  places = feed.in_parts(places[:, part], parts)
  yield feed.from_device(placed.train, places, draws, shares), lambda: 0.0
