"""From the name of an update rule to the rule."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from jaxpower import config


class Hyperparameters(NamedTuple):
  """What a rule takes as data, so that changing it compiles nothing anew.

  Each leaf is a float32 scalar; inside `train` the rate is [steps].
  """

  learning_rate: Any
  momentum: Any
  weight_decay: Any


def hyperparameters(
  optimizer: config.Optimizer, learning_rates: np.ndarray
) -> Hyperparameters:
  """The numbers of a config as data; `learning_rates` is [steps]."""
  return Hyperparameters(
    learning_rates,
    np.float32(optimizer.momentum),
    np.float32(optimizer.weight_decay),
  )


def rule(name: str, numbers: Hyperparameters) -> optax.GradientTransformation:
  """The update rule of this name; `numbers` may be traced.

  Weight decay is decoupled from the gradient (Loshchilov and Hutter 2019) for
  "adamw" and added to it for the others.
  """
  rate = numbers.learning_rate
  decay = optax.add_decayed_weights(numbers.weight_decay)
  match name:
    case "sgd":
      return optax.chain(decay, optax.sgd(rate))
    case "momentum":
      return optax.chain(decay, optax.trace(numbers.momentum), optax.sgd(rate))
    case "adam":
      return optax.chain(decay, optax.adam(rate))
    case "adamw":
      return optax.adamw(rate, weight_decay=numbers.weight_decay)
  raise ValueError(f"no optimizer is named {name}")


def init(name: str, params: optax.Params) -> optax.OptState:
  """The rule's state before the first update."""
  zero = jnp.float32(0)
  return rule(name, Hyperparameters(zero, zero, zero)).init(params)
