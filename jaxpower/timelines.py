"""Raw readings and windows of a trial, kept so that it can be recomputed."""

import pathlib
from collections.abc import Sequence

from jaxpower.power import Sample, Window


def write(
  path: pathlib.Path, samples: Sequence[Sample], windows: Sequence[Window]
) -> None:
  """Writes two Parquet files: readings at `path`, windows beside it.

  Seconds are monotonic and shared by both; joules are a domain's cumulative
  count, watts its power at that instant; null is unknown. Each file appears
  whole or not at all.
  """
  _write(
    path,
    {
      "domain": [s.domain for s in samples],
      "seconds": [s.seconds for s in samples],
      "joules": [s.joules for s in samples],
      "watts": [s.watts for s in samples],
    },
    ("domain",),
  )
  _write(
    path.with_suffix(".windows.parquet"),
    {
      "phase": [w.name for w in windows],
      "start_seconds": [w.start_seconds for w in windows],
      "seconds": [w.seconds for w in windows],
      "joules": [w.joules for w in windows],
      "joules_bound": [w.joules_bound for w in windows],
    },
    ("phase",),
  )


def _write(
  path: pathlib.Path, columns: dict[str, list], text: tuple[str, ...]
) -> None:
  import pyarrow as pa  # a second of start-up, not owed by those who only ask
  import pyarrow.parquet as pq

  schema = pa.schema(
    [(name, pa.string() if name in text else pa.float64()) for name in columns]
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_suffix(".unfinished")
  pq.write_table(pa.table(columns, schema=schema), unfinished)
  unfinished.replace(path)
