"""The handwritten digits that the examples learn: 1,200, and 237 to decide.

As rows of 64 numbers around 0. Your own script reads its own data.
"""

import argparse

import numpy as np

from jaxpower import data


def load(seed: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
  """Returns inputs [n, 64] and labels [n], first to train, then to decide."""
  train = data.load("digits").train
  inputs = train["input"].reshape(-1, 64).astype(np.float32) / 8 - 1
  order = np.random.default_rng(seed).permutation(len(inputs))
  inputs, labels = inputs[order], train["label"][order].astype(np.int64)
  return (inputs[:1200], labels[:1200]), (inputs[1200:], labels[1200:])


def arguments() -> argparse.Namespace:
  """Reads --batch, --lr and --seed from the command line."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--batch", type=int, default=64)
  parser.add_argument("--lr", type=float, default=0.003)
  parser.add_argument("--seed", type=int, default=0)
  return parser.parse_args()
