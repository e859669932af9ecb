"""Convolutional networks for images, and the small one for windows too."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxpower.learn.layers import Conv, Dropout


class SmallCnn(nn.Module):
  """Strided convolutions and a dense layer under the head.

  Strides instead of pooling: on CPUs the gradient of max pooling costs more
  than the convolutions. Each stage has `layers` convolutions, the first of
  them strided.
  """

  classes: int
  channels: Sequence[int] = (16, 32)
  hidden: int = 64
  layers: int = 1
  dtype: jnp.dtype = jnp.dtype("float32")

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    *,
    train: bool,
    dropout: jax.Array | None = None,
  ) -> jax.Array:
    """Images [batch, height, width, channels] to logits [batch, classes].

    Windows [batch, time, channels] are convolved over time alone. Dropout is
    applied under the head.
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
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)


class ResNet(nn.Module):
  """Residual network (He et al. 2016) in its CIFAR form.

  A 3x3 stem without pooling, then stages of blocks; each stage after the
  first halves the image and doubles the channels. A basic block is two 3x3
  convolutions; a bottleneck is a 3x3 between two 1x1, the last four times as
  wide. For 10 classes of colour images, with 64 channels, basic `stages` (2,
  2, 2, 2) are ResNet-18, 11,173,962 parameters, and bottleneck stages (3, 4,
  6, 3) are ResNet-50, 23,520,842. Batch statistics are taken over the global
  batch, or where it is gathered from micro-batches over each of them.
  """

  classes: int
  stages: Sequence[int] = (2, 2, 2, 2)
  channels: int = 64
  bottleneck: bool = False
  dtype: jnp.dtype = jnp.dtype("float32")

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """[batch, height, width, channels] to logits [batch, classes]."""
    conv = functools.partial(Conv, use_bias=False, dtype=self.dtype)
    norm = functools.partial(
      nn.BatchNorm,
      use_running_average=not train,
      momentum=0.9,
      dtype=self.dtype,
    )
    block_of = _bottleneck if self.bottleneck else _block
    x = nn.relu(
      norm(name="stem_norm")(conv(self.channels, name="stem")(images))
    )
    for stage, blocks in enumerate(self.stages):
      for block in range(blocks):
        stride = 2 if stage > 0 and block == 0 else 1
        x = block_of(x, self.channels * 2**stage, stride, conv, norm)
    x = jnp.mean(x, axis=(1, 2))
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)


def _block(
  x: jax.Array,
  channels: int,
  stride: int,
  conv: functools.partial[Conv],
  norm: functools.partial[nn.BatchNorm],
) -> jax.Array:
  y = nn.relu(norm()(conv(channels, strides=(stride, stride))(x)))
  return _join(x, conv(channels)(y), stride, conv, norm)


def _bottleneck(
  x: jax.Array,
  channels: int,
  stride: int,
  conv: functools.partial[Conv],
  norm: functools.partial[nn.BatchNorm],
) -> jax.Array:
  y = nn.relu(norm()(conv(channels, window=(1, 1))(x)))
  y = nn.relu(norm()(conv(channels, strides=(stride, stride))(y)))
  return _join(x, conv(4 * channels, window=(1, 1))(y), stride, conv, norm)


def _join(
  x: jax.Array,
  y: jax.Array,
  stride: int,
  conv: functools.partial[Conv],
  norm: functools.partial[nn.BatchNorm],
) -> jax.Array:
  """The sum of a block's two ways, its input projected where shapes differ."""
  # Starting the last scale at zero makes each block begin as the identity.
  y = norm(scale_init=nn.initializers.zeros_init())(y)
  if x.shape != y.shape:
    features, strides = y.shape[-1], (stride, stride)
    x = norm()(conv(features, window=(1, 1), strides=strides)(x))
  return nn.relu(x + y)
