"""Accuracy and loss over a whole test set that lies on the device."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from jaxpower.learn_torch import tasks

CHUNK = 250  # test examples a forward pass; small enough for a CPU's caches


@torch.inference_mode()
def evaluate(
  logits_of: Callable[[Tensor], Tensor], test: Mapping[str, Tensor]
) -> dict[str, Tensor]:
  """Mean "loss" and "accuracy" over a test set; neither is waited for.

  All forward passes are of one shape, so that nothing is compiled for the
  last: it begins early enough, and what was counted is not counted again.

  Args:
    logits_of: Logits of raw inputs.
    test: "input" and "label" of the whole set, on its device.
  """
  inputs, labels = test["input"], test["label"]
  sums = torch.zeros(2, device=labels.device)
  chunk = min(CHUNK, len(labels))
  for first in range(0, len(labels), chunk):
    begin = min(first, len(labels) - chunk)
    logits = logits_of(inputs[begin : begin + chunk])[first - begin :]
    now = labels[first : begin + chunk]
    sums += torch.stack(
      [tasks.losses(logits, now).sum(), tasks.correct(logits, now).sum()]
    )
  loss, accuracy = sums / len(labels)
  return {"loss": loss, "accuracy": accuracy}
