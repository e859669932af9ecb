"""How training images are moved and mirrored: drawn from seed and place.

In which order examples are seen: a pure function of seed and step.
"""

import numpy as np


def batch_indices(
  *, seed: int, examples: int, batch_size: int, first_step: int, steps: int
) -> np.ndarray:
  """Indices of the examples of some steps, int32 [steps, batch_size].

  Epoch e is a permutation drawn from (seed, e); step k takes the positions
  k * batch_size to (k + 1) * batch_size of all permutations in a row. A batch
  may straddle two epochs, no example is dropped, and every batch size sees
  the same examples in the same order. No step depends on the one before it.
  Raises ValueError when a number is out of range.
  """
  if examples < 1 or batch_size < 1:
    raise ValueError(
      "examples and batch_size must be at least 1, got "
      f"{examples} and {batch_size}"
    )
  if first_step < 0 or steps < 0:
    raise ValueError(
      f"first_step and steps must not be negative, got {first_step} and {steps}"
    )
  start, count = first_step * batch_size, steps * batch_size
  first_epoch, offset = divmod(start, examples)
  last_epoch = (start + max(count, 1) - 1) // examples
  stream = np.concatenate(
    [
      epoch_permutation(seed=seed, epoch=epoch, examples=examples)
      for epoch in range(first_epoch, last_epoch + 1)
    ]
  )
  return stream[offset : offset + count].reshape(steps, batch_size)


def epoch_permutation(*, seed: int, epoch: int, examples: int) -> np.ndarray:
  """The order of one epoch, int32 [examples].

  Philox is counter-based, so (seed, epoch) is its key and nothing is wound
  forward. Its raw 64-bit words are sorted, because numpy promises the same
  words in every version, and does not promise it of Generator.permutation.
  """
  if not 0 <= seed < 2**64:
    raise ValueError(f"seed must be in [0, 2**64), got {seed}")
  key = np.array([seed, epoch], dtype=np.uint64)
  words = np.random.Philox(key=key).random_raw(examples)
  # The low bits carry the index: the keys are distinct, so that any sort
  # gives the same order, and a plain sort is faster than argsort.
  index_mask = np.uint64((1 << examples.bit_length()) - 1)
  keys = (words & ~index_mask) | np.arange(examples, dtype=np.uint64)
  keys.sort()
  return (keys & index_mask).astype(np.int32)


def augmentation_draws(
  *,
  seed: int,
  first_step: int,
  steps: int,
  batch_size: int,
  height: int,
  width: int,
  flip: bool,
) -> np.ndarray:
  """How each example of some steps is moved: int8 [steps, batch_size, 3].

  Rows down and columns across, each up to an eighth of the side either way
  (at least 1) and evenly likely to one in a million; then whether it is
  mirrored, 1 with probability one half where `flip`, otherwise 0.

  As the order of examples is, the draws are one stream, cut into batches: they
  follow from seed and place in it, whatever the batch size, and no step
  depends on the one before it. Raises ValueError when a number is out of
  range.
  """
  if not 0 <= seed < 2**64:
    raise ValueError(f"seed must be in [0, 2**64), got {seed}")
  if first_step < 0 or steps < 0 or batch_size < 1:
    raise ValueError(
      "first_step and steps must not be negative and batch_size at least 1, "
      f"got {first_step}, {steps} and {batch_size}"
    )
  if not (0 < height < 1024 and 0 < width < 1024):
    raise ValueError(
      f"images of 1 to 1023 pixels a side, got {height} x {width}"
    )
  words = _words(seed, first_step * batch_size, steps * batch_size)
  draws = np.empty((len(words), 3), np.int8)
  draws[:, 0] = _shift(words, height)
  draws[:, 1] = _shift(words >> np.uint64(20), width)
  draws[:, 2] = (words >> np.uint64(40)) & np.uint64(flip)
  return draws.reshape(steps, batch_size, 3)


def _words(seed: int, first: int, count: int) -> np.ndarray:
  """Words `first` to `first + count` of a seed's stream, uint64.

  The upper half of Philox's counter keeps it apart from the order's streams,
  whose counters start at 0. A count gives four words.
  """
  block, skipped = divmod(first, 4)
  key = np.array([seed, 0], np.uint64)
  counter = np.array([block, 0, 0, 1], np.uint64)
  bits = np.random.Philox(key=key, counter=counter)
  return bits.random_raw(skipped + count)[skipped:]


def _shift(words: np.ndarray, side: int) -> np.ndarray:
  """From -most to most, by the lowest 20 bits."""
  most = max(1, side // 8)
  low = (words & np.uint64(0xFFFFF)).astype(np.int64)
  return ((low * (2 * most + 1)) >> 20) - most
