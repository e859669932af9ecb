"""Builds the network that a config names.

What there is and how large stands in `jaxpower.architectures`, how it computes
in the modules that its entries name. The entry's module is imported only now,
so adding a network changes nothing here.
"""

import importlib

import jax.numpy as jnp
from flax import linen as nn

from jaxpower.architectures import NETWORKS, sizes_of
from jaxpower.config import Model


def build(
  model: Model,
  classes: int,
  vocabulary: int | None = None,
  *,
  precision: str,
  attention: str = "plain",
  batch_norms: int = 1,
) -> nn.Module:
  """Builds a network; its weights are drawn by the module's `init`.

  Args:
    model: Of a trial.
    classes: The outputs of the head.
    vocabulary: The number of tokens, where the inputs are tokens.
    precision: Of the arithmetic; weights are float32.
    attention: Who computes it: "plain", "xla" or "cudnn".
    batch_norms: Equal parts of a batch that batch norms take each by itself.
  """
  module = importlib.import_module(
    f"jaxpower.learn.{NETWORKS[model.name].module}"
  )
  network = module.build(
    model.name, sizes_of(model), classes, vocabulary, jnp.dtype(precision)
  )
  if attention != "plain" and hasattr(network, "attention"):
    network = network.clone(attention=attention)
  return network.clone(batch_norms=batch_norms) if batch_norms > 1 else network
