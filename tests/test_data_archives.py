"""The stock builders on small archives of the published layout."""

import io
import pathlib
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds
import tensorflow_datasets.text  # glue and yelp are found only after this
from PIL import Image
from tensorflow_datasets.core.download import checksums

from jaxpower.data import DataError, DataSet, describe, load, prepare

TEXTS = ("Good film.", "Näh, bad film!", "x" * 300)


def tar(members: Mapping[str, bytes]) -> bytes:
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w:gz") as archive:
    for name, content in members.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return file.getvalue()


def prepared(
  name: str,
  files: Mapping[str, bytes],
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
) -> DataSet:
  """Prepares a set of which the stock builder believes the checksums."""
  folder = tmp_path / "published"
  folder.mkdir()
  for file, content in files.items():
    (folder / file).write_bytes(content)
  base = name.partition("@")[0].partition("/")[0]
  builder_class = tfds.builder_cls(base)
  infos = {
    url: checksums.compute_url_info(folder / str(info.filename))
    if str(info.filename) in files
    else info
    for url, info in (builder_class.url_infos or {}).items()
  }
  monkeypatch.setattr(builder_class, "url_infos", infos)
  data_dir = tmp_path / "tfds"
  done = prepare.prepare(name, data_dir, folder)
  assert "tensorflow" not in sys.modules
  assert [entry.name for entry in data_dir.iterdir()] == [base]
  assert describe(name, data_dir) == done.facts
  loaded = load(name, data_dir)
  assert loaded.facts == done.facts
  for split, examples in (
    (loaded.train, done.facts.train_examples),
    (loaded.test, done.facts.test_examples),
  ):
    assert split.keys() == {"input", *done.facts.labels}
    assert split["input"].shape == (examples, *done.facts.input_shape)
    assert split["input"].dtype == done.facts.input_dtype
  assert prepare.prepare(name, data_dir, folder).seconds is None
  return loaded


def texts(split: Mapping[str, np.ndarray]) -> list[tuple[str, int]]:
  """The texts back from their bytes, with their labels."""
  pairs = []
  for tokens, label in zip(split["input"], split["label"], strict=True):
    held = tokens[tokens > 0]
    # Padding stands at the end only.
    assert not tokens[len(held) :].any()
    text = (held - 1).astype(np.uint8).tobytes().decode()
    pairs.append((text, int(label)))
  return sorted(pairs)


