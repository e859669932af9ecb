"""Makes what is learned from of what a bundled file holds.

Each function takes the arrays of one split of a file and returns those of one
split of a set. One file can be seen in several ways: the same passages of a
novel are read on, or told from those of other novels.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxpower.data.order import epoch_permutation

# Samples of the recordings, which have 50 a second. Chosen.
WINDOW = 100  # 2 s
STRIDE = 50  # windows overlap by half

Arrays = Mapping[str, np.ndarray]


def as_stored(split: Arrays) -> Arrays:
  """Returns the arrays as they are in the file."""
  return split


def enlarged(split: Arrays) -> Arrays:
  """Enlarges digits uint8 [n, 8, 8, 1] of 0 to 16 to MNIST's size and range.

  Each pixel becomes a square of nine, framed by a margin: [n, 28, 28, 1].
  """
  pixels = split["input"].repeat(3, axis=1).repeat(3, axis=2)
  pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2), (0, 0)))
  scaled = pixels.astype(np.int32) * 255 // 16
  return {**split, "input": scaled.astype(np.uint8)}


def windows(split: Arrays) -> Arrays:
  """Cuts recordings into windows float32 [n, WINDOW, channels].

  'signal' [samples, channels] holds all recordings in a row, 'samples' [r]
  the length of each; the other arrays [r] are labels of whole recordings. No
  window reaches from one recording into the next.
  """
  ends = np.cumsum(split["samples"])
  starts = [
    np.arange(end - samples, end - WINDOW + 1, STRIDE)
    for end, samples in zip(ends, split["samples"], strict=True)
  ]
  recording = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
  index = np.concatenate(starts)[:, None] + np.arange(WINDOW)
  labels = {
    name: values[recording].astype(np.int32)
    for name, values in split.items()
    if name not in ("signal", "samples")
  }
  signal = split["signal"].astype(np.float32)
  return _shuffled({"input": signal[index], **labels})


def window_places(split: Arrays) -> np.ndarray:
  """Returns recording and place of each of `windows`: int32 [n, 2]."""
  counts = np.maximum(0, (split["samples"] - WINDOW) // STRIDE + 1)
  recording = np.repeat(np.arange(len(counts)), counts)
  place = np.concatenate([np.arange(count) for count in counts])
  order = epoch_permutation(seed=0, epoch=0, examples=len(recording))
  return np.stack([recording, place], axis=1)[order].astype(np.int32)


def next_character(split: Arrays) -> Arrays:
  """Labels every place of a passage with what comes next: int32 [n, length]."""
  passage = split["passage"]
  return _shuffled(
    {
      "input": passage[:, :-1],
      "label": passage[:, 1:].astype(np.int32),
      "novel": split["novel"].astype(np.int32),
    }
  )


def which_novel(split: Arrays, novels: Sequence[int]) -> Arrays:
  """Labels the passages of these novels with the novel's place in `novels`."""
  wanted = np.isin(split["novel"], novels)
  place = np.zeros(max(novels) + 1, np.int32)
  place[list(novels)] = np.arange(len(novels))
  return _shuffled(
    {
      "input": split["passage"][wanted, :-1],
      "label": place[split["novel"][wanted]],
    }
  )


def _shuffled(split: Arrays) -> Arrays:
  """Shuffles a split once, so that any first share of it is a fair sample."""
  examples = len(split["input"])
  order = epoch_permutation(seed=0, epoch=0, examples=examples)
  return {name: array[order] for name, array in split.items()}
