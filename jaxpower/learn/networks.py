"""From the name of a network to the network."""

import jax.numpy as jnp
from flax import linen as nn

from jaxpower import config
from jaxpower.learn import cnn, transformer


def build(
  model: config.Model,
  classes: int,
  precision: str,
  vocabulary: int | None = None,
) -> nn.Module:
  """The network that a config names.

  `precision` is its arithmetic's, `vocabulary` the number of tokens where it
  reads tokens.
  """
  dtype = jnp.dtype(precision)

  def wide(channels: int, parts: int = 1) -> int:
    return parts * max(1, round(channels * model.width / parts))

  def deep(layers: int) -> int:
    return max(1, round(layers * model.depth))

  stack = {
    "layers": deep(config.NETWORKS[model.name].layers),
    "features": wide(64, model.heads),
    "heads": model.heads,
    "dtype": dtype,
  }
  match model.name:
    case "cnn":
      channels = (wide(16), wide(32))
      return cnn.SmallCnn(
        classes, channels, hidden=wide(64), layers=deep(1), dtype=dtype
      )
    case "resnet18":
      stages = tuple(deep(blocks) for blocks in (2, 2, 2, 2))
      return cnn.ResNet(classes, stages, channels=wide(64), dtype=dtype)
    case "resnet50":
      stages = tuple(deep(blocks) for blocks in (3, 4, 6, 3))
      return cnn.ResNet(
        classes, stages, channels=wide(64), bottleneck=True, dtype=dtype
      )
    case "transformer":
      return transformer.Encoder(classes, vocabulary, **stack)
    case "vit":
      return transformer.ViT(classes, **stack)
    case "decoder":
      return transformer.Decoder(vocabulary or classes, **stack)
  raise ValueError(f"no network is named {model.name}")
