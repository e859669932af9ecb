"""The updates between two evaluations, as one process makes them.

The host draws the order of the examples, how their images are moved, and the
learning rates; both wings draw the same, and every process draws all of it and
takes its part of each batch. The host only queues work and never asks the
device for a number before the segment is over: a question would leave the GPU
with nothing queued until it is answered.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from jaxpower import data, schedule
from jaxpower.learn_torch import feed, heads
from jaxpower.learn_torch.devices import device_of
from jaxpower.learn_torch.optimizer import set_rate
from jaxpower.learn_torch.placement import Placed
from jaxpower.learn_torch.programs import Programs
from jaxpower.learn_torch.step import matmul_precision


def train_share(
  programs: Programs,
  placed: Placed,
  segment: int,
  loss_of: Callable[..., Tensor],
) -> tuple[Tensor, float]:
  """Makes the updates of one segment on this process's share of each batch.

  Args:
    programs: Hold the state to begin from, and the one after.
    placed: The trial.
    segment: Which one, from 0.
    loss_of: That of the programs, or one that averages its gradients over all
      processes.

  Returns:
    The mean loss of this process's share, and the seconds for which the
    device waited for data: 0 if the set lies on it.
  """
  trial = placed.trial
  assert programs.optimizer is not None
  steps = trial.evaluate_every_examples // trial.batch_size
  first_step = segment * steps
  programs.network.train()
  torch.manual_seed(dropout_seed(trial.seed, placed.rank, first_step))
  with (
    matmul_precision(trial.matmul_precision),
    _micro_batches(placed, first_step, steps) as (batches, waited_seconds),
  ):
    loss = _update(
      loss_of,
      programs.optimizer,
      batches,
      schedule.learning_rates(trial, first_step, steps),
      placed.spec.accumulation,
      placed.scale,
    )
  return loss, waited_seconds()


def dropout_seed(seed: int, rank: int, first_step: int) -> int:
  """Mixes what dropout depends on into one seed, for PyTorch's generators.

  Each process drops other units than the others. The generator of CPUs keeps
  the low 32 bits of its seed, that of GPUs 64: so all three are mixed into
  all bits, and not put side by side.
  """
  mixed = np.random.SeedSequence([seed, rank, first_step])
  return int(mixed.generate_state(1, np.uint64)[0])


def _update(
  loss_of: Callable[..., Tensor],
  optimizer: Optimizer,
  batches: Iterable[feed.Batch],
  rates: np.ndarray,
  accumulation: int,
  scale: dict[str, Tensor],
) -> Tensor:
  """Makes one update for each rate; returns the mean loss, on the device.

  Args:
    loss_of: The loss of a micro-batch.
    optimizer: The rule over the network's weights.
    batches: Micro-batches, `accumulation` for each update.
    rates: The learning rate of each update.
    accumulation: Micro-batches that an update is gathered from.
    scale: "mean" and "std" of the inputs.
  """
  device = scale["mean"].device
  # A gradient of 1 / accumulation to go back from: the mean over micro-batches.
  share = torch.full((), 1 / accumulation, device=device)
  total = torch.zeros((), device=device)
  micro_batches = iter(batches)
  for rate in rates:
    for _ in range(accumulation):
      loss = loss_of(scale["mean"], scale["std"], *next(micro_batches))
      loss.backward(share)
      total += loss.detach()
    set_rate(optimizer, float(rate))
    optimizer.step()
    optimizer.zero_grad()
  return total / (len(rates) * accumulation)


@contextlib.contextmanager
def _micro_batches(
  placed: Placed, first_step: int, steps: int
) -> Iterator[tuple[Iterator[feed.Batch], Callable[[], float]]]:
  """Reads this process's micro-batches of some steps.

  Yields them, and a function that returns for how many seconds they were
  waited for so far.
  """
  trial, accumulation = placed.trial, placed.spec.accumulation
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
    all_draws = data.augmentation_draws(
      **order, height=height, width=width, flip=flip
    )
    draws = feed.in_micro_batches(all_draws[:, part], accumulation)
  several = len(trial.tasks) > 1
  indices, shares = np.empty((0, 0), np.int32), None
  if several or not placed.host:  # a stream draws its own order
    places = data.batch_indices(examples=len(placed.chosen), **order)
    indices = placed.chosen[places]
  if several:
    labels = placed.labels[indices]
    shares = heads.shares(labels, trial, accumulation, placed.spec.devices)
  if placed.host:
    chosen = placed.chosen
    with data.stream(placed.host, chosen=chosen, part=part, **order) as stream:
      yield (
        feed.from_host(stream, accumulation, draws, shares, device_of()),
        lambda: stream.waited_seconds,
      )
    return
  indices = feed.in_micro_batches(indices[:, part], accumulation)
  yield feed.from_device(placed.train, indices, draws, shares), lambda: 0.0
