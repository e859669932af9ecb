"""The sets that travel inside the package: real, small, free to share."""

import pathlib
import zipfile
import zlib

import numpy as np

from jaxpower.data.facts import (
  DataError,
  DataSet,
  Facts,
  channel_moments,
  hash_arrays,
)

FILES = pathlib.Path(__file__).parent / "files"

# Facts here are statements; tests/test_data_bundled.py holds the file to them.
BUNDLED = {
  facts.name: facts
  for facts in (
    Facts(
      name="fashion_mnist_6k",
      train_examples=6000,
      test_examples=1000,
      input_shape=(28, 28, 1),
      input_dtype="uint8",
      classes=10,
      source="https://github.com/zalandoresearch/fashion-mnist, the first 600 "
      "training and 100 test images of each class",
      licence="MIT, (c) 2017 Zalando SE",
      version="1.0.0",
      fingerprint="sha256:118cb16bab6e44fd4290b6bd4c796ecf2a18c843263906b979e12fdc92c3aad6",
    ),
  )
}


def load_bundled(name: str) -> DataSet:
  """Reads one bundled set. Raises DataError when its file is damaged."""
  facts = BUNDLED[name]
  path = FILES / f"{name}.npz"
  try:
    with path.open("rb") as opened, np.load(opened) as arrays:
      train, test = (
        {part: arrays[f"{split}_{part}"] for part in ("input", "label")}
        for split in ("train", "test")
      )
  except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as e:
    raise _damaged(path, str(e)) from e
  sha256 = hash_arrays((train, test))
  if facts.fingerprint != f"sha256:{sha256}":
    raise _damaged(path, f"its arrays hash to {sha256}")
  mean, std = channel_moments(train["input"])
  return DataSet(facts, train, test, mean, std, sha256)


def _damaged(path: pathlib.Path, why: str) -> DataError:
  return DataError(
    f"the bundled data file {path} is damaged ({why}); "
    "mend: install jaxpower again"
  )
