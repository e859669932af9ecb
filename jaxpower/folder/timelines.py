"""Timelines: the raw readings and windows of a trial, as Parquet files.

A record holds energies that were worked out when the trial ran. With these
files every one of them can be worked out again, by a later jaxpower or by
anybody else. A timeline of days is written as it is read, a group of rows at a
time, and never lies in memory whole.
"""

import pathlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jaxpower.power import Chunk, Window

GROUP_ROWS = 65_536  # of a file, in memory at a time; chosen
READINGS = ("domain", "seconds", "joules", "watts")


def write(
  path: pathlib.Path,
  chunks: Iterable[Chunk],
  windows: Sequence[Window],
  times: Mapping[str, Any] | None = None,
) -> None:
  """Writes two Parquet files: readings at `path`, windows beside it.

  Readings: domain, seconds, cumulative joules of that domain, watts at that
  instant. Windows: phase, start_seconds, seconds (the duration), joules,
  joules_bound (half-width, 95 %), other_load_cores and steal_cores (mean cores
  that other work kept busy, and that the hypervisor took away). Times are
  seconds of one monotonic clock in both files; null is unknown. `times` say
  what that clock is on the wall (`clocks.span`); they are the metadata of both
  files, as text. Each file is written atomically.
  """
  _write(path, READINGS, _groups(chunks), times or {})
  of_windows = {
    "phase": [w.name for w in windows],
    "start_seconds": [w.start_seconds for w in windows],
    "seconds": [w.seconds for w in windows],
    "joules": [w.joules for w in windows],
    "joules_bound": [w.joules_bound for w in windows],
    "other_load_cores": [w.load and w.load.other_cores for w in windows],
    "steal_cores": [w.load and w.load.steal_cores for w in windows],
  }
  beside = path.with_suffix(".windows.parquet")
  _write(beside, of_windows, [of_windows], times or {})


def _groups(chunks: Iterable[Chunk]) -> Iterator[dict[str, Any]]:
  """Yields the columns of about GROUP_ROWS readings at a time."""
  domains: list[str] = []
  numbers = array("d"), array("d"), array("d")

  def columns() -> dict[str, Any]:
    return dict(zip(READINGS, (domains, *numbers), strict=True))

  for chunk in chunks:
    domains += [chunk.domain] * len(chunk.seconds)
    for column, more in zip(
      numbers, (chunk.seconds, chunk.joules, chunk.watts), strict=True
    ):
      column.extend(more)
    if len(domains) >= GROUP_ROWS:
      yield columns()
      domains, numbers = [], (array("d"), array("d"), array("d"))
  if domains:
    yield columns()


def _write(
  path: pathlib.Path,
  names: Iterable[str],
  groups: Iterable[Mapping[str, Sequence[Any]]],
  metadata: Mapping[str, Any],
) -> None:
  """Writes a table by groups of rows: text where so named, else float64."""
  import pyarrow as pa  # here, since loading it costs a command a second
  import pyarrow.parquet as pq

  text = ("domain", "phase")
  schema = pa.schema(
    [(name, pa.string() if name in text else pa.float64()) for name in names],
    metadata={key: str(value) for key, value in metadata.items()},
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_suffix(".unfinished")
  with pq.ParquetWriter(unfinished, schema) as file:
    for group in groups:
      # NaN, which is what an array has for nothing, becomes null.
      arrays = [
        pa.array(group[field.name], field.type, from_pandas=True)
        for field in schema
      ]
      file.write_table(pa.table(arrays, schema=schema))
  unfinished.replace(path)
