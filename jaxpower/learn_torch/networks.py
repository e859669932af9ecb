"""From the name of a network to the network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from jaxpower import config
from jaxpower.learn_torch import cnn, transformer


def build(
  model: config.Model,
  classes: int,
  vocabulary: int | None,
  input_shape: Sequence[int],
  *,
  dropout: float = 0.0,
) -> nn.Module:
  """The network that a config names, for inputs laid out as the data is.

  `vocabulary` is the number of tokens where it reads tokens, `input_shape`
  that of one input. Its weights are float32, those of convolutions in
  channels-last format, and of no worth until those of its twin are loaded;
  lower precision is autocast's affair.
  """

  def wide(channels: int, parts: int = 1) -> int:
    return parts * max(1, round(channels * model.width / parts))

  def deep(layers: int) -> int:
    return max(1, round(layers * model.depth))

  stack: dict[str, Any] = {
    "layers": deep(config.NETWORKS[model.name].layers),
    "features": wide(64, model.heads),
    "heads": model.heads,
    "dropout": dropout,
  }
  match model.name:
    case "cnn":
      network = cnn.SmallCnn(
        classes,
        input_shape,
        (wide(16), wide(32)),
        hidden=wide(64),
        layers=deep(1),
        dropout=dropout,
      )
    case "resnet18" | "resnet50":
      bottleneck = model.name == "resnet50"
      stages = (3, 4, 6, 3) if bottleneck else (2, 2, 2, 2)
      network = cnn.ResNet(
        classes,
        input_shape[-1],
        tuple(deep(blocks) for blocks in stages),
        channels=wide(64),
        bottleneck=bottleneck,
      )
    case "transformer":
      network = transformer.Encoder(classes, vocabulary, input_shape, **stack)
    case "vit":
      network = transformer.ViT(classes, input_shape, **stack)
    case "decoder":
      network = transformer.Decoder(
        vocabulary or classes, input_shape[0], **stack
      )
    case _:
      raise ValueError(f"no network is named {model.name}")
  # PyTorch's types know no `to` with a memory format alone.
  return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
