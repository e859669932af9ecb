"""Accuracy and loss over a whole test set."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from jaxpower.learn_torch import heads, tasks
from jaxpower.learn_torch.feed import HostArray

CHUNK = 250  # test examples a forward pass; small enough for a CPU's caches


@torch.inference_mode()
def evaluate(
  logits_of: Callable[[Tensor], Tensor],
  test: Mapping[str, Tensor | HostArray],
  classes: Sequence[int] = (),
) -> dict[str, Tensor]:
  """Mean "loss" and "accuracy" over a test set; neither is waited for.

  With several tasks "loss" is the sum of theirs and "accuracy" the mean of
  their "accuracies" [tasks], each over the examples with a label of it.
  All forward passes are of one shape, so that nothing is compiled for the
  last: it begins early enough, and what was counted is not counted again.

  Args:
    logits_of: Logits of raw inputs.
    test: "input" and "label" of the whole set, on the device or brought there
      a pass at a time.
    classes: Of each task, where there are several.
  """
  inputs, labels = test["input"], test["label"]
  several = len(classes) > 1
  shape = (3, len(classes)) if several else (2,)
  sums = torch.zeros(shape, device=labels.device)
  chunk = min(CHUNK, len(labels))
  for first in range(0, len(labels), chunk):
    begin = min(first, len(labels) - chunk)
    logits = logits_of(inputs[begin : begin + chunk])[first - begin :]
    now = labels[first : begin + chunk]
    found = (
      (
        heads.losses(logits, now, classes),
        heads.correct(logits, now, classes),
        (now >= 0).float(),
      )
      if several
      else (tasks.losses(logits, now), tasks.correct(logits, now))
    )
    sums += torch.stack(found).sum(1)
  if not several:
    loss, accuracy = sums / len(labels)
    return {"loss": loss, "accuracy": accuracy}
  loss, accuracies = sums[:2] / sums[2]
  return {
    "loss": loss.sum(),
    "accuracy": accuracies.mean(),
    "accuracies": accuracies,
  }
