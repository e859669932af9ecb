"""Offline runs of W&B, read back by its own reader; nothing is sent."""

import json

import committed
import pytest
from report_records import record

from jaxpower.export import wandb_runs as ours
from jaxpower.export.runs import runs


@pytest.mark.proof
def test_wandb_reads_it(tmp_path):
  wandb_internal_pb2 = pytest.importorskip("wandb.proto.wandb_internal_pb2")
  datastore = pytest.importorskip("wandb.sdk.internal.datastore")
  trials = committed.records("frameworks_transformer")[:2]
  failed = record(64, status="failed")
  ours.write(runs([*trials, failed], "1.0"), tmp_path / "out", "frameworks")
  files = list(tmp_path.glob("out/wandb/offline-run-*/*.wandb"))
  assert len(files) == 3
  for trial in trials:
    (file,) = (f for f in files if f.stem == f"run-{trial.trial_id}")
    store = datastore.DataStore()
    store.open_for_scan(str(file))
    entries = []
    while data := store.scan_data():
      entry = wandb_internal_pb2.Record()
      entry.ParseFromString(data)
      entries.append(entry)
    (run,) = {e.run.run_id: e.run for e in entries if e.run.run_id}.values()
    config = {
      item.key: json.loads(item.value_json) for item in run.config.update
    }
    assert config["batch_size"] == trial.config["batch_size"]
    assert config["energy"] == "estimated"
    assert not run.host and not run.git.commit
    looks = [
      {
        (i.key or i.nested_key[0]): json.loads(i.value_json)
        for i in entry.history.item
      }
      for entry in entries
      if entry.history.item
    ]
    assert [(x["examples"], x["accuracy"]) for x in looks] == [
      (look.examples, look.accuracy) for look in trial.curve
    ]
