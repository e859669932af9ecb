"""Writes runs as event files of TensorBoard: scalars, and its HParams table.

By TensorBoard's own writer of records; neither TensorFlow nor PyTorch is
needed. A value has to have a wall-clock time there: of a trial whose start is
unknown the clock begins at the epoch, so that relative times are right.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpower.export.runs import Run

FILE = "events.out.tfevents.{seconds}.jaxpower"
# Results that stand as columns in the HParams table.
RESULTS = (
  *("joules_to_accuracy", "seconds_to_accuracy", "train_joules"),
  *("train_seconds", "test_accuracy", "best_accuracy"),
)


def write(runs: Sequence[Run], folder: pathlib.Path, name: str) -> None:
  """Writes a folder for each trial, and the experiment above them."""
  _write_events(folder, 0.0, [(0.0, _experiment(runs, name))])
  for run in runs:
    started = run.started or 0.0
    end = run.ended or started + run.metrics.get("wall_seconds", 0.0)
    events: list[tuple[float, Any]] = [(started, _start(run, started))]
    for series, points in run.series.items():
      events += [
        (started + p.seconds, (_scalar(series, p.value), p.step))
        for p in points
      ]
    last = max((p.step for ps in run.series.values() for p in ps), default=0)
    events += [
      (end, (_scalar(f"trial/{metric}", number), last))
      for metric, number in run.metrics.items()
    ]
    events.append((end, _finish(run, end)))
    _write_events(folder / run.name, started, events)


def _write_events(
  folder: pathlib.Path, started: float, events: Sequence[tuple[float, Any]]
) -> None:
  """Writes (instant, summary) or (instant, (summary, step)) to a new file."""
  from tensorboard.compat.proto.event_pb2 import Event
  from tensorboard.summary.writer.record_writer import RecordWriter

  folder.mkdir(parents=True, exist_ok=True)
  path = folder / FILE.format(seconds=f"{started:.0f}".zfill(10))
  with path.open("wb") as file:
    writer = RecordWriter(file)
    head = Event(wall_time=started, file_version="brain.Event:2")
    writer.write(head.SerializeToString())
    for instant, what in events:
      summary, step = what if isinstance(what, tuple) else (what, 0)
      event = Event(wall_time=instant, step=step, summary=summary)
      writer.write(event.SerializeToString())


def _scalar(tag: str, value: float) -> Any:
  from tensorboard.compat.proto.summary_pb2 import Summary

  return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def _hparams(run: Run) -> dict[str, Any]:
  """Returns what the table shows of a trial: its config, and how it ended.

  Params that all trials share are there too; the table folds them.
  """
  return {**run.params, **run.tags}


def _experiment(runs: Sequence[Run], name: str) -> Any:
  """Describes the columns of the HParams table."""
  from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

  kinds: dict[str, Any] = {}
  for run in runs:
    for key, item in _hparams(run).items():
      kinds.setdefault(key, _kind(api_pb2, item))
  present = {metric for run in runs for metric in run.metrics}
  experiment = api_pb2.Experiment(
    name=name,
    hparam_infos=[
      api_pb2.HParamInfo(name=key, type=kind) for key, kind in kinds.items()
    ],
    metric_infos=[
      api_pb2.MetricInfo(name=api_pb2.MetricName(tag=f"trial/{metric}"))
      for metric in RESULTS
      if metric in present
    ],
  )
  data = plugin_data_pb2.HParamsPluginData(experiment=experiment)
  return _of_plugin(metadata.EXPERIMENT_TAG, data)


def _kind(api: Any, item: Any) -> Any:
  if isinstance(item, bool):
    return api.DATA_TYPE_BOOL
  if isinstance(item, int | float):
    return api.DATA_TYPE_FLOAT64
  return api.DATA_TYPE_STRING


def _start(run: Run, started: float) -> Any:
  from tensorboard.plugins.hparams import metadata, plugin_data_pb2

  info = plugin_data_pb2.SessionStartInfo(
    group_name=run.name, start_time_secs=started
  )
  _fill(info.hparams, _hparams(run))
  data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
  return _of_plugin(metadata.SESSION_START_INFO_TAG, data)


def _fill(values: Any, items: Mapping[str, Any]) -> None:
  for key, item in items.items():
    if isinstance(item, bool):
      values[key].bool_value = item
    elif isinstance(item, int | float):
      values[key].number_value = item
    else:
      values[key].string_value = item


def _finish(run: Run, end: float) -> Any:
  from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

  info = plugin_data_pb2.SessionEndInfo(
    status=api_pb2.STATUS_FAILURE if run.failed else api_pb2.STATUS_SUCCESS,
    end_time_secs=end,
  )
  data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
  return _of_plugin(metadata.SESSION_END_INFO_TAG, data)


def _of_plugin(tag: str, data: Any) -> Any:
  """Wraps a message for the HParams plugin, as its `summary.py` does."""
  from tensorboard.compat.proto.summary_pb2 import Summary
  from tensorboard.plugins.hparams import metadata

  value = Summary.Value(
    tag=tag,
    metadata=metadata.create_summary_metadata(data),
    tensor=metadata.NULL_TENSOR,
  )
  return Summary(value=[value])
