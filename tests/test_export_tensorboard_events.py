"""Event files of TensorBoard, read back by its own readers."""

import committed
import pytest
from report_records import record

from jaxpower.export import tensorboard_events as ours
from jaxpower.export.runs import runs


def test_tensorboard_reads_it(tmp_path):
  processing = "tensorboard.backend.event_processing"
  reader = pytest.importorskip(f"{processing}.event_accumulator")
  hparams_of = "tensorboard.plugins.hparams"
  metadata = pytest.importorskip(f"{hparams_of}.metadata")
  plugin_data_pb2 = pytest.importorskip(f"{hparams_of}.plugin_data_pb2")
  trials = committed.records("frameworks_transformer")
  failed = record(64, status="failed")
  folder = tmp_path / "runs"
  ours.write(runs([*trials, failed], "1.0"), folder, "frameworks")

  def of(path):
    events = reader.EventAccumulator(str(path))
    events.Reload()
    return events

  for trial in trials:
    events = of(folder / trial.trial_id)
    assert [(e.step, e.value) for e in events.Scalars("accuracy")] == [
      (look.examples, pytest.approx(look.accuracy)) for look in trial.curve
    ]
    (joules,) = events.Scalars("trial/joules_to_accuracy")
    assert joules.value == pytest.approx(trial.joules_to_accuracy)
    plugin = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    data = plugin_data_pb2.HParamsPluginData()
    data.ParseFromString(plugin.plugin_data.content)
    hparams = data.session_start_info.hparams
    assert hparams["energy"].string_value == "estimated"
    assert hparams["batch_size"].number_value == trial.config["batch_size"]
  assert (
    "trial/joules_to_accuracy"
    not in of(folder / failed.trial_id).Tags()["scalars"]
  )
  plugin = of(folder).SummaryMetadata(metadata.EXPERIMENT_TAG)
  data = plugin_data_pb2.HParamsPluginData()
  data.ParseFromString(plugin.plugin_data.content)
  names = [info.name.tag for info in data.experiment.metric_infos]
  assert "trial/joules_to_accuracy" in names
