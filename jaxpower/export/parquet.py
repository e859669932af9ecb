"""Writes records as a Parquet file: a row a trial, typed columns.

Nested fields are columns by dotted name (`config.batch_size`,
`joules_by_phase.train`); what has no fixed shape is JSON as text. Unknown is
null. `curve` is a list of structs, an entry an evaluation.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxpower.export import ExportError
from jaxpower.records import Evaluation, TrialRecord
from jaxpower.report.compare.comparable import flat

# Dicts that become columns; of other nested fields the JSON is written.
FLAT = (
  *("config", "varied", "seconds_by_phase", "joules_by_phase"),
  *("joules_by_domain", "test_accuracies", "compile"),
)
CURVE = "curve"
LONG = 2**63  # what a column of whole numbers holds


def table(records: Sequence[TrialRecord], version: str) -> Any:
  """Makes a `pyarrow.Table`; `version` of jaxpower is in its metadata.

  Raises ExportError where there is no trial.
  """
  import pyarrow as pa

  if not records:
    raise ExportError("no trial to write")
  rows = [row(record) for record in records]
  names = dict.fromkeys(name for each in rows for name in each)
  columns = {
    name: _array(pa, [each.get(name) for each in rows])
    for name in names
    if name != CURVE
  }
  columns[CURVE] = pa.array([each[CURVE] for each in rows], _curve_type(pa))
  estimated = any(record.estimated for record in records)
  metadata = {
    "jaxpower": version,
    "energy": "estimated" if estimated else "measured",
  }
  return pa.table(columns, metadata=metadata)


def to_bytes(records: Sequence[TrialRecord], version: str) -> bytes:
  """Returns the content of the file."""
  import pyarrow as pa
  import pyarrow.parquet as pq

  sink = pa.BufferOutputStream()
  pq.write_table(table(records, version), sink)
  return sink.getvalue().to_pybytes()


def row(record: TrialRecord) -> dict[str, Any]:
  """Returns the cells of a trial by column: scalars, and the curve."""
  cells: dict[str, Any] = {}
  facts = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
  facts["compile"] = record.compile and dataclasses.asdict(record.compile)
  for name, item in facts.items():
    if name in FLAT:
      cells |= {f"{name}.{k}": _scalar(v) for k, v in flat(item or {}).items()}
    elif name != CURVE:
      cells[name] = _scalar(item)
  cells[CURVE] = [dataclasses.asdict(look) for look in record.curve]
  for look in cells[CURVE]:
    look["accuracies"] = list(look["accuracies"].items())
  return cells


def _scalar(item: Any) -> Any:
  """Leaves a scalar as it is; writes all else as JSON."""
  if item is None or isinstance(item, bool | int | float | str):
    return item
  return json.dumps(item, default=_plain)


def _plain(item: Any) -> Any:
  return dataclasses.asdict(item)


def _array(pa: Any, cells: Iterable[Any]) -> Any:
  """Types a column by its cells: all of one kind, else text of JSON."""
  cells = list(cells)
  kinds = {type(cell) for cell in cells if cell is not None}
  if not kinds:
    return pa.nulls(len(cells))
  if kinds == {bool}:
    return pa.array(cells, pa.bool_())
  if kinds == {int} and all(abs(c) < LONG for c in cells if c is not None):
    return pa.array(cells, pa.int64())
  if kinds <= {int, float}:
    numbers = [None if cell is None else float(cell) for cell in cells]
    return pa.array(numbers, pa.float64())
  if kinds == {str}:
    return pa.array(cells, pa.string())
  texts = [None if cell is None else json.dumps(cell) for cell in cells]
  return pa.array(texts, pa.string())


def _curve_type(pa: Any) -> Any:
  """Returns the type of `curve`, by the fields of an evaluation."""
  whole = {"examples", "steps"}
  fields: Mapping[str, Any] = {
    field.name: pa.int64() if field.name in whole else pa.float64()
    for field in dataclasses.fields(Evaluation)
  }
  accuracies = pa.map_(pa.string(), pa.float64())
  return pa.list_(pa.struct({**fields, "accuracies": accuracies}))
