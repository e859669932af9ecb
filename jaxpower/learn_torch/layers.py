"""Layers that several networks share."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
  """A layer norm that stays in the arithmetic of its input.

  On GPUs autocast would do it in float32 and convert before and after. The
  kernel's moments are float32 in any case.
  """

  def __init__(self, features: int) -> None:
    super().__init__(features, eps=1e-6)

  def forward(self, input: Tensor) -> Tensor:
    """[..., features] to the same."""
    if not torch.is_autocast_enabled(input.device.type):
      return super().forward(input)
    weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
    with torch.autocast(input.device.type, enabled=False):
      return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class BatchNorm(nn.BatchNorm2d):
  """A batch norm as Flax's, but for one thing that differs by nature.

  PyTorch keeps a running mean of the unbiased variance, Flax of the biased
  one: over n values a channel, n / (n - 1) times as large.
  """

  def __init__(self, features: int) -> None:
    super().__init__(features, eps=1e-5, momentum=0.1)

  def forward(self, input: Tensor) -> Tensor:
    """[batch, features, height, width] to the same."""
    # As the parent does, but without counting batches: nobody reads the
    # count, and it is a launch a layer.
    return F.batch_norm(
      input,
      self.running_mean,
      self.running_var,
      self.weight,
      self.bias,
      # A frozen norm uses the statistics it came with, and leaves them.
      self.training and self.weight.requires_grad,
      0.1,
      self.eps,
    )


def arithmetic(values: Tensor) -> torch.dtype:
  """The type that products of these values are taken in."""
  kind = values.device.type
  if torch.is_autocast_enabled(kind):
    return torch.get_autocast_dtype(kind)
  return values.dtype
