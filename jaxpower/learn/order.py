"""In which order a trial sees its examples."""

import numpy as np

from jaxpower.config import Trial
from jaxpower.data import batch_indices


def order_of(
  trial: Trial, chosen: np.ndarray, first_step: int, steps: int
) -> np.ndarray:
  """The examples of some steps of a trial: int32 [steps, batch].

  `chosen` are the examples of its share.
  """
  places = batch_indices(
    seed=trial.seed,
    examples=len(chosen),
    batch_size=trial.batch_size,
    first_step=first_step,
    steps=steps,
  )
  return chosen[places]
