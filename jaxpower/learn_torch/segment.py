"""The updates between two evaluations."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from jaxpower.learn_torch.feed import Batch
from jaxpower.learn_torch.optimizer import set_rate


def run(
  loss_of: Callable[..., Tensor],
  optimizer: Optimizer,
  batches: Iterable[Batch],
  rates: np.ndarray,
  parts: int,
  scale: dict[str, Tensor],
) -> Tensor:
  """Makes one update for each rate; returns the mean loss, on the device.

  Nothing here waits for the device: the host only says what is to be done.

  Args:
    loss_of: Of a micro-batch; compiled or not.
    optimizer: Over the network's weights.
    batches: Micro-batches, `parts` for each update.
    rates: Of each update.
    parts: Micro-batches an update is gathered from.
    scale: "mean" and "std" of the inputs.
  """
  device = scale["mean"].device
  share = torch.full((), 1 / parts, device=device)
  total = torch.zeros((), device=device)
  micros = iter(batches)
  for rate in rates:
    for _ in range(parts):
      loss = loss_of(scale["mean"], scale["std"], *next(micros))
      loss.backward(share)
      total += loss.detach()
    set_rate(optimizer, float(rate))
    optimizer.step()
    optimizer.zero_grad()
  return total / (len(rates) * parts)


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
  """Products of float32 as the JAX wing takes them under this name.

  On GPUs XLA takes TF32 for "default" and "high", and neither for "highest";
  on CPUs all three are float32.
  """
  backends: Any = torch.backends
  places = backends.cuda.matmul, backends.cudnn.conv
  before = [place.fp32_precision for place in places]
  for place in places:
    place.fp32_precision = "ieee" if name == "highest" else "tf32"
  try:
    yield
  finally:
    for place, held in zip(places, before, strict=True):
      place.fp32_precision = held
