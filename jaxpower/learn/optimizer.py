"""Builds the update rule that a config names.

Learning rate, momentum and decay reach the compiled program as data: the optax
rule is built inside the trace, with traced numbers, so a sweep over them
compiles once, and no state holds them as `optax.inject_hyperparams` would.

To add a rule: an entry in `jaxpower.config.OPTIMIZERS`, a case in `build` here
and, if PyTorch is to have it too, one in `jaxpower.learn_torch.optimizer`.
"""

import functools
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

WEIGHTS = ("kernel", "embedding")  # names of what is no bias, scale or place
# Names of the layer that reads the inputs, the first that a network has: of the
# ResNets (whose Conv_0 is in a block), the transformers and the CNN.
FIRST_LAYERS = ("stem", "embed", "Conv_0")


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
  name: str,
  numbers: Hyperparameters,
  *,
  uncertainty: bool = False,
  decay: str = "all",
  muon_matrices: str = "all",
) -> optax.GradientTransformation:
  """Builds the update rule of this name; `numbers` may be traced.

  Weight decay is decoupled from the gradient for "adamw" (Loshchilov and
  Hutter 2019), "lion" (Chen et al. 2023), "lamb" (You et al. 2020) and "muon",
  and added to it for the others. With `decay` "weights" only kernels and
  embeddings decay. Muon (Jordan 2024) takes the kernels, but not the head's,
  and with `muon_matrices` "hidden" not the first layer's; all else goes to
  AdamW.

  With `uncertainty` the parameters hold the log-variances of tasks. These are
  no weights of the network and follow the rule without its decay, or Adam with
  "lamb", whose scaling by a parameter's size nearly freezes a value near 0,
  and with "muon", which is for matrices.
  """
  whole = _build(name, numbers, muon_matrices)
  undecayed = numbers._replace(
    weight_decay=jnp.zeros_like(numbers.weight_decay)
  )
  rules: dict[Hashable, optax.GradientTransformation] = {"decayed": whole}
  if decay == "weights":
    rules["undecayed"] = _build(name, undecayed, muon_matrices)
  if uncertainty:
    name_here = "adam" if name in ("lamb", "muon") else name
    rules["log_variances"] = _build(name_here, undecayed, muon_matrices)
  if len(rules) == 1:
    return whole
  return optax.partition(rules, functools.partial(_labels, decay))


def _build(
  name: str, numbers: Hyperparameters, muon_matrices: str
) -> optax.GradientTransformation:
  """Builds a rule that treats all parameters alike."""
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
        muon_weight_dimension_numbers=functools.partial(
          matrices, hidden=muon_matrices == "hidden"
        ),
        consistent_rms=MUON_RMS,
      )
  raise ValueError(f"no optimizer is named {name}")


def init(name: str, params: optax.Params, **options: Any) -> optax.OptState:
  """Makes the rule's state before the first update; no number changes it.

  `options` are those of `build`.
  """
  zeros = jax.tree.map(lambda of: jnp.zeros(of.shape, of.dtype), shapes())
  return build(name, zeros, **options).init(params)


def matrices(params: Any, hidden: bool = False) -> Any:
  """Selects the weights that Muon takes as matrices: kernels, not a head's.

  If only those of `hidden` layers, not the first layer's either.

  Returns a tree of the axes of inputs and outputs of each matrix, None where
  AdamW takes the weights. A convolution's kernel is one matrix, from all inputs
  of its window to its features.
  """

  first = next((name for name in FIRST_LAYERS if name in params), None)

  def axes_of(path: tuple[Any, ...], weights: jax.Array) -> Any:
    names = [getattr(part, "key", "") for part in path]
    if names[-1] != "kernel" or "head" in names:
      return None
    if hidden and names[0] == first:
      return None
    *inputs, output = range(weights.ndim)
    return MuonDimensionNumbers(tuple(inputs), (output,))

  return jax.tree_util.tree_map_with_path(axes_of, params)


def _labels(decay: str, params: optax.Params) -> Any:
  """Names each leaf of the parameters by how it is treated."""

  def label(path: tuple[Any, ...], _: jax.Array) -> str:
    name = getattr(path[-1], "key", "")
    if name == LOG_VARIANCES:
      return "log_variances"
    return "decayed" if decay == "all" or name in WEIGHTS else "undecayed"

  return jax.tree_util.tree_map_with_path(label, params)
