import pathlib

import pytest
from test_folder_record_files import record

from jaxpower.folder import disk_space, durable, record_files
from jaxpower.folder.disk_space import LEAST_FREE, bytes_a_trial, shortage

KB = 4096  # a block of all usual file systems


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
  """Two trials, each with weights of ten blocks and a record."""
  for seed in range(2):
    written = record(seed)
    record_files.write(tmp_path, written)
    weights = tmp_path / "checkpoints" / written.trial_id / "state"
    weights.mkdir(parents=True)
    (weights / "array").write_bytes(b"x" * 10 * KB)
  return tmp_path


def test_a_trial_takes_what_those_recorded_took(folder: pathlib.Path) -> None:
  assert 10 * KB <= (bytes_a_trial(folder) or 0) <= 13 * KB
  record_files.write(folder, record(0, status="failed"))
  assert 10 * KB <= (bytes_a_trial(folder) or 0) <= 13 * KB, (
    "an attempt is no trial"
  )


def test_a_shortage_is_told_before_it_comes(
  folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  taken = bytes_a_trial(folder) or 0
  monkeypatch.setattr(durable, "free_bytes", lambda _: 9 * taken)
  assert shortage(folder, 9) == ""
  line = shortage(folder, 10)
  assert line.startswith(f"{folder}: {9 * taken:,} bytes are free; 10 more")
  assert f"need {10 * taken:,}; free some space" in line


def test_of_a_new_folder_only_a_full_disk_is_told(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  new = tmp_path / "new"
  assert bytes_a_trial(new) is None
  for free, short in (
    (LEAST_FREE, False),
    (LEAST_FREE - 1, True),
    (None, False),
  ):
    monkeypatch.setattr(disk_space.durable, "free_bytes", lambda _, f=free: f)
    assert bool(shortage(new, 1000)) is short
