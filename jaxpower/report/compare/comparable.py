"""Which records may be compared: those that stand on common ground.

One data set, the same tasks and targets, one machine, one set of domains and
of devices, measured or estimated alike. Whatever differs in any of these is
never pooled.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from jaxpower.records import TrialRecord, to_json
from jaxpower.wording import value

ORIGIN = "transfer.init_from."  # fields of the trial that another began from


CPU = "CPU"

NO_UUID = "of unknown UUID"


def comparable(
  records: Iterable[TrialRecord],
) -> tuple[tuple[TrialRecord, ...], ...]:
  """The records parted by data, target, machine, domains and kind of meter.

  A trial that failed before its meter opened follows the others of its data,
  target and machine, so that it still counts among the trials of its group.
  """
  parts: dict[tuple, list[TrialRecord]] = {}
  blind = []
  for record in sorted(records, key=_order):
    if record.joules_by_domain:
      parts.setdefault(_ground(record), []).append(record)
    else:
      blind.append(record)
  for record in blind:
    ground = _ground(record)
    near = (key for key in parts if key[:3] == ground[:3])
    also = (key for key in parts if key[:2] == ground[:2])
    home = next(near, None) or (
      next(also, ground) if not machine(record) else ground
    )
    parts.setdefault(home, []).append(record)
  return tuple(
    tuple(sorted(parts[key], key=_order)) for key in sorted(parts, key=str)
  )


def without_pretraining(
  records: Iterable[TrialRecord],
) -> tuple[TrialRecord, ...]:
  """The records that are settings of a sweep, and no pretraining."""
  records = tuple(records)
  apart = {record.trial_id for record in pretraining(records)}
  return tuple(record for record in records if record.trial_id not in apart)


def pretraining(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
  """The records that others began from and that no sweep asked for itself.

  What a trial began from answers another question, mostly on other data: it
  is no setting among those that began from it, unless something was varied
  in it too.
  """
  records = tuple(records)
  named = {record.init_from for record in records}
  asked = {record.trial_id for record in records if record.varied}
  return tuple(r for r in records if r.trial_id in named - asked)


def machine(record: TrialRecord) -> str:
  """Host and processor a trial ran on; empty where it is not recorded."""
  words = (record.provenance.get(key) for key in ("host", "cpu"))
  return ", ".join(str(word) for word in words if word)


def tasks_of(record: TrialRecord) -> tuple[str, ...]:
  """The tasks a trial learned, in one network."""
  return tuple(record.config.get("tasks") or ("label",))


def target_of(record: TrialRecord, task: str) -> float:
  """The accuracy that a trial was to reach in one of its tasks."""
  if len(tasks_of(record)) == 1:
    return record.target_accuracy
  shared = record.config["target_accuracy"]
  return record.config.get("targets", {}).get(task, shared)


def measured_on(record: TrialRecord) -> tuple:
  """The ground of a trial but for its data and target: how it was measured."""
  return _ground(record)[2:]


def devices(record: TrialRecord) -> tuple[str, ...]:
  """Where a trial trained: UUIDs of GPUs, or "CPU"; empty where unrecorded."""
  found = record.provenance.get("devices") or ()
  names = [_device(each) for each in found if isinstance(each, dict)]
  gpus = [name for name in names if name != CPU]
  return tuple(sorted(gpus)) or tuple(names[:1])


def across(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
  """Records of several sweeps, with `varied` naming all in which they differ.

  Data, tasks and targets are left out, since they part the records anyway. The
  same record read twice, from a copied folder, is taken once.
  """
  once = tuple({to_json(record): record for record in records}.values())
  apart = pretraining(once)
  settings = without_pretraining(once)
  compared = [_settings(record) for record in settings]
  paths = dict.fromkeys(path for config in compared for path in config)
  differing = [
    path
    for path in paths
    if path not in ("data", "tasks", "target_accuracy")
    and not path.startswith("targets.")
    and len(_values(path, compared)) > 1
  ]
  return apart + tuple(
    replace(record, varied={path: config.get(path) for path in differing})
    for record, config in zip(settings, compared, strict=True)
  )


def _settings(record: TrialRecord) -> dict[str, Any]:
  """The flat config; a transfer is one word and what it began from."""
  config = dict(record.config)
  transfer = config.pop("transfer", None)
  found = flat(config)
  if isinstance(transfer, dict):
    # Another sweep may have told the same start in other words.
    found["transfer"] = start(replace(record, varied={}))
    if transfer.get("weights"):
      found[f"{ORIGIN}weights"] = transfer["weights"]
    if isinstance(origin := transfer.get("init_from"), dict):
      found |= flat(origin, ORIGIN)
  return {
    path: item
    for path, item in found.items()
    # What a trial began from was trained in its framework.
    if not is_seed(path) and not path.endswith(".init_from.framework")
  }


def is_seed(path: str) -> bool:
  """Whether a field is a seed, of the trial or of what it began from."""
  return path.rpartition(".")[2] == "seed"


def _values(path: str, settings: Iterable[dict[str, Any]]) -> set[str]:
  """The values a field takes; a trial from scratch has no origin to differ."""
  return {
    json.dumps(found.get(path))
    for found in settings
    if path in found or not path.startswith(ORIGIN)
  }


def _ground(record: TrialRecord) -> tuple:
  tasks = tasks_of(record)
  return (
    (str(record.config.get("data", "")), tasks),
    tuple(target_of(record, task) for task in tasks),
    machine(record),
    tuple(sorted(record.joules_by_domain)),
    record.estimated,
    devices(record),
  )


def _device(facts: dict[str, Any]) -> str:
  if facts.get("platform") == "cpu":
    return CPU
  return str(facts.get("uuid") or f"{facts.get('kind', 'a GPU')} {NO_UUID}")


def _order(record: TrialRecord) -> tuple:
  values = [natural_key(value) for value in record.varied.values()]
  return (*values, (0, record.seed), (1, record.trial_id))


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """The fields of a nested config as dotted paths."""
  found = {}
  for key, item in config.items():
    if isinstance(item, dict):
      found |= flat(item, f"{prefix}{key}.")
    else:
      found[prefix + key] = item
  return found


def start(record: TrialRecord) -> str:
  """What a trial's weights began as: "scratch", "fine-tuned" or "frozen".

  With " at 0.1" where the backbone learns at another rate than the head.
  """
  word = record.varied.get("transfer")
  if isinstance(word, str):
    return word
  transfer = record.config.get("transfer")
  transfer = transfer if isinstance(transfer, dict) else {}
  given = transfer.get("init_from") or transfer.get("weights")
  if not (record.init_from or record.pretrained or given):
    return "scratch"
  if transfer.get("freeze"):
    return "frozen"
  rate = transfer.get("backbone_rate", 1.0)
  return "fine-tuned" if rate == 1 else f"fine-tuned at {value(rate)}"


def natural_key(item: Any) -> tuple[int, Any]:
  """Sorts numbers by size, then words; for values of a config."""
  if isinstance(item, bool | int | float):
    return 0, item
  if isinstance(item, str):
    return 1, item
  return 2, json.dumps(item, sort_keys=True)


SCRATCH = "scratch"
