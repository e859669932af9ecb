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


def kinds_of(labels: np.ndarray, tasks: int) -> np.ndarray:
  """What a share of the data holds in proportion: [n], or text as it is.

  With several tasks, labels [n, tasks], each combination of them is a kind.
  """
  if tasks == 1:
    return labels
  return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
