"""Accuracy and loss over a test set, a forward pass at a time.

Sums are kept on the device and nothing is asked of it, so the host may queue
all passes at once.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from jaxpower.learn_torch import heads, tasks
from jaxpower.learn_torch.feed import HostArray

Metrics = dict[str, Tensor]  # "loss", "accuracy"; "accuracies" of tasks

# Test examples of a forward pass. Measured on two CPU cores, where no other
# chunk was much better (BUILD_NOTES.md); on GPUs chosen.
CHUNK = 250


@torch.inference_mode()
def evaluate(
  logits_of: Callable[[Tensor], Tensor],
  test: Mapping[str, Tensor | HostArray],
  classes: Sequence[int] = (),
  chunk: int = CHUNK,
) -> Metrics:
  """Returns the mean "loss" and "accuracy" over a test set; never waits.

  With several tasks "loss" is the sum of theirs and "accuracy" the mean of
  their "accuracies" [tasks], each over the examples with a label of it.
  All forward passes are of one shape, so that nothing is compiled for the
  last: it begins earlier, at examples that were counted before, and these are
  left out of its sums.

  Args:
    logits_of: Returns the logits of raw inputs.
    test: "input" and "label" of the whole set, on the device or brought there
      a pass at a time.
    classes: Of each task, if there are several.
    chunk: Examples of a forward pass, where the set has as many.
  """
  inputs, labels = test["input"], test["label"]
  several = len(classes) > 1
  shape = (3, len(classes)) if several else (2,)
  sums = torch.zeros(shape, device=labels.device)
  chunk = min(chunk, len(labels))
  for first in range(0, len(labels), chunk):
    begin = min(first, len(labels) - chunk)
    logits = logits_of(inputs[begin : begin + chunk])[first - begin :]
    counted = labels[first : begin + chunk]
    values = (
      (
        heads.losses(logits, counted, classes),
        heads.correct(logits, counted, classes),
        (counted >= 0).float(),
      )
      if several
      else (tasks.losses(logits, counted), tasks.correct(logits, counted))
    )
    sums += torch.stack(values).sum(1)
  if not several:
    loss, accuracy = sums / len(labels)
    return {"loss": loss, "accuracy": accuracy}
  loss, accuracies = sums[:2] / sums[2]
  return {
    "loss": loss.sum(),
    "accuracy": accuracies.mean(),
    "accuracies": accuracies,
  }
