"""Batches for sets that do not fit on a device, read while it computes."""

import collections
import concurrent.futures
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from jaxpower.data.facts import DataError
from jaxpower.data.order import batch_indices

Batch = dict[str, np.ndarray]


class Stream(Iterator[Batch]):
  """Batches one after the other; `waited_seconds` is the time spent on them.

  It is the time in which the one who asked had nothing to compute on. Close
  it, or use it as a context manager, so that no thread is left.
  """

  def __init__(self, batches: Iterator[Batch], close: Callable[[], Any]):
    self._batches = batches
    self.close = close
    self.waited_seconds = 0.0

  def __next__(self) -> Batch:
    began = time.monotonic()
    try:
      return next(self._batches)
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
  ahead: int = 4,
  threads: int = 2,
  grain: bool = False,
) -> Stream:
  """The batches of some steps, in exactly the order of `batch_indices`.

  `split` is one of `load(name, mapped=True)`. Each batch maps the names of
  `split` to arrays [batch_size, ...]. Up to `ahead` batches are read before
  they are asked for, by `threads` threads of this process, or of the package
  grain if `grain`; the batches are the same. Raises ValueError where a number
  is out of range, DataError where grain is not installed.
  """
  if ahead < 1 or threads < 1:
    raise ValueError(
      f"ahead and threads must be at least 1, got {ahead} and {threads}"
    )
  indices = batch_indices(
    seed=seed,
    examples=len(split["input"]),
    batch_size=batch_size,
    first_step=first_step,
    steps=steps,
  )
  batches = _Batches(split, indices)
  if grain:
    reading = _read_by_grain(batches, ahead, threads)
    return Stream(reading, reading.close)
  pool = concurrent.futures.ThreadPoolExecutor(threads, "stream")
  return Stream(
    _read_ahead(batches, ahead, pool),
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


def _read_ahead(
  batches: _Batches, ahead: int, pool: concurrent.futures.Executor
) -> Iterator[Batch]:
  """Begins reading at once, not at the first `next`."""
  steps = iter(range(len(batches)))
  waiting = collections.deque(
    pool.submit(batches.__getitem__, step)
    for _, step in zip(range(ahead), steps, strict=False)
  )

  def read() -> Iterator[Batch]:
    while waiting:
      batch = waiting.popleft().result()
      for step in steps:
        waiting.append(pool.submit(batches.__getitem__, step))
        break
      yield batch

  return read()


def _read_by_grain(batches: _Batches, ahead: int, threads: int) -> Any:
  try:
    # It imports jax, which this room else does without.
    grain: Any = importlib.import_module("grain")
  except ImportError as error:
    raise DataError(
      f"grain cannot be imported ({error}); mend: pip install grain, "
      "or leave grain out"
    ) from error
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
  reading = iter(grain.MapDataset.source(batches).to_iter_dataset(options))
  reading.start_prefetch()
  return reading
