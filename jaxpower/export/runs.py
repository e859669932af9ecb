"""Trials as experiment trackers know them: params, metrics, series, tags.

What MLflow, W&B and TensorBoard are given is the same; each has a module that
writes it by the tracker's own package. A number that is not known is not there:
all of them would draw a 0 as a measurement.
"""

import dataclasses
import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.cells import hardware_name
from jaxpower.report.compare.comparable import flat
from jaxpower.report.compare.costs import all_phases, trial_cost
from jaxpower.report.compare.system import system_of
from jaxpower.wording import measured_or_estimated, setting

Param = bool | int | float | str
# Numbers of a record that are none of the trial's results.
NO_METRICS = {"schema_version", "seed", "monotonic_origin_seconds"}
# By phase or domain, each a metric.
BY_NAME = ("joules_by_phase", "seconds_by_phase", "joules_by_domain")
# What an evaluation knows, each a series.
SERIES = ("accuracy", "loss", "train_loss", "train_joules", "train_seconds")


@dataclass(frozen=True)
class Point:
  """A value of a series after so many examples and seconds of training.

  `step` is the number of the evaluation where the examples are not known.
  """

  step: int
  seconds: float
  value: float


@dataclass(frozen=True, kw_only=True)
class Run:
  """One trial.

  Attributes:
    name: Its id.
    setting: What its sweep varied, in words; seeds of a setting share it.
    params: The config, flat, without fields that are not set.
    metrics: Numbers of the whole trial, units in their names.
    series: Of each evaluation, by name.
    tags: What it is and how it ended, its energy measured or estimated.
    started: Seconds since the epoch; None where the record does not tell.
    ended: Likewise.
    failed: Whether it has no result.
  """

  name: str
  setting: str
  params: dict[str, Param]
  metrics: dict[str, float]
  series: dict[str, tuple[Point, ...]]
  tags: dict[str, str]
  started: float | None
  ended: float | None
  failed: bool


def runs(records: Iterable[TrialRecord], version: str) -> list[Run]:
  """Makes a run of each trial; a repeated trial has a number after its id.

  Args:
    records: The trials.
    version: Of jaxpower, for the tags.
  """
  made: list[Run] = []
  times: Counter[str] = Counter()
  for record in records:
    times[record.trial_id] += 1
    run = _run(record, version)
    if (time := times[record.trial_id]) > 1:
      run = dataclasses.replace(run, name=f"{run.name}-{time}")
    made.append(run)
  return made


def _run(record: TrialRecord, version: str) -> Run:
  return Run(
    name=record.trial_id,
    setting=setting(record.varied),
    params=params(record.config),
    metrics=metrics(record),
    series={
      name: points for name in SERIES if (points := _series(record, name))
    },
    tags=_tags(record, version),
    started=instant(record.started_utc),
    ended=instant(record.ended_utc),
    failed=record.status == "failed",
  )


def params(config: Mapping[str, Any]) -> dict[str, Param]:
  """Returns a config flat, by dotted path; what is no scalar as JSON."""
  return {
    path: item
    if isinstance(item, bool | int | float | str)
    else json.dumps(item)
    for path, item in flat(dict(config)).items()
    if item is not None
  }


def metrics(record: TrialRecord) -> dict[str, float]:
  """Returns the known numbers of a trial, by the names of its record."""
  numbers = {
    field.name: getattr(record, field.name)
    for field in dataclasses.fields(record)
    if field.name not in NO_METRICS
  }
  numbers["joules_of_all_phases"] = all_phases(record)
  numbers["joules_per_example"] = record.joules_per_example
  for name in BY_NAME:
    numbers |= {f"{name}.{k}": v for k, v in getattr(record, name).items()}
  if record.compile is not None:
    numbers["compile_joules"] = record.compile.joules
    numbers["compile_seconds"] = record.compile.seconds
  return {
    name: float(number)
    for name, number in numbers.items()
    if isinstance(number, int | float) and not isinstance(number, bool)
  }


def _series(record: TrialRecord, name: str) -> tuple[Point, ...]:
  told = all(look.examples is not None for look in record.curve)
  return tuple(
    Point(look.examples or 0 if told else place, look.train_seconds, number)
    for place, look in enumerate(record.curve)
    if (number := getattr(look, name)) is not None
  )


def _tags(record: TrialRecord, version: str) -> dict[str, str]:
  """Says what a trial is; `censored`: its cost is above what it spent."""
  cost = None if record.status == "failed" else trial_cost(record)
  facts = {
    "setting": setting(record.varied),
    "status": record.status,
    "energy": measured_or_estimated(record.estimated),
    "censored": "" if cost is None else str(cost.censored).lower(),
    "partial": str(record.partial).lower(),
    "framework": record.framework,
    "decided_by": record.decided_by,
    "hardware": hardware_name(system_of(record)),
    "error": record.error or "",
    "recorder": f"jaxpower {version}",
  }
  return {name: fact for name, fact in facts.items() if fact}


def instant(utc: str | None) -> float | None:
  """Returns seconds since the epoch; None where it is not told."""
  try:
    moment = dt.datetime.fromisoformat(utc or "")
  except ValueError:
    return None
  if moment.tzinfo is None:
    moment = moment.replace(tzinfo=dt.UTC)
  return moment.timestamp()
