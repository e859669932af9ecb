"""Finds and reads the sets that tensorflow-datasets prepared.

A set is decoded once, whole, into arrays that are cached beside it. Reading
it example by example while a network trains would make the reader what is
measured: 4,500 images/s through tensorflow-datasets against 2.9 million and
more by indexing an array (Fashion-MNIST, two busy CPU cores).
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxpower.data import cache, inputs, validation
from jaxpower.data.facts import DataError, DataSet, make_set
from jaxpower.data.metadata import Prepared, not_whole, read_metadata

# The layouts of all of these are tested without TensorFlow. Any other set that
# fits is read too, once prepared.
KNOWN = (
  "ag_news_subset",
  "cifar10",
  "cifar100",
  "fashion_mnist",
  "glue/sst2",
  "imagenette/160px-v2",
  "imdb_reviews",
  "kmnist",
  "mnist",
  "svhn_cropped",
  "tiny_shakespeare",
  "yelp_polarity_reviews",
)

_NAME = re.compile(
  r"(?P<path>[a-z0-9_]{1,100}(/[A-Za-z0-9_.=-]{1,100})?)"
  r"(:(?P<version>\d{1,9}\.\d{1,9}\.\d{1,9}))?"
  r"(@(?P<size>[1-9]\d{0,4}))?"
)
_LONGEST = 200  # characters of a wrong name that are shown; chosen
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_CHUNK = 1024  # examples that are decoded at once; chosen
_REASON_LENGTH = 200  # characters of a reader's message


def default_data_dir(
  data_dir: str | os.PathLike | None = None,
  environ: Mapping[str, str] = os.environ,
) -> pathlib.Path:
  """Returns where prepared sets lie: `data_dir`, else what TFDS would take."""
  place = data_dir or environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  return pathlib.Path(place).expanduser()


class Name(NamedTuple):
  """The parts of a name: 'glue/sst2:2.0.0@512', the last two optional.

  `size` is the length of a text in bytes, or the side of a photo in pixels.
  """

  path: str
  version: str | None
  size: int | None


def split_name(name: str) -> Name:
  """Splits a name: 'cifar10:3.0.2' is Name('cifar10', '3.0.2', None).

  Raises DataError where it is no name of a set.
  """
  match = _NAME.fullmatch(name)
  if not match:
    raise DataError(
      f"{name[:_LONGEST]!r} is not the name of a data set; names look like "
      "cifar10, "
      "cifar10:3.0.2, emnist/balanced or imdb_reviews@512"
    )
  size = int(match["size"]) if match["size"] else None
  return Name(match["path"], match["version"], size)


def versions(path: str, data_dir: pathlib.Path) -> list[str]:
  """Lists the versions of a set that are prepared, oldest first."""
  return _versions_in(_home(path, data_dir))


def _versions_in(home: pathlib.Path) -> list[str]:
  folders = (file.parent.name for file in home.glob("*/features.json"))
  return sorted(
    filter(_VERSION.fullmatch, folders),
    key=lambda version: tuple(map(int, version.split("."))),
  )


def _home(path: str, data_dir: pathlib.Path) -> pathlib.Path:
  """Returns the folder of the versions of a set.

  Some sets have configs and a default one, which their name need not tell:
  it is found where it is the only one prepared.
  """
  home = data_dir / path
  if "/" in path or _versions_in(home):
    return home
  configs = {file.parent.parent for file in home.glob("*/*/features.json")}
  if len(configs) > 1:
    listed = ", ".join(sorted(f"{path}/{config.name}" for config in configs))
    raise DataError(f"which data set of {path!r}? there are {listed}")
  return next(iter(configs), home)


def prepared_names(data_dir: pathlib.Path) -> tuple[str, ...]:
  """Lists the names of all sets prepared in `data_dir`."""
  files = (
    *data_dir.glob("*/*/features.json"),
    *data_dir.glob("*/*/*/features.json"),
  )
  folders = {file.parent for file in files}
  names = {str(folder.parent.relative_to(data_dir)) for folder in folders}
  return tuple(sorted(filter(_NAME.fullmatch, names)))


def find(name: str, data_dir: pathlib.Path) -> Prepared | None:
  """Finds the newest prepared version of a set, or the one named; or None.

  Raises DataError when what is there is damaged or does not fit.
  """
  path, version, size = split_name(name)
  existing = versions(path, data_dir)
  version = version or (existing[-1] if existing else None)
  if version not in existing:
    return None
  return read_metadata(name, _home(path, data_dir) / version, size)


def load_prepared(
  prepared: Prepared, mapped: bool = False, *, with_validation: bool = False
) -> DataSet:
  """Loads the splits, from the cache beside the set where it is good.

  If `mapped` the arrays stay in that cache, and what is used is read from it.
  A validation split of the set's own is left out unless it is asked for.
  """
  facts, size = prepared.facts, prepared.chosen.size
  file = prepared.folder / f"jaxpower{f'-{size}' if size else ''}.npz"
  key = cache_key(prepared)
  read = cache.map_arrays if mapped else cache.read
  arrays = read(file, key)
  parts = {f"{s}_{p}" for s in ("train", "test") for p in facts.labels}
  if arrays is None or not parts | {"train_input", "test_input"} <= set(arrays):
    arrays = {
      f"{split}_{part}": array
      for split, read_arrays in _read_splits(prepared).items()
      for part, array in read_arrays.items()
    }
    cache.write(file, key, arrays)
    if mapped:
      arrays = read(file, key) or arrays
  train, test, own = (
    {part: arrays[f"{split}_{part}"] for part in ("input", *facts.labels)}
    if split != "validation" or (with_validation and facts.validation_examples)
    else None
    for split in ("train", "test", "validation")
  )
  assert train is not None
  assert test is not None
  return make_set(facts, train, test, validation=own)


def cache_key(prepared: Prepared) -> str:
  """Returns the key of a set's cache, which changes whenever the shards do."""
  shards = [
    (shard.name, shard.stat().st_size, shard.stat().st_mtime_ns)
    for shard in prepared.shards
  ]
  return json.dumps(["jaxpower 2", prepared.facts.fingerprint, shards])


