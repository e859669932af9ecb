import dataclasses
import errno
import gzip
import multiprocessing
import os
import pathlib
import re
from typing import Any

import pytest

from jaxpower import records
from jaxpower.config import Trial, to_dict, trial_id
from jaxpower.folder import durable, record_files
from jaxpower.folder.record_files import ARCHIVE, FOLDER, LINES
from jaxpower.records import RecordError, TrialRecord


def record(seed: int = 0, **fields: Any) -> TrialRecord:
  trial = Trial(batch_size=64, seed=seed)
  facts: dict[str, Any] = {
    "trial_id": trial_id(trial),
    "config": to_dict(trial),
    "varied": {"batch_size": 64},
    "seed": seed,
    "framework": "jax",
    "status": "reached",
    "target_accuracy": 0.8,
    "train_joules": 212.5,
  }
  return TrialRecord(**facts | fields)


def lines(
  folder: pathlib.Path, *written: TrialRecord, more: bytes = b""
) -> bytes:
  """Writes records as older versions did."""
  content = b"".join(records.to_json(r).encode() + b"\n" for r in written)
  (folder / LINES).write_bytes(content + more)
  return content + more


def archive(folder: pathlib.Path) -> pathlib.Path:
  """Packs the file of lines, as `gzip` does: the file itself is gone."""
  packed = folder / ARCHIVE
  packed.write_bytes(gzip.compress((folder / LINES).read_bytes(), mtime=0))
  (folder / LINES).unlink()
  return packed


def names(folder: pathlib.Path) -> set[str]:
  return {path.name for path in (folder / FOLDER).iterdir()}


def test_a_record_survives_the_disk(tmp_path: pathlib.Path) -> None:
  written = [record(seed) for seed in range(3)]
  for each in written:
    record_files.write(tmp_path, each)
  order = [each.trial_id for each in reversed(written)]
  found = record_files.read(tmp_path, order)
  assert list(found.records) == written[::-1]
  assert names(tmp_path) == {f"{name}.json" for name in order}


def test_no_folder_is_no_records(tmp_path: pathlib.Path) -> None:
  assert record_files.read(tmp_path / "nowhere") == record_files.Found()
  assert not record_files.exist(tmp_path)


def test_a_trial_run_again_keeps_what_it_replaces(
  tmp_path: pathlib.Path,
) -> None:
  attempts = [record(status="failed", error=str(n)) for n in range(3)]
  for each in attempts:
    record_files.write(tmp_path, each)
    record_files.write(tmp_path, each)  # the same again is no attempt
  name = attempts[0].trial_id
  assert names(tmp_path) == {f"{name}{n}.json" for n in ("", ".1", ".2")}
  found = record_files.read(tmp_path)
  assert list(found.records) == attempts
  assert found.newest == {name: attempts[2]}


