import pathlib
import shutil
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.registered import skip_registration

from jaxpower.data import DataError, describe, load
from jaxpower.data.validation import Rows

GREY = ("grey", (8, 8, 1), 3, "test")
COLOUR = ("colour", (5, 7, 3), 4, "validation")
EXAMPLES = {"train": 130, "test": 30, "validation": 30}


def inputs_of(split: str, shape: tuple[int, ...]) -> np.ndarray:
  rng = np.random.default_rng(EXAMPLES[split] + len(split))
  return rng.integers(0, 256, (EXAMPLES[split], *shape), np.uint8)


class SmallSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Real PNG images of noise, with an identity that jaxpower ignores."""

  VERSION = tfds.core.Version("1.2.0")
  shape: tuple[int, ...] = ()
  classes = 1
  splits: tuple[str, ...] = ()
  supervised: tuple[str, str] | None = ("image", "label")

  def _features(self) -> dict[str, Any]:
    return {
      "id": tfds.features.Text(),
      "image": tfds.features.Image(shape=self.shape),
      "label": tfds.features.ClassLabel(num_classes=self.classes),
    }

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(self._features()),
      supervised_keys=self.supervised,
      homepage="https://example.org/noise",
    )

  def _split_generators(self, dl_manager: object) -> dict[str, Any]:
    return {split: self._generate_examples(split) for split in self.splits}

  def _generate_examples(self, split: str) -> Iterator[tuple[int, Any]]:
    for i, pixels in enumerate(inputs_of(split, self.shape)):
      yield i, self._example(i, pixels)

  def _example(self, i: int, pixels: np.ndarray) -> dict[str, Any]:
    image = Image.fromarray(pixels.squeeze())
    return {"id": str(i), "image": image, "label": i % self.classes}


def prepare_small(
  data_dir: pathlib.Path, name: str, base: type = SmallSet, **facts: Any
) -> pathlib.Path:
  with skip_registration():
    builder_class = type(name, (base,), {"name": name, **facts})
  builder = builder_class(data_dir=data_dir, file_format="array_record")
  builder.download_and_prepare()
  return pathlib.Path(builder.data_dir)


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  data_dir = tmp_path_factory.mktemp("tfds")
  for name, shape, classes, test_split in (GREY, COLOUR):
    prepare_small(
      data_dir,
      name,
      shape=shape,
      classes=classes,
      splits=("train", test_split),
    )
  return data_dir


@pytest.fixture
def data_dir(
  prepared_dir: pathlib.Path, tmp_path: pathlib.Path
) -> pathlib.Path:
  return shutil.copytree(prepared_dir, tmp_path / "tfds")


@pytest.mark.parametrize(
  ("name", "shape", "classes", "test_split"), [GREY, COLOUR]
)
def test_a_prepared_set_is_described_and_read(
  name: str,
  shape: tuple[int, ...],
  classes: int,
  test_split: str,
  data_dir: pathlib.Path,
):
  facts = describe(name, data_dir)
  assert (facts.name, facts.version, facts.test_split) == (
    name,
    "1.2.0",
    test_split,
  )
  assert (facts.train_examples, facts.test_examples) == (130, 30)
  assert (facts.input_shape, facts.input_dtype) == (shape, "uint8")
  assert facts.classes == classes
  assert "https://example.org/noise" in facts.source
  assert facts.fingerprint.startswith(f"tfds:{name}:1.2.0:sha256:")

  data = load(name, data_dir)
  assert data.facts == facts
  assert data.mean.shape == data.std.shape == (shape[-1],)
  for split, arrays in (("train", data.train), (test_split, data.test)):
    # tensorflow-datasets shuffles, so the sets are compared as sets.
    expected = {
      (pixels.tobytes(), i % classes)
      for i, pixels in enumerate(inputs_of(split, shape))
    }
    assert arrays["input"].dtype == np.uint8
    assert arrays["label"].dtype == np.int32
    read = zip(arrays["input"], arrays["label"], strict=True)
    assert {(pixels.tobytes(), label) for pixels, label in read} == expected


def test_a_validation_split_of_its_own_decides(tmp_path: pathlib.Path):
  splits = ("train", "test", "validation")
  prepare_small(tmp_path, "three", shape=(4, 4, 1), classes=3, splits=splits)
  assert describe("three", tmp_path).validation_examples == 30
  assert load("three", tmp_path).validation is None
  for mapped in (False, True):
    sets = load("three", tmp_path, mapped=mapped, validation_share=0.5)
    assert sets.validation is not None
    assert len(sets.validation["label"]) == 30
    assert sets.left is None
    seen = {pixels.tobytes() for pixels in sets.validation["input"]}
    wanted = inputs_of("validation", (4, 4, 1))
    assert seen == {pixels.tobytes() for pixels in wanted}


def test_a_training_split_alone_is_divided_once(tmp_path: pathlib.Path):
  prepare_small(
    tmp_path, "alone", shape=(4, 4, 1), classes=5, splits=("train",)
  )
  facts = describe("alone", tmp_path)
  assert (facts.train_examples, facts.test_examples) == (104, 26)
  assert facts.test_split == "train"
  sets, again = load("alone", tmp_path), load("alone", tmp_path, mapped=True)
  assert sets.sha256 == again.sha256
  parts = [
    {pixels.tobytes() for pixels in split["input"]}
    for split in (sets.train, sets.test)
  ]
  assert [len(part) for part in parts] == [104, 26]
  everything = inputs_of("train", (4, 4, 1))
  assert parts[0] | parts[1] == {pixels.tobytes() for pixels in everything}
  assert set(np.bincount(sets.test["label"])) <= {5, 6}


def test_a_mapped_set_keeps_what_it_holds_back_on_disk(
  data_dir: pathlib.Path,
):
  mapped = load("grey", data_dir, mapped=True, validation_share=0.2)
  copied = load("grey", data_dir, validation_share=0.2)
  assert mapped.validation is not None
  assert copied.validation is not None
  assert isinstance(mapped.validation["input"], Rows)
  assert isinstance(mapped.train["input"], np.memmap)
  for name, values in copied.validation.items():
    np.testing.assert_array_equal(mapped.validation[name][:], values)
    assert mapped.validation[name].shape == values.shape
    assert mapped.validation[name].nbytes == values.nbytes
  np.testing.assert_array_equal(mapped.left, copied.left)


def test_the_second_reading_comes_from_the_cache(
  data_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  first = load("grey", data_dir)

  def not_again(*_: object, **__: object) -> None:
    raise AssertionError("decoded a second time")

  monkeypatch.setattr(tfds, "builder_from_directory", not_again)
  second = load("grey", data_dir)
  assert first.sha256 == second.sha256
  assert first.facts == second.facts


def test_a_mapped_set_is_the_same_and_stays_on_disk(data_dir: pathlib.Path):
  for _ in ("made and mapped", "found and mapped"):
    mapped = load("grey", data_dir, mapped=True)
    for split in (mapped.train, mapped.test):
      assert all(isinstance(array, np.memmap) for array in split.values())
    assert mapped.sha256 == load("grey", data_dir).sha256


def test_a_damaged_cache_is_made_again(
  data_dir: pathlib.Path, caplog: pytest.LogCaptureFixture
):
  first = load("grey", data_dir)
  cached = data_dir / "grey/1.2.0/jaxpower.npz"
  content = bytearray(cached.read_bytes())
  content[len(content) // 3] ^= 0xFF
  cached.write_bytes(content)
  assert load("grey", data_dir).sha256 == first.sha256
  assert "is damaged" in caplog.text
  caplog.clear()
  assert load("grey", data_dir).sha256 == first.sha256
  assert "is damaged" not in caplog.text


def test_a_set_prepared_again_is_not_taken_from_the_old_cache(
  data_dir: pathlib.Path,
):
  first = load("grey", data_dir)
  folder = data_dir / "grey/1.2.0"
  cached = (folder / "jaxpower.npz").read_bytes()
  shutil.rmtree(folder)
  prepare_small(
    data_dir, "grey", shape=(8, 8, 1), classes=2, splits=("train", "test")
  )
  (folder / "jaxpower.npz").write_bytes(cached)
  again = load("grey", data_dir)
  assert again.facts.classes == 2
  assert again.sha256 != first.sha256


def test_the_newest_version_is_taken_unless_one_is_named(
  data_dir: pathlib.Path,
):
  newer = {"shape": (8, 8, 1), "classes": 3, "splits": ("train", "test")}
  prepare_small(data_dir, "grey", VERSION=tfds.core.Version("1.10.0"), **newer)
  assert describe("grey", data_dir).version == "1.10.0"
  assert describe("grey:1.2.0", data_dir).version == "1.2.0"
  with pytest.raises(DataError, match=r"version 9\.0\.0.*1\.2\.0, 1\.10\.0"):
    describe("grey:9.0.0", data_dir)


def test_the_environment_names_the_folder(
  data_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
  assert describe("grey").train_examples == 130


@pytest.mark.parametrize(
  ("name", "message"),
  [
    (
      "cifar10",
      r"not prepared in .*fix: python scripts/prepare_data\.py "
      r"--data=cifar10 --data_dir=",
    ),
    ("cifar10:3.0.2", r"prepare_data\.py --data=cifar10:3\.0\.2 "),
    ("cifr10", "did you mean 'cifar10'"),
    ("gray", "did you mean 'grey'"),
    ("fashion_mnist_6", "did you mean 'fashion_mnist_6k'"),
    ("zzz", r"no data set 'zzz'; there are .*fashion_mnist_6k"),
    ("../grey", r"\.\./grey: No such file or directory"),  # a user's own
    ("", "not the name of a data set"),
  ],
)
def test_a_set_that_is_not_there_is_said_at_once(
  name: str,
  message: str,
  data_dir: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
):
  def no_network(*_: object, **__: object) -> None:
    raise AssertionError("went to the network")

  monkeypatch.setattr(socket, "getaddrinfo", no_network)
  begin = time.monotonic()
  for ask in (describe, load):
    with pytest.raises(DataError, match=message) as error:
      ask(name, data_dir)
    assert "\n" not in str(error.value)
  assert time.monotonic() - begin < 1


@pytest.mark.parametrize(
  "damage", ["no info", "no shard", "cut info", "empty info", "cut shard"]
)
def test_half_a_set_is_not_taken_for_one(damage: str, data_dir: pathlib.Path):
  folder = data_dir / "grey/1.2.0"
  info = folder / "dataset_info.json"
  shard = folder / "grey-train.array_record-00000-of-00001"
  if damage == "no info":
    info.unlink()
  elif damage == "no shard":
    shard.unlink()
  elif damage == "cut info":
    info.write_bytes(info.read_bytes()[:200])
  elif damage == "empty info":
    info.write_text("[]")
  else:
    shard.write_bytes(shard.read_bytes()[:100])
  with pytest.raises(DataError, match=r"not whole \(.*fix: delete") as error:
    load("grey", data_dir)
  assert "\n" not in str(error.value)


class TensorSet(SmallSet, skip_registration=True):
  """Numbers instead of images, and no advice which feature is which."""

  supervised = None

  def _features(self) -> dict[str, Any]:
    return {
      "signal": tfds.features.Tensor(shape=(4, 2), dtype=np.float32),
      "kind": tfds.features.ClassLabel(num_classes=2),
    }

  def _example(self, i: int, pixels: np.ndarray) -> dict[str, Any]:
    return {"signal": np.full((4, 2), i, np.float32), "kind": i % 2}


def test_a_set_of_tensors_is_read(tmp_path: pathlib.Path):
  prepare_small(
    tmp_path, "signals", TensorSet, shape=(1,), splits=("train", "test")
  )
  data = load("signals", tmp_path)
  assert data.facts.input_dtype == "float32"
  assert data.train["input"].shape == (130, 4, 2)
  assert sorted(data.train["input"][:, 0, 0]) == list(range(130))
  np.testing.assert_array_equal(
    data.train["input"][:, 0, 0] % 2, data.train["label"]
  )
  np.testing.assert_allclose(data.mean, 64.5)


class UnlabelledSet(TensorSet, skip_registration=True):
  """The label -1 stands for none in tensorflow-datasets."""

  def _example(self, i: int, pixels: np.ndarray) -> dict[str, Any]:
    return {"signal": np.zeros((4, 2), np.float32), "kind": -1}


def test_a_set_without_labels_is_told(tmp_path: pathlib.Path):
  prepare_small(
    tmp_path, "odd", UnlabelledSet, shape=(1,), splits=("train", "test")
  )
  with pytest.raises(DataError, match="without a label in 'train'"):
    load("odd", tmp_path)


class BrokenSet(TensorSet, skip_registration=True):
  """One example in twenty has nothing measured."""

  def _example(self, i: int, pixels: np.ndarray) -> dict[str, Any]:
    signal = np.full((4, 2), np.nan if i % 20 == 0 else i, np.float32)
    return {"signal": signal, "kind": i % 2}


def test_inputs_that_are_no_numbers_are_refused(tmp_path: pathlib.Path):
  prepare_small(
    tmp_path, "torn", BrokenSet, shape=(1,), splits=("train", "test")
  )
  # 7 of the 130 of the training split
  with pytest.raises(DataError, match=r"5\.38 % of the inputs in 'train' are"):
    load("torn", tmp_path)
  assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize(
  "name", ["a" * 300, "a/" + "b" * 300, "a:1.2." + "3" * 99]
)
def test_a_name_that_no_folder_can_have_is_refused(
  name: str, tmp_path: pathlib.Path
):
  with pytest.raises(DataError, match="is not the name of a data set"):
    load(name, tmp_path)
