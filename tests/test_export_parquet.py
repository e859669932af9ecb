"""Records as Parquet: read back by pyarrow, each cell is the record's."""

import io
import json

import committed
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_records import record

from jaxpower.export import ExportError, parquet


def read(records) -> pa.Table:
  return pq.read_table(io.BytesIO(parquet.to_bytes(records, "1.0")))


def test_every_record_comes_back():
  trials = committed.records("optimizer")
  table = read(trials)
  assert table.num_rows == len(trials)
  for row, trial in zip(table.to_pylist(), trials, strict=True):
    assert row["trial_id"] == trial.trial_id
    assert row["joules_to_accuracy"] == trial.joules_to_accuracy
    rate = trial.config["optimizer"]["learning_rate"]
    assert row["config.optimizer.learning_rate"] == rate
    assert row["varied.optimizer.name"] == trial.varied["optimizer.name"]
    assert row["joules_by_phase.train"] == trial.joules_by_phase["train"]
    assert json.loads(row["meter"]) == trial.meter
    accuracies = [look["accuracy"] for look in row["curve"]]
    assert accuracies == [look.accuracy for look in trial.curve]
  assert table.schema.metadata[b"energy"] == b"estimated"


def test_columns_are_typed_and_unknown_is_null():
  table = read([record(64), record(256, joules=None)])
  types = {field.name: field.type for field in table.schema}
  assert types["seed"] == pa.int64()
  assert types["joules_to_accuracy"] == pa.float64()
  assert types["partial"] == pa.bool_()
  assert types["status"] == pa.string()
  assert table["joules_to_accuracy"].to_pylist() == [212.0, None]
  assert table["idle_watts"].null_count == 0
  assert table.schema.metadata[b"energy"] == b"measured"


def test_a_field_of_several_kinds_is_text():
  trials = [
    record(64, varied={"x": 1}),
    record(64, 1, varied={"x": "many"}),
    record(64, 2, varied={"x": 2**70}),
  ]
  assert read(trials)["varied.x"].to_pylist() == ["1", '"many"', str(2**70)]
  huge = [record(64, varied={"x": 2**70}), record(64, 1, varied={"x": 1})]
  assert read(huge)["varied.x"].to_pylist() == [float(2**70), 1.0]
  numbers = [record(64, varied={"x": 1}), record(64, 1, varied={"x": 0.5})]
  assert read(numbers)["varied.x"].to_pylist() == [1.0, 0.5]


def test_no_trial_is_refused():
  with pytest.raises(ExportError, match="no trial"):
    parquet.to_bytes([], "1.0")
