"""Holds a share of a training set back, to look at while a network trains.

What decides when training stops must not be what the result is told of: a
target that is met at the first lucky look at the test set says too much. So a
validation set decides, and the test set is looked at once. It is the set's own
where it has one, and else a share of the training set: stratified by all of
the set's labels, and drawn once for all, so that every trial, whatever its
seed, its tasks or its share of the data, is decided by the same examples.

Of recordings that were cut into windows which overlap, the end of each is held
back, and the window before it is learned by nobody: half of it would be looked
at too.

The training set keeps its arrays, which may lie on disk; what is left of it
for training are indices. Mean and deviation stay those of all of it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxpower.data.facts import DataSet, Facts
from jaxpower.data.order import epoch_permutation

# What a set without a test split gives to it, of its training split. Chosen:
# MNIST, CIFAR-10 and Fashion-MNIST have 14 to 17 %; of the small sets that come
# so a little more keeps the standard error near one point (tf_flowers: 734
# examples, 1.1 points at 90 %).
TEST_SHARE = 0.2

# Of the draw: far from the seeds of trials, whose order is drawn alike. Chosen.
_SEED = 1 << 40


class Rows:
  """Some examples of an array, read from it when they are asked for.

  Takes the place of an array on disk that is too large to be copied.
  """

  def __init__(self, values: np.ndarray, indices: np.ndarray):
    self._values, self._indices = values, indices
    self.shape = (len(indices), *values.shape[1:])
    self.ndim, self.dtype = values.ndim, values.dtype

  @property
  def nbytes(self) -> int:
    """The bytes of all of them, as if they were in memory."""
    return int(np.prod(self.shape)) * self.dtype.itemsize

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, part: Any) -> np.ndarray:
    return self._values[self._indices[part]]


def hold_back(sets: DataSet, share: float) -> DataSet:
  """Gives a set a validation set; a share of 0 leaves it as it is.

  Its own validation split is taken whole, where it has one.
  """
  if share == 0 or sets.validation is not None:
    return sets
  if sets.places is not None:
    held, left = _ends(sets.places, share)
  else:
    held = drawn(sets.train, share)
    left = np.setdiff1d(np.arange(len(sets.train["input"])), held)
  validation = {n: take(values, held) for n, values in sets.train.items()}
  left = left.astype(np.int32)
  return dataclasses.replace(sets, validation=validation, left=left)


def left_examples(facts: Facts, share: float) -> int:
  """Counts the training examples that are left beside a validation share.

  Where windows overlap, up to one for each recording fewer are left.
  """
  if share == 0 or facts.validation_examples:
    return facts.train_examples
  return facts.train_examples - count_of(facts.train_examples, share)


def count_of(examples: int, share: float) -> int:
  """Counts the examples of a share: at least one."""
  return max(1, round(share * examples))


def drawn(split: Mapping[str, np.ndarray], share: float) -> np.ndarray:
  """Draws a share of a split, stratified by its labels: indices that rise.

  Each combination of the labels keeps its proportion to within one example;
  labels of every place of a text are not looked at. Always the same draw.
  """
  examples = len(split["input"])
  order = epoch_permutation(seed=_SEED, epoch=0, examples=examples)
  labels = [
    values
    for name, values in sorted(split.items())
    if name != "input" and values.ndim == 1
  ]
  if labels:
    pairs = np.stack(labels, axis=1)
    stratum = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    order = order[np.argsort(stratum[order], kind="stable")]
  count = count_of(examples, share)
  return np.sort(order[np.arange(count) * examples // count])


def take(values: np.ndarray, indices: np.ndarray) -> Any:
  """Takes examples of an array: a copy, or rows where the array is on disk.

  Labels of whole examples are small, and always copied.
  """
  if isinstance(values, np.memmap) and values.ndim > 1:
    return Rows(values, indices)
  return values[indices]


def _ends(places: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
  """Divides windows into the ends of their recordings, and what is left.

  Args:
    places: int32 [n, 2], the recording of each window and its place there.
    share: Of each recording's windows, to the nearest number of windows.

  Returns:
    The indices held back and those left, which rise. The window before each
    end is in neither.
  """
  recording, place = places.T
  lengths = np.zeros(recording.max() + 1, np.int64)
  np.maximum.at(lengths, recording, place + 1)
  from_end = lengths[recording] - 1 - place
  count = np.round(share * lengths)[recording]
  held = np.flatnonzero(from_end < count)
  left = np.flatnonzero((from_end > count) | (count == 0))
  return held, left
