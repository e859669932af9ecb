"""Builds the update rule that a config names.

Learning rate, momentum and decay reach the compiled program as data: the optax
rule is built inside the trace, with traced numbers, so a sweep over them
compiles once, and no state holds them as `optax.inject_hyperparams` would.

To add a rule: an entry in `jaxpower.config.OPTIMIZERS`, and a case in `build`
here, in `jaxpower.learn_torch.optimizer` or in both.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from optax.contrib import MuonDimensionNumbers

from jaxpower import config
from jaxpower.learn.heads import LOG_VARIANCES

# Muon's updates are scaled to this root mean square, about that of Adam's (Liu
# et al. 2025), so that one list of rates serves both.
MUON_RMS = 0.2


class Hyperparameters(NamedTuple):
  """The numbers of a training that are data, so a change compiles nothing.

  Each is a float32 scalar, but for `seed`, uint32; inside a segment the rate
  is [steps]. `task_weights` is float32 [tasks] where the loss is a fixed sum
  over several tasks, else None.
  """

  learning_rate: Any
  momentum: Any
  weight_decay: Any
  label_smoothing: Any
  dropout: Any
  seed: Any  # of dropout; with the step it gives its key
  backbone_rate: Any  # the backbone's learning rate over the head's
  task_weights: Any = None


def hyperparameters(
  trial: config.Trial, learning_rates: np.ndarray
) -> Hyperparameters:
  """Collects the numbers of a trial; `learning_rates` is [steps]."""
  return Hyperparameters(
    learning_rates,
    np.float32(trial.optimizer.momentum),
    np.float32(trial.optimizer.weight_decay),
    np.float32(trial.label_smoothing),
    np.float32(trial.dropout),
    np.uint32(trial.seed),
    np.float32(trial.transfer.backbone_rate),
    task_weights(trial),
  )


def task_weights(trial: config.Trial) -> np.ndarray | None:
  """Returns the fixed weight of each task's loss, 1 by default: [tasks].

  None with one task, or where the weights are learned.
  """
  if len(trial.tasks) == 1 or trial.task_weighting != "fixed":
    return None
  weights = [trial.task_weights.get(task, 1.0) for task in trial.tasks]
  return np.array(weights, np.float32)


def shapes(steps: int | None = None, tasks: int = 0) -> Hyperparameters:
  """Returns the shapes of the numbers of one step, or of so many steps.

  `tasks` is the number of tasks with fixed weights; 0: there are none.
  """
  scalar = jax.ShapeDtypeStruct((), jnp.float32)
  rates = scalar if steps is None else jax.ShapeDtypeStruct((steps,), "float32")
  seed = jax.ShapeDtypeStruct((), jnp.uint32)
  weights = jax.ShapeDtypeStruct((tasks,), jnp.float32) if tasks else None
  return Hyperparameters(
    rates, scalar, scalar, scalar, scalar, seed, scalar, weights
  )


def build(
  name: str, numbers: Hyperparameters, uncertainty: bool = False
) -> optax.GradientTransformation:
  """Builds the update rule of this name; `numbers` may be traced.

  Weight decay is decoupled from the gradient for "adamw" (Loshchilov and
  Hutter 2019), "lion" (Chen et al. 2023), "lamb" (You et al. 2020) and "muon",
  and added to it for the others. Muon (Jordan 2024) takes the kernels, but not
  the head's; all else goes to AdamW.

  With `uncertainty` the parameters hold the log-variances of tasks. These are
  no weights of the network and follow the rule without its decay, or Adam with
  "lamb", whose scaling by a parameter's size nearly freezes a value near 0,
  and with "muon", which is for matrices.
  """
  if uncertainty:
    name_here = "adam" if name in ("lamb", "muon") else name
    undecayed = numbers._replace(weight_decay=jnp.float32(0))
    rules: dict[Hashable, optax.GradientTransformation] = {
      False: build(name, numbers),
      True: build(name_here, undecayed),
    }
    return optax.partition(rules, _are_log_variances)
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
        consistent_rms=MUON_RMS,
      )
  raise ValueError(f"no optimizer is named {name}")


def init(
  name: str, params: optax.Params, uncertainty: bool = False
) -> optax.OptState:
  """Makes the rule's state before the first update; no number changes it."""
  zeros = jax.tree.map(lambda of: jnp.zeros(of.shape, of.dtype), shapes())
  return build(name, zeros, uncertainty).init(params)


def matrices(params: optax.Params) -> Any:
  """Selects the weights that Muon takes as matrices: kernels, not a head's.

  Returns a tree of the axes of inputs and outputs of each matrix, None where
  AdamW takes the weights. A convolution's kernel is one matrix, from all inputs
  of its window to its features.
  """

  def axes_of(path: tuple[Any, ...], weights: jax.Array) -> Any:
    names = [getattr(part, "key", "") for part in path]
    if names[-1] != "kernel" or "head" in names:
      return None
    *inputs, output = range(weights.ndim)
    return MuonDimensionNumbers(tuple(inputs), (output,))

  return jax.tree_util.tree_map_with_path(axes_of, params)


def _are_log_variances(params: optax.Params) -> Any:
  """Marks each leaf of the parameters: whether it is the log-variances."""

  def is_one(path: tuple[Any, ...], _: jax.Array) -> bool:
    return getattr(path[-1], "key", "") == LOG_VARIANCES

  return jax.tree_util.tree_map_with_path(is_one, params)
