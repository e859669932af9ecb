"""How micro-batches reach the network: gathered on the device, or streamed.

A set on the device is gathered there by indices that are copied once a
segment. A streamed set comes batch by batch from host memory or disk: threads
read ahead (`data.stream`), copies are pinned and not waited for, and the next
batch is on its way while the device computes on this one. Order and arithmetic
are the same; so is the state after each segment, on CPUs to the bit.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from jaxpower import data

# Inputs and labels; draws if images are moved, shares if there are tasks.
Batch = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


@dataclasses.dataclass(frozen=True)
class HostArray:
  """An array that stays on the host; slices of it are copied to a device."""

  values: np.ndarray
  device: torch.device

  def __len__(self) -> int:
    return len(self.values)

  def __getitem__(self, part: slice) -> Tensor:
    # A copy: it may lie on disk, where it is read-only.
    return start_copy(np.array(self.values[part]), self.device)


def to_device(
  arrays: Mapping[str, np.ndarray], device: torch.device
) -> dict[str, Tensor]:
  """Copies arrays to the device."""
  return {
    # A copy also on the CPU: a set may be shared and read-only.
    name: torch.tensor(values[...], device=device)
    for name, values in arrays.items()
  }


def on_host(
  arrays: Mapping[str, np.ndarray], device: torch.device
) -> dict[str, HostArray]:
  """Leaves arrays where they are, to be copied to the device in slices."""
  return {name: HostArray(values, device) for name, values in arrays.items()}


def in_micro_batches(values: np.ndarray, accumulation: int) -> np.ndarray:
  """Divides each batch of [steps, batch, ...] into micro-batches.

  Returns [steps * accumulation, batch / accumulation, ...]. A micro-batch is
  every accumulation-th example of its batch, as in the JAX wing.
  """
  steps, batch, *rest = values.shape
  divided = values.reshape(steps, batch // accumulation, accumulation, *rest)
  return divided.swapaxes(1, 2).reshape(
    steps * accumulation, batch // accumulation, *rest
  )


def from_device(
  train: Mapping[str, Tensor],
  indices: np.ndarray,
  draws: np.ndarray | None,
  shares: np.ndarray | None = None,
) -> Iterator[Batch]:
  """Gathers micro-batches of a set that lies on the device.

  Args:
    train: The whole set.
    indices: [micro-batches, examples], their places in the set.
    draws: [micro-batches, examples, 3], how each image is moved.
    shares: [micro-batches, tasks], as `jaxpower.learn_torch.heads` has them.
  """
  inputs, labels = train["input"], train["label"]
  # All indices in one copy that is not waited for.
  rows = start_copy(indices.astype(np.int64), labels.device)
  draws_now, shares_now = (
    _per_micro_batch(values, labels.device) for values in (draws, shares)
  )
  for row in rows:
    picked = inputs.index_select(0, row), labels.index_select(0, row)
    yield *picked, next(draws_now), next(shares_now)


def from_host(
  stream: data.Stream,
  accumulation: int,
  draws: np.ndarray | None,
  shares: np.ndarray | None,
  device: torch.device,
) -> Iterator[Batch]:
  """Copies micro-batches of a set that lies on the host, a batch ahead.

  Args:
    stream: Batches of "input" and "label", in their order.
    accumulation: Micro-batches of each batch.
    draws: As in `from_device`.
    shares: As in `from_device`.
    device: Where they are wanted.
  """
  draws_now, shares_now = (
    _per_micro_batch(values, device) for values in (draws, shares)
  )
  copies = (
    [start_copy(batch[name], device) for name in ("input", "label")]
    for batch in stream
  )
  current = next(copies, None)
  while current is not None:
    following = next(copies, None)
    inputs, labels = current
    for part in range(accumulation):
      picked = inputs[part::accumulation], labels[part::accumulation]
      yield *picked, next(draws_now), next(shares_now)
    current = following


def start_copy(values: np.ndarray, device: torch.device) -> Tensor:
  """Starts a copy to a GPU and returns its tensor without waiting.

  The memory is pinned: only from there does a GPU copy by itself. On a CPU the
  tensor shares the array's memory.
  """
  tensor = torch.from_numpy(values)
  if device.type == "cpu":
    return tensor
  return tensor.pin_memory().to(device, non_blocking=True)


def _per_micro_batch(
  values: np.ndarray | None, device: torch.device
) -> Iterator[Tensor | None]:
  """Returns each micro-batch's row of the values, None if there are none."""
  if values is None:
    return itertools.repeat(None)
  return iter(start_copy(values, device))
