"""The PyTorch wing, with first weights that JAX draws.

Frameworks are compared from the same numbers: JAX draws the weights of both,
to the bit, on its CPU backend (the worker allows it no other) and in the setup
phase, and does nothing after. `learn_torch` knows no JAX, so all of its face
is taken over as it is, and `start`, the one function that needs both
frameworks, is added here.
"""

import pathlib
from typing import Any

import numpy as np

from jaxpower import weights
from jaxpower.learn import checkpoint as jax_checkpoint
from jaxpower.learn.state import head_seed, init_state
from jaxpower.learn_torch import checkpoint as torch_checkpoint
from jaxpower.learn_torch.placement import Placed
from jaxpower.learn_torch.state import TrainState, fresh_state
from jaxpower.learn_torch.wing import *  # noqa: F403, all of it but `start`


def start(placed: Placed, backbone: pathlib.Path | None = None) -> TrainState:
  """Returns the state that training starts from, the same as JAX's to the bit.

  Args:
    placed: The trial.
    backbone: A folder of weights to begin with, of either wing; None for fresh
      ones.

  Raises WeightsError if the folder is damaged or does not fit.
  """
  spec, trial = placed.spec, placed.trial
  jax_state: Any = init_state(
    np.uint32(trial.seed) if backbone is None else head_seed(trial),
    model=spec.model,
    classes=spec.classes,
    vocabulary=spec.vocabulary,
    precision="float32",  # of weights, whatever the arithmetic
    rule=trial.optimizer.name,
    shape=spec.input_shape,
    uncertain_tasks=len(spec.tasks) if spec.uncertainty else 0,
  )
  by_torch = backbone is not None and weights.by_torch(backbone)
  if backbone is not None and not by_torch:
    jax_state = jax_checkpoint.restore_backbone(backbone, jax_state)
  state = fresh_state(spec, jax_state.params, jax_state.batch_stats)
  if backbone is not None and by_torch:
    return torch_checkpoint.restore_backbone(backbone, state)
  return state
