"""Reads what tensorflow-datasets wrote beside a prepared set, without it.

A prepared set is a folder name[/config]/version with dataset_info.json,
features.json and the shards. The parent of a sweep reads it to check a config
before anything starts; importing tensorflow-datasets takes a second, reading
two small files does not. The files are somebody else's and may be cut or half
written, so whatever goes wrong in them becomes one DataError that names the
folder to delete.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from jaxpower.data.facts import DataError, Facts
from jaxpower.data.features import ChosenFeatures, choose_features
from jaxpower.data.validation import TEST_SHARE, count_of

# Sets whose test labels are kept back by their makers, all of them -1.
_HELD_BACK = ("glue", "super_glue")

# More bytes than are around a text in `numBytes`, the size of a split's
# serialised tf.train.Examples: five nested protobuf fields with a tag and a
# length of at most 6 bytes each, and the name of the feature.
_WRAPPING = 64


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A prepared set: its facts, its folder, and what of it is taken."""

  facts: Facts
  folder: pathlib.Path
  chosen: ChosenFeatures
  shards: tuple[pathlib.Path, ...]


def read_metadata(
  name: str, folder: pathlib.Path, size: int | None = None
) -> Prepared:
  """Reads the facts of the set in `folder`, inputs cut to `size` if given.

  Raises DataError where the set is not whole or its features do not fit.
  """
  try:
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    features = json.loads((folder / "features.json").read_text("utf-8"))
    prepared = _parse(name, folder, size, info, features)
    missing = [shard for shard in prepared.shards if not shard.is_file()]
  except (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
  ) as error:
    damage = f"its metadata: {type(error).__name__} {error}"
    raise not_whole(name, folder, damage) from error
  if missing:
    raise not_whole(name, folder, f"{missing[0].name} is missing")
  return prepared


def not_whole(name: str, folder: pathlib.Path, damage: str) -> DataError:
  """Returns the error for a prepared set that is damaged or half there."""
  return DataError(
    f"the prepared data set {name!r} is not whole ({damage}); "
    f"fix: delete {folder} and prepare it again"
  )


def _parse(
  name: str,
  folder: pathlib.Path,
  size: int | None,
  info: Mapping[str, Any],
  features: Mapping[str, Any],
) -> Prepared:
  file_format = info.get("fileFormat", "tfrecord")
  if file_format != "array_record":
    raise DataError(
      f"data set {name!r} in {folder} is stored as {file_format}, and jaxpower "
      "reads array_record; fix: prepare it into another folder with "
      f"python scripts/prepare_data.py --data={name} --data_dir=FOLDER"
    )
  examples = {
    split["name"]: sum(map(int, split.get("shardLengths", ())))
    for split in info["splits"]
  }
  if not examples.get("train"):
    raise DataError(
      f"data set {name!r} has the splits {', '.join(examples)}; jaxpower "
      "needs 'train'"
    )
  test_split = _test_split(info["name"], examples)
  has_validation = test_split == "test" and bool(examples.get("validation"))
  wanted = {"train", test_split, *(["validation"] if has_validation else [])}
  chosen = choose_features(name, features, supervised_keys(info), size)
  fingerprint = _fingerprint(info, features, examples, chosen)
  used = [s for s in info["splits"] if s["name"] in wanted]
  if chosen.form == "passages":
    examples = {
      split["name"]: _passage_count(name, split, chosen) for split in used
    }
  train_examples, test_examples = examples["train"], examples[test_split]
  if test_split == "train":
    test_examples = count_of(train_examples, TEST_SHARE)
    train_examples -= test_examples
  facts = Facts(
    name=name,
    kind=chosen.kind,
    train_examples=train_examples,
    test_examples=test_examples,
    validation_examples=examples["validation"] if has_validation else 0,
    input_shape=chosen.input_shape,
    input_dtype=chosen.input_dtype,
    vocabulary=chosen.vocabulary,
    labels=chosen.labels,
    source=_source(info),
    licence=info.get("redistributionInfo", {}).get("license")
    or "not stated by tensorflow-datasets",
    version=info["version"],
    fingerprint=fingerprint,
    test_split=test_split,
  )
  shards = tuple(
    folder / shard
    for split in used
    for shard in _shard_names(info["name"], split)
  )
  return Prepared(facts, folder, chosen, shards)


def _test_split(name: str, examples: Mapping[str, int]) -> str:
  """Chooses the split that is the test set: with labels, and not empty.

  "train" where there is none: then a share of the training split is.
  """
  if examples.get("test") and name not in _HELD_BACK:
    return "test"
  return "validation" if examples.get("validation") else "train"


def supervised_keys(info: Mapping[str, Any]) -> tuple[str, str] | None:
  """Returns the names of input and label that the set itself recommends."""
  items = info.get("supervisedKeys", {}).get("tuple", {}).get("items", ())
  keys = tuple(item.get("featureKey") for item in items)
  return keys if len(keys) == 2 and all(keys) else None


def _fingerprint(
  info: Mapping[str, Any],
  features: Mapping[str, Any],
  examples: Mapping[str, int],
  chosen: ChosenFeatures,
) -> str:
  # No byte counts: those of the PNG files differ from encoder to encoder.
  config = info.get("configName", "")
  facts = [info["name"], config, info["version"], examples, features]
  if chosen.size:
    facts.append([chosen.form, chosen.size])
  content = json.dumps(facts, sort_keys=True).encode()
  name = "/".join(part for part in (info["name"], config) if part)
  sha256 = hashlib.sha256(content).hexdigest()
  return f"tfds:{name}:{info['version']}:sha256:{sha256}"


def _passage_count(
  name: str, split: Mapping[str, Any], chosen: ChosenFeatures
) -> int:
  """Counts the passages that surely fit into the one text of a split."""
  if sum(map(int, split["shardLengths"])) != 1:
    raise DataError(
      f"data set {name!r} does not fit: texts without a ClassLabel are read on "
      f"only where each split is one text, and {split['name']!r} has more"
    )
  length = chosen.input_shape[0] + 1
  count = (int(split["numBytes"]) - _WRAPPING) // length
  if count < 1:
    raise DataError(
      f"data set {name!r} has in {split['name']!r} no passage of {length} bytes"
    )
  return count


def _shard_names(name: str, split: Mapping[str, Any]) -> Iterator[str]:
  count = len(split["shardLengths"])
  for shard in range(count):
    yield f"{name}-{split['name']}.array_record-{shard:05d}-of-{count:05d}"


def _source(info: Mapping[str, Any]) -> str:
  urls = info.get("location", {}).get("urls", ())
  return (
    f"tensorflow-datasets, from {urls[0]}" if urls else "tensorflow-datasets"
  )
