"""Builds the network that a config names.

What there is and how large stands in `jaxpower.architectures`, how it computes
in the modules that its entries name. The entry's module is imported only now,
so adding a network changes nothing here. One of the user's is built by `own`.
"""

import importlib
from collections.abc import Sequence

import torch
from torch import nn

from jaxpower.architectures import network_of, sizes_of
from jaxpower.config import Model


def build(
  model: Model,
  classes: int,
  vocabulary: int | None = None,
  *,
  input_shape: Sequence[int],
  dropout: float = 0.0,
) -> nn.Module:
  """Builds a network; its weights are to be loaded (`flax_weights`).

  They are float32, those of convolutions in channels-last format. Lower
  precision is left to autocast.

  Args:
    model: Of a trial.
    classes: The outputs of the head.
    vocabulary: The number of tokens, where the inputs are tokens.
    input_shape: Of one input, as the dataset holds it, channels last.
    dropout: The rate.
  """
  entry = network_of(model.name)
  module = importlib.import_module(f"jaxpower.learn_torch.{entry.module}")
  network: nn.Module = (
    module.build(model, classes, vocabulary, input_shape, dropout)
    if entry.own
    else module.build(
      model.name, sizes_of(model), classes, vocabulary, input_shape, dropout
    )
  )
  # PyTorch's types know no `to` with a memory format alone.
  return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
