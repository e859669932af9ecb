"""The raw readings of one domain: the last minutes in memory, the rest on disk.

A run of three days takes millions of readings, and none of them may be kept in
the memory of the training. So those of before a window that is still to be
computed go to a temporary file. It has no name, so that nothing is left behind
however the process ends. Where the disk is full, or so nearly full that others
would soon miss the space, some are kept in memory and the others dropped: less
is recorded then, and a line says so, but nothing fails.
"""

import math
import os
import tempfile
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import IO

# All chosen.
LEAST_FREE_BYTES = 2**30  # of the disk are left to others
MOST_BYTES = 2**30  # of one domain's readings on disk: 170 h of 70 a second
THIN_SECONDS = 10.0  # between the readings that are kept without a disk

BYTES = array("d").itemsize


@dataclass(frozen=True)
class Sample:
  """One row of a timeline: what one domain said at one instant."""

  domain: str
  seconds: float
  joules: float | None = None
  watts: float | None = None


@dataclass(frozen=True)
class Chunk:
  """Readings of one domain, by column; NaN for what was not said."""

  domain: str
  seconds: array
  joules: array
  watts: array


Columns = tuple[array, array, array]  # seconds, joules, watts
Lock = AbstractContextManager[bool, None]  # of threading, of either kind


@dataclass(frozen=True)
class _Block:
  """So many readings in the file, from a byte on."""

  offset: int
  count: int


class Recording:
  """Readings in the order they came; older ones are moved away by `spill`.

  Readings are added under a lock, and spilled by one thread alone. `count` is
  how many were ever added. `problem` says why some were dropped.
  """

  def __init__(self) -> None:
    self.seconds = array("d")
    self.joules = array("d")
    self.watts = array("d")
    self.count = 0
    self.problem = ""
    self._older: list[_Block | Columns] = []
    self._older_count = 0
    self._file: IO[bytes] | None = None
    self._bytes = 0

  def add(
    self, seconds: float, joules: float | None, watts: float | None
  ) -> None:
    """Adds what was read at an instant."""
    self.count += 1
    self.seconds.append(seconds)
    self.joules.append(math.nan if joules is None else joules)
    self.watts.append(math.nan if watts is None else watts)

  def __len__(self) -> int:
    """How many readings can still be told."""
    return self._older_count + len(self.seconds)

  def spill(self, before: float, lock: Lock) -> None:
    """Moves the readings of before an instant to the disk, or thins them.

    `lock` guards the columns in memory; nothing is written under it.
    """
    count = bisect_left(self.seconds, before)
    if not count:
      return
    older = self.seconds[:count], self.joules[:count], self.watts[:count]
    block: _Block | Columns
    try:
      block = self._write(older)
    except OSError as error:
      self.problem = (
        "the timeline was thinned to a reading every"
        f" {THIN_SECONDS:.0f} s: {error.strerror or error}"
      )
      block = _thinned(older)
    with lock:
      self._older.append(block)
      kept = block.count if isinstance(block, _Block) else len(block[0])
      self._older_count += kept
      for column in (self.seconds, self.joules, self.watts):
        del column[:count]

  def chunks(self, domain: str, lock: Lock) -> Iterator[Chunk]:
    """Yields all readings in their order; holds a chunk of them at a time.

    What is added meanwhile is left out.
    """
    with lock:
      older = tuple(self._older)
      recent = self.seconds[:], self.joules[:], self.watts[:]
    for block in (*older, recent):
      if isinstance(block, _Block):
        with suppress(OSError):  # a disk that fails: the rest is told
          yield Chunk(domain, *self._read(block))
      elif block[0]:
        yield Chunk(domain, *block)

  def forget(self, lock: Lock) -> None:
    """Drops the readings that are not in memory."""
    with lock:
      self._older.clear()
      self._older_count = self._bytes = 0
    if self._file is not None:
      with suppress(OSError):
        self._file.truncate(0)

  def _write(self, columns: Columns) -> _Block:
    """Appends columns to the file. Raises OSError where they do not fit."""
    if self._file is None:
      self._file = tempfile.TemporaryFile(  # noqa: SIM115 - until the end
        prefix="jaxpower-", buffering=0
      )
      weakref.finalize(self, self._file.close)
    file, offset = self._file.fileno(), self._bytes
    data = b"".join(column.tobytes() for column in columns)
    disk = os.fstatvfs(file)
    if disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES + len(data):
      raise OSError(0, f"the disk of {tempfile.gettempdir()} is nearly full")
    if offset + len(data) > MOST_BYTES:
      raise OSError(0, f"{MOST_BYTES / 2**30:.0f} GiB of it are on disk")
    rest, at = memoryview(data), offset
    while rest:
      written = os.pwrite(file, rest, at)
      rest, at = rest[written:], at + written
    self._bytes = offset + len(data)
    return _Block(offset, len(columns[0]))

  def _read(self, block: _Block) -> Columns:
    """Reads columns from the file. Raises OSError where that fails."""
    assert self._file is not None
    size = block.count * BYTES
    columns = array("d"), array("d"), array("d")
    for number, column in enumerate(columns):
      at = block.offset + number * size
      data = os.pread(self._file.fileno(), size, at)
      if len(data) < size:
        raise OSError(0, "the file of the timeline was cut off")
      column.frombytes(data)
    return columns


class Timeline:
  """All readings of several domains, one domain after the other.

  They are read again each time: iterate over it, or over its `chunks`, where
  rows as Python objects would take too long. `lock` guards the recordings.
  """

  def __init__(self, recordings: Mapping[str, Recording], lock: Lock):
    self._recordings = recordings
    self._lock = lock

  def __len__(self) -> int:
    """How many readings there are by now."""
    with self._lock:
      return sum(map(len, self._recordings.values()))

  def chunks(self) -> Iterator[Chunk]:
    """Yields the readings by column, some thousands at a time."""
    for domain, recording in self._recordings.items():
      yield from recording.chunks(domain, self._lock)

  def __iter__(self) -> Iterator[Sample]:
    """Yields the readings one by one."""
    for chunk in self.chunks():
      rows = zip(chunk.seconds, chunk.joules, chunk.watts, strict=True)
      for seconds, joules, watts in rows:
        yield Sample(
          chunk.domain,
          seconds,
          None if math.isnan(joules) else joules,
          None if math.isnan(watts) else watts,
        )


def _thinned(columns: Columns) -> Columns:
  """Picks the first reading of every THIN_SECONDS."""
  kept: list[int] = []
  last = -math.inf
  for i, seconds in enumerate(columns[0]):
    if seconds - last >= THIN_SECONDS:
      kept.append(i)
      last = seconds
  seconds, joules, watts = (
    array("d", (column[i] for i in kept)) for column in columns
  )
  return seconds, joules, watts
