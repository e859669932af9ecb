import copy
import json
import pathlib
import tempfile
from typing import Any

import pytest
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxpower.data import DataError
from jaxpower.data.metadata import Prepared, read_metadata

IMAGE = tfds.features.Image(shape=(8, 8, 3))
TEXT = tfds.features.Text()
LABEL = tfds.features.ClassLabel(num_classes=5)


def as_stored(**features: Any) -> dict[str, Any]:
  stored = tfds.features.FeaturesDict(features).to_json()["content"]
  return {"featuresDict": stored}


FEATURES = as_stored(image=IMAGE, label=LABEL, id=TEXT)
INFO = {
  "name": "small",
  "version": "1.0.0",
  "fileFormat": "array_record",
  "location": {"urls": ["https://example.org/small"]},
  "redistributionInfo": {"license": "CC BY 4.0"},
  "splits": [
    {"name": "train", "shardLengths": ["60", "40"]},
    {"name": "test", "shardLengths": ["20"]},
  ],
  "supervisedKeys": {
    "tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}
  },
}
SHARDS = (
  "small-train.array_record-00000-of-00002",
  "small-train.array_record-00001-of-00002",
  "small-test.array_record-00000-of-00001",
)


def read(folder: pathlib.Path, info: Any, features: Any) -> Prepared:
  for shard in SHARDS:
    (folder / shard).touch()
  (folder / "dataset_info.json").write_text(json.dumps(info))
  (folder / "features.json").write_text(json.dumps(features))
  return read_metadata("small", folder)


def test_the_facts_are_read(tmp_path: pathlib.Path):
  prepared = read(tmp_path, INFO, FEATURES)
  facts = prepared.facts
  assert (facts.train_examples, facts.test_examples) == (100, 20)
  assert (facts.input_shape, facts.input_dtype) == ((8, 8, 3), "uint8")
  assert (facts.classes, facts.test_split) == (5, "test")
  assert facts.licence == "CC BY 4.0"
  assert facts.source == "tensorflow-datasets, from https://example.org/small"
  assert facts.labels == {"label": 5}
  assert (facts.kind, facts.vocabulary) == ("image", None)
  assert prepared.chosen.input_key == "image"
  assert tuple(shard.name for shard in prepared.shards) == SHARDS


def test_the_fingerprint_tells_sets_apart_but_not_encoders(
  tmp_path: pathlib.Path,
):
  def fingerprint(info: dict[str, Any], features: dict[str, Any]) -> str:
    return read(tmp_path, info, features).facts.fingerprint

  stock = fingerprint(INFO, FEATURES)
  larger_files = copy.deepcopy(INFO)
  larger_files["splits"][0]["numBytes"] = "12345"
  assert fingerprint(larger_files, FEATURES) == stock
  fewer = copy.deepcopy(INFO)
  fewer["splits"][1]["shardLengths"] = ["19"]
  assert fingerprint(fewer, FEATURES) != stock
  assert fingerprint(INFO | {"version": "1.0.1"}, FEATURES) != stock
  classes = tfds.features.ClassLabel(num_classes=6)
  relabelled = as_stored(image=IMAGE, label=classes, id=TEXT)
  assert fingerprint(INFO, relabelled) != stock


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"fileFormat": "tfrecord"}, r"stored as tfrecord.*fix: prepare"),
    ({"fileFormat": "parquet"}, r"stored as parquet.*fix: prepare"),
    (
      {"splits": INFO["splits"][1:]},
      r"has the splits test; jaxpower needs 'train'",
    ),
    ({"splits": []}, r"jaxpower needs 'train'"),
    ({"splits": None}, r"not whole \(its metadata: TypeError"),
    ({"name": "other"}, r"not whole \(other-train\S+ is missing\)"),
  ],
)
def test_what_does_not_do_is_told(
  changed: dict[str, Any], message: str, tmp_path: pathlib.Path
):
  with pytest.raises(DataError, match=message):
    read(tmp_path, INFO | changed, FEATURES)


TEXT_INFO = {
  key: value for key, value in INFO.items() if key != "supervisedKeys"
} | {
  "splits": [
    {"name": "train", "shardLengths": ["1"], "numBytes": "1100"},
    {"name": "test", "shardLengths": ["1"], "numBytes": "400"},
  ]
}
TEXT_SHARDS = (
  "small-train.array_record-00000-of-00001",
  "small-test.array_record-00000-of-00001",
)


