"""Lets the sweep of a run folder grow: more seeds, more values, other fields.

A trial is known by the hash of its config, so a record can be used again by
any sweep that has that trial. A folder therefore takes every sweep that only
adds to what it holds, and a smaller one too, which leaves out nothing that is
recorded. Refused is a sweep of which a recorded trial would be no part, since
a field that all its trials share has changed: then two tables would be one.
"""

import copy
import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from jaxpower.config import (
  Sweep,
  Trial,
  differences,
  field_types,
  from_dict,
  get,
  is_free,
  is_of_today,
  put,
  sources,
  to_dict,
  trial_id,
  with_seed,
)
from jaxpower.plan.field_values import check_types
from jaxpower.plan.grid import trial_of
from jaxpower.records import TrialRecord, detail_needed, varied_value


class GrowthError(Exception):
  """A recorded trial is no part of a sweep: one line says where they differ.

  Attributes:
    fix: How the folder can be continued all the same; may be empty.
  """

  def __init__(self, reason: str, fix: str = ""):
    super().__init__(reason)
    self.fix = fix


# What differs alone where a folder was begun when all devices were the default.
ALL_DEVICES = ["devices: 0 -> 1"]
TAKE_ALL_DEVICES = (
  "0, all devices, was the default; --config.devices=0 goes on in this folder"
)


@dataclasses.dataclass(frozen=True)
class Grown:
  """What a run folder holds once a sweep that is asked for has been run.

  Attributes:
    sweep: The sweep asked for, with the values and seeds of all trials that
      are recorded.
    settings: Ids of the recorded trials that are settings of it, and not only
      there to start others from.
    trials: The recorded trials by id.
  """

  sweep: Sweep
  settings: frozenset[str] = frozenset()
  trials: Mapping[str, Trial] = dataclasses.field(default_factory=dict)

  def varied(self, trial: Trial) -> dict[str, Any]:
    """Returns the values of a trial that the grown sweep varies, by field."""
    return {
      path: varied_value(get(trial, path), detail)
      for path, detail in self._details.items()
    }

  @functools.cached_property
  def _details(self) -> dict[str, int]:
    """How much the name of a value has to say, by field."""
    return {
      path: detail_needed(values) for path, values in self.sweep.vary.items()
    }


def grow(
  asked: Sweep,
  planned: Mapping[str, Trial],
  recorded: Mapping[str, TrialRecord],
) -> Grown:
  """Adds to a sweep what the records of its folder have beyond it.

  Args:
    asked: The sweep that is to be run in the folder.
    planned: Its trials by id, without their pretrainings.
    recorded: The newest record of each trial in the folder, by trial id.

  Raises GrowthError where a recorded trial would be no part of the sweep.
  """
  trials = {
    name: planned[name]
    if name in planned and is_of_today(Trial, record.config)
    else _trial(record)
    for name, record in recorded.items()
  }
  origins = {
    trial_id(source)
    for trial in (*planned.values(), *trials.values())
    for source in sources(trial)
  }
  settings = {
    name
    for name, record in recorded.items()
    if name in planned or record.varied or name not in origins
  }
  paths = tuple(
    dict.fromkeys(p for varied in _varied(asked, recorded) for p in varied)
  )
  beyond = settings - planned.keys()
  others = [trial for name, trial in trials.items() if name in beyond]
  for trial in others:
    _check_part_of(asked, paths, trial)
  values = {path: asked.vary.get(path, (get(asked, path),)) for path in paths}
  for path in paths:
    known = {_plain(path, value) for value in values[path]}
    for name, trial in trials.items():
      if name in settings:
        plain = _plain(path, get(trial, path))
        if plain not in known:
          known.add(plain)
          values[path] = (*values[path], get(with_seed(trial, 0), path))
  sweep = dataclasses.replace(
    asked,
    vary=values,
    seeds=max([asked.seeds, *(trial.seed + 1 for trial in others)]),
    targets=_joined(asked.targets, (t.targets for t in others)),
    task_weights=_joined(asked.task_weights, (t.task_weights for t in others)),
  )
  return Grown(sweep, frozenset(settings), trials)


def renamed(
  grown: Grown, recorded: Mapping[str, TrialRecord]
) -> dict[str, dict[str, Any]]:
  """Returns what the records of a folder hold as `varied` once it has grown.

  Only where it changes, by trial id: another field may be varied, and the name
  of a transfer says as much of its origin as the others do not share.
  """
  names = {
    name: grown.varied(trial) if name in grown.settings else {}
    for name, trial in grown.trials.items()
  }
  return {
    name: varied
    for name, varied in names.items()
    # As JSON: a record that was read has lists for tuples.
    if varied != recorded[name].varied
    and _json(varied) != _json(recorded[name].varied)
  }


def _varied(
  asked: Sweep, recorded: Mapping[str, TrialRecord]
) -> list[Iterable[str]]:
  """Returns the fields that a sweep varies, and those of each record."""
  known = field_types(Trial())
  return [
    asked.vary,
    *(
      [p for p in r.varied if p in known or is_free(p)]
      for r in recorded.values()
    ),
  ]


def _trial(record: TrialRecord) -> Trial:
  """Reads the trial of a record; GrowthError if it has other fields."""
  try:
    return from_dict(Trial, record.config)
  except TypeError:
    raise GrowthError(
      "; ".join(differences(record.config, to_dict(Trial())))
    ) from None


def _check_part_of(asked: Sweep, paths: Iterable[str], trial: Trial) -> None:
  """Raises GrowthError unless a sweep has a trial, values and seed apart."""
  values = {path: get(trial, path) for path in paths}
  tasks = {
    t for names in asked.vary.get("tasks", (asked.tasks,)) for t in names
  }

  def with_others(
    own: dict[str, float], entries: dict[str, float]
  ) -> dict[str, float]:
    """Adds entries of tasks of which the sweep has no trial."""
    return {t: v for t, v in entries.items() if t not in tasks} | own

  asked = dataclasses.replace(
    asked,
    targets=with_others(asked.targets, trial.targets),
    task_weights=with_others(asked.task_weights, trial.task_weights),
  )
  ours = to_dict(trial_of(asked, values, trial.seed))
  if changes := differences(to_dict(trial), ours):
    fix = TAKE_ALL_DEVICES if changes == ALL_DEVICES else ""
    raise GrowthError("; ".join(changes), fix)


def _plain(path: str, value: Any) -> str:
  """Writes a value so that equal ones are equal, whatever their seed."""
  if value is None or isinstance(value, str | int | float):
    return _plain_scalar(path, type(value), value)
  trial = Trial()
  put(trial, path, copy.deepcopy(value))
  check_types(trial)  # 1 and 1.0 are one value
  return _json(get(with_seed(trial, 0), path))


@functools.lru_cache(maxsize=65_536)
def _plain_scalar(path: str, kind: type, value: Any) -> str:
  """Does so for a value that many trials have; `kind` tells True from 1."""
  trial = Trial()
  put(trial, path, value)
  check_types(trial)
  return _json(get(trial, path))


def _json(value: Any) -> str:
  return json.dumps(value, default=to_dict, sort_keys=True)


def _joined(
  own: Mapping[str, float], others: Iterable[Mapping[str, float]]
) -> dict[str, float]:
  """Joins entries of tasks that some trials do not have."""
  joined: dict[str, float] = {}
  for entries in others:
    joined |= entries
  return {**joined, **own}
