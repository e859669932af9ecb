"""How micro-batches reach the network: from the device, or from the host."""

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


def in_parts(places: np.ndarray, parts: int) -> np.ndarray:
  """[steps, batch] to [steps * parts, batch / parts], as the JAX wing does.

  Each micro-batch takes every so many-th example of its batch.
  """
  steps = len(places)
  divided = places.reshape(steps, -1, parts).swapaxes(1, 2)
  return divided.reshape(steps * parts, -1)


def from_device(
  input: Tensor, label: Tensor, places: np.ndarray
) -> Iterator[Batch]:
  """Micro-batches gathered where the set lies.

  Args:
    input: Of the whole set.
    label: Of the whole set.
    places: [micro-batches, examples], as `in_parts` gives them.
  """
  # All indices in one copy that is not waited for.
  index = on_its_way(torch.from_numpy(places.astype(np.int64)), input.device)
  for row in index:
    yield input.index_select(0, row), label.index_select(0, row)


def from_host(
  stream: data.Stream, parts: int, device: torch.device
) -> Iterator[Batch]:
  """Micro-batches of a set that lies in the host's memory or on its disk.

  Copies are pinned and not waited for, and the next batch is on its way while
  the device computes on one.
  """

  def copied() -> Iterator[tuple[Tensor, Tensor]]:
    for batch in stream:
      inputs, labels = (
        on_its_way(torch.from_numpy(batch[name]), device)
        for name in ("input", "label")
      )
      yield inputs, labels

  coming = copied()
  now = next(coming, None)
  while now is not None:
    following = next(coming, None)
    for part in range(parts):
      yield now[0][part::parts], now[1][part::parts]
    now = following


def on_its_way(values: Tensor, device: torch.device) -> Tensor:
  """The values on the device; a copy to a GPU is not waited for."""
  if device.type == "cpu":
    return values
  return values.pin_memory().to(device, non_blocking=True)
