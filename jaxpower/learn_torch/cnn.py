"""Builds convolutional networks: ResNets, and a small CNN for windows too.

The twins of those in `jaxpower.learn.cnn`. Inputs are channels last, as the
dataset holds them; viewed as [batch, channels, height, width] that is PyTorch's
channels-last format, and nothing is copied.

Images are mirrored, top to bottom and left to right, and so are the kernels
(`flax_weights` mirrors them). Where a stride of 2 halves an even side, Flax's
"SAME" padding is one row after the last and PyTorch's one before the first:
mirrored they are the same. Padding beforehand would copy what every such layer
reads; without it a step took 2, 8 and 31 % less at batch 16, 128 and 1024 (one
thread of a CPU).

The names of attributes are those of the weights in checkpoints.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from jaxpower.architectures import BOTTLENECK_RATIO, CnnSizes, ResNetSizes
from jaxpower.learn_torch.layers import BatchNorm


def build(
  name: str,
  sizes: CnnSizes | ResNetSizes,
  classes: int,
  vocabulary: int | None,
  input_shape: Sequence[int],
  dropout: float,
) -> nn.Module:
  """Builds the network of these sizes, for inputs of a shape."""
  del name, vocabulary  # the sizes tell the networks apart; none reads tokens
  match sizes:
    case CnnSizes(channels, layers, hidden):
      return SmallCnn(classes, input_shape, channels, layers, hidden, dropout)
    case ResNetSizes(stages, channels, bottleneck):
      return ResNet(classes, input_shape[-1], stages, channels, bottleneck)


class SmallCnn(nn.Module):
  """Strided convolutions and a dense layer under the head."""

  def __init__(
    self,
    classes: int,
    input_shape: Sequence[int],
    channels: Sequence[int],
    layers: int,
    hidden: int,
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
    """Maps [batch, height, width, channels] to logits [batch, classes].

    Windows [batch, time, channels] are convolved over time alone.
    """
    return self.head(self.features(inputs))

  def features(self, inputs: Tensor) -> Tensor:
    """Maps inputs to what the head is given, [batch, features]."""
    x = inputs[:, :, None] if self.over_time else inputs
    x = x.flip(1, 2).permute(0, 3, 1, 2)
    for conv in self.convs:
      x = F.relu(conv(x), inplace=True)
    # Channels last again: their order in memory, and Flax's, so no copy.
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = F.relu(self.hidden(x), inplace=True)
    return self.dropout(x)


class ResNet(nn.Module):
  """Residual network (He et al. 2016) in its CIFAR form.

  A 3x3 stem without pooling, then stages of blocks, as in the twin. With
  several devices batch statistics are those of each device's own examples, as
  PyTorch's users have them, unless a trial asks for the whole batch's
  (`layers.normalise_together`).
  """

  def __init__(
    self,
    classes: int,
    input_channels: int,
    stages: Sequence[int],
    channels: int,
    bottleneck: bool = False,
  ) -> None:
    super().__init__()
    self.stem = conv_3x3(input_channels, channels)
    self.stem_norm = BatchNorm(channels)
    make_block = Bottleneck if bottleneck else Block
    blocks, inputs = [], channels
    for stage, count in enumerate(stages):
      for number in range(count):
        stride = 2 if stage > 0 and number == 0 else 1
        blocks.append(make_block(inputs, channels * 2**stage, stride))
        inputs = blocks[-1].features
    self.blocks = nn.Sequential(*blocks)
    self.head = nn.Linear(inputs, classes)

  def forward(self, images: Tensor) -> Tensor:
    """Maps [batch, height, width, channels] to logits [batch, classes]."""
    return self.head(self.features(images))

  def features(self, images: Tensor) -> Tensor:
    """Maps images to what the head is given, [batch, features]."""
    x = images.flip(1, 2).permute(0, 3, 1, 2)
    x = F.relu(self.stem_norm(self.stem(x)), inplace=True)
    x = self.blocks(x)
    return x.mean((2, 3))


class Block(nn.Module):
  """A basic block: two 3x3 convolutions and the shortcut around them."""

  def __init__(self, inputs: int, channels: int, stride: int) -> None:
    super().__init__()
    self.features = channels
    self.conv_1 = conv_3x3(inputs, channels, stride)
    self.norm_1 = BatchNorm(channels)
    self.conv_2 = conv_3x3(channels, channels)
    self.norm_2 = BatchNorm(channels)
    self.around = shortcut(inputs, self.features, stride)

  def forward(self, x: Tensor) -> Tensor:
    """Maps [batch, inputs, height, width] to [batch, features, ...]."""
    y = F.relu(self.norm_1(self.conv_1(x)), inplace=True)
    y = self.norm_2(self.conv_2(y))
    return F.relu(y + self.around(x), inplace=True)


class Bottleneck(nn.Module):
  """A 3x3 convolution between two 1x1, and the shortcut around them."""

  def __init__(self, inputs: int, channels: int, stride: int) -> None:
    super().__init__()
    self.features = BOTTLENECK_RATIO * channels
    self.conv_1 = nn.Conv2d(inputs, channels, 1, bias=False)
    self.norm_1 = BatchNorm(channels)
    self.conv_2 = conv_3x3(channels, channels, stride)
    self.norm_2 = BatchNorm(channels)
    self.conv_3 = nn.Conv2d(channels, self.features, 1, bias=False)
    self.norm_3 = BatchNorm(self.features)
    self.around = shortcut(inputs, self.features, stride)

  def forward(self, x: Tensor) -> Tensor:
    """Maps [batch, inputs, height, width] to [batch, features, ...]."""
    y = F.relu(self.norm_1(self.conv_1(x)), inplace=True)
    y = F.relu(self.norm_2(self.conv_2(y)), inplace=True)
    y = self.norm_3(self.conv_3(y))
    return F.relu(y + self.around(x), inplace=True)


class Projection(nn.Module):
  """The shortcut of a block that changes the shape: a 1x1 convolution."""

  def __init__(self, inputs: int, features: int, stride: int) -> None:
    super().__init__()
    self.stride = stride
    self.conv = nn.Conv2d(inputs, features, 1, bias=False)
    self.norm = BatchNorm(features)

  def forward(self, x: Tensor) -> Tensor:
    """Maps [batch, inputs, height, width] to [batch, features, ...]."""
    if self.stride > 1:
      # Every `stride`-th pixel, counted from the end of the mirrored image:
      # that is where Flax begins.
      top, left = ((side - 1) % self.stride for side in x.shape[2:])
      x = x[:, :, top :: self.stride, left :: self.stride]
    return self.norm(self.conv(x))


def shortcut(inputs: int, features: int, stride: int) -> nn.Module:
  """Makes the shortcut of a block: nothing, or a projection to its shape."""
  if inputs == features and stride == 1:
    return nn.Identity()
  return Projection(inputs, features, stride)


def conv_3x3(inputs: int, features: int, stride: int = 1) -> nn.Conv2d:
  """Makes a convolution without bias, in front of a norm that has one."""
  return nn.Conv2d(inputs, features, 3, stride, padding=1, bias=False)
