"""emissions.csv: CodeCarbon's columns, and empty where nothing is known."""

import csv
import io
import math

import committed
import pytest
from report_records import devices, record, seeds

from jaxpower.export import ExportError, codecarbon, spending
from jaxpower.export.given import Grid
from jaxpower.report.given.trackers import read

GRID = Grid(380.0, "me", 1.5)


def rows(text: str) -> list[dict[str, str]]:
  return list(csv.DictReader(io.StringIO(text)))


def test_a_row_has_the_energy_of_its_trial():
  trials = committed.records("frameworks_ten_seeds")
  found = rows(codecarbon.emissions_csv(trials, "frameworks"))
  assert tuple(found[0]) == codecarbon.COLUMNS
  assert [row["run_id"] for row in found] == [t.trial_id for t in trials]
  for row, trial in zip(found, trials, strict=True):
    kwh, took = spending.kwh(trial), spending.seconds(trial)
    assert kwh is not None and took is not None
    assert float(row["energy_consumed"]) == kwh
    assert float(row["cpu_energy"]) == pytest.approx(kwh)
    assert float(row["duration"]) == took
    watts = float(row["cpu_power"])
    assert watts * took / 3.6e6 == pytest.approx(kwh)
    assert row["timestamp"] == (trial.ended_utc or "")[:19]
    assert row["codecarbon_version"] == "jaxpower 0.1.0, estimated"
    assert row["tracking_mode"] == "process"


def test_unknown_is_empty_and_never_zero():
  (row,) = rows(codecarbon.emissions_csv([record(64)], "batch"))
  empty = {name for name, cell in row.items() if cell == ""}
  assert {
    *("timestamp", "emissions", "emissions_rate", "cpu_energy", "ram_energy"),
    *("water_consumed", "country_name", "on_cloud", "pue", "wue"),
    *("cpu_utilization_percent", "ram_used_gb", "longitude"),
  } <= empty
  assert "0" not in row.values() and "0.0" not in row.values()
  assert row["codecarbon_version"] == "jaxpower"  # of unknown version
  assert row["tracking_mode"] == "machine"


def test_carbon_and_the_building_are_in_it_where_they_are_given():
  trial = record(64, provenance=devices("GPU-1", "GPU-2"))
  given = {"country": "France", "country_iso_code": "FRA"}
  text = codecarbon.emissions_csv([trial], "batch", GRID, given)
  (row,) = rows(text)
  kwh = (spending.kwh(trial) or math.nan) * 1.5
  assert float(row["energy_consumed"]) == pytest.approx(kwh)
  assert float(row["emissions"]) == pytest.approx(kwh * 0.38)
  rate = float(row["emissions_rate"]) * float(row["duration"])
  assert rate == pytest.approx(float(row["emissions"]))
  assert (row["pue"], row["country_name"]) == ("1.5", "France")
  assert (row["gpu_count"], row["gpu_model"]) == ("2", "2 x NVIDIA H200")


def test_a_trial_of_unknown_energy_has_no_row():
  unknown = record(256, joules_by_phase={})
  found = rows(codecarbon.emissions_csv([record(64), unknown], "b"))
  assert len(found) == 1
  with pytest.raises(ExportError, match="energy of no trial is known"):
    codecarbon.emissions_csv([unknown], "b")


def test_our_own_reader_of_codecarbon_reads_it():
  trials = seeds(64, 204.0, 208.0)
  text = codecarbon.emissions_csv(trials, "batch")
  references = list(read("emissions.csv", text) or ())
  spent = [(spending.kwh(t) or math.nan) * 3.6e6 for t in trials]
  assert [r.joules for r in references] == pytest.approx(spent)


def test_a_name_cannot_act_upon_a_terminal():
  text = codecarbon.emissions_csv([record(64)], "a\x1b[2J,b\n")
  assert "\x1b" not in text
  assert rows(text)[0]["project_name"].startswith("a\\x1b[2J,b")


def test_codecarbon_has_these_columns_and_appends_to_it(tmp_path):
  methods = "codecarbon.output_methods"
  data = pytest.importorskip(f"{methods}.emissions_data").EmissionsData
  file = pytest.importorskip(f"{methods}.file")
  fields = tuple(data.__dataclass_fields__)
  assert fields == codecarbon.COLUMNS
  text = codecarbon.emissions_csv([record(64)], "batch")
  (tmp_path / "emissions.csv").write_text(text)
  values = dict.fromkeys(fields, 0.0)
  own = data(**values | {"run_id": "theirs"})
  file.FileOutput("emissions.csv", str(tmp_path)).out(own, own)
  found = rows((tmp_path / "emissions.csv").read_text())
  assert [row["run_id"] for row in found][1:] == ["theirs"]
  assert [p.name for p in tmp_path.iterdir()] == ["emissions.csv"]
