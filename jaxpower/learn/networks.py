"""From the name of a network to the network."""

import jax.numpy as jnp
from flax import linen as nn

from jaxpower import config
from jaxpower.learn import cnn


def build(model: config.Model, classes: int, precision: str) -> nn.Module:
  """The network that a config names; `precision` is its arithmetic's."""
  dtype = jnp.dtype(precision)

  def wide(channels: int) -> int:
    return max(1, round(channels * model.width))

  match model.name:
    case "cnn":
      channels = (wide(16), wide(32))
      return cnn.SmallCnn(classes, channels, hidden=wide(64), dtype=dtype)
    case "resnet18":
      return cnn.ResNet(classes, channels=wide(64), dtype=dtype)
  raise ValueError(f"no network is named {model.name}")
