"""The PyTorch wing whose first weights are drawn by JAX.

So both frameworks start from the same numbers. They are drawn in the setup
phase, or restored where JAX's wing or the importer wrote them, on JAX's CPU
backend (the worker allows it no other), and JAX does nothing after.
"""

import pathlib
from typing import Any

import numpy as np

from jaxpower import weights
from jaxpower.learn import checkpoint
from jaxpower.learn.state import head_seed, init_state
from jaxpower.learn_torch import wing
from jaxpower.learn_torch.checkpoint import restore_backbone
from jaxpower.learn_torch.wing import Placed, TrainState
from jaxpower.learn_torch.wing import compile_programs as compile_programs
from jaxpower.learn_torch.wing import copy as copy
from jaxpower.learn_torch.wing import count_parameters as count_parameters
from jaxpower.learn_torch.wing import devices as devices
from jaxpower.learn_torch.wing import evaluate as evaluate
from jaxpower.learn_torch.wing import flops_per_step as flops_per_step
from jaxpower.learn_torch.wing import numerics as numerics
from jaxpower.learn_torch.wing import peak_memory_bytes as peak_memory_bytes
from jaxpower.learn_torch.wing import place as place
from jaxpower.learn_torch.wing import save as save
from jaxpower.learn_torch.wing import train as train
from jaxpower.learn_torch.wing import wait as wait


def start(placed: Placed, backbone: pathlib.Path | None = None) -> TrainState:
  """The state that training starts from, the same as JAX's to the bit.

  Args:
    placed: The trial.
    backbone: A folder of weights to begin with, of either wing; None: fresh
      ones.

  Raises WeightsError where the folder is damaged or does not fit.
  """
  spec, trial = placed.spec, placed.trial
  drawn: Any = init_state(
    np.uint32(trial.seed) if backbone is None else head_seed(trial),
    model=spec.model,
    classes=spec.classes,
    vocabulary=spec.vocabulary,
    precision="float32",  # of weights, whatever the arithmetic
    rule=trial.optimizer.name,
    shape=spec.input_shape,
    uncertain_tasks=len(spec.tasks) if spec.uncertainty else 0,
  )
  ours = backbone is not None and weights.by_torch(backbone)
  if backbone is not None and not ours:
    drawn = checkpoint.restore_backbone(backbone, drawn)
  state = wing.start(placed, drawn.params, drawn.batch_stats)
  return restore_backbone(backbone, state) if backbone and ours else state
