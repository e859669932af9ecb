"""How micro-batches reach the network: from the device, or from the host."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from jaxpower import data

Batch = tuple[Tensor, Tensor]  # inputs and labels
LARGEST_SHARE = 0.5  # of a GPU's free memory, for a set to lie on it


def fits(arrays: Mapping[str, np.ndarray], device: torch.device) -> bool:
  """Whether a set can lie on the device and leave room for training."""
  if device.type == "cpu":
    return True
  free, _ = torch.cuda.mem_get_info(device)
  return sum(a.nbytes for a in arrays.values()) <= LARGEST_SHARE * free


def to_device(
  arrays: Mapping[str, np.ndarray], device: torch.device
) -> dict[str, Tensor]:
  """Copies of the arrays as tensors on the device."""
  return {
    # A copy also on the CPU: a set may be shared and read-only.
    name: torch.tensor(values, device=device)
    for name, values in arrays.items()
  }


def in_parts(places: np.ndarray, parts: int) -> np.ndarray:
  """[steps, batch] to [steps * parts, batch / parts], as the JAX wing does.

  Each micro-batch takes every so many-th example of its batch.
  """
  steps = len(places)
  divided = places.reshape(steps, -1, parts).swapaxes(1, 2)
  return divided.reshape(steps * parts, -1)


def from_device(
  inputs: Tensor, labels: Tensor, places: np.ndarray
) -> Iterator[Batch]:
  """Micro-batches gathered where the set lies.

  Args:
    inputs: Of the whole set.
    labels: Of the whole set.
    places: [micro-batches, examples], as `in_parts` gives them.
  """
  # All indices in one copy that is not waited for.
  index = on_its_way(torch.from_numpy(places.astype(np.int64)), inputs.device)
  for row in index:
    yield inputs.index_select(0, row), labels.index_select(0, row)


@contextlib.contextmanager
def from_host(
  batches: data.Stream, parts: int, device: torch.device
) -> Iterator[Iterator[Batch]]:
  """Micro-batches of a set in the host's memory or on its disk.

  Copies are pinned and not waited for, and the next batch is on its way while
  the device computes on one.
  """

  def copied() -> Iterator[list[Batch]]:
    for batch in batches:
      inputs, labels = (
        on_its_way(torch.from_numpy(np.ascontiguousarray(batch[name])), device)
        for name in ("input", "label")
      )
      yield [(inputs[i::parts], labels[i::parts]) for i in range(parts)]

  def ahead() -> Iterator[Batch]:
    coming = copied()
    now = next(coming, None)
    while now is not None:
      following = next(coming, None)
      yield from now
      now = following

  with batches:
    yield ahead()


def on_its_way(values: Tensor, device: torch.device) -> Tensor:
  """The values on the device; a copy to a GPU is not waited for."""
  if device.type == "cpu":
    return values
  return values.pin_memory().to(device, non_blocking=True)
