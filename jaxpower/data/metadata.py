"""What tensorflow-datasets wrote beside a prepared set, read without it.

A prepared set is a folder name[/config]/version with dataset_info.json,
features.json and the shards. Importing tensorflow-datasets takes a second;
reading two small files does not.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from jaxpower.data.facts import DataError, Facts

_NUMBERS = (
  "uint8",
  "uint16",
  "int8",
  "int16",
  "int32",
  "int64",
  "float16",
  "float32",
  "float64",
)


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A prepared set: its facts, its folder, and what its features are called."""

  facts: Facts
  folder: pathlib.Path
  input_key: str
  label_key: str
  shards: tuple[pathlib.Path, ...]


def read_metadata(name: str, folder: pathlib.Path) -> Prepared:
  """Reads the facts of the set in `folder`.

  Raises DataError where the set is not whole or its features do not fit.
  """
  try:
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    features = json.loads((folder / "features.json").read_text("utf-8"))
    found = _understand(name, folder, info, features)
    missing = [shard for shard in found.shards if not shard.is_file()]
  except (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
  ) as error:
    what = f"its metadata: {type(error).__name__} {error}"
    raise not_whole(name, folder, what) from error
  if missing:
    raise not_whole(name, folder, f"{missing[0].name} is missing")
  return found


def _understand(
  name: str,
  folder: pathlib.Path,
  info: Mapping[str, Any],
  features: Mapping[str, Any],
) -> Prepared:
  file_format = info.get("fileFormat", "tfrecord")
  if file_format != "array_record":
    raise DataError(
      f"data set {name!r} in {folder} is stored as {file_format}, and jaxpower "
      "reads array_record; mend: prepare it into another folder with "
      f"python scripts/prepare_data.py --data={name} --data_dir=FOLDER"
    )
  examples = {
    split["name"]: sum(map(int, split.get("shardLengths", ())))
    for split in info["splits"]
  }
  test_split = "test" if examples.get("test") else "validation"
  for split in ("train", test_split):
    if not examples.get(split):
      raise DataError(
        f"data set {name!r} has the splits {', '.join(examples)}; jaxpower "
        "needs 'train', and 'test' or 'validation'"
      )
  input_key, label_key = choose_features(name, features, supervised_keys(info))
  input_shape, input_dtype = _shape_and_dtype(_members(features)[input_key])
  shards = tuple(
    folder / shard
    for split in info["splits"]
    if split["name"] in ("train", test_split)
    for shard in _shard_names(info["name"], split)
  )
  facts = Facts(
    name=name,
    kind="image",
    train_examples=examples["train"],
    test_examples=examples[test_split],
    input_shape=input_shape,
    input_dtype=input_dtype,
    labels={
      "label": int(_members(features)[label_key]["classLabel"]["numClasses"])
    },
    source=_source(info),
    licence=info.get("redistributionInfo", {}).get("license")
    or "not stated by tensorflow-datasets",
    version=info["version"],
    fingerprint=_fingerprint(info, features, examples),
    test_split=test_split,
  )
  return Prepared(facts, folder, input_key, label_key, shards)


def not_whole(name: str, folder: pathlib.Path, what: str) -> DataError:
  """The error for a prepared set that is damaged or half there."""
  return DataError(
    f"the prepared data set {name!r} is not whole ({what}); "
    f"mend: delete {folder} and prepare it again"
  )


def supervised_keys(info: Mapping[str, Any]) -> tuple[str, str] | None:
  """The names of input and label that the set itself recommends."""
  items = info.get("supervisedKeys", {}).get("tuple", {}).get("items", ())
  keys = tuple(item.get("featureKey") for item in items)
  return keys if len(keys) == 2 and all(keys) else None


def choose_features(
  name: str, features: Mapping[str, Any], preferred: tuple[str, str] | None
) -> tuple[str, str]:
  """The names of the input and of the label.

  Those the set recommends, else its only Image or Tensor of fixed shape and
  its only ClassLabel. Raises DataError that says what does not fit.
  """
  kinds = {
    key: _kind(feature) for key, feature in sorted(_members(features).items())
  }
  inputs = [key for key, kind in kinds.items() if kind == "input"]
  labels = [key for key, kind in kinds.items() if kind == "ClassLabel"]
  if preferred and preferred[0] in inputs and preferred[1] in labels:
    return preferred
  if len(inputs) == 1 and len(labels) == 1:
    return inputs[0], labels[0]
  listed = ", ".join(
    f"{key} ({'Image or Tensor' if kind == 'input' else kind})"
    for key, kind in kinds.items()
  )
  raise DataError(
    f"data set {name!r} does not fit: jaxpower needs one Image or Tensor of "
    f"fixed shape and one ClassLabel, the set has {listed}"
  )


def _members(features: Mapping[str, Any]) -> Mapping[str, Any]:
  return features.get("featuresDict", {}).get("features", {})


def _kind(feature: Mapping[str, Any]) -> str:
  """'input', 'ClassLabel', or in words what else it is."""
  class_name = feature.get("pythonClassName", "?").rsplit(".", 1)[-1]
  if class_name == "ClassLabel":
    known = int(feature["classLabel"].get("numClasses", 0)) > 0
    return "ClassLabel" if known else "ClassLabel of unknown size"
  if class_name not in ("Image", "Tensor"):
    return class_name
  shape, dtype = _shape_and_dtype(feature)
  if not shape or min(shape) < 1 or dtype not in _NUMBERS:
    sides = " x ".join(str(n) if n > 0 else "?" for n in shape)
    return f"{class_name} of {dtype} {sides or 'scalar'}"
  return "input"


def _shape_and_dtype(
  feature: Mapping[str, Any],
) -> tuple[tuple[int, ...], str]:
  """Shape and type of an Image or Tensor; an unknown length is -1."""
  content = feature.get("image") or feature.get("tensor") or {}
  shape = content.get("shape", {}).get("dimensions", ())
  return tuple(int(length) for length in shape), content.get("dtype", "?")


def _shard_names(name: str, split: Mapping[str, Any]) -> Iterator[str]:
  count = len(split["shardLengths"])
  for shard in range(count):
    yield (f"{name}-{split['name']}.array_record-{shard:05d}-of-{count:05d}")


def _source(info: Mapping[str, Any]) -> str:
  urls = info.get("location", {}).get("urls", ())
  return (
    f"tensorflow-datasets, from {urls[0]}" if urls else ("tensorflow-datasets")
  )


def _fingerprint(
  info: Mapping[str, Any],
  features: Mapping[str, Any],
  examples: Mapping[str, int],
) -> str:
  # No byte counts: those of the PNG files differ from encoder to encoder.
  config = info.get("configName", "")
  facts = [info["name"], config, info["version"], examples, features]
  content = json.dumps(facts, sort_keys=True).encode()
  name = "/".join(part for part in (info["name"], config) if part)
  sha256 = hashlib.sha256(content).hexdigest()
  return f"tfds:{name}:{info['version']}:sha256:{sha256}"
