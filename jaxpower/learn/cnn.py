"""Builds convolutional networks: ResNets, and a small CNN for windows too.

Layers without a name are numbered by Flax in the order of their calls
(`Conv_0`, `BatchNorm_0`, ...). Checkpoints, imported weights and the PyTorch
twins know them by these numbers, so the order of the calls must stay.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxpower.architectures import (
  BATCH_NORM_EPSILON,
  BATCH_NORM_STEP,
  BOTTLENECK_RATIO,
  CnnSizes,
  ResNetSizes,
)
from jaxpower.learn.layers import BatchNorm, Conv, Dropout


def build(
  name: str,
  sizes: CnnSizes | ResNetSizes,
  classes: int,
  vocabulary: int | None,
  dtype: jnp.dtype,
) -> nn.Module:
  """Builds the network of these sizes; `dtype` is that of the arithmetic."""
  del name, vocabulary  # the sizes tell the networks apart; none reads tokens
  match sizes:
    case CnnSizes(channels, layers, hidden):
      return SmallCnn(classes, channels, layers, hidden, dtype)
    case ResNetSizes(stages, channels, bottleneck):
      return ResNet(classes, stages, channels, bottleneck, dtype)


class SmallCnn(nn.Module):
  """Strided convolutions and a dense layer under the head.

  Strides instead of pooling: on CPUs the gradient of max pooling costs more
  than the convolutions. Each stage has `layers` convolutions, the first of
  them strided.
  """

  classes: int
  channels: Sequence[int]
  layers: int
  hidden: int
  dtype: jnp.dtype = jnp.dtype("float32")

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    *,
    train: bool,
    dropout: jax.Array | None = None,
    logits: bool = True,
  ) -> jax.Array:
    """Maps [batch, height, width, channels] to logits [batch, classes].

    Windows [batch, time, channels] are convolved over time alone. `dropout` is
    the rate of the layer under the head; None: no dropout. Without `logits` to
    what the head is given.
    """
    del train  # behaves the same in training
    over_time = inputs.ndim == 3
    x = inputs[:, :, None] if over_time else inputs
    window, halved = ((3, 1), (2, 1)) if over_time else ((3, 3), (2, 2))
    for channels in self.channels:
      for layer in range(self.layers):
        strides = halved if layer == 0 else (1, 1)
        conv = Conv(channels, window, strides=strides, dtype=self.dtype)
        x = nn.relu(conv(x))
    x = x.reshape(x.shape[0], -1)
    x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
    x = Dropout()(x, dropout)
    if not logits:
      return x
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)


Norm = functools.partial[nn.BatchNorm] | functools.partial[BatchNorm]


class ResNet(nn.Module):
  """Residual network (He et al. 2016) in its CIFAR form.

  A 3x3 stem without pooling, then stages of blocks; each stage after the
  first halves the image and doubles the channels. A basic block is two 3x3
  convolutions; a bottleneck is a 3x3 between two 1x1, the last
  `BOTTLENECK_RATIO` times as wide. For 10 classes of colour images ResNet-18
  has 11,173,962 parameters and ResNet-50 23,520,842. Batch statistics are
  taken over the global batch, over each of `batch_norms` equal parts of it,
  or over (the parts of) each micro-batch where there are several.
  """

  classes: int
  stages: Sequence[int]
  channels: int
  bottleneck: bool = False
  dtype: jnp.dtype = jnp.dtype("float32")
  batch_norms: int = 1
  convolution: str = "auto"  # a form of `Conv`

  @nn.compact
  def __call__(
    self, images: jax.Array, *, train: bool, logits: bool = True
  ) -> jax.Array:
    """Maps [batch, height, width, channels] to logits [batch, classes].

    Without `logits` to what the head is given.
    """
    conv = functools.partial(
      Conv, use_bias=False, dtype=self.dtype, form=self.convolution
    )
    norm: Norm = functools.partial(
      nn.BatchNorm,
      use_running_average=not train,
      momentum=1 - BATCH_NORM_STEP,  # Flax counts what is kept
      epsilon=BATCH_NORM_EPSILON,
      dtype=self.dtype,
    )
    if self.batch_norms > 1:
      norm = functools.partial(
        BatchNorm,
        self.batch_norms,
        use_running_average=not train,
        dtype=self.dtype,
      )
    add_block = _bottleneck if self.bottleneck else _block
    x = nn.relu(
      norm(name="stem_norm")(conv(self.channels, name="stem")(images))
    )
    for stage, blocks in enumerate(self.stages):
      for block in range(blocks):
        stride = 2 if stage > 0 and block == 0 else 1
        x = add_block(x, self.channels * 2**stage, stride, conv, norm)
    x = jnp.mean(x, axis=(1, 2))
    if not logits:
      return x
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)


def _block(
  x: jax.Array,
  channels: int,
  stride: int,
  conv: functools.partial[Conv],
  norm: Norm,
) -> jax.Array:
  """Adds a basic block: two 3x3 convolutions."""
  y = nn.relu(norm()(conv(channels, strides=(stride, stride))(x)))
  return _join(x, conv(channels)(y), stride, conv, norm)


def _bottleneck(
  x: jax.Array,
  channels: int,
  stride: int,
  conv: functools.partial[Conv],
  norm: Norm,
) -> jax.Array:
  """Adds a bottleneck block: a 3x3 convolution between two 1x1."""
  features = BOTTLENECK_RATIO * channels
  y = nn.relu(norm()(conv(channels, window=(1, 1))(x)))
  y = nn.relu(norm()(conv(channels, strides=(stride, stride))(y)))
  return _join(x, conv(features, window=(1, 1))(y), stride, conv, norm)


def _join(
  x: jax.Array,
  y: jax.Array,
  stride: int,
  conv: functools.partial[Conv],
  norm: Norm,
) -> jax.Array:
  """Sums a block's input and output, the input projected if shapes differ."""
  # A last scale of zero makes each block begin as the identity (Goyal et al.
  # 2017).
  y = norm(scale_init=nn.initializers.zeros_init())(y)
  if x.shape != y.shape:
    features, strides = y.shape[-1], (stride, stride)
    x = norm()(conv(features, window=(1, 1), strides=strides)(x))
  return nn.relu(x + y)
