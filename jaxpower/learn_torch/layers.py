"""Layers that several networks share."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Conv(nn.Conv2d):
  """A two-dimensional convolution with Flax's "SAME" padding.

  Where that is the same on both sides the convolution pads by itself. A window
  of 3 with stride 2 over an even size wants one row below and none above; that
  is padded beforehand.
  """

  def __init__(
    self,
    channels: int,
    features: int,
    window: tuple[int, int] = (3, 3),
    strides: tuple[int, int] = (1, 1),
    bias: bool = True,
  ) -> None:
    super().__init__(channels, features, window, strides, bias=bias)

  def forward(self, input: Tensor) -> Tensor:
    """[batch, channels, height, width] to [batch, features, ...]."""
    down, across = (
      same_padding(size, window, stride)
      for size, window, stride in zip(
        input.shape[2:], self.kernel_size, self.stride, strict=True
      )
    )
    if down[0] == down[1] and across[0] == across[1]:
      padding = (down[0], across[0])
    else:
      input, padding = F.pad(input, (*across, *down)), 0
    return F.conv2d(input, self.weight, self.bias, self.stride, padding)


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
      self.training,
      0.1,
      self.eps,
    )


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
  """Zeros before and after, for ceil(size / stride) outputs."""
  total = max((-(-size // stride) - 1) * stride + window - size, 0)
  return total // 2, total - total // 2


def arithmetic(values: Tensor) -> torch.dtype:
  """The type that products of these values are taken in."""
  kind = values.device.type
  if torch.is_autocast_enabled(kind):
    return torch.get_autocast_dtype(kind)
  return values.dtype