def test_a_file_system_without_links_keeps_it_too(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def refuse(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")

  monkeypatch.setattr(os, "link", refuse)
  test_a_trial_run_again_keeps_what_it_replaces(tmp_path)


def _write_many(folder: str, seeds: range) -> None:
  for seed in seeds:
    record_files.write(pathlib.Path(folder), record(seed))


def test_many_writers_lose_nothing(tmp_path: pathlib.Path) -> None:
  """Also where two write the same trial."""
  context = multiprocessing.get_context("spawn")
  shares = [range(60), range(30, 90), range(120)]
  writers = [
    context.Process(target=_write_many, args=(str(tmp_path), seeds))
    for seeds in shares
  ]
  for writer in writers:
    writer.start()
  for writer in writers:
    writer.join()
    assert writer.exitcode == 0
  found = record_files.read(tmp_path, strict=True)
  assert {r.seed for r in found.records} == set(range(120))
  assert len(names(tmp_path)) == len(found.records) == 120


def test_what_an_older_version_wrote_is_read_and_never_written(
  tmp_path: pathlib.Path,
) -> None:
  old = [record(0, status="failed"), record(1)]
  content = lines(tmp_path, *old)
  again = record(0)
  record_files.write(tmp_path, again)
  record_files.write(tmp_path, record(2))
  found = record_files.read(tmp_path)
  assert list(found.records) == [old[0], again, old[1], record(2)]
  assert found.newest[again.trial_id] == again
  assert (tmp_path / LINES).read_bytes() == content
  packed = archive(tmp_path)
  assert record_files.read(tmp_path) == found
  assert record_files.places(tmp_path) == [packed, tmp_path / FOLDER]


def test_a_whole_line_without_its_newline_is_kept(
  tmp_path: pathlib.Path,
) -> None:
  content = lines(tmp_path, record(0), record(1)).rstrip(b"\n")
  (tmp_path / LINES).write_bytes(content)
  assert len(record_files.read(tmp_path, strict=True).records) == 2
  record_files.write(tmp_path, record(2))
  assert (tmp_path / LINES).read_bytes() == content


@pytest.mark.parametrize(
  "damage",
  [b"{", b"\x00" * 4096, b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a": 1}'],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_line_costs_one_trial(
  tmp_path: pathlib.Path, damage: bytes, packed: bool
) -> None:
  more = damage + b"\n" + records.to_json(record(2)).encode() + b"\r\n"
  lines(tmp_path, record(0), more=more)
  path = archive(tmp_path) if packed else tmp_path / LINES
  before = path.read_bytes()
  found = record_files.read(tmp_path)
  assert list(found.records) == [record(0), record(2)]
  (rejected,) = found.rejected
  assert (rejected.path, rejected.line) == (path, 2)
  assert str(rejected).startswith(f"{path}, line 2: ")
  assert "\n" not in str(rejected)
  record_files.set_aside(found.rejected)
  assert path.read_bytes() == before
  with pytest.raises(RecordError, match=r"line 2: .*without --strict"):
    record_files.read(tmp_path, strict=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "other", "folder"])
def test_a_damaged_file_is_set_aside_with_its_reason(
  tmp_path: pathlib.Path, damage: str
) -> None:
  for seed in range(3):
    record_files.write(tmp_path, record(seed))
  path = tmp_path / FOLDER / f"{record(1).trial_id}.json"
  whole = path.read_bytes()
  if damage == "folder":
    path.unlink()
    path.mkdir()
  else:
    other = records.to_json(record(0)).encode()
    path.write_bytes(
      {"cut": whole[:-9], "empty": b"", "zeros": b"\0" * 99, "other": other}[
        damage
      ]
    )
  found = record_files.read(tmp_path)
  assert {r.seed for r in found.records} == {0, 2}
  with pytest.raises(RecordError, match=re.escape(f"{path}: ")):
    record_files.read(tmp_path, strict=True)
  for _ in range(2):  # what is set aside stays so
    record_files.set_aside(found.rejected)
    assert record_files.read(tmp_path).rejected == ()
  rejected = tmp_path / FOLDER / "rejected"
  assert {p.name for p in rejected.iterdir()} == {
    path.name,
    f"{path.stem}.reason.txt",
  }
  reason = (rejected / f"{path.stem}.reason.txt").read_text()
  assert reason == f"{found.rejected[0].reason}\n"
  assert record_files.were_set_aside(tmp_path) == 1
  record_files.write(tmp_path, record(1))
  assert len(record_files.read(tmp_path, strict=True).records) == 3


def test_a_bad_sector_costs_one_trial(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  for seed in range(2):
    record_files.write(tmp_path, record(seed))
  bad, read = f"{record(0).trial_id}.json", pathlib.Path.read_bytes

  def read_bytes(path: pathlib.Path) -> bytes:
    if path.name == bad:
      raise OSError(errno.EIO, "Input/output error", str(path))
    return read(path)

  monkeypatch.setattr(pathlib.Path, "read_bytes", read_bytes)
  found = record_files.read(tmp_path)
  assert list(found.records) == [record(1)]
  assert found.rejected[0].reason == "cannot be read (Input/output error)"


def test_a_record_of_a_newer_version_is_not_run_again(
  tmp_path: pathlib.Path,
) -> None:
  lines(tmp_path, record(0), more=b'{"schema_version": 99}\n')
  with pytest.raises(
    RecordError, match="line 2: schema_version 99, not 1 to 2"
  ):
    record_files.read(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "header", "checksum"])
def test_a_damaged_archive_is_one_line(
  tmp_path: pathlib.Path, damage: str
) -> None:
  lines(tmp_path, record(0))
  packed = archive(tmp_path)
  content = bytearray(packed.read_bytes())
  if damage == "cut":
    del content[len(content) // 2 :]
  else:
    place = {"flipped": len(content) // 2, "header": 0, "checksum": -8}[damage]
    content[place] ^= 0xFF
  packed.write_bytes(content)
  with pytest.raises(RecordError) as error:
    record_files.read(tmp_path)
  assert str(error.value).startswith(f"{packed}: not a whole gzip file (")
  assert "\n" not in str(error.value)


def test_a_file_beside_its_archive_is_refused(tmp_path: pathlib.Path) -> None:
  content = lines(tmp_path, record(0))
  archive(tmp_path)
  (tmp_path / LINES).write_bytes(content)
  for look in (record_files.places, record_files.read):
    with pytest.raises(
      RecordError, match=r"also records\.jsonl\.gz; one .* must go"
    ):
      look(tmp_path)


def test_a_sweep_that_grows_names_its_records_anew(
  tmp_path: pathlib.Path,
) -> None:
  """Files are replaced, a line becomes a file; what is unknown stays."""
  content = lines(tmp_path, record(0), record(1))
  record_files.write(tmp_path, record(2, status="failed"))
  record_files.write(tmp_path, record(2, others={"from_later": 7}))
  varied = {"batch_size": 64, "transfer": "frozen from imu"}
  record_files.set_varied(
    tmp_path, {record(seed).trial_id: varied for seed in (0, 2)}
  )
  found = record_files.read(tmp_path)
  assert list(found.records) == [
    record(0, varied=varied),
    record(1),
    record(2, varied=varied, status="failed"),
    record(2, varied=varied, others={"from_later": 7}),
  ]
  assert (tmp_path / LINES).read_bytes() == content


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
def test_a_disk_that_fails_leaves_nothing_half_written(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  fault: int,
  call: str,
) -> None:
  older, newer = record(status="failed"), record()
  record_files.write(tmp_path, older)

  def fail(*_: object, **__: object) -> None:
    raise OSError(fault, os.strerror(fault))

  with monkeypatch.context() as broken:
    holder = pathlib.Path if call == "replace" else durable.os
    broken.setattr(holder, call, fail)
    with pytest.raises(OSError, match=os.strerror(fault)) as error:
      record_files.write(tmp_path, newer)
  path = tmp_path / FOLDER / f"{newer.trial_id}.json"
  assert error.value.filename == str(path)
  assert record_files.read(tmp_path).newest == {older.trial_id: older}
  assert not list((tmp_path / FOLDER).glob(".*"))
  record_files.write(tmp_path, newer)
  assert list(record_files.read(tmp_path).records)[-1] == newer


def test_a_folder_that_is_gone_is_not_made_again(
  tmp_path: pathlib.Path,
) -> None:
  with pytest.raises(FileNotFoundError):
    record_files.write(tmp_path / "gone", record())
  assert not (tmp_path / "gone").exists()


def test_the_same_write_twice_changes_nothing(tmp_path: pathlib.Path) -> None:
  record_files.write(tmp_path, record())
  before = names(tmp_path)
  record_files.write(tmp_path, dataclasses.replace(record()))
  assert names(tmp_path) == before
