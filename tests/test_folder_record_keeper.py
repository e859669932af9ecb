import errno
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import pytest
from test_folder_record_files import record

from jaxpower.folder import durable, record_files, record_keeper
from jaxpower.folder.lock import FolderLock, locked
from jaxpower.records import RecordError


@pytest.fixture
def lock(tmp_path: pathlib.Path):
  (tmp_path / "run").mkdir()
  with locked(tmp_path / "run") as held:
    yield held


@pytest.fixture(autouse=True)
def quick(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> list[float]:
  """Sleeps at once; what is put elsewhere goes into the test's own folder."""
  slept: list[float] = []
  monkeypatch.setattr(record_keeper.time, "sleep", slept.append)
  monkeypatch.setattr(
    record_keeper.time, "monotonic", lambda: float(sum(slept))
  )
  (tmp_path / "spare").mkdir()
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spare"))
  return slept


def full(
  monkeypatch: pytest.MonkeyPatch, times: int, fault: int = errno.ENOSPC
) -> None:
  """Makes the disk of the run folder fail so many times."""
  fsync, left = os.fsync, [times]

  def fail(descriptor: int) -> None:
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if "/run/" in path and left[0]:
      left[0] -= 1
      raise OSError(fault, os.strerror(fault))
    fsync(descriptor)

  monkeypatch.setattr(durable.os, "fsync", fail)


def test_a_record_waits_until_there_is_space(
  lock: FolderLock, monkeypatch: pytest.MonkeyPatch, quick: list[float]
) -> None:
  full(monkeypatch, times=3)
  told: list[str] = []
  record_keeper.keep(lock, record(), told.append)
  assert list(record_files.read(lock.folder).records) == [record()]
  path = lock.folder / "records" / f"{record().trial_id}.json"
  assert told[0].startswith(f"cannot write {path}: No space left on device (")
  assert " bytes free); free some space; the trial has ended" in told[0]
  assert told[1:] == [f"the record of {record().trial_id} is written now"]
  assert sum(quick) == 3 * record_keeper.RETRY_SECONDS


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_record_that_waited_in_vain_is_put_elsewhere(
  lock: FolderLock,
  monkeypatch: pytest.MonkeyPatch,
  tmp_path: pathlib.Path,
  quick: list[float],
  fault: int,
) -> None:
  full(monkeypatch, times=10**6, fault=fault)
  with pytest.raises(RecordError, match=os.strerror(fault)) as error:
    record_keeper.keep(lock, record(), patience_seconds=60)
  assert sum(quick) == 60
  name = record().trial_id
  spare = tmp_path / "spare" / f"jaxpower-{name}.json"
  goal = lock.folder / "records" / f"{name}.json"
  line = str(error.value)
  assert f"the record lies in {spare}: move it to {goal}" in line
  assert "\n" not in line
  spare.rename(goal)  # as the line says
  assert list(record_files.read(lock.folder).records) == [record()]


def test_an_interrupt_while_waiting_loses_nothing(
  lock: FolderLock, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
  full(monkeypatch, times=10**6)
  told: list[str] = []

  def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt

  monkeypatch.setattr(record_keeper.time, "sleep", interrupt)
  with pytest.raises(KeyboardInterrupt):
    record_keeper.keep(lock, record(), told.append)
  spare = tmp_path / "spare" / f"jaxpower-{record().trial_id}.json"
  assert json.loads(spare.read_text())["trial_id"] == record().trial_id
  assert str(spare) in told[-1]


def test_a_stop_while_waiting_ends_it_and_loses_nothing(
  lock: FolderLock, tmp_path: pathlib.Path, quick: list[float]
) -> None:
  shutil.rmtree(lock.folder)
  told: list[str] = []
  asked = iter([False] * 3)
  kept = record_keeper.keep(
    lock, record(), told.append, stop=lambda: next(asked, True)
  )
  assert not kept
  assert sum(quick) < 3  # it was asked for at the second 1.5
  spare = tmp_path / "spare" / f"jaxpower-{record().trial_id}.json"
  assert json.loads(spare.read_text())["trial_id"] == record().trial_id
  assert str(spare) in told[-1]


def test_where_no_disk_takes_it_the_record_is_in_the_line(
  lock: FolderLock, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
  full(monkeypatch, times=10**6)
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
  with pytest.raises(RecordError, match=r"nowhere on a disk: \{") as error:
    record_keeper.keep(lock, record(), patience_seconds=1)
  held = str(error.value).partition("nowhere on a disk: ")[2]
  assert json.loads(held)["train_joules"] == 212.5


def remove(folder: pathlib.Path) -> None:
  shutil.rmtree(folder)


def mount_away(folder: pathlib.Path) -> None:
  """As an unmounted disk: the folder below it has the same path."""
  folder.rename(folder.with_name("disk"))
  folder.mkdir()
  (folder / "run.lock").touch()


@pytest.mark.parametrize("vanish", [remove, mount_away])
def test_a_folder_that_vanished_is_not_written_anew(
  lock: FolderLock,
  tmp_path: pathlib.Path,
  vanish: Callable[[pathlib.Path], None],
) -> None:
  record_keeper.keep(lock, record(0))
  vanish(lock.folder)
  before = sorted(tmp_path.rglob("*"))
  with pytest.raises(RecordError, match="is its disk still mounted") as error:
    record_keeper.keep(lock, record(1), patience_seconds=10)
  after = sorted(tmp_path.rglob("*"))
  spare = tmp_path / "spare" / f"jaxpower-{record(1).trial_id}.json"
  assert set(after) - set(before) == {spare}
  assert str(spare) in str(error.value)


def test_a_folder_that_came_back_gets_its_record(
  lock: FolderLock, monkeypatch: pytest.MonkeyPatch
) -> None:
  away = lock.folder.with_name("disk")
  lock.folder.rename(away)
  sleep = record_keeper.time.sleep

  def come_back(seconds: float) -> None:
    sleep(seconds)
    if away.exists():
      away.rename(lock.folder)

  monkeypatch.setattr(record_keeper.time, "sleep", come_back)
  assert record_keeper.keep(lock, record())
  assert list(record_files.read(lock.folder).records) == [record()]
