"""The CSV files, read back."""

import csv
import io
import math
import statistics

import pytest
from report_records import GPU, record, seeds

from jaxpower.attempts import Attempt
from jaxpower.report.compare.comparison import compare, compare_all
from jaxpower.report.render import csv_files

NUMBERS = ("joules_to_accuracy", "seconds_to_accuracy", "joules_ratio_to_best")


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


def test_attempts_are_counted():
  attempt = Attempt(
    attempt="a",
    trial_id="t",
    number=1,
    began="",
    host="",
    pid=1,
    framework="jax",
  )
  new = record(64, 0, attempts=(attempt,) * 2, joules_lost=4.5)
  row, old = rows(trials([new, record(64, 1)]))
  assert (row["attempts"], row["joules_lost"]) == ("2", "4.5")
  assert (old["attempts"], old["joules_lost"]) == ("", "")


def test_each_domain_of_training_has_a_column_and_gpus_apart_have_none():
  new = record(
    64,
    0,
    joules_by_phase_and_domain={"train": {GPU: 7.5}, "eval": {GPU: 1.0}},
    apart_joules_by_phase={"train": {"GPU-idle": 3.0}},
    started_utc="2026-11-26T23:47:52.125Z",
  )
  row, old = rows(trials([new, record(64, 1)]))
  assert float(row[f"train_joules_of_domain_{GPU}"]) == 7.5
  assert row["started_utc"] == "2026-11-26T23:47:52.125Z"
  assert old[f"train_joules_of_domain_{GPU}"] == old["started_utc"] == ""
  assert not any("GPU-idle" in name for name in row)
  assert "joules_by_phase_and_domain" not in row


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
  known, missed = rows(csv_files.summary(compare(trials)))
  assert known["batch_size"] == "64"
  assert known["trials"] == known["reached"] == "3"
  assert known["joules_to_accuracy_status"] == "known"
  assert known["joules_missed"] == ""
  # The geometric mean and Student's t on the logs.
  joules = float(known["joules_to_accuracy"])
  assert joules == pytest.approx((204 * 212 * 221) ** (1 / 3), rel=1e-12)
  logs = [math.log(spent) for spent in (204, 212, 221)]
  off = math.exp(4.303 * statistics.stdev(logs) / math.sqrt(3))
  low = float(known["joules_to_accuracy_low"])
  high = float(known["joules_to_accuracy_high"])
  assert (low, high) == pytest.approx((joules / off, joules * off), rel=0.005)
  assert (missed["missed"], missed["failed"]) == ("2", "1")
  for name in NUMBERS:
    assert missed[f"{name}_status"] == "missed"
    assert missed[name] == missed[f"{name}_low"] == missed[f"{name}_high"] == ""
  assert float(missed["joules_missed"]) == 657.5  # what they spent, no cost


def test_seconds_may_be_missed_where_no_energy_was_measured():
  trials = [*seeds(64, 204, 212), record(128, 0, None, "missed")]
  _, blind = rows(csv_files.summary(compare(trials)))
  assert blind["seconds_to_accuracy_status"] == "missed"
  assert (blind["joules_missed"], blind["unknown"]) == (
    "", "no energy was measured"
  )  # fmt: skip
  lost = [*seeds(64, 204, 212), *seeds(128, 300, 310), record(128, 2, None)]
  _, unknown = rows(csv_files.summary(compare(lost)))
  assert unknown["joules_to_accuracy_status"] == "unknown"
  assert unknown["seconds_to_accuracy_status"] == "known"


def test_an_unknown_group_says_why():
  lost = record(64, 0, None, reasons=("GPU lost at 4.1 s",))
  (row,) = rows(csv_files.summary(compare([lost])))
  assert row["joules_to_accuracy"] == ""
  assert row["joules_to_accuracy_status"] == "unknown"
  assert row["unknown"] == "GPU lost at 4.1 s"


def test_estimated_is_a_column():
  (row,) = rows(csv_files.summary(compare(seeds(64, 9, estimated=True))))
  assert row["estimated"] == "true"


@pytest.mark.parametrize(
  ("text", "cell"),
  [
    ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
    ("@SUM(1)", "'@SUM(1)"),
    ("+1+2", "'+1+2"),
    ("-rf", "'-rf"),
    ("\t=1", "\\t=1"),
    ("\x1b[2J", "\\x1b[2J"),
    ("-5", "-5"),
    ("+1.5e-3", "+1.5e-3"),
    ("plain = text", "plain = text"),
  ],
)
def test_a_text_is_no_formula(text: str, cell: str) -> None:
  failed = record(64, 0, None, "failed", error=text, trial_id=text)
  named = record(64, 1, 5.0, varied={f"@{text}": text}, warnings=(text,))
  first, second = rows(trials([failed, named]))
  assert (first["error"], first["trial_id"]) == (cell, cell)
  assert second["warnings"] == cell
  (heading,) = (name for name in second if name.startswith("'@"))
  assert (heading[:2], second[heading]) == ("'@", cell)


def test_a_negative_number_stays_a_number() -> None:
  (row,) = rows(trials([record(64, 0, 5.0, idle_watts=-1.5)]))
  assert float(row["idle_watts"]) == -1.5
