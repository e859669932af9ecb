import logging
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from jaxpower.data import cache

Read = Callable[[pathlib.Path, str], dict[str, np.ndarray] | None]
ARRAYS = {
  "input": np.arange(6000, dtype=np.uint8).reshape(1000, 6),
  "label": np.arange(1000, dtype=np.int32),
}


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
  file = tmp_path / "arrays.npz"
  cache.write(file, "version 1", ARRAYS)
  return file


@pytest.fixture(params=[cache.read, cache.map_arrays])
def read(request: pytest.FixtureRequest) -> Read:
  return request.param


def test_what_was_written_is_read(file: pathlib.Path, read: Read):
  arrays = read(file, "version 1")
  assert arrays is not None
  assert arrays.keys() == ARRAYS.keys()
  for name, array in ARRAYS.items():
    np.testing.assert_array_equal(arrays[name], array)
    assert arrays[name].dtype == array.dtype
  assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_another_key_is_another_cache(file: pathlib.Path, read: Read):
  assert read(file, "version 2") is None


def test_an_absent_cache_is_no_event(
  read: Read, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
):
  assert read(tmp_path / "arrays.npz", "version 1") is None
  assert not caplog.records


def test_every_damaged_byte_of_an_array_is_seen(
  file: pathlib.Path, read: Read, caplog: pytest.LogCaptureFixture
):
  whole = file.read_bytes()
  start = whole.index(ARRAYS["input"].tobytes())
  for place in (start, start + 3000, start + 5999):
    content = bytearray(whole)
    content[place] ^= 1
    file.write_bytes(content)
    assert read(file, "version 1") is None
  assert "damaged" in caplog.text


def test_a_member_that_claims_to_be_longer_is_seen(
  file: pathlib.Path, read: Read, caplog: pytest.LogCaptureFixture
):
  """Its checksum would be compared at an end that is never reached."""
  content = bytearray(file.read_bytes())
  content[content.index(ARRAYS["input"].tobytes())] ^= 1
  place = content.index(b"input.npy", content.index(b"PK\x01\x02"))
  for size in (20, 24):  # as it is stored, and unpacked: 65,536 bytes more
    content[place - 46 + size + 2] += 1
  file.write_bytes(content)
  assert read(file, "version 1") is None
  assert "damaged" in caplog.text


@pytest.mark.parametrize("length", [0, 1, 100, 6500, -1])
def test_a_cut_file_is_seen(
  length: int,
  file: pathlib.Path,
  read: Read,
  caplog: pytest.LogCaptureFixture,
):
  file.write_bytes(file.read_bytes()[:length])
  assert read(file, "version 1") is None
  assert "damaged" in caplog.text


def test_a_failed_write_is_told_and_leaves_the_old_file(
  file: pathlib.Path,
  read: Read,
  monkeypatch: pytest.MonkeyPatch,
  caplog: pytest.LogCaptureFixture,
):
  def full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(np, "savez", full_disk)
  with caplog.at_level(logging.WARNING):
    cache.write(file, "version 2", ARRAYS)
  assert "No space left" in caplog.text
  assert read(file, "version 1") is not None
  assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_mapped_arrays_stay_on_disk(file: pathlib.Path):
  arrays = cache.map_arrays(file, "version 1")
  assert arrays is not None
  for array in arrays.values():
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable
