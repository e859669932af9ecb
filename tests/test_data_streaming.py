import itertools
import pathlib
import sys
import threading
import types
from typing import Any

import numpy as np
import pytest

from jaxpower import data
from jaxpower.data import DataError, batch_indices, cache, stream, streaming

SPLIT = {
  "input": np.arange(37 * 6, dtype=np.uint8).reshape(37, 3, 2),
  "label": np.arange(37, dtype=np.int32),
  "subject": np.arange(37, dtype=np.int32) % 5,
}
ORDER: Any = {"seed": 7, "batch_size": 8, "first_step": 3, "steps": 11}


@pytest.fixture(params=["in memory", "on disk"])
def split(
  request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> dict[str, np.ndarray]:
  if request.param == "in memory":
    return SPLIT
  file = tmp_path / "arrays.npz"
  cache.write(file, "key", SPLIT)
  mapped = cache.map_arrays(file, "key")
  assert mapped is not None
  return mapped


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [1, 4, 50])
@pytest.mark.parametrize("grain", [False, True])
def test_the_batches_are_those_of_the_whole_set_in_memory(
  split: dict[str, np.ndarray], ahead: int, threads: int, grain: bool
):
  if grain:
    pytest.importorskip("grain")
  indices = batch_indices(examples=37, **ORDER)
  with stream(
    split, **ORDER, ahead=ahead, threads=threads, grain=grain
  ) as batches:
    read = list(batches)
  assert len(read) == ORDER["steps"]
  for batch, rows in zip(read, indices, strict=True):
    assert batch.keys() == SPLIT.keys()
    for name, array in SPLIT.items():
      np.testing.assert_array_equal(batch[name], array[rows])
      assert batch[name].dtype == array.dtype
      # What is handed on is read already.
      assert type(batch[name]) is np.ndarray


def test_a_stream_may_be_of_chosen_examples(split: dict[str, np.ndarray]):
  chosen = np.arange(0, 37, 3)
  with stream(split, **ORDER, chosen=chosen) as batches:
    labels = np.stack([batch["label"] for batch in batches])
  places = batch_indices(examples=len(chosen), **ORDER)
  np.testing.assert_array_equal(labels, chosen[places])


def test_a_stream_of_no_steps_is_empty():
  assert list(stream(SPLIT, **(ORDER | {"steps": 0}))) == []


class Watched:
  """An array that tells of each batch read from it."""

  def __init__(self):
    self.read = threading.Semaphore(0)

  def __len__(self) -> int:
    return 37

  def __getitem__(self, rows: np.ndarray) -> np.ndarray:
    self.read.release()
    return SPLIT["input"][rows]


def count(read: threading.Semaphore, expected: int) -> bool:
  """Whether so many batches are read, and within a while no more."""
  there = all(read.acquire(timeout=10) for _ in range(expected))
  return there and not read.acquire(timeout=0.05)


@pytest.mark.parametrize("grain", [False, True])
def test_batches_are_read_before_they_are_asked_for(grain: bool):
  if grain:
    pytest.importorskip("grain")
  watched: Any = Watched()
  with stream({"input": watched}, **ORDER, ahead=4, grain=grain) as batches:
    assert count(watched.read, 4)
    next(batches)
    assert count(watched.read, 1)
    assert len(list(batches)) == ORDER["steps"] - 1
    assert count(watched.read, ORDER["steps"] - 5)


def threads_of_streams() -> list[str]:
  names = (thread.name for thread in threading.enumerate())
  return [name for name in names if name.startswith("stream")]


def test_a_closed_stream_leaves_no_thread():
  before = threads_of_streams()
  with stream(SPLIT, **ORDER) as batches:
    next(batches)
    assert threads_of_streams() != before
  assert threads_of_streams() == before


def test_the_wait_is_what_was_spent_inside_next(
  monkeypatch: pytest.MonkeyPatch,
):
  ticks = itertools.count()
  clock = types.SimpleNamespace(monotonic=lambda: next(ticks))
  batches = stream(SPLIT, **ORDER)
  assert batches.waited_seconds == 0
  with monkeypatch.context() as patched, batches:
    # Each look at this clock takes a second: one passes inside each `next`.
    patched.setattr(streaming, "time", clock)
    next(batches)
    assert batches.waited_seconds == 1
    next(batches)
    next(ticks)  # the time between two batches is no wait
    next(batches)
    assert batches.waited_seconds == 3


def test_an_error_of_reading_reaches_the_one_who_asks():
  class Broken(Watched):
    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
      raise OSError("the disk is gone")

  broken: Any = Broken()
  with (
    stream({"input": broken}, **ORDER) as batches,
    pytest.raises(OSError, match="the disk is gone"),
  ):
    next(batches)


@pytest.mark.parametrize("name", ["ahead", "threads"])
def test_numbers_out_of_range_are_refused(name: str):
  number: Any = {name: 0}
  with pytest.raises(ValueError, match="ahead and threads must be at least 1"):
    stream(SPLIT, **ORDER, **number)


def test_grain_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setitem(sys.modules, "grain", None)
  with pytest.raises(DataError, match="fix: pip install grain"):
    stream(SPLIT, **ORDER, grain=True)


def test_a_process_reads_its_part_of_each_batch_alone() -> None:
  with stream(SPLIT, **ORDER) as whole:
    expected = [batch["label"] for batch in whole]
  with stream(SPLIT, **ORDER, part=slice(1, 3)) as batches:
    for batch, labels in zip(batches, expected, strict=True):
      np.testing.assert_array_equal(batch["label"], labels[1:3])


SETS = data.load("digits")
# 1,797 images of 64 bytes with a label of four.
NEEDED = 1_797 * (64 + 4)


@pytest.mark.parametrize(
  ("choice", "room", "expected"),
  [
    ("auto", 2 * NEEDED, False),
    ("auto", 2 * NEEDED - 2, True),
    ("auto", None, False),
    ("always", 2 * NEEDED, True),
    ("never", 1, False),
  ],
)
def test_a_set_is_streamed_where_it_takes_more_than_half(
  choice: str, room: int | None, expected: bool
) -> None:
  assert streaming.is_streamed(choice, SETS, room) == expected


@pytest.mark.parametrize(
  ("content", "expected"),
  [("1048576\n", 1 << 20), ("max\n", None), (None, None)],
)
def test_a_container_is_smaller_than_its_machine(
  content: str | None,
  expected: int | None,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  file = tmp_path / "memory.max"
  if content:
    file.write_text(content)
  monkeypatch.setattr(streaming, "CGROUP_LIMIT", file)
  host_bytes = streaming.host_bytes()
  assert host_bytes == expected if expected else host_bytes > 1 << 28