def test_ag_news(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  rows = "".join(f'"{i + 1}","Title","{t}"\n' for i, t in enumerate(TEXTS))
  archive = tar(
    {
      "ag_news_csv/train.csv": rows.encode(),
      "ag_news_csv/test.csv": b'"4","Title","Science, they say"\n',
    }
  )
  data = prepared(
    "ag_news_subset", {"ag_news_csv.tar.gz": archive}, tmp_path, monkeypatch
  )
  facts = data.facts
  assert (facts.kind, facts.input_shape, facts.vocabulary) == (
    "tokens",
    (256,),
    257,
  )
  assert facts.labels == {"label": 4}
  assert texts(data.train) == [
    ("Good film.", 0),
    ("Näh, bad film!", 1),
    ("x" * 256, 2),
  ]
  assert texts(data.test) == [("Science, they say", 3)]
  assert (data.mean.shape, float(data.std)) == ((), 1.0)


def test_imdb_with_a_length_of_ones_own(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  archive = tar(
    {
      "aclImdb/train/pos/0_9.txt": TEXTS[0].encode(),
      "aclImdb/train/neg/0_1.txt": TEXTS[1].encode(),
      "aclImdb/train/unsup/0_0.txt": b"no label",
      "aclImdb/test/pos/0_9.txt": TEXTS[2].encode(),
    }
  )
  files = {"aclImdb_v1.tar.gz": archive}
  data = prepared("imdb_reviews@300", files, tmp_path, monkeypatch)
  assert texts(data.train) == [("Good film.", 1), ("Näh, bad film!", 0)]
  assert texts(data.test) == [("x" * 300, 1)]
  # The default config is found without its name, and each length apart.
  other = load("imdb_reviews@10", tmp_path / "tfds")
  assert ("Good film.", 1) in texts(other.train)
  assert other.facts.fingerprint != data.facts.fingerprint
  folder = tmp_path / "tfds/imdb_reviews/plain_text/1.0.0"
  caches = {file.name for file in folder.glob("*.npz")}
  assert caches == {"jaxpower-300.npz", "jaxpower-10.npz"}


def test_one_of_several_configs_must_be_named(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  parts = ("train/pos", "train/unsup", "test/pos")
  archive = tar({f"aclImdb/{part}/0.txt": b"Good." for part in parts})
  files = {"aclImdb_v1.tar.gz": archive}
  prepared("imdb_reviews", files, tmp_path, monkeypatch)
  home = tmp_path / "tfds/imdb_reviews"
  shutil.copytree(home / "plain_text", home / "words")
  message = (
    "which data set of 'imdb_reviews'.*imdb_reviews/plain_text, imdb_rev"
  )
  for ask in (describe, load):
    with pytest.raises(DataError, match=message):
      ask("imdb_reviews", tmp_path / "tfds")
  data = load("imdb_reviews/plain_text", tmp_path / "tfds")
  assert texts(data.train) == [("Good.", 1)]


def test_sst2_is_tested_where_it_has_labels(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w") as archive:
    archive.writestr("SST-2/train.tsv", "sentence\tlabel\ngood\t1\nbad\t0\n")
    archive.writestr("SST-2/dev.tsv", "sentence\tlabel\nfine\t1\n")
    archive.writestr("SST-2/test.tsv", "index\tsentence\n0\tso so\n")
  files = {"SST-2.zip": file.getvalue()}
  data = prepared("glue/sst2", files, tmp_path, monkeypatch)
  assert data.facts.test_split == "validation"
  assert texts(data.train) == [("bad", 0), ("good", 1)]
  assert texts(data.test) == [("fine", 1)]


def test_yelp(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  archive = tar(
    {
      "yelp_review_polarity_csv/train.csv": b'"1","Cold."\n"2","Warm."\n',
      "yelp_review_polarity_csv/test.csv": b'"2","Tasty."\n',
    }
  )
  files = {"yelp_review_polarity_csv.tgz": archive}
  data = prepared("yelp_polarity_reviews", files, tmp_path, monkeypatch)
  assert texts(data.train) == [("Cold.", 0), ("Warm.", 1)]
  assert texts(data.test) == [("Tasty.", 1)]


def test_tiny_shakespeare(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  text = "".join(chr(33 + i * i % 90) for i in range(4000)).encode()
  files = {"input.txt": text}
  data = prepared("tiny_shakespeare@20", files, tmp_path, monkeypatch)
  facts = data.facts
  assert (facts.classes, facts.vocabulary) == (257, 257)
  # 90 % of the text, and half of the rest; what a record adds to its text is
  # known roughly only, so that the last 64 bytes may be left.
  assert (3600 - 64) // 21 <= facts.train_examples <= 3600 // 21
  assert (200 - 64) // 21 <= facts.test_examples <= 200 // 21
  for split, part in ((data.train, text[:3600]), (data.test, text[3800:])):
    assert split["label"].dtype == np.int32
    read = np.concatenate([split["input"], split["label"][:, -1:]], axis=1) - 1
    assert read.astype(np.uint8).tobytes() == part[: read.size]
    np.testing.assert_array_equal(split["input"][:, 1:], split["label"][:, :-1])


def test_a_text_shorter_than_a_passage_is_told(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  with pytest.raises(DataError, match="no passage of 257 bytes"):
    prepared("tiny_shakespeare", {"input.txt": b"short"}, tmp_path, monkeypatch)


def test_cifar100_has_a_further_label(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  rng = np.random.default_rng(0)
  rows = rng.integers(0, 256, (6, 2 + 3 * 32 * 32), np.uint8)
  rows[:, 0] %= 20
  rows[:, 1] %= 100
  names = {"coarse": 20, "fine": 100}
  archive = tar(
    {
      "cifar-100-binary/train.bin": rows[:4].tobytes(),
      "cifar-100-binary/test.bin": rows[4:].tobytes(),
    }
    | {
      f"cifar-100-binary/{name}_label_names.txt": "".join(
        f"{name}{i}\n" for i in range(count)
      ).encode()
      for name, count in names.items()
    }
  )
  files = {"cifar-100-binary.tar.gz": archive}
  data = prepared("cifar100", files, tmp_path, monkeypatch)
  assert data.facts.labels == {"label": 100, "coarse_label": 20}
  pairs = zip(data.train["coarse_label"], data.train["label"], strict=True)
  assert sorted(pairs) == sorted(map(tuple, rows[:4, :2].tolist()))


def test_svhn(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  rng = np.random.default_rng(0)
  files, images = {}, {}
  for split, count in (("train", 4), ("test", 2), ("extra", 1)):
    images[split] = rng.integers(0, 256, (32, 32, 3, count), np.uint8)
    label = 10 - np.arange(count, dtype=np.uint8)[:, None]
    file = io.BytesIO()
    scipy.io.savemat(file, {"X": images[split], "y": label})
    files[f"{split}_32x32.mat"] = file.getvalue()
  data = prepared("svhn_cropped", files, tmp_path, monkeypatch)
  # The digit 0 is published as 10.
  assert sorted(data.train["label"]) == [0, 7, 8, 9]
  first = data.train["input"][data.train["label"] == 0][0]
  np.testing.assert_array_equal(first, images["train"][..., 0])


def test_imagenette(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  builder: Any = tfds.builder("imagenette/160px-v2", data_dir=tmp_path)
  names = builder.info.features["label"].names
  members = {}
  for split, colours in (("train", (40, 90, 200)), ("val", (140,))):
    for i, colour in enumerate(colours):
      file = io.BytesIO()
      photo = Image.new("RGB", (213, 160), (colour,) * 3)
      photo.save(file, "jpeg")
      path = f"imagenette2-160/{split}/{names[i]}/{i}.JPEG"
      members[path] = file.getvalue()
  name, files = "imagenette/160px-v2", {"imagenette2-160.tgz": tar(members)}
  data = prepared(name, files, tmp_path, monkeypatch)
  assert data.facts.input_shape == (128, 128, 3)
  assert data.facts.test_split == "validation"
  shades = data.train["input"].mean(axis=(1, 2, 3))[
    np.argsort(data.train["label"])
  ]
  np.testing.assert_allclose(shades, [40, 90, 200], atol=1)
  smaller = load(f"{name}@32", tmp_path / "tfds")
  assert smaller.train["input"].shape == (3, 32, 32, 3)