def read_text(folder: pathlib.Path, info: Any, size: int | None) -> Prepared:
  for shard in TEXT_SHARDS:
    (folder / shard).touch()
  (folder / "dataset_info.json").write_text(json.dumps(info))
  (folder / "features.json").write_text(json.dumps(as_stored(text=TEXT)))
  return read_metadata("small", folder, size)


def test_the_passages_of_a_text_are_counted_without_reading_it(
  tmp_path: pathlib.Path,
):
  facts = read_text(tmp_path, TEXT_INFO, 99).facts
  assert (facts.train_examples, facts.test_examples) == (10, 3)
  assert (facts.kind, facts.input_shape) == ("tokens", (99,))
  assert facts.labels == {"label": 257}
  other = read_text(tmp_path, TEXT_INFO, 100).facts
  assert other.fingerprint != facts.fingerprint


@pytest.mark.parametrize(
  ("lengths", "size", "message"),
  [
    (["2"], 99, r"each split is one text, and 'train' has more"),
    (["1"], 2000, r"has in 'train' no passage of 2001 bytes"),
  ],
)
def test_texts_that_cannot_be_read_on_are_told(
  lengths: list[str], size: int, message: str, tmp_path: pathlib.Path
):
  info = copy.deepcopy(TEXT_INFO)
  info["splits"][0]["shardLengths"] = lengths
  with pytest.raises(DataError, match=message):
    read_text(tmp_path, info, size)


def test_labels_that_are_held_back_are_no_test(tmp_path: pathlib.Path):
  validation = {"name": "validation", "shardLengths": ["7"]}
  splits = [*INFO["splits"], validation]
  info = INFO | {"name": "glue", "splits": splits}
  for split, shards in (("train", 2), ("validation", 1)):
    for i in range(shards):
      name = f"glue-{split}.array_record-{i:05d}-of-{shards:05d}"
      (tmp_path / name).touch()
  facts = read(tmp_path, info, FEATURES).facts
  assert (facts.test_split, facts.test_examples) == ("validation", 7)
  assert facts.validation_examples == 0


def test_a_training_split_alone_gives_a_share_to_the_test(
  tmp_path: pathlib.Path,
):
  prepared = read(tmp_path, INFO | {"splits": INFO["splits"][:1]}, FEATURES)
  facts = prepared.facts
  assert (facts.train_examples, facts.test_examples) == (80, 20)
  assert (facts.test_split, facts.validation_examples) == ("train", 0)
  assert tuple(shard.name for shard in prepared.shards) == SHARDS[:2]


def test_a_validation_split_beside_the_test_is_told(tmp_path: pathlib.Path):
  shard = "small-validation.array_record-00000-of-00001"
  (tmp_path / shard).touch()
  validation = {"name": "validation", "shardLengths": ["7"]}
  info = INFO | {"splits": [*INFO["splits"], validation]}
  prepared = read(tmp_path, info, FEATURES)
  facts = prepared.facts
  assert (facts.test_split, facts.test_examples) == ("test", 20)
  assert (facts.train_examples, facts.validation_examples) == (100, 7)
  assert shard in {path.name for path in prepared.shards}


JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3)
  ),
  max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
  keys = (
    list(value)
    if isinstance(value, dict)
    else range(len(value))
    if isinstance(value, list)
    else ()
  )
  return [path] + [
    place for key in keys for place in places(value[key], (*path, key))
  ]


WHOLE = {"info": INFO, "features": FEATURES}


@settings(deadline=None)
@given(place=st.sampled_from(places(WHOLE)[3:]), junk=JSON)
def test_no_junk_in_the_metadata_gets_through_as_a_traceback(
  place: tuple[Any, ...], junk: Any
):
  whole = copy.deepcopy(WHOLE)
  inner: Any = whole
  for key in place[:-1]:
    inner = inner[key]
  inner[place[-1]] = junk
  with tempfile.TemporaryDirectory() as folder:
    try:
      read(pathlib.Path(folder), whole["info"], whole["features"])
    except DataError as error:
      assert "\n" not in str(error)
