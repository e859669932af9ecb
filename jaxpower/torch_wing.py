"""The PyTorch wing, with first weights that JAX draws.

Frameworks are compared from the same numbers: JAX draws the weights of both,
to the bit, on its CPU backend (the worker allows it no other) and in the setup
phase, and does nothing after. `learn_torch` knows no JAX, so all of its face
is taken over as it is, and what needs both frameworks is added here.

A network of the user's may have no twin in JAX, or one whose layers have other
names. Then PyTorch draws, as the network's own constructor does, and the record
says so (`numerics`).
"""

import functools
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpower import weights
from jaxpower.architectures import network_of
from jaxpower.config import Trial
from jaxpower.data import Facts
from jaxpower.learn import checkpoint as jax_checkpoint
from jaxpower.learn import networks
from jaxpower.learn import own as jax_own
from jaxpower.learn.state import head_seed, init_state
from jaxpower.learn_torch import checkpoint as torch_checkpoint
from jaxpower.learn_torch import own, wing
from jaxpower.learn_torch.placement import Placed
from jaxpower.learn_torch.spec import Spec
from jaxpower.learn_torch.state import (
  TrainState,
  drawn_state,
  fits,
  fresh_state,
  logits_of_weights,
)
from jaxpower.learn_torch.wing import *  # noqa: F403, all of it but these
from jaxpower.user_code import UserCodeError

FIRST_WEIGHTS = "first_weights"  # in `numerics`, of a user's network alone
# Logits of twins may differ by so much of the largest; chosen, far above the
# rounding of float32, far below what another order of layers does.
SAME = 1e-3


def start(placed: Placed, backbone: pathlib.Path | None = None) -> TrainState:
  """Returns the state that training starts from, the same as JAX's to the bit.

  Args:
    placed: The trial.
    backbone: A folder of weights to begin with, of either wing; None for fresh
      ones.

  Raises WeightsError if the folder is damaged or does not fit.
  """
  spec, trial = placed.spec, placed.trial
  seed = np.uint32(trial.seed) if backbone is None else head_seed(trial)
  by_torch = backbone is not None and weights.by_torch(backbone)
  if why_not_jax(spec):
    state = drawn_state(spec, int(seed))
    if backbone is None:
      return state
    return torch_checkpoint.restore_backbone(backbone, state)
  jax_state = _drawn_by_jax(spec, seed)
  if backbone is not None and not by_torch:
    jax_state = jax_checkpoint.restore_backbone(backbone, jax_state)
  state = fresh_state(spec, jax_state.params, jax_state.batch_stats)
  if backbone is not None and by_torch:
    return torch_checkpoint.restore_backbone(backbone, state)
  return state


def numerics(placed: Placed) -> dict[str, Any]:
  """Returns what differs by nature between frameworks, for this trial."""
  found = wing.numerics(placed)
  if network_of(placed.spec.model.name).own:
    found[FIRST_WEIGHTS] = _first_weights(placed.spec)
  return found


@functools.lru_cache
def _first_weights(spec: Spec) -> str:
  """Says who drew a user's network, and whether its twin computes the same.

  Layers of equal names and shapes may be called in another order, or flatten
  an image the other way.
  """
  if why := why_not_jax(spec):
    return f"PyTorch's own: {why}"
  state = _drawn_by_jax(spec, np.uint32(0))
  inputs = np.random.default_rng(0).standard_normal((2, *spec.input_shape))
  if spec.vocabulary is None:
    inputs = inputs.astype(np.float32)
  else:
    inputs = (np.abs(inputs) * spec.vocabulary).astype(np.int32)
    inputs %= spec.vocabulary
  twin = networks.build(
    spec.model,
    spec.classes,
    spec.vocabulary,
    precision="float32",
    input_shape=spec.input_shape,
  )
  variables = {"params": state.params, "batch_stats": state.batch_stats}
  theirs = np.asarray(twin.apply(variables, jnp.asarray(inputs), train=False))
  ours = logits_of_weights(spec, state.params, state.batch_stats, inputs)
  difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
  if difference <= SAME:
    return "JAX's"
  return (
    "JAX's, but the twins are no twins: with the same weights and inputs their"
    f" logits differ by {100 * difference:.2g} %"
  )


def check(trial: Trial, facts: Facts, classes: int, text: bool) -> None:
  """Raises ConfigError unless the trainer can use a trial's own network."""
  own.check(trial, facts, classes, text)


@functools.lru_cache
def why_not_jax(spec: Spec) -> str:
  """Says why JAX cannot draw a network's first weights; "" where it does."""
  if not network_of(spec.model.name).own:
    return ""
  if not jax_own.has(spec.model):
    return "the file has no Flax module of that name"
  try:
    state = _drawn_by_jax(spec, np.uint32(0))
    fits(spec, state.params, state.batch_stats)
  except (UserCodeError, ValueError) as error:
    return str(error)
  return ""


def _drawn_by_jax(spec: Spec, seed: np.uint32) -> Any:
  """Draws the state of the twin in JAX."""
  return init_state(
    seed,
    model=spec.model,
    classes=spec.classes,
    vocabulary=spec.vocabulary,
    precision="float32",  # of weights, whatever the arithmetic
    rule="sgd",  # whose state is nothing: PyTorch has rules of its own
    shape=spec.input_shape,
    uncertain_tasks=len(spec.tasks) if spec.uncertainty else 0,
  )
