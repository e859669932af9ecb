"""Readings older than minutes leave the memory, and are told all the same."""

import errno
import gc
import math
import os
import subprocess
import sys
import tempfile
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest

from jaxpower.power import Sample, Timeline
from jaxpower.power import recording as module
from jaxpower.power.recording import Recording

ROOT = Path(__file__).parent.parent
LOCK = threading.Lock()


def recorded(count, recording=None, start=0):
  recording = recording or Recording()
  for i in range(start, start + count):
    recording.add(0.5 * i, None if i % 5 == 0 else 2.0 * i, 100.0 + i)
  return recording


def rows(recording):
  return list(Timeline({"gpu": recording}, LOCK))


def test_what_was_spilled_is_told_in_its_order():
  whole, spilled = recorded(100), recorded(40)
  spilled.spill(10.0, LOCK)
  recorded(60, spilled, start=40)
  spilled.spill(30.25, LOCK)
  assert len(spilled.seconds) == 100 - 61
  assert rows(spilled) == rows(whole)
  assert rows(spilled)[:2] == [
    Sample("gpu", 0.0, None, 100.0),
    Sample("gpu", 0.5, 2.0, 101.0),
  ]
  assert len(Timeline({"gpu": spilled}, LOCK)) == spilled.count == 100


def test_chunks_come_by_column_and_nothing_is_spilled_twice():
  recording = recorded(30)
  for before in (5.0, 5.0, 10.0):
    recording.spill(before, LOCK)
  chunks = list(recording.chunks("gpu", LOCK))
  assert [len(chunk.seconds) for chunk in chunks] == [10, 10, 10]
  assert math.isnan(chunks[0].joules[0]) and chunks[1].watts[0] == 110.0


def test_a_timeline_that_is_read_goes_on_growing_unnoticed():
  recording = recorded(20)
  recording.spill(5.0, LOCK)
  timeline = iter(Timeline({"gpu": recording}, LOCK))
  next(timeline)
  recorded(20, recording, start=20)
  recording.spill(15.0, LOCK)
  assert len(list(timeline)) == 19


def test_the_file_has_no_name_and_goes_with_the_recording(
  monkeypatch, tmp_path
):
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  recording = recorded(30)
  recording.spill(10.0, LOCK)
  assert recording._file is not None and not recording.problem
  number = recording._file.fileno()
  assert os.fstat(number).st_size == 20 * 3 * 8
  assert list(tmp_path.iterdir()) == []
  del recording
  gc.collect()
  with pytest.raises(OSError, match="Bad file descriptor"):
    os.fstat(number)


def failing(*_):
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["pwrite", "fstatvfs"])
def test_a_full_disk_thins_and_says_so(monkeypatch, call):
  recording = recorded(100)
  recording.spill(10.0, LOCK)
  monkeypatch.setattr(module.os, call, failing)
  recording.spill(45.0, LOCK)
  assert "a reading every 10 s: No space left on device" in recording.problem
  seconds = [sample.seconds for sample in rows(recording)]
  assert seconds[:20] == [0.5 * i for i in range(20)]  # are on disk
  assert seconds[20:24] == [10.0, 20.0, 30.0, 40.0]
  assert seconds[24:] == [0.5 * i for i in range(90, 100)]
  assert len(recording) == len(seconds) and recording.count == 100


def test_space_is_left_to_others(monkeypatch):
  monkeypatch.setattr(module, "LEAST_FREE_BYTES", 2**60)
  recording = recorded(100)
  recording.spill(45.0, LOCK)
  assert "nearly full" in recording.problem and len(recording) == 5 + 10
  monkeypatch.setattr(module, "LEAST_FREE_BYTES", 0)
  monkeypatch.setattr(module, "MOST_BYTES", 100)
  recording = recorded(100)
  recording.spill(45.0, LOCK)
  assert "on disk" in recording.problem


def test_a_file_that_was_cut_off_loses_its_part_alone():
  recording = recorded(100)
  recording.spill(10.0, LOCK)
  recording.spill(20.0, LOCK)
  file: Any = recording._file
  os.ftruncate(file.fileno(), 20 * 3 * 8 + 8)
  assert len(rows(recording)) == 20 + 60


def test_watching_forgets_what_is_on_disk():
  recording = recorded(100)
  recording.spill(40.0, LOCK)
  recording.forget(LOCK)
  file: Any = recording._file
  assert os.fstat(file.fileno()).st_size == 0
  assert len(rows(recording)) == len(recording) == 20
  recording.spill(45.0, LOCK)
  assert len(rows(recording)) == 20


def test_what_is_thinned_keeps_its_energy():
  seconds = array("d", (0.1 * i for i in range(1000)))
  kept, joules, watts = module._thinned((seconds, seconds, seconds))
  assert len(kept) == 10 and kept == joules == watts
  assert joules[-1] - joules[0] == pytest.approx(90.0, abs=0.2)


def test_a_killed_process_leaves_no_file(tmp_path):
  code = """
import os, signal, threading
from jaxpower.power.recording import Recording
recording = Recording()
for i in range(100): recording.add(float(i), 1.0, 1.0)
recording.spill(50.0, threading.Lock())
assert not recording.problem, recording.problem
os.kill(os.getpid(), signal.SIGKILL)
"""
  ran = subprocess.run(
    [sys.executable, "-c", code],
    env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    check=False,
  )
  assert ran.returncode == -9 and list(tmp_path.iterdir()) == []
