"""Builds the network that a config names.

What there is and how large stands in `jaxpower.architectures`, how it computes
in the modules that its entries name. The entry's module is imported only now,
so adding a network changes nothing here. One of the user's is built by `own`.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jaxpower.architectures import network_of, sizes_of
from jaxpower.config import Model


def build(
  model: Model,
  classes: int,
  vocabulary: int | None = None,
  *,
  precision: str,
  attention: str = "plain",
  input_shape: Sequence[int] = (),
  batch_norms: int = 1,
  convolution: str = "auto",
) -> Any:
  """Builds a network, a Linen module or what is called like one.

  Its weights are drawn by its `init`.

  Args:
    model: Of a trial.
    classes: The outputs of the head.
    vocabulary: The number of tokens, where the inputs are tokens.
    precision: Of the arithmetic; weights are float32.
    attention: Who computes it: "plain", "xla" or "cudnn".
    input_shape: Of one input; only a user's network may ask for it.
    batch_norms: Equal parts of a batch that batch norms take each by itself;
      those of a user's network take all of it.
    convolution: The form of a ResNet's.
  """
  entry = network_of(model.name)
  module = importlib.import_module(f"jaxpower.learn.{entry.module}")
  if entry.own:
    return module.build(
      model, classes, vocabulary, jnp.dtype(precision), input_shape
    )
  network = module.build(
    model.name, sizes_of(model), classes, vocabulary, jnp.dtype(precision)
  )
  if attention != "plain" and hasattr(network, "attention"):
    network = network.clone(attention=attention)
  if entry.batch_norm:
    network = network.clone(batch_norms=batch_norms, convolution=convolution)
  return network
