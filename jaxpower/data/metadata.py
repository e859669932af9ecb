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
from jaxpower.data.features import Chosen, choose_features

# Sets whose test labels are kept back by their makers, all of them -1.
_HELD_BACK = ("glue", "super_glue")

_WRAPPING = 64  # more bytes than a record adds to the text it holds


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A prepared set: its facts, its folder, and what of it is taken."""

  facts: Facts
  folder: pathlib.Path
  chosen: Chosen
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
    found = _understand(name, folder, size, info, features)
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
  size: int | None,
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
  test_split = "validation"
  if examples.get("test") and info["name"] not in _HELD_BACK:
    test_split = "test"
  for split in ("train", test_split):
    if not examples.get(split):
      raise DataError(
        f"data set {name!r} has the splits {', '.join(examples)}; jaxpower "
        "needs 'train', and 'test' or 'validation'"
      )
  chosen = choose_features(name, features, supervised_keys(info), size)
  fingerprint = _fingerprint(info, features, examples, chosen)
  used = [s for s in info["splits"] if s["name"] in ("train", test_split)]
  if chosen.form == "passages":
    examples = {split["name"]: _passages(name, split, chosen) for split in used}
  facts = Facts(
    name=name,
    kind=chosen.kind,
    train_examples=examples["train"],
    test_examples=examples[test_split],
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


def _passages(name: str, split: Mapping[str, Any], chosen: Chosen) -> int:
  """How many passages surely fit into the one text of a split."""
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
  chosen: Chosen,
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
