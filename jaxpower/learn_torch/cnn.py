"""Convolutional networks for images, and the small one for windows too.

Inputs lie as the data does, channels last; seen as [batch, channels, height,
width] that is PyTorch's channels-last format, and nothing is copied.

Images are seen mirrored, top to bottom and left to right, with mirrored
kernels. Where a stride of 2 halves an even side, Flax's "SAME" padding is one
row after the last and PyTorch's is one before the first: mirrored they are the
same, while padding beforehand would copy what every such layer reads.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from jaxpower.learn_torch.layers import BatchNorm


class SmallCnn(nn.Module):
  """Strided convolutions and a dense layer under the head.

  The twin of `jaxpower.learn.cnn.SmallCnn`.
  """

  def __init__(
    self,
    classes: int,
    input_shape: Sequence[int],
    channels: Sequence[int] = (16, 32),
    hidden: int = 64,
    layers: int = 1,
    dropout: float = 0.0,
  ) -> None:
    super().__init__()
    self.over_time = len(input_shape) == 2
    window, halved = ((3, 1), (2, 1)) if self.over_time else ((3, 3), (2, 2))
    inputs, self.sides = input_shape[-1], list(input_shape[:-1])
    self.convs = nn.ModuleList()
    for features in channels:
      for layer in range(layers):
        strides = halved if layer == 0 else (1, 1)
        padding = (window[0] // 2, window[1] // 2)
        self.convs.append(nn.Conv2d(inputs, features, window, strides, padding))
        inputs = features
      self.sides = [-(-side // 2) for side in self.sides]
    self.hidden = nn.Linear(math.prod(self.sides) * inputs, hidden)
    self.dropout = nn.Dropout(dropout)
    self.head = nn.Linear(hidden, classes)

  def forward(self, inputs: Tensor) -> Tensor:
    """Images [batch, height, width, channels] to logits [batch, classes].

    Windows [batch, time, channels] are convolved over time alone.
    """
    x = inputs[:, :, None] if self.over_time else inputs
    x = x.flip(1, 2).permute(0, 3, 1, 2)
    for conv in self.convs:
      x = F.relu(conv(x), inplace=True)
    # As the values lie in memory, which is also Flax's order: no copy.
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = F.relu(self.hidden(x), inplace=True)
    return self.head(self.dropout(x))


class ResNet(nn.Module):
  """Residual network (He et al. 2016) in its CIFAR form.

  The twin of `jaxpower.learn.cnn.ResNet`. Batch statistics are those of the
  process: with several, each has its own.
  """

  def __init__(
    self,
    classes: int,
    input_channels: int,
    stages: Sequence[int] = (2, 2, 2, 2),
    channels: int = 64,
    bottleneck: bool = False,
  ) -> None:
    super().__init__()
    self.stem = conv_3x3(input_channels, channels)
    self.stem_norm = BatchNorm(channels)
    kind = Bottleneck if bottleneck else Block
    blocks, inputs = [], channels
    for stage, count in enumerate(stages):
      for number in range(count):
        stride = 2 if stage > 0 and number == 0 else 1
        blocks.append(kind(inputs, channels * 2**stage, stride))
        inputs = blocks[-1].features
    self.blocks = nn.Sequential(*blocks)
    self.head = nn.Linear(inputs, classes)

  def forward(self, images: Tensor) -> Tensor:
    """[batch, height, width, channels] to logits [batch, classes]."""
    x = images.flip(1, 2).permute(0, 3, 1, 2)
    x = F.relu(self.stem_norm(self.stem(x)), inplace=True)
    x = self.blocks(x)
    return self.head(x.mean((2, 3)))


class Block(nn.Module):
  """Two 3x3 convolutions and the way around them."""

  def __init__(self, inputs: int, channels: int, stride: int) -> None:
    super().__init__()
    self.features = channels
    self.conv_1 = conv_3x3(inputs, channels, stride)
    self.norm_1 = BatchNorm(channels)
    self.conv_2 = conv_3x3(channels, channels)
    self.norm_2 = BatchNorm(channels)
    self.around = around(inputs, self.features, stride)

  def forward(self, x: Tensor) -> Tensor:
    """[batch, inputs, height, width] to [batch, features, ...]."""
    y = F.relu(self.norm_1(self.conv_1(x)), inplace=True)
    y = self.norm_2(self.conv_2(y))
    return F.relu(y + self.around(x), inplace=True)


class Bottleneck(nn.Module):
  """A 3x3 convolution between two 1x1, and the way around them."""

  def __init__(self, inputs: int, channels: int, stride: int) -> None:
    super().__init__()
    self.features = 4 * channels
    self.conv_1 = nn.Conv2d(inputs, channels, 1, bias=False)
    self.norm_1 = BatchNorm(channels)
    self.conv_2 = conv_3x3(channels, channels, stride)
    self.norm_2 = BatchNorm(channels)
    self.conv_3 = nn.Conv2d(channels, self.features, 1, bias=False)
    self.norm_3 = BatchNorm(self.features)
    self.around = around(inputs, self.features, stride)

  def forward(self, x: Tensor) -> Tensor:
    """[batch, inputs, height, width] to [batch, features, ...]."""
    y = F.relu(self.norm_1(self.conv_1(x)), inplace=True)
    y = F.relu(self.norm_2(self.conv_2(y)), inplace=True)
    y = self.norm_3(self.conv_3(y))
    return F.relu(y + self.around(x), inplace=True)


class Projection(nn.Module):
  """The way around a block where shapes differ: a 1x1 convolution, normed."""

  def __init__(self, inputs: int, features: int, stride: int) -> None:
    super().__init__()
    self.stride = stride
    self.conv = nn.Conv2d(inputs, features, 1, bias=False)
    self.norm = BatchNorm(features)

  def forward(self, x: Tensor) -> Tensor:
    """[batch, inputs, height, width] to [batch, features, ...]."""
    if self.stride > 1:
      # Every so many-th counted from the mirrored image's end, which is where
      # Flax begins.
      top, left = ((side - 1) % self.stride for side in x.shape[2:])
      x = x[:, :, top :: self.stride, left :: self.stride]
    return self.norm(self.conv(x))


def around(inputs: int, features: int, stride: int) -> nn.Module:
  """The way around a block: as it is, or projected where shapes differ."""
  if inputs == features and stride == 1:
    return nn.Identity()
  return Projection(inputs, features, stride)


def conv_3x3(inputs: int, features: int, stride: int = 1) -> nn.Conv2d:
  """A convolution in front of a norm, which has the bias."""
  return nn.Conv2d(inputs, features, 3, stride, padding=1, bias=False)
