"""Defines the layers that several networks share: norms as Flax has them."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from jaxpower.architectures import (
  BATCH_NORM_EPSILON,
  BATCH_NORM_STEP,
  LAYER_NORM_EPSILON,
)


class LayerNorm(nn.LayerNorm):
  """A layer norm in the type of its input.

  On GPUs autocast would do it in float32 and convert before and after. The
  kernel's mean and variance are float32 in any case.
  """

  def __init__(self, features: int) -> None:
    super().__init__(features, eps=LAYER_NORM_EPSILON)

  def forward(self, input: Tensor) -> Tensor:
    """Normalises [..., features] over the features."""
    if not torch.is_autocast_enabled(input.device.type):
      return super().forward(input)
    weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
    with torch.autocast(input.device.type, enabled=False):
      return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class BatchNorm(nn.BatchNorm2d):
  """A batch norm as Flax's, but for the running variance.

  PyTorch keeps the unbiased variance of a batch, Flax the biased one: over n
  values a channel PyTorch's is n / (n - 1) times as large.
  """

  def __init__(self, features: int) -> None:
    super().__init__(features, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_STEP)

  def forward(self, input: Tensor) -> Tensor:
    """Normalises [batch, features, height, width] over all but the features.

    A frozen norm uses the statistics it came with, and leaves them.
    """
    # The parent's forward also counts batches: a kernel launch for each layer,
    # and nothing reads the count.
    return F.batch_norm(
      input,
      self.running_mean,
      self.running_var,
      self.weight,
      self.bias,
      self.training and self.weight.requires_grad,
      BATCH_NORM_STEP,
      self.eps,
    )


def arithmetic(values: Tensor) -> torch.dtype:
  """Returns the type of matrix products of these values: autocast's, if on."""
  kind = values.device.type
  if torch.is_autocast_enabled(kind):
    return torch.get_autocast_dtype(kind)
  return values.dtype
