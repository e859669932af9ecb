"""Streams batches of a set that does not fit on a device, and says which do.

Threads of this process read the next batches while the device trains on those
before; threads are enough, since numpy gathers rows without Python's lock. The
arrays may be mapped from disk. The order is that of `batch_indices`, so that a
streamed trial sees the same batches as one whose set lies on the device, and
the two differ in cost alone.

That cost is to be seen: a Stream counts the time in `next`, in which the device
had nothing to compute on; a record tells it as `data_wait_seconds`.

Whether a set fits is asked of the memory that is installed (or allowed by the
container), not of what is free: free memory changes, and trials of one sweep
would be decided differently.
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

# A set may take this much of a device's memory; weights, moments and
# activations need the rest. Chosen.
DEVICE_SHARE = 0.5
# What a container's memory is limited to, in bytes or "max": cgroup v2.
CGROUP_LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")


FEATURES_STREAMED = (
  "transfer.features once: {} does not fit on the devices, where features are"
  " kept; take every, or streaming never"
)


def is_streamed(streaming: str, sets: DataSet, room: int | None) -> bool:
  """Decides whether a set is streamed to the devices or lies on them.

  `streaming` is "always", "never" or "auto": streamed where its splits take
  more than DEVICE_SHARE of `room`, the bytes that a framework has on each
  device; None where it does not say.
  """
  if streaming != "auto":
    return streaming == "always"
  splits = [sets.train, sets.test]
  if sets.validation is not None:
    splits.append(sets.validation)
  needed = sum(
    split[name].nbytes for split in splits for name in ("input", "label")
  )
  return room is not None and needed > DEVICE_SHARE * room


def host_bytes() -> int:
  """Returns the memory of this machine, or what its container allows."""
  installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  try:
    return min(installed, int(CGROUP_LIMIT.read_text()))
  except (OSError, ValueError):  # no container, or "max": it has no limit
    return installed


Batch = dict[str, np.ndarray]


class Source(Protocol):
  """Items by their place, made as they are asked for, in any thread."""

  def __len__(self) -> int: ...

  def __getitem__(self, place: int, /) -> Any: ...


class Stream(Iterator[Any]):
  """Iterates over items; `waited_seconds` is the time spent inside `next`.

  In that time the caller had nothing to compute on. Close a stream, or use it
  as a context manager, so that no thread is left.
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
  """Reads the batches of some steps, in exactly the order of `batch_indices`.

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


class _Batches:
  """Each batch by its place: what grain calls a random access source."""

  def __init__(self, split: Mapping[str, np.ndarray], indices: np.ndarray):
    self._split, self._indices = split, indices

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, step: int) -> Batch:
    rows = self._indices[step]
    return {name: array[rows] for name, array in self._split.items()}


def read_ahead(
  source: Source, *, ahead: int = 4, threads: int = 2, grain: bool = False
) -> Stream:
  """Reads the items of a source in their order, ahead of being asked for.

  The arguments are those of `stream`, and so are the errors.
  """
  if ahead < 1 or threads < 1:
    raise ValueError(
      f"ahead and threads must be at least 1, got {ahead} and {threads}"
    )
  if grain:
    items = _read_by_grain(source, ahead, threads)
    return Stream(items, items.close)
  pool = concurrent.futures.ThreadPoolExecutor(threads, "stream")
  return Stream(
    _read_in_pool(source, ahead, pool),
    lambda: pool.shutdown(cancel_futures=True),
  )


def _read_in_pool(
  source: Source, ahead: int, pool: concurrent.futures.Executor
) -> Iterator[Any]:
  """Begins reading at once, not at the first `next`."""
  places = iter(range(len(source)))
  pending = collections.deque(
    pool.submit(source.__getitem__, place)
    for _, place in zip(range(ahead), places, strict=False)
  )

  def items() -> Iterator[Any]:
    while pending:
      item = pending.popleft().result()
      for place in places:  # at most one: the place that became free
        pending.append(pool.submit(source.__getitem__, place))
        break
      yield item

  return items()


def _read_by_grain(source: Source, ahead: int, threads: int) -> Any:
  try:
    # It imports jax, which this room else does without.
    grain: Any = importlib.import_module("grain")
  except ImportError as error:
    raise DataError(
      f"grain cannot be imported ({error}); fix: pip install grain, "
      "or leave grain out"
    ) from error
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
  items = iter(grain.MapDataset.source(source).to_iter_dataset(options))
  items.start_prefetch()
  return items
