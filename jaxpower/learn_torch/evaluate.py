"""Accuracy and loss over a whole test set."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from jaxpower.learn_torch import tasks

CHUNK = 250  # test examples a forward pass; small enough for a CPU's caches


@torch.inference_mode()
def evaluate(
  logits_of: Callable[[Tensor], Tensor], test: Mapping[str, Tensor]
) -> dict[str, Tensor]:
  """Mean "loss" and "accuracy" over a test set, on its device."""
  inputs, labels = test["input"], test["label"]
  loss = torch.zeros((), device=labels.device)
  right = torch.zeros((), device=labels.device)
  for i in range(0, len(labels), CHUNK):
    logits = logits_of(inputs[i : i + CHUNK])
    loss += tasks.losses(logits, labels[i : i + CHUNK]).sum()
    right += tasks.correct(logits, labels[i : i + CHUNK]).sum()
  return {"loss": loss / len(labels), "accuracy": right / len(labels)}
