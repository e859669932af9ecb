"""From the name of an update rule to the rule."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from optax.contrib import MuonDimensionNumbers

from jaxpower import config


class Hyperparameters(NamedTuple):
  """What training takes as data, so that changing it compiles nothing anew.

  Each is a float32 scalar, but for `seed`, uint32; inside a segment the rate
  is [steps].
  """

  learning_rate: Any
  momentum: Any
  weight_decay: Any
  label_smoothing: Any
  dropout: Any
  seed: Any  # of dropout; with the step it gives its key


def hyperparameters(
  trial: config.Trial, learning_rates: np.ndarray
) -> Hyperparameters:
  """The numbers of a trial as data; `learning_rates` is [steps]."""
  return Hyperparameters(
    learning_rates,
    np.float32(trial.optimizer.momentum),
    np.float32(trial.optimizer.weight_decay),
    np.float32(trial.label_smoothing),
    np.float32(trial.dropout),
    np.uint32(trial.seed),
  )


def shapes(steps: int | None = None) -> Hyperparameters:
  """The shapes of the numbers of one step, or of a segment of so many."""
  scalar = jax.ShapeDtypeStruct((), jnp.float32)
  rates = scalar if steps is None else jax.ShapeDtypeStruct((steps,), "float32")
  seed = jax.ShapeDtypeStruct((), jnp.uint32)
  return Hyperparameters(rates, scalar, scalar, scalar, scalar, seed)


def rule(name: str, numbers: Hyperparameters) -> optax.GradientTransformation:
  """The update rule of this name; `numbers` may be traced.

  Weight decay is decoupled from the gradient for "adamw" (Loshchilov and
  Hutter 2019), "lion" (Chen et al. 2023), "lamb" (You et al. 2020) and "muon",
  and added to it for the others. Muon (Jordan 2024) takes kernels but for the
  head's, its update scaled to the size of Adam's (Liu et al. 2025), so that
  rates mean the same to both; all else goes to AdamW.
  """
  rate, weight_decay = numbers.learning_rate, numbers.weight_decay
  decay = optax.add_decayed_weights(weight_decay)
  match name:
    case "sgd":
      return optax.chain(decay, optax.sgd(rate))
    case "momentum":
      return optax.chain(decay, optax.trace(numbers.momentum), optax.sgd(rate))
    case "nesterov":
      trace = optax.trace(numbers.momentum, nesterov=True)
      return optax.chain(decay, trace, optax.sgd(rate))
    case "adam":
      return optax.chain(decay, optax.adam(rate))
    case "adamw":
      return optax.adamw(rate, weight_decay=weight_decay)
    case "lion":
      return optax.lion(rate, weight_decay=weight_decay)
    case "lamb":
      return optax.lamb(rate, weight_decay=weight_decay)
    case "muon":
      return optax.contrib.muon(
        rate,
        weight_decay=weight_decay,
        adam_weight_decay=weight_decay,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,
      )
  raise ValueError(f"no optimizer is named {name}")


def init(name: str, params: optax.Params) -> optax.OptState:
  """The rule's state before the first update."""
  zero = jnp.float32(0)
  return rule(name, Hyperparameters(*[zero] * 6)).init(params)


def matrices(params: optax.Params) -> Any:
  """Which weights Muon takes as matrices, and which of their axes are inputs.

  A convolution's kernel is one matrix from its window's inputs to its
  features. None where AdamW takes the weights.
  """

  def of(path: tuple[Any, ...], weights: jax.Array) -> Any:
    names = [getattr(part, "key", "") for part in path]
    if names[-1] != "kernel" or "head" in names:
      return None
    *inputs, output = range(weights.ndim)
    return MuonDimensionNumbers(tuple(inputs), (output,))

  return jax.tree_util.tree_map_with_path(of, params)
