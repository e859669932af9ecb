"""An experiment of MLflow, read back by MLflow."""

import committed
import pytest
from report_records import record

from jaxpower.export import mlflow_runs as ours
from jaxpower.export.runs import runs


def test_mlflow_reads_it(tmp_path, monkeypatch):
  client_of = pytest.importorskip("mlflow.tracking").MlflowClient
  monkeypatch.chdir(tmp_path)
  trials = committed.records("frameworks_transformer")
  failed = record(64, status="failed")
  database = tmp_path / "mlflow.db"
  ours.write(runs([*trials, failed], "1.0"), database, "frameworks")
  assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
  client = client_of(f"sqlite:///{database}")
  experiment = client.get_experiment_by_name("frameworks")
  assert experiment is not None
  found = client.search_runs([experiment.experiment_id])
  assert len(found) == len(trials) + 1
  by_id = {run.info.run_name.split()[-1]: run for run in found}
  for trial in trials:
    run = by_id[trial.trial_id]
    known = run.data.metrics["trial/joules_to_accuracy"]
    assert known == pytest.approx(trial.joules_to_accuracy)
    assert run.data.params["batch_size"] == str(trial.config["batch_size"])
    assert run.data.tags["energy"] == "estimated"
    history = client.get_metric_history(run.info.run_id, "accuracy")
    assert [(m.step, m.value) for m in history] == [
      (look.examples, look.accuracy) for look in trial.curve
    ]
  assert by_id[failed.trial_id].info.status == "FAILED"
  assert "trial/joules_to_accuracy" not in by_id[failed.trial_id].data.metrics
