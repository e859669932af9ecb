"""Batches for sets that do not fit on a device, read while it computes.

Whether a set is to lie on the devices or to be streamed to them.
"""

import collections
import concurrent.futures
import importlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self

import numpy as np

from jaxpower.data.facts import DataError, DataSet
from jaxpower.data.order import batch_indices

SHARE = 0.5  # of a device's memory; weights and activations need the rest

LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")  # of a container


def is_streamed(streaming: str, sets: DataSet, room: int | None) -> bool:
  """Whether the examples of a trial come to its devices as they are needed.

  "auto" asks whether both splits would take more than a share of `room`, the
  bytes that a framework has on each device; None: it does not tell. What it
  has, and not what is free at the moment: else trials of one sweep could be
  decided differently. "always" and "never" say it themselves.
  """
  if streaming != "auto":
    return streaming == "always"
  needed = sum(
    part[name].nbytes
    for part in (sets.train, sets.test)
    for name in ("input", "label")
  )
  return room is not None and needed > SHARE * room


def host_bytes() -> int:
  """The memory of this machine, or what its container allows."""
  installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  try:
    return min(installed, int(LIMIT.read_text()))
  except (OSError, ValueError):  # no container, or "max": it has no limit
    return installed


Batch = dict[str, np.ndarray]


class Source(Protocol):
  """Items by their place, made as they are asked for, in any thread."""

  def __len__(self) -> int: ...

  def __getitem__(self, place: int, /) -> Any: ...


class Stream(Iterator[Any]):
  """Items one after the other; `waited_seconds` is the time spent on them.

  It is the time in which the one who asked had nothing to compute on. Close
  it, or use it as a context manager, so that no thread is left.
  """

  def __init__(self, items: Iterator[Any], close: Callable[[], Any]):
    self._items = items
    self.close = close
    self.waited_seconds = 0.0

  def __next__(self) -> Any:
    began = time.monotonic()
    try:
      return next(self._items)
    finally:
      self.waited_seconds += time.monotonic() - began

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()


def stream(
  split: Mapping[str, np.ndarray],
  *,
  seed: int,
  batch_size: int,
  first_step: int,
  steps: int,
  chosen: np.ndarray | None = None,
  part: slice = slice(None),
  ahead: int = 4,
  threads: int = 2,
  grain: bool = False,
) -> Stream:
  """The batches of some steps, in exactly the order of `batch_indices`.

  `split` is one of `load(name, mapped=True)`; `chosen` are the examples of it
  that are used, int [n], all by default. Each batch maps the names of `split`
  to arrays [batch_size, ...], or to the `part` of them that is asked for. Up
  to `ahead` batches are read before they are wanted, by `threads` threads of
  this process, or of the package grain if `grain`; the batches are the same.
  Raises ValueError where a number is out of range, DataError where grain is not
  installed.
  """
  indices = batch_indices(
    seed=seed,
    examples=len(split["input"] if chosen is None else chosen),
    batch_size=batch_size,
    first_step=first_step,
    steps=steps,
  )
  rows = indices[:, part]
  batches = _Batches(split, rows if chosen is None else chosen[rows])
  return read_ahead(batches, ahead=ahead, threads=threads, grain=grain)


def read_ahead(
  source: Source, *, ahead: int = 4, threads: int = 2, grain: bool = False
) -> Stream:
  """The items of a source in their order, read as `stream` reads batches."""
  if ahead < 1 or threads < 1:
    raise ValueError(
      f"ahead and threads must be at least 1, got {ahead} and {threads}"
    )
  if grain:
    reading = _read_by_grain(source, ahead, threads)
    return Stream(reading, reading.close)
  pool = concurrent.futures.ThreadPoolExecutor(threads, "stream")
  return Stream(
    _read_in_pool(source, ahead, pool),
    lambda: pool.shutdown(cancel_futures=True),
  )


class _Batches:
  """Each batch by its place: what grain calls a random access source."""

  def __init__(self, split: Mapping[str, np.ndarray], indices: np.ndarray):
    self._split, self._indices = split, indices

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, step: int) -> Batch:
    rows = self._indices[step]
    return {name: array[rows] for name, array in self._split.items()}


def _read_in_pool(
  source: Source, ahead: int, pool: concurrent.futures.Executor
) -> Iterator[Any]:
  """Begins reading at once, not at the first `next`."""
  places = iter(range(len(source)))
  waiting = collections.deque(
    pool.submit(source.__getitem__, place)
    for _, place in zip(range(ahead), places, strict=False)
  )

  def read() -> Iterator[Any]:
    while waiting:
      item = waiting.popleft().result()
      for place in places:
        waiting.append(pool.submit(source.__getitem__, place))
        break
      yield item

  return read()


def _read_by_grain(source: Source, ahead: int, threads: int) -> Any:
  try:
    # It imports jax, which this room else does without.
    grain: Any = importlib.import_module("grain")
  except ImportError as error:
    raise DataError(
      f"grain cannot be imported ({error}); mend: pip install grain, "
      "or leave grain out"
    ) from error
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
  reading = iter(grain.MapDataset.source(source).to_iter_dataset(options))
  reading.start_prefetch()
  return reading
