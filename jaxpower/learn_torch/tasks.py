"""A task: how inputs reach the network and what its outputs are held to.

Labels are one class an example, [batch], or the next token at each position,
[batch, length], where 0 is padding and counts for nothing. A class of -1 is no
label.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def normalise(
  inputs: Tensor, mean: Tensor, std: Tensor, dtype: torch.dtype
) -> Tensor:
  """Raw inputs [batch, ..., channels] to zero mean and unit deviation.

  Tokens, [batch, length], are names and not numbers and stay as they are.
  """
  if inputs.ndim == 2:
    return inputs
  return ((inputs - mean) / std).to(dtype)


def losses(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
  """Cross entropy of each example in nats: float32 [batch].

  With `smoothing` that share of the label is spread evenly over all classes
  (Szegedy et al. 2016). Over next tokens it is the mean over an example's
  positions. 0 without a label. Of float64 logits it is float64.
  """
  scores = logits.to(torch.promote_types(logits.dtype, torch.float32))
  found = F.cross_entropy(
    scores.flatten(0, -2),
    labels.flatten().long(),
    ignore_index=-1,
    reduction="none",
    label_smoothing=smoothing,
  )
  return _over_positions(found.view(labels.shape), labels)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
  """Whether the largest logit is the label's: float32 [batch] of 0 and 1.

  Over next tokens the share of an example's positions where it is.
  """
  return _over_positions((logits.argmax(-1) == labels).float(), labels)


def _over_positions(values: Tensor, labels: Tensor) -> Tensor:
  """[batch] as it is, [batch, length] as the mean where a label is."""
  if values.ndim == 1:
    return values
  real = (labels > 0).to(values.dtype)
  return (values * real).sum(1) / real.sum(1).clamp_min(1)
