"""How micro-batches reach the network: from the device, or from the host."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from jaxpower import data
from jaxpower.data.streaming import host_bytes

# Inputs and labels; draws where images move, shares where there are tasks.
Batch = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


@dataclasses.dataclass(frozen=True)
class HostArray:
  """An array that stays on the host; slices of it are brought to a device."""

  values: np.ndarray
  device: torch.device

  def __len__(self) -> int:
    return len(self.values)

  def __getitem__(self, part: slice) -> Tensor:
    # A copy: it may lie on disk, where it is read-only.
    return on_its_way(np.array(self.values[part]), self.device)


def memory_bytes(device: torch.device, devices: int) -> int:
  """The memory of one of so many devices; on a CPU they share it."""
  if device.type == "cpu":
    return host_bytes() // devices
  return torch.cuda.get_device_properties(device).total_memory


def to_device(
  arrays: Mapping[str, np.ndarray], device: torch.device
) -> dict[str, Tensor]:
  """Copies of the arrays as tensors on the device."""
  return {
    # A copy also on the CPU: a set may be shared and read-only.
    name: torch.tensor(values, device=device)
    for name, values in arrays.items()
  }


def on_host(
  arrays: Mapping[str, np.ndarray], device: torch.device
) -> dict[str, HostArray]:
  """The arrays where they are, ready to be brought to the device in slices."""
  return {name: HostArray(values, device) for name, values in arrays.items()}


def in_parts(values: np.ndarray, parts: int) -> np.ndarray:
  """[steps, batch, ...] to [steps * parts, batch / parts, ...].

  Each micro-batch takes every so many-th example of its batch, as in the JAX
  wing.
  """
  steps, batch, *rest = values.shape
  divided = values.reshape(steps, batch // parts, parts, *rest).swapaxes(1, 2)
  return divided.reshape(steps * parts, batch // parts, *rest)


def from_device(
  train: Mapping[str, Tensor],
  places: np.ndarray,
  draws: np.ndarray | None,
  shares: np.ndarray | None = None,
) -> Iterator[Batch]:
  """Micro-batches gathered where the set lies.

  Args:
    train: The whole set.
    places: [micro-batches, examples], their places in the set.
    draws: [micro-batches, examples, 3], how each image is moved.
    shares: [micro-batches, tasks], as `jaxpower.learn_torch.heads` has them.
  """
  inputs, labels = train["input"], train["label"]
  # All indices in one copy that is not waited for.
  index = on_its_way(places.astype(np.int64), labels.device)
  moves, counted = (_each(v, labels.device) for v in (draws, shares))
  for row in index:
    picked = inputs.index_select(0, row), labels.index_select(0, row)
    yield *picked, next(moves), next(counted)


def from_host(
  stream: data.Stream,
  parts: int,
  draws: np.ndarray | None,
  shares: np.ndarray | None,
  device: torch.device,
) -> Iterator[Batch]:
  """Micro-batches of a set that lies in the host's memory or on its disk.

  Copies are pinned and not waited for, and the next batch is on its way while
  the device computes on one. `parts` are the micro-batches of each update;
  `draws` and `shares` are as in `from_device`.
  """
  moves, counted = (_each(v, device) for v in (draws, shares))
  coming = (
    [on_its_way(batch[name], device) for name in ("input", "label")]
    for batch in stream
  )
  now = next(coming, None)
  while now is not None:
    following = next(coming, None)
    inputs, labels = now
    for part in range(parts):
      picked = inputs[part::parts], labels[part::parts]
      yield *picked, next(moves), next(counted)
    now = following


def _each(
  values: np.ndarray | None, device: torch.device
) -> Iterator[Tensor | None]:
  """What each micro-batch has of it; None where there is nothing."""
  if values is None:
    return itertools.repeat(None)
  return iter(on_its_way(values, device))


def on_its_way(values: np.ndarray, device: torch.device) -> Tensor:
  """The values on the device; a copy to a GPU is not waited for."""
  tensor = torch.from_numpy(values)
  if device.type == "cpu":
    return tensor
  return tensor.pin_memory().to(device, non_blocking=True)
