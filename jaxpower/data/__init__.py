"""Reads data sets as arrays, and draws the order in which examples are seen.

It stands outside `learn/`, since both frameworks must read the same arrays in
the same order, and since the parent of a sweep checks a config against the
size of its set before anything heavy loads. So it knows neither jax nor
TensorFlow: numpy only, and tensorflow-datasets no earlier than a prepared set
is read.
"""

from jaxpower.data.catalogue import describe, is_own, load, names
from jaxpower.data.facts import DataError, DataSet, Facts
from jaxpower.data.labels import for_tasks
from jaxpower.data.order import augmentation_draws, batch_indices
from jaxpower.data.own import forget
from jaxpower.data.streaming import Stream, read_ahead, stream
from jaxpower.data.validation import left_examples

__all__ = [
  "DataError",
  "DataSet",
  "Facts",
  "Stream",
  "augmentation_draws",
  "batch_indices",
  "describe",
  "for_tasks",
  "forget",
  "is_own",
  "left_examples",
  "load",
  "names",
  "read_ahead",
  "stream",
]
