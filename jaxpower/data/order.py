"""In which order examples are seen: a pure function of seed and step."""

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
