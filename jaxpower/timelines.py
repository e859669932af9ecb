"""Timelines: the raw readings and windows of a trial, as Parquet files.

A record holds energies that were worked out when the trial ran. With these
files every one of them can be worked out again, by a later jaxpower or by
anybody else.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpower.power import Sample, Window


def write(
  path: pathlib.Path,
  samples: Sequence[Sample],
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
  _write(
    path,
    {
      "domain": [s.domain for s in samples],
      "seconds": [s.seconds for s in samples],
      "joules": [s.joules for s in samples],
      "watts": [s.watts for s in samples],
    },
    text=("domain",),
    metadata=times or {},
  )
  _write(
    path.with_suffix(".windows.parquet"),
    {
      "phase": [w.name for w in windows],
      "start_seconds": [w.start_seconds for w in windows],
      "seconds": [w.seconds for w in windows],
      "joules": [w.joules for w in windows],
      "joules_bound": [w.joules_bound for w in windows],
      "other_load_cores": [w.load and w.load.other_cores for w in windows],
      "steal_cores": [w.load and w.load.steal_cores for w in windows],
    },
    text=("phase",),
    metadata=times or {},
  )


def _write(
  path: pathlib.Path,
  columns: dict[str, list],
  text: tuple[str, ...],
  metadata: Mapping[str, Any],
) -> None:
  """Writes a table: columns named in `text` are strings, all others float64."""
  import pyarrow as pa  # here, since loading it costs a command a second
  import pyarrow.parquet as pq

  schema = pa.schema(
    [(name, pa.string() if name in text else pa.float64()) for name in columns],
    metadata={key: str(value) for key, value in metadata.items()},
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_suffix(".unfinished")
  pq.write_table(pa.table(columns, schema=schema), unfinished)
  unfinished.replace(path)
