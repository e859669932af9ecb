"""Convolutional networks for images."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxpower.learn.layers import Conv


class SmallCnn(nn.Module):
  """Two strided convolutions and a dense layer under the head.

  Strides instead of pooling: on CPUs the gradient of max pooling costs more
  than the convolutions.
  """

  classes: int
  channels: Sequence[int] = (16, 32)
  hidden: int = 64
  dtype: jnp.dtype = jnp.dtype("float32")

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
    """[batch, height, width, channels] to logits [batch, classes]."""
    del train  # behaves the same in training
    x = images
    for channels in self.channels:
      x = nn.relu(Conv(channels, strides=(2, 2), dtype=self.dtype)(x))
    x = x.reshape(x.shape[0], -1)
    x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)


class ResNet(nn.Module):
  """Residual network of basic blocks (He et al. 2016) in its CIFAR form.

  A 3x3 stem without pooling, then stages of two-convolution blocks; each
  stage after the first halves the image and doubles the channels. With
  `stages` (2, 2, 2, 2) and 64 channels it is the ResNet-18 of the CIFAR
  literature: 11,173,962 parameters for 10 classes of colour images. Batch
  statistics are taken over the global batch.
  """

  classes: int
  stages: Sequence[int] = (2, 2, 2, 2)
  channels: int = 64
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
    x = nn.relu(
      norm(name="stem_norm")(conv(self.channels, name="stem")(images))
    )
    for stage, blocks in enumerate(self.stages):
      for block in range(blocks):
        stride = 2 if stage > 0 and block == 0 else 1
        x = _block(x, self.channels * 2**stage, stride, conv, norm)
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
  # Starting the last scale at zero makes each block begin as the identity.
  y = norm(scale_init=nn.initializers.zeros_init())(conv(channels)(y))
  if x.shape != y.shape:
    x = norm()(conv(channels, window=(1, 1), strides=(stride, stride))(x))
  return nn.relu(x + y)
