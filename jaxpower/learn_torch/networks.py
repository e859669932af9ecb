"""From the name of a network to the network, and its first weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from jaxpower import config
from jaxpower.learn_torch import cnn, transformer

HEADS = 4


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
  channels-last format; lower precision is autocast's affair.
  """

  def wide(channels: int, parts: int = 1) -> int:
    return parts * max(1, round(channels * model.width / parts))

  def deep(layers: int) -> int:
    return max(1, round(layers * model.depth))

  stack: dict[str, Any] = {
    "layers": deep(config.NETWORKS[model.name].layers),
    "features": wide(64, HEADS),
    "heads": HEADS,
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
  # pyright knows no overload of `to` with a memory format alone.
  return network.to(memory_format=torch.channels_last)


def initialise(network: nn.Module, seed: int) -> None:
  """Draws first weights from a seed, distributed as Flax's are.

  Kernels: normal, cut off at two deviations, their variance one over the
  number of inputs (LeCun et al. 1998). Norms and biases are as PyTorch and the
  networks set them, or zero.
  """
  generator = torch.Generator().manual_seed(seed)

  def draw(weight: torch.Tensor, deviation: float) -> None:
    nn.init.normal_(weight, std=deviation, generator=generator)

  for module in network.modules():
    if isinstance(module, nn.Conv2d | nn.Linear):
      # What the cut takes from a normal's deviation of 1.
      deviation = module.weight[0].numel() ** -0.5 / 0.87962566103423978
      nn.init.trunc_normal_(
        module.weight,
        std=deviation,
        a=-2 * deviation,
        b=2 * deviation,
        generator=generator,
      )
      if module.bias is not None:
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
      draw(module.weight, module.embedding_dim**-0.5)
    elif isinstance(module, transformer.Decoder | transformer.ViT):
      draw(module.positions, 0.02)


def count_parameters(network: nn.Module) -> int:
  """How many numbers training learns."""
  return sum(weight.numel() for weight in network.parameters())
