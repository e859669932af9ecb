import errno
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from jaxpower.folder import claims
from jaxpower.folder.claims import STALE_SECONDS, TakenError, claimed

NAME = "0123456789ab"
CLAIM = (
  "import os, pathlib, sys, time\n"
  "from jaxpower.folder.claims import claimed\n"
  "with claimed(pathlib.Path(sys.argv[1]), sys.argv[2]):\n"
  "  print('held', flush=True)\n"
  "  sys.stdin.read()\n"
)


def holder(folder: pathlib.Path) -> subprocess.Popen[str]:
  """Starts another process that claims the trial, and waits until it has."""
  process = subprocess.Popen(
    [sys.executable, "-c", CLAIM, str(folder), NAME],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout is not None
  assert process.stdout.readline() == "held\n"
  return process


def foreign(folder: pathlib.Path, number: int, age: float) -> pathlib.Path:
  """Makes a claim of another machine that was touched so long ago."""
  path = folder / claims.FOLDER / f"{NAME}.{number}"
  path.parent.mkdir(parents=True, exist_ok=True)
  facts = {
    "host": "node7",
    "machine": "another",
    "pid": 1,
    "token": str(number),
  }
  path.write_text(json.dumps(facts | {"since": "2026-11-27T01:02:03+00:00"}))
  then = time.time() - age
  os.utime(path, (then, then))
  return path


def test_the_second_process_is_told_who_has_a_trial(
  tmp_path: pathlib.Path,
) -> None:
  with holder(tmp_path) as first:
    with pytest.raises(TakenError) as error, claimed(tmp_path, NAME):
      pass
    line = str(error.value)
    assert line.startswith(f"trial {NAME} is run by pid {first.pid} on ")
    assert "\n" not in line
    assert claims.living(tmp_path)
    with claimed(tmp_path, "another"):  # another trial is free
      pass
    first.communicate("")
  with claimed(tmp_path, NAME):  # it was let go
    pass
  assert os.listdir(tmp_path) == [], "nothing is left behind"


def test_the_claim_of_a_process_that_was_killed_is_free_at_once(
  tmp_path: pathlib.Path,
) -> None:
  with holder(tmp_path) as first:
    first.kill()
    first.wait()
    assert not claims.living(tmp_path)
    with claimed(tmp_path, NAME) as claim:
      assert claim.path.name == f"{NAME}.2"
  assert os.listdir(tmp_path) == []


def test_a_claim_of_another_node_is_free_when_it_is_stale(
  tmp_path: pathlib.Path,
) -> None:
  foreign(tmp_path, 1, STALE_SECONDS - 30)
  with pytest.raises(TakenError, match="pid 1 on node7, since 2026-11-27T01"):
    claims._made(tmp_path / claims.FOLDER, NAME)
  foreign(tmp_path, 1, STALE_SECONDS + 5)
  with claimed(tmp_path, NAME) as claim:
    assert claim.path.name == f"{NAME}.2"
    with pytest.raises(TakenError), claimed(tmp_path, NAME):
      pass


def test_of_many_that_take_over_one_succeeds(tmp_path: pathlib.Path) -> None:
  foreign(tmp_path, 1, STALE_SECONDS + 5)
  start, won, told = threading.Barrier(12), [], []

  def attempt() -> None:
    start.wait()
    try:
      won.append(claims._made(tmp_path / claims.FOLDER, NAME))
    except TakenError as error:
      told.append(str(error))

  threads = [threading.Thread(target=attempt) for _ in range(12)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert [path.name for path in won] == [f"{NAME}.2"]
  assert len(told) == 11


def test_a_holder_that_was_asleep_sees_that_it_was_taken_over(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
  with claimed(tmp_path, NAME) as claim:
    before = claim.path.stat().st_mtime_ns
    time.sleep(0.2)
    assert claim.path.stat().st_mtime_ns > before, "it gives signs of life"
    assert not claim.lost
    other = foreign(tmp_path, 2, 0.0)
    for _ in range(100):
      if claim.lost:
        break
      time.sleep(0.02)
    assert claim.lost
  assert other.exists(), "what another holds is not removed"


def test_a_disk_that_is_away_takes_no_claim(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
  away = tmp_path / "away"
  with claimed(tmp_path / "run", NAME) as claim:
    (tmp_path / "run").rename(away)
    time.sleep(0.2)
    assert not claim.lost
    assert not claim.holds()
    away.rename(tmp_path / "run")
    before = claim.path.stat().st_mtime_ns
    time.sleep(0.2)
    assert claim.holds()
    assert claim.path.stat().st_mtime_ns > before
  assert os.listdir(tmp_path / "run") == []


def test_who_locked_a_folder_goes_on_where_no_claim_can_be_written(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def full(path: pathlib.Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(path))

  monkeypatch.setattr(claims, "_write", full)
  with claimed(tmp_path, NAME, locked=True) as claim:
    assert not claim.lost
  with pytest.raises(OSError, match="No space left"), claimed(tmp_path, NAME):
    pass


def test_a_claim_that_changed_hands_meanwhile_is_not_taken_over(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Judged stale, let go, claimed anew: then there would be two holders."""
  path = foreign(tmp_path, 1, STALE_SECONDS + 5)
  write = claims._write

  def late(made: pathlib.Path) -> None:
    path.unlink()
    facts = {"machine": "a third", "token": "new", "host": "node8", "pid": 2}
    path.write_text(json.dumps(facts | {"since": "now"}))
    write(made)

  monkeypatch.setattr(claims, "_write", late)
  with pytest.raises(TakenError, match="pid 2 on node8"):
    claims._made(path.parent, NAME)
  assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_only_the_first_can_make_a_claim(tmp_path: pathlib.Path) -> None:
  claims._write(tmp_path / "claim")
  with pytest.raises(FileExistsError):
    claims._write(tmp_path / "claim")
