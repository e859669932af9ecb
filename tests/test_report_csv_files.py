"""The CSV files, read back."""

import csv
import io

from report_records import GPU, record, seeds

from jaxpower.report.compare.comparison import compare, compare_all
from jaxpower.report.render import csv_files


def trials(records) -> str:
  return csv_files.trials(compare_all(records))


def rows(text: str) -> list[dict[str, str]]:
  return list(csv.DictReader(io.StringIO(text)))


def test_a_row_per_trial_at_full_precision():
  joules = 212.123456789012
  (row,) = rows(trials([record(64, 1, joules)]))
  assert float(row["joules_to_accuracy"]) == joules
  assert row["trial_id"] == "000000400001"
  assert row["batch_size"] == "64"
  assert row["seed"] == "1"
  assert row["estimated"] == "false"
  assert row["compile_cache_hit"] == "true"
  assert float(row["joules_of_phase_eval"]) == 10
  assert float(row[f"joules_of_domain_{GPU}"]) == joules


def test_unknown_is_empty_and_zero_is_not():
  lost = record(64, 0, None, partial=True, reasons=("GPU lost", "DRAM, too"))
  unknown, zero = rows(trials([lost, record(64, 1, 0.0)]))
  assert unknown["joules_to_accuracy"] == ""
  assert unknown["partial"] == "true"
  assert unknown["reasons"] == "GPU lost; DRAM, too"
  assert float(zero["joules_to_accuracy"]) == 0


def test_the_load_of_a_phase_has_a_column():
  load = {"train": 0.5, "eval": None}
  row, old = rows(trials([record(64, 0, other_load_cores=load), record(64, 1)]))
  assert float(row["other_load_cores_of_phase_train"]) == 0.5
  assert row["other_load_cores_of_phase_eval"] == ""
  assert old["other_load_cores_of_phase_train"] == ""
  assert "other_load_cores" not in row


def test_records_that_know_different_things_share_one_header():
  failed, reached = rows(
    trials([record(64, 0, status="failed"), record(64, 1)])
  )
  assert failed["error"] == "worker died (signal 9)"
  assert failed["joules_of_phase_train"] == ""
  assert float(reached["joules_of_phase_train"]) == 212


def test_a_row_per_group():
  trials = [
    *seeds(64, 204, 212, 221),
    record(1024, 0, 655, "missed"),
    record(1024, 1, 660, "missed"),
    record(1024, 2, status="failed"),
  ]
  exact, bound = rows(csv_files.summary(compare(trials)))
  assert exact["batch_size"] == "64"
  assert exact["trials"] == exact["reached"] == "3"
  assert exact["joules_to_accuracy_status"] == "exact"
  numbers = ("", "_low", "_high")
  assert [float(exact[f"joules_to_accuracy{end}"]) for end in numbers] == [
    212, 204, 221
  ]  # fmt: skip
  assert (bound["missed"], bound["failed"]) == ("2", "1")
  assert bound["joules_to_accuracy_status"] == "lower bound"
  assert float(bound["joules_to_accuracy"]) == 657.5
  assert bound["joules_to_accuracy_high"] == ""
  assert bound["joules_ratio_to_best_status"] == "lower bound"


def test_an_unknown_group_says_why():
  lost = record(64, 0, None, reasons=("GPU lost at 4.1 s",))
  (row,) = rows(csv_files.summary(compare([lost])))
  assert row["joules_to_accuracy"] == ""
  assert row["joules_to_accuracy_status"] == "unknown"
  assert row["unknown"] == "GPU lost at 4.1 s"


def test_estimated_is_a_column():
  (row,) = rows(csv_files.summary(compare(seeds(64, 9, estimated=True))))
  assert row["estimated"] == "true"