def _read_splits(
  prepared: Prepared,
) -> dict[str, Mapping[str, np.ndarray]]:
  """Decodes the training, test and validation split, if there is one.

  A set of a training split alone gives a share of it to the test set.
  """
  facts = prepared.facts
  if facts.test_split == "train":
    examples = facts.train_examples + facts.test_examples
    whole = _read_split(prepared, "train", examples)
    held = validation.drawn(whole, validation.TEST_SHARE)
    left = np.setdiff1d(np.arange(examples), held)
    return {
      split: {part: array[indices] for part, array in whole.items()}
      for split, indices in (("train", left), ("test", held))
    }
  splits = {
    "train": _read_split(prepared, "train", facts.train_examples),
    "test": _read_split(prepared, facts.test_split, facts.test_examples),
  }
  if facts.validation_examples:
    splits["validation"] = _read_split(
      prepared, "validation", facts.validation_examples
    )
  return splits


def _read_split(
  prepared: Prepared, split: str, examples: int
) -> Mapping[str, np.ndarray]:
  import tensorflow_datasets as tfds  # slow to import, and seldom needed

  facts, chosen = prepared.facts, prepared.chosen
  try:
    builder: Any = tfds.builder_from_directory(prepared.folder)
    source: Any = builder.as_data_source(split)
    if chosen.form == "passages":
      (example,) = source
      text = example[chosen.input_key]
      return inputs.passages(text, examples, facts.input_shape[0])
    if len(source) != examples:
      raise ValueError(f"{split} has {len(source)} examples of {examples}")
    arrays = _stack(prepared, source)
  except ImportError as error:
    raise DataError(
      f"data set {facts.name!r} cannot be read: {error}; fix: pip install "
      f"{error.name or 'array_record'}"
    ) from error
  # The readers of array_record and of images each raise errors of their own.
  except Exception as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = reason[:_REASON_LENGTH]
    raise not_whole(facts.name, prepared.folder, reason) from error
  _check_finite(facts.name, split, arrays["input"])
  for name, classes in facts.labels.items():
    if arrays[name].min() < 0 or arrays[name].max() >= classes:
      raise DataError(
        f"data set {facts.name!r} has examples without a {name} in {split!r}"
      )
  return arrays


def _check_finite(name: str, split: str, values: np.ndarray) -> None:
  """Raises DataError where inputs hold NaN or infinities.

  Looked at once, when a set is decoded: its cache holds what passed.
  """
  if values.dtype.kind != "f":
    return
  wrong = sum(
    int(np.count_nonzero(~np.isfinite(values[start : start + _CHUNK])))
    for start in range(0, len(values), _CHUNK)
  )
  if wrong:
    raise DataError(
      f"data set {name!r}: {100 * wrong / values.size:.3g} % of the inputs in"
      f" {split!r} are not finite numbers, and no network learns from them;"
      " fix: leave these examples out or fill them, and prepare it again"
    )


def _stack(prepared: Prepared, source: Any) -> dict[str, np.ndarray]:
  """Decodes all examples of a split, one after the other."""
  facts, chosen = prepared.facts, prepared.chosen
  make = inputs.input_maker(chosen)
  arrays = {
    "input": np.empty((len(source), *facts.input_shape), facts.input_dtype),
    **{name: np.empty(len(source), np.int32) for name in facts.labels},
  }
  for start in range(0, len(source), _CHUNK):
    chunk = range(start, min(start + _CHUNK, len(source)))
    for i, example in zip(chunk, source.__getitems__(chunk), strict=True):
      arrays["input"][i] = make(example[chosen.input_key])
      for name, key in chosen.label_keys.items():
        arrays[name][i] = example[key]
  return arrays
