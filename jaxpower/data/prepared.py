"""Sets prepared by tensorflow-datasets: where they lie, and their arrays."""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxpower.data import cache
from jaxpower.data.facts import DataError, DataSet, channel_moments, hash_arrays
from jaxpower.data.metadata import Prepared, not_whole, read_metadata

# Two modules of tensorflow-datasets make all of these, and both are tested
# without TensorFlow. Any other set that fits is read too, once prepared.
KNOWN = ("cifar10", "cifar100", "fashion_mnist", "kmnist", "mnist")

_NAME = re.compile(
  r"(?P<path>[a-z0-9_]+(/[A-Za-z0-9_.=-]+)?)(:(?P<version>\d+\.\d+\.\d+))?"
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_CHUNK = 1024  # examples decoded at once


def default_data_dir(
  data_dir: str | os.PathLike | None = None,
  environ: Mapping[str, str] = os.environ,
) -> pathlib.Path:
  """Where prepared sets lie: the argument, else what TFDS itself would take."""
  place = data_dir or environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  return pathlib.Path(place).expanduser()


def split_name(name: str) -> tuple[str, str | None]:
  """'cifar10:3.0.2' is ('cifar10', '3.0.2'). Raises DataError if no name."""
  match = _NAME.fullmatch(name)
  if not match:
    raise DataError(
      f"{name!r} is not the name of a data set; "
      "names look like cifar10, cifar10:3.0.2 or emnist/balanced"
    )
  return match["path"], match["version"]


def versions(path: str, data_dir: pathlib.Path) -> list[str]:
  """The versions of a set that are prepared, oldest first."""
  found = (
    file.parent.name for file in (data_dir / path).glob("*/features.json")
  )
  return sorted(
    filter(_VERSION.fullmatch, found),
    key=lambda version: tuple(map(int, version.split("."))),
  )


def prepared_names(data_dir: pathlib.Path) -> tuple[str, ...]:
  """The names of all sets prepared in `data_dir`."""
  files = (
    *data_dir.glob("*/*/features.json"),
    *data_dir.glob("*/*/*/features.json"),
  )
  folders = {file.parent for file in files}
  found = {str(folder.parent.relative_to(data_dir)) for folder in folders}
  return tuple(sorted(filter(_NAME.fullmatch, found)))


def find(name: str, data_dir: pathlib.Path) -> Prepared | None:
  """The newest prepared version of a set, or the one named; None if none.

  Raises DataError when what is there is damaged or does not fit.
  """
  path, wanted = split_name(name)
  there = versions(path, data_dir)
  version = wanted or (there[-1] if there else None)
  if version not in there:
    return None
  return read_metadata(name, data_dir / path / version)


def load_prepared(prepared: Prepared, data_dir: pathlib.Path) -> DataSet:
  """Both splits as arrays, from the cache beside the set where it is good."""
  facts = prepared.facts
  file = prepared.folder / "jaxpower.npz"
  key = cache_key(prepared)
  arrays = cache.read(file, key)
  if arrays is None:
    arrays = {
      f"{split}_{part}": array
      for split, tfds_split, examples in (
        ("train", "train", facts.train_examples),
        ("test", facts.test_split, facts.test_examples),
      )
      for part, array in _read_split(
        prepared, data_dir, tfds_split, examples
      ).items()
    }
    cache.write(file, key, arrays)
  train, test = (
    {part: arrays[f"{split}_{part}"] for part in ("input", "label")}
    for split in ("train", "test")
  )
  mean, std = channel_moments(train["input"])
  return DataSet(facts, train, test, mean, std, hash_arrays((train, test)))


def cache_key(prepared: Prepared) -> str:
  """Changes whenever the shards do, so that an old cache is not taken."""
  shards = [
    (shard.name, shard.stat().st_size, shard.stat().st_mtime_ns)
    for shard in prepared.shards
  ]
  return json.dumps(["jaxpower 1", prepared.facts.fingerprint, shards])


def _read_split(
  prepared: Prepared, data_dir: pathlib.Path, split: str, examples: int
) -> dict[str, np.ndarray]:
  import tensorflow_datasets as tfds  # slow to import, and seldom needed

  facts = prepared.facts
  path, _ = split_name(facts.name)
  try:
    source: Any = tfds.data_source(
      f"{path}:{facts.version}",
      split=split,
      data_dir=data_dir,
      download=False,
    )
    if len(source) != examples:
      raise ValueError(f"{split} has {len(source)} examples of {examples}")
    inputs = np.empty((examples, *facts.input_shape), facts.input_dtype)
    labels = np.empty(examples, np.int32)
    for start in range(0, examples, _CHUNK):
      stop = min(start + _CHUNK, examples)
      for i, example in enumerate(
        source.__getitems__(range(start, stop)), start
      ):
        inputs[i] = example[prepared.input_key]
        labels[i] = example[prepared.label_key]
  except ImportError as error:
    raise DataError(
      f"data set {facts.name!r} cannot be read: {error}; mend: pip install "
      f"{error.name or 'array_record'}"
    ) from error
  # The readers of array_record and of images each raise errors of their own.
  except Exception as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise not_whole(facts.name, prepared.folder, reason[:200]) from error
  if labels.min() < 0 or labels.max() >= facts.classes:
    raise DataError(
      f"data set {facts.name!r} has examples without a label in {split!r}"
    )
  return {"input": inputs, "label": labels}
