"""Convolutional networks for images, and the small one for windows too.

Inputs lie as the data does, channels last; seen as [batch, channels, height,
width] that is PyTorch's channels-last format, and nothing is copied.
"""

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from jaxpower.learn_torch.layers import BatchNorm, Conv


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
    inputs, sides = input_shape[-1], list(input_shape[:-1])
    self.convs = nn.ModuleList()
    for features in channels:
      for layer in range(layers):
        strides = halved if layer == 0 else (1, 1)
        self.convs.append(Conv(inputs, features, window, strides))
        inputs = features
      sides = [-(-side // 2) for side in sides]
    for side in sides:
      inputs *= side
    self.hidden = nn.Linear(inputs, hidden)
    self.dropout = nn.Dropout(dropout)
    self.head = nn.Linear(hidden, classes)

  def forward(self, inputs: Tensor) -> Tensor:
    """Images [batch, height, width, channels] to logits [batch, classes].

    Windows [batch, time, channels] are convolved over time alone.
    """
    x = inputs[:, :, None] if self.over_time else inputs
    x = x.permute(0, 3, 1, 2)
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
    self.stem = Conv(input_channels, channels, bias=False)
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
    x = images.permute(0, 3, 1, 2)
    x = F.relu(self.stem_norm(self.stem(x)), inplace=True)
    x = self.blocks(x)
    return self.head(x.mean((2, 3)))


class Block(nn.Module):
  """Two 3x3 convolutions and the way around them."""

  def __init__(self, inputs: int, channels: int, stride: int) -> None:
    super().__init__()
    self.features = channels
    strides = (stride, stride)
    self.conv_1 = Conv(inputs, channels, strides=strides, bias=False)
    self.norm_1 = BatchNorm(channels)
    self.conv_2 = Conv(channels, channels, bias=False)
    self.norm_2 = BatchNorm(channels)
    self.around = around(inputs, channels, stride)

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
    strides = (stride, stride)
    self.conv_1 = Conv(inputs, channels, (1, 1), bias=False)
    self.norm_1 = BatchNorm(channels)
    self.conv_2 = Conv(channels, channels, strides=strides, bias=False)
    self.norm_2 = BatchNorm(channels)
    self.conv_3 = Conv(channels, self.features, (1, 1), bias=False)
    self.norm_3 = BatchNorm(self.features)
    self.around = around(inputs, self.features, stride)

  def forward(self, x: Tensor) -> Tensor:
    """[batch, inputs, height, width] to [batch, features, ...]."""
    y = F.relu(self.norm_1(self.conv_1(x)), inplace=True)
    y = F.relu(self.norm_2(self.conv_2(y)), inplace=True)
    y = self.norm_3(self.conv_3(y))
    return F.relu(y + self.around(x), inplace=True)


def around(inputs: int, features: int, stride: int) -> nn.Module:
  """The way around a block: projected where shapes differ."""
  if inputs == features and stride == 1:
    return nn.Identity()
  strides = (stride, stride)
  return nn.Sequential(
    Conv(inputs, features, (1, 1), strides, bias=False), BatchNorm(features)
  )
