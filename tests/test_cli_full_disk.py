"""Runs on a disk that is really full: a file system of a few pages."""

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest
from test_cli_signals import ROOT, command, statuses

PAGE = 4096
PAGES = 24
FILLER = "filler"


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A disk of PAGES pages, of which a file takes all but a few."""
  place = tmp_path / "disk"
  place.mkdir()
  options = f"size={PAGES * PAGE}"
  mounted = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
    capture_output=True,
    text=True,
  )
  if mounted.returncode:
    pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
  yield place
  subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: pathlib.Path, left: int) -> None:
  """Takes all pages of a disk but so many."""
  free = os.statvfs(place).f_bfree
  (place / FILLER).write_bytes(b"x" * PAGE * (free - left))


@pytest.mark.slow
@pytest.mark.parametrize("left", range(6))
def test_a_run_outlives_a_full_disk(
  disk: pathlib.Path, tmp_path: pathlib.Path, left: int
) -> None:
  words = command(disk)
  words[2] = words[2].replace(
    "sys.exit(",
    "from jaxpower.folder import record_keeper;"
    "record_keeper.RETRY_SECONDS = 0.5; sys.exit(",
  )
  fill(disk, left)
  with subprocess.Popen(
    words, stderr=subprocess.PIPE, text=True, cwd=ROOT
  ) as run:
    assert run.stderr is not None
    lines = []
    for line in run.stderr:
      lines.append(line)
      if "its record waits in memory" in line:
        assert f"cannot write {disk / 'run'}" in line
        assert "bytes free); free some space" in line
        break
    for path in (disk / "run").rglob("*.json"):
      json.loads(path.read_bytes())
    (disk / FILLER).unlink()
    lines += run.stderr
  assert run.returncode in (0, 2), lines
  if run.returncode == 2:  # it could not begin
    assert len(lines) == 1 or "training on" in lines[0]
    assert "No space left on device" in lines[-1]
    assert str(disk / "run") in lines[-1]
    assert subprocess.run(words, cwd=ROOT).returncode == 0
  assert statuses(disk) == ["reached"] * 2
  assert not [*(disk / "run").rglob("*unfinished*")]
