"""Writes runs into a database of MLflow: `mlflow ui` then shows the sweep."""

import itertools
import logging
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jaxpower.export.runs import Run

# What one call of MLflow takes (`log_batch`), and the longest text of a tag.
MOST_METRICS, MOST_PARAMS, LONGEST = 1000, 100, 5000
MILLISECONDS = 1000  # of a second
# A name may hold letters, digits and these alone.
REFUSED = re.compile(r"[^\w\-. /]")


def write(runs: Sequence[Run], database: pathlib.Path, name: str) -> None:
  """Writes an experiment of that name, a run each trial.

  A trial of unknown start begins at the epoch, so that its length is right.

  Args:
    runs: The trials.
    database: The SQLite file to make; artifacts would lie beside it.
    name: Of the experiment.
  """
  # Else it tells its makers of this use.
  os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
  from mlflow.entities import Metric, Param, RunTag
  from mlflow.tracking import MlflowClient

  # It tells of every table that it makes.
  logging.getLogger("mlflow").setLevel(logging.WARNING)
  client = MlflowClient(f"sqlite:///{database.resolve()}")
  artifacts = database.resolve().with_suffix(".artifacts")
  experiment = client.create_experiment(name, artifacts.as_uri())
  for run in runs:
    started = run.started or 0.0
    made = client.create_run(
      experiment,
      start_time=_milliseconds(started),
      run_name=f"{run.setting} {run.name}".strip(),
    )
    metrics = [
      Metric(_key(key), number, _milliseconds(at), step)
      for key, number, at, step in _numbers(run, started)
    ]
    params = [Param(_key(k), str(v)[:LONGEST]) for k, v in run.params.items()]
    tags = [RunTag(_key(k), v[:LONGEST]) for k, v in run.tags.items()]
    for some in _batched(metrics, MOST_METRICS):
      client.log_batch(made.info.run_id, metrics=some)
    for some in _batched(params, MOST_PARAMS):
      client.log_batch(made.info.run_id, params=some)
    client.log_batch(made.info.run_id, tags=tags)
    client.set_terminated(
      made.info.run_id,
      "FAILED" if run.failed else "FINISHED",
      _milliseconds(_end(run, started)),
    )


def _numbers(
  run: Run, started: float
) -> Iterator[tuple[str, float, float, int]]:
  """Yields name, value, instant and step: series first, then the results."""
  for name, points in run.series.items():
    for point in points:
      yield name, point.value, started + point.seconds, point.step
  end = _end(run, started)
  for name, number in run.metrics.items():
    yield f"trial/{name}", number, end, 0


def _end(run: Run, started: float) -> float:
  if run.ended is not None:
    return run.ended
  return started + run.metrics.get("wall_seconds", 0.0)


def _milliseconds(seconds: float) -> int:
  return round(seconds * MILLISECONDS)


def _key(name: str) -> str:
  return REFUSED.sub("_", name)


def _batched(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
  rest = iter(items)
  while some := list(itertools.islice(rest, most)):
    yield some
