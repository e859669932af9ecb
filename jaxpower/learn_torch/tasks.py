"""Defines one task: normalised inputs, loss and accuracy.

The twin of `jaxpower.learn.tasks`. Labels are one class an example, [batch], or
the next token at each position, [batch, length], where 0 is padding and counts
for nothing. A class of -1 is no label.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def normalise(
  inputs: Tensor, mean: Tensor, std: Tensor, dtype: torch.dtype
) -> Tensor:
  """Scales raw inputs [batch, ..., channels] to mean 0 and deviation 1.

  Tokens, [batch, length], stay as they are.
  """
  if inputs.ndim == 2:
    return inputs
  return ((inputs - mean) / std).to(dtype)


def losses(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
  """Computes each example's cross entropy in nats: float32 [batch].

  With `smoothing` that share of the label is spread evenly over all classes
  (Szegedy et al. 2016). Over next tokens it is the mean over an example's
  positions. 0 without a label; float64 for logits of float64.
  """
  logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
  entropies = F.cross_entropy(
    logits.flatten(0, -2),
    labels.flatten().long(),
    ignore_index=-1,
    reduction="none",
    label_smoothing=smoothing,
  )
  return _over_positions(entropies.view(labels.shape), labels)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
  """Tells whether the largest logit is the label's: float32 [batch], 0 or 1.

  Over next tokens it is the share of an example's positions where it is.
  """
  hits = (logits.argmax(-1) == labels).float()
  return _over_positions(hits, labels)


def _over_positions(values: Tensor, labels: Tensor) -> Tensor:
  """Averages [batch, length] over labelled positions; [batch] stays."""
  if values.ndim == 1:
    return values
  labelled = (labels > 0).to(values.dtype)
  return (values * labelled).sum(1) / labelled.sum(1).clamp_min(1)
