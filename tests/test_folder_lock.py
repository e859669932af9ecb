"""The lock is tried between processes, since that is what it is for."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jaxpower.config import ConfigError
from jaxpower.folder import lock as folder_lock
from jaxpower.folder.lock import LOCK, locked

HOLDER = """
import pathlib, subprocess, sys
from jaxpower.folder.lock import locked
with locked(pathlib.Path(sys.argv[1])) as lock:
  child = subprocess.Popen(
    ["sleep", "60"], pass_fds=[lock.descriptor], stdout=subprocess.DEVNULL
  )
  print(child.pid, flush=True)
  sys.stdin.read()
"""


def free(folder: pathlib.Path) -> bool:
  try:
    with locked(folder):
      return True
  except ConfigError:
    return False


def test_whoever_is_refused_is_told_who_writes(tmp_path: pathlib.Path) -> None:
  with locked(tmp_path), pytest.raises(ConfigError) as error, locked(tmp_path):
    raise AssertionError("two runs hold one folder")
  line = str(error.value)
  host = os.uname().nodename
  assert f"the run on {host}, pid {os.getpid()}, since 20" in line
  assert f" UTC, is writing to {tmp_path}; wait for it or name" in line
  assert "\n" not in line
  assert free(tmp_path)


@pytest.mark.parametrize(
  "content",
  [b"", b"[]", b"{", b"\xff", b"[" * 4096, b'{"host": 1, "pid": "x"}'],
)
def test_a_lock_file_that_says_nothing_still_locks(
  tmp_path: pathlib.Path, content: bytes
) -> None:
  with locked(tmp_path):
    (tmp_path / LOCK).write_bytes(content)
    with pytest.raises(ConfigError, match=r"^another run is writing"):
      locked(tmp_path).__enter__()


def test_a_host_cannot_write_to_the_terminal(tmp_path: pathlib.Path) -> None:
  holder = {"host": "\x1b[2J\n", "pid": 1, "since": "2026-11-26T12:03:00+00:00"}
  with locked(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps(holder))
    with pytest.raises(ConfigError) as error:
      locked(tmp_path).__enter__()
  assert "the run on ?[2J?, pid 1, since 2026-11-26 12:03 UTC," in str(
    error.value
  )


def test_a_child_that_has_the_descriptor_holds_the_folder(
  tmp_path: pathlib.Path,
) -> None:
  """Free only when both are gone, though the parent was killed."""
  parent = subprocess.Popen(
    [sys.executable, "-c", HOLDER, str(tmp_path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert parent.stdin is not None
  assert parent.stdout is not None
  child = int(parent.stdout.readline())
  assert not free(tmp_path)
  parent.kill()
  parent.wait()
  assert not free(tmp_path)
  os.kill(child, signal.SIGKILL)
  deadline = time.monotonic() + 10
  while not free(tmp_path) and time.monotonic() < deadline:
    time.sleep(0.01)
  assert free(tmp_path), "a lock outlives the processes that held it"
  parent.stdin.close()
  parent.stdout.close()


def test_a_folder_nothing_was_written_into_is_gone_again(
  tmp_path: pathlib.Path,
) -> None:
  folder = tmp_path / "runs" / "batch"
  with locked(folder):
    pass
  assert list(tmp_path.iterdir()) == []
  with locked(folder):
    (folder / "sweep.json").touch()
  with locked(folder):
    pass
  assert {path.name for path in folder.iterdir()} == {LOCK, "sweep.json"}


def test_a_folder_that_was_there_stays(tmp_path: pathlib.Path) -> None:
  with locked(tmp_path):
    pass
  assert list(tmp_path.iterdir()) == []


def test_a_lock_file_removed_meanwhile_is_made_again(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Between opening and locking, the run that has it may remove it."""
  flock, opened = folder_lock.fcntl.flock, []

  def late(descriptor: int, how: int) -> None:
    if not opened:
      (tmp_path / LOCK).unlink()
    opened.append(descriptor)
    flock(descriptor, how)

  monkeypatch.setattr(folder_lock.fcntl, "flock", late)
  with locked(tmp_path) as lock:
    assert len(opened) == 2
    assert lock.holds()
    assert (tmp_path / LOCK).exists()


def test_another_folder_at_the_path_is_not_the_one_that_was_locked(
  tmp_path: pathlib.Path,
) -> None:
  folder = tmp_path / "run"
  folder.mkdir()
  with locked(folder) as lock:
    assert lock.holds()
    folder.rename(tmp_path / "moved")
    assert not lock.holds()
    folder.mkdir()
    (folder / LOCK).touch()
    assert not lock.holds()


def test_a_file_system_without_locks_is_named(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def refuse(descriptor: int, how: int) -> None:
    raise OSError(folder_lock.errno.ENOLCK, "No locks available")

  monkeypatch.setattr(folder_lock.fcntl, "flock", refuse)
  with pytest.raises(ConfigError, match="without file locks") as error:
    locked(tmp_path / "run").__enter__()
  assert "--out" in str(error.value)
  assert [path.name for path in tmp_path.iterdir()] == []
