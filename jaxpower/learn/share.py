"""Which examples of a training set are trained on, and in which order."""

import numpy as np

from jaxpower.config import Trial
from jaxpower.data import batch_indices


def examples_of(labels: np.ndarray, share: float) -> np.ndarray:
  """Which examples belong to a share of a set: int32, in rising order.

  Taken at even distances from the examples sorted by class, so that every
  class keeps its proportion to within one example; where labels are [n,
  length], from the examples as they lie. At least one example.
  """
  count = max(1, round(share * len(labels)))
  order = np.arange(len(labels))
  if labels.ndim == 1:
    order = np.argsort(labels, kind="stable")
  places = np.arange(count) * len(labels) // count
  return np.sort(order[places]).astype(np.int32)


def order(
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
