"""Power of a trial over time, read back from its files."""

import math
from array import array

import numpy as np
import pytest

from jaxpower.folder import timelines as folder_timelines
from jaxpower.power import Chunk, Window
from jaxpower.report.given import timelines
from jaxpower.report.given.timelines import (
  TimelineError,
  find,
  mean_watts,
  read,
)


def batch(seconds, joules=None, watts=None, domain="gpu"):
  blank = [None] * len(seconds)
  return {
    "domain": [domain] * len(seconds),
    "seconds": seconds,
    "joules": joules or blank,
    "watts": watts or blank,
  }


EDGES = np.array([0.0, 1.0, 2.0, 3.0])


def test_joules_that_add_up_are_watts_of_each_stretch():
  whole = batch([-0.5, 0.5, 1.5, 2.5, 3.5], [0.0, 10.0, 20.0, 50.0, 80.0])
  (watts,) = mean_watts([whole], EDGES).values()
  # Joules at the edges, between readings: 5, 15, 35, 65.
  assert watts == pytest.approx((10, 20, 30))


def test_groups_of_rows_are_one_timeline():
  parts = [
    batch([-0.5, 0.5], [0.0, 10.0]),
    batch([1.5], [20.0]),
    batch([2.5, 3.5], [50.0, 80.0]),
  ]
  (watts,) = mean_watts(parts, EDGES).values()
  assert watts == pytest.approx((10, 20, 30))


def test_without_joules_the_watts_read_are_averaged():
  read = batch([0.2, 0.4, 2.5], watts=[100.0, 300.0, 50.0])
  (watts,) = mean_watts([read], EDGES).values()
  assert watts[0] == 200 and math.isnan(watts[1]) and watts[2] == 50


def window(name, start, seconds):
  return Window(
    name=name,
    start_seconds=start,
    seconds=seconds,
    joules=None,
    joules_bound=None,
    energies=(),
  )


def chunk(domain, seconds, joules, watts):
  return Chunk(domain, *(array("d", c) for c in (seconds, joules, watts)))


def write(folder, name, chunks, windows):
  folder_timelines.write(
    folder / "timelines" / f"{name}.parquet", chunks, windows
  )


def test_a_timeline_is_read_as_it_was_written(tmp_path):
  seconds = np.arange(100.0, 111.0)
  chunks = [
    chunk("gpu", seconds, 50 * (seconds - 100), np.full(11, np.nan)),
    chunk("cpu", seconds, np.full(11, np.nan), np.full(11, 7.0)),
  ]
  windows = [
    window("compile", 101.0, 2.0),
    window("train", 103.0, 6.0),
  ]
  write(tmp_path, "abc", chunks, windows)
  found = find([tmp_path])
  assert [*found] == ["abc"]
  timeline = read(found["abc"], stretches=8)
  assert timeline.windows == (("compile", 0, 2), ("train", 2, 8))
  assert timeline.edges == tuple(range(9))
  assert timeline.watts["gpu"] == pytest.approx((50,) * 8)
  assert timeline.watts["cpu"] == pytest.approx((7,) * 8)


def test_a_trial_of_two_folders_is_neither(tmp_path):
  for folder in ("one", "two"):
    windows = [window("train", 0.0, 1.0)]
    write(tmp_path / folder, "abc", [], windows)
  assert find([tmp_path / "one", tmp_path / "two"]) == {}
  assert [*find([tmp_path / "one"])] == ["abc"]


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", None])
def test_what_cannot_be_read_is_one_line(tmp_path, content):
  windows = [window("train", 0.0, 1.0)]
  write(tmp_path, "abc", [], windows)
  path = tmp_path / "timelines" / "abc.parquet"
  path.unlink() if content is None else path.write_bytes(content)
  with pytest.raises(TimelineError, match=r"abc\.parquet: "):
    timelines.read(path)
