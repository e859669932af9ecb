"""How micro-batches reach the network: from the device, or from the host."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from jaxpower import data

# Inputs and labels; draws where images move, shares where there are tasks.
Batch = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
LARGEST_SHARE = 0.5  # of a GPU's free memory, for a set to lie on it


def fits(arrays: Mapping[str, np.ndarray], device: torch.device) -> bool:
  """Whether a set can lie on the device and leave room for training."""
  if device.type == "cpu":
    return True
  free, _ = torch.cuda.mem_get_info(device)
  return sum(a.nbytes for a in arrays.values()) <= LARGEST_SHARE * free


def share_of(
  arrays: Mapping[str, np.ndarray], chosen: np.ndarray
) -> dict[str, np.ndarray]:
  """The chosen examples; the arrays themselves where that is all of them."""
  if len(chosen) == len(arrays["label"]):
    return dict(arrays)
  return {name: values[chosen] for name, values in arrays.items()}


def to_device(
  arrays: Mapping[str, np.ndarray], device: torch.device
) -> dict[str, Tensor]:
  """Copies of the arrays as tensors on the device."""
  return {
    # A copy also on the CPU: a set may be shared and read-only.
    name: torch.tensor(values, device=device)
    for name, values in arrays.items()
  }


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
