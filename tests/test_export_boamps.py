"""A BoAmps report: what its schemas demand, and nothing that is not known."""

import json

import committed
import pytest
from report_records import devices, record, seeds

from jaxpower.export import ExportError, boamps
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.compare.costs import all_phases

GIVEN = {
  "infrastructure": "onPremise",
  "data_type": "image",
  "task_family": "image classification",
}
NOW = "2026-11-27 08:00:00"


def report(compared, given=None):
  text = boamps.report(compared, given or GIVEN, NOW)
  return json.loads(text)


def test_the_energy_is_that_of_all_trials():
  found = report(committed.compared("batch"))
  joules = sum(all_phases(r) or 0.0 for r in committed.records("batch"))
  (measure,) = found["measures"]
  assert measure["powerConsumption"] == pytest.approx(joules / 3.6e6)
  assert measure["measurementMethod"] == "jaxpower, estimated"
  assert measure["cpuTrackingMode"] == "model, estimated"
  assert "gpuTrackingMode" not in measure
  assert "measurementDateTime" not in measure  # these records have no date
  assert found["infrastructure"]["components"] == [
    {
      "componentName": "AMD EPYC",
      "componentType": "cpu",
      "nbComponent": 2,
    }
  ]
  (algorithm,) = found["task"]["algorithms"]
  assert algorithm["algorithmName"] == "cnn"
  assert algorithm["parametersNumber"] == pytest.approx(105_866 / 1e9)
  assert "environment" not in found


def test_a_date_that_is_known_is_the_first():
  found = report(committed.compared("frameworks_ten_seeds"))
  first = min(
    r.started_utc or "" for r in committed.records("frameworks_ten_seeds")
  )
  assert found["measures"][0]["measurementDateTime"] == (
    first[:19].replace("T", " ")
  )
  assert len(found["task"]["algorithms"]) > 1


def test_gpus_are_counted_by_the_trial():
  place = devices("GPU-1", "GPU-2") | {"cpus_usable": 16}
  trials = seeds(64, 200.0, 210.0, provenance=place)
  found = report(compare_all(trials), GIVEN | {"country": "France"})
  assert [
    (c["componentType"], c["nbComponent"])
    for c in found["infrastructure"]["components"]
  ] == [("cpu", 16), ("gpu", 2)]
  assert found["measures"][0]["measurementMethod"] == "jaxpower"
  assert found["environment"] == {"country": "France"}


@pytest.mark.parametrize(
  ("given", "reason"),
  [
    ({}, "what no record knows: --given=infrastructure=.*data_type.*task_fam"),
    (GIVEN | {"data_type": "images"}, "did you mean image"),
    (GIVEN | {"infrastructure": "onpremise"}, "did you mean onPremise"),
    (GIVEN | {"grid_intensity": "380"}, "wants the country"),
  ],
)
def test_what_the_schema_wants_and_nobody_gave_is_refused(given, reason):
  with pytest.raises(ExportError, match=reason) as caught:
    boamps.report(committed.compared("batch"), given, NOW)
  assert "\n" not in str(caught.value)


def test_unknown_energy_and_processors_are_refused():
  place = {"cpus_usable": 2}
  failed = [
    *seeds(64, 200.0, provenance=place),
    record(64, 1, status="failed", provenance=place),
  ]
  with pytest.raises(ExportError, match="that of some is unknown"):
    report(compare_all(failed))
  with pytest.raises(ExportError, match="number of processors; trial 0000"):
    report(compare_all(seeds(64, 200.0)))


def test_the_same_trials_are_the_same_report():
  first, second = (report(committed.compared("batch")) for _ in range(2))
  other = report(committed.compared("frameworks_ten_seeds"))
  assert first["header"]["reportId"] == second["header"]["reportId"]
  assert first["header"]["reportId"] != other["header"]["reportId"]
