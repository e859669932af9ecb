import gzip
import hashlib
import pathlib

import numpy as np
import pytest

from jaxpower.data import DataError, debian

PUBLISHED_SHA256 = {
  "t10k-images-idx3-ubyte.gz": (
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
  ),
  "t10k-labels-idx1-ubyte.gz": (
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
  ),
  "train-images-idx3-ubyte.gz": (
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
  ),
  "train-labels-idx1-ubyte.gz": (
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
  ),
}


@pytest.fixture
def installed() -> pathlib.Path:
  folder = debian.find_files()
  if folder is None:
    pytest.skip(f"Debian's package {debian.PACKAGE} is not installed")
  return folder


def test_the_published_files_come_back_byte_for_byte(
  installed: pathlib.Path, tmp_path: pathlib.Path
):
  restored = debian.restore_published_files(installed, tmp_path / "published")
  sums = {
    file.name: hashlib.sha256(file.read_bytes()).hexdigest()
    for file in restored.iterdir()
  }
  assert sums == PUBLISHED_SHA256
  # What is published already stays as it is.
  again = debian.restore_published_files(restored, tmp_path / "again")
  for file in again.iterdir():
    assert file.read_bytes() == (restored / file.name).read_bytes()


def test_a_split_is_read(installed: pathlib.Path):
  split = debian.read_split(installed, "t10k")
  assert split["input"].shape == (10000, 28, 28, 1)
  assert np.bincount(split["label"]).tolist() == [1000] * 10


def make_files(folder: pathlib.Path) -> pathlib.Path:
  folder.mkdir(parents=True)
  for split in ("train", "t10k"):
    images = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4])
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])
    for part, content in (("images-idx3", images), ("labels-idx1", labels)):
      file = folder / f"{split}-{part}-ubyte.gz"
      file.write_bytes(gzip.compress(content))
  return folder


def test_the_files_are_found_where_they_may_be(tmp_path: pathlib.Path):
  folder = make_files(tmp_path / debian.INSTALLED)
  environ = {"JAXPOWER_FASHION_MNIST": str(tmp_path)}
  assert debian.find_files(str(tmp_path), {}) == folder
  assert debian.find_files(str(folder), {}) == folder
  assert debian.find_files(None, environ) == folder
  (folder / "t10k-labels-idx1-ubyte.gz").unlink()
  assert debian.find_files(None, environ) is None


def test_the_idx_format_is_read(tmp_path: pathlib.Path):
  split = debian.read_split(make_files(tmp_path / "files"), "train")
  assert split["input"].tolist() == [[[[1], [2]]], [[[3], [4]]]]
  assert split["label"].tolist() == [7, 9]


@pytest.mark.parametrize("kept", [0, 3, 30])
def test_a_cut_file_is_told(kept: int, tmp_path: pathlib.Path):
  folder = make_files(tmp_path / "files")
  file = folder / "train-images-idx3-ubyte.gz"
  file.write_bytes(file.read_bytes()[:kept])
  with pytest.raises(DataError, match=r"not a whole idx file.*fix: apt-get"):
    debian.read_split(folder, "train")
