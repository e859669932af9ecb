"""Defines a data set: its facts, its arrays, and the error when it has none."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# Values that are counted at once: bincount copies them as 64-bit integers, so
# that this is 8 MiB beside a set of any size. Chosen.
_COUNTED_ROWS = 1 << 20


class DataError(Exception):
  """A data set cannot be read: one line with what, where and the fix."""


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known of a set without reading its arrays.

  `kind` says what one input is: 'image' [height, width, channels], 'window'
  [time, channels], or 'tokens' [length], of which there are `vocabulary`, the
  padding 0 among them. `labels` gives the number of classes of each label;
  the one a network learns unless told otherwise is 'label'. Sets that were
  mixed have a label under the name of each instead.

  `fingerprint` is the same on every machine that holds the same set: the hash
  of the arrays for a bundled set, name, version, sizes and features for a
  prepared one. `test_split` is 'validation' where a set has no test split, or
  none with labels, and 'train' where it has neither and a share of its training
  split is the test set. `validation_examples` is 0 unless a set has a
  validation split beside its test set. `cautions` say in one line each what a
  result on the set should be read with.
  """

  name: str
  kind: str
  train_examples: int
  test_examples: int
  input_shape: tuple[int, ...]
  input_dtype: str
  labels: Mapping[str, int]
  source: str
  licence: str
  version: str
  fingerprint: str
  test_split: str = "test"
  validation_examples: int = 0
  vocabulary: int | None = None
  cautions: tuple[str, ...] = ()

  @property
  def classes(self) -> int:
    """The number of classes of the main label."""
    return self.labels["label"]


@dataclasses.dataclass(frozen=True)
class DataSet:
  """The splits of a set, in memory or mapped from disk.

  `train` and `test` map 'input' to [n, *input_shape] and each label to int32
  [n], -1 where an example of a mixed set has none; where the next token is to
  be predicted, 'label' is int32 [n, length].
  `mean` and `std` are float32 [channels], over the training inputs, in their
  own units; the channel is the last axis. Tokens are names, not quantities:
  for them `mean` is 0 and `std` is 1, float32 []. `sha256` is that of all
  arrays of train and test.

  `validation` is like `test`, or None; it is a split of its own or examples of
  `train`, and then `left` are the indices of those to train on, int32 (None:
  all). `places` is of windows that overlap: int32 [n, 2], of each training
  example the recording and the place in it.
  """

  facts: Facts
  train: Mapping[str, np.ndarray]
  test: Mapping[str, np.ndarray]
  mean: np.ndarray
  std: np.ndarray
  sha256: str
  validation: Mapping[str, Any] | None = None
  left: np.ndarray | None = None
  places: np.ndarray | None = None

  @property
  def evaluated(self) -> dict[str, Mapping[str, Any]]:
    """The splits that are evaluated, by name; the first one is to decide."""
    if self.validation is None:
      return {"test": self.test}
    return {"validation": self.validation, "test": self.test}


def make_set(
  facts: Facts,
  train: Mapping[str, np.ndarray],
  test: Mapping[str, np.ndarray],
  **further: Any,
) -> DataSet:
  """Builds a data set from its arrays: computes mean, deviation and hash.

  `further` are fields of the set that may be left out.
  """
  if facts.kind == "tokens":
    mean, std = np.zeros((), np.float32), np.ones((), np.float32)
  else:
    mean, std = channel_moments(train["input"])
  sha256 = hash_arrays((train, test))
  return DataSet(facts, train, test, mean, std, sha256, **further)


def hash_arrays(splits: Iterable[Mapping[str, np.ndarray]]) -> str:
  """Hashes names, types, shapes and bytes of the arrays: SHA-256 in hex."""
  digest = hashlib.sha256()
  for split in splits:
    for name in sorted(split):
      array = np.ascontiguousarray(split[name])
      array = array.astype(array.dtype.newbyteorder("<"), copy=False)
      digest.update(f"{name} {array.dtype} {array.shape};".encode())
      digest.update(array.data)
  return digest.hexdigest()


def channel_moments(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns mean and standard deviation of each channel, float32 [channels].

  A constant channel gets the deviation 1, so that dividing by it is safe.
  Bytes are counted, not summed: exact, and no float copy of the whole set.
  """
  channels = inputs.reshape(-1, inputs.shape[-1])
  if inputs.dtype == np.uint8:
    counts = _count_bytes(channels)
    total = counts.sum(axis=1)
    values = np.arange(256.0)
    mean = counts @ values / total
    std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / total)
  else:
    mean = channels.mean(axis=0, dtype=np.float64)
    std = channels.std(axis=0, dtype=np.float64)
  std = np.where(std > 0, std, 1.0)
  return mean.astype(np.float32), std.astype(np.float32)


def _count_bytes(channels: np.ndarray) -> np.ndarray:
  """Counts how often each byte occurs in each channel: [channels, 256]."""
  counts = np.zeros((channels.shape[1], 256), np.int64)
  for start in range(0, len(channels), _COUNTED_ROWS):
    for channel, row in zip(
      channels[start : start + _COUNTED_ROWS].T, counts, strict=True
    ):
      row += np.bincount(channel, minlength=256)
  return counts
