"""A share of a training set, the same for every seed."""

import numpy as np


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
