"""Which records may be compared: those that stand on common ground.

One data set, one target, one machine, one set of domains and of devices,
measured or estimated alike. Whatever differs in any of these is never pooled.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from jaxpower.records import TrialRecord, to_json
from jaxpower.report.labels import natural_key

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


def machine(record: TrialRecord) -> str:
  """Host and processor a trial ran on; empty where it is not recorded."""
  words = (record.provenance.get(key) for key in ("host", "cpu"))
  return ", ".join(str(word) for word in words if word)


def devices(record: TrialRecord) -> tuple[str, ...]:
  """Where a trial trained: UUIDs of GPUs, or "CPU"; empty where unrecorded."""
  found = record.provenance.get("devices") or ()
  names = [_device(each) for each in found if isinstance(each, dict)]
  gpus = [name for name in names if name != CPU]
  return tuple(sorted(gpus)) or tuple(names[:1])


def across(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
  """Records of several sweeps, with `varied` naming all in which they differ.

  Data and target are left out, since they part the records anyway. The same
  record read twice, from a copied folder, is taken once.
  """
  once = tuple({to_json(record): record for record in records}.values())
  flat = [_flat(record.config) for record in once]
  paths = dict.fromkeys(path for config in flat for path in config)
  differing = [
    path
    for path in paths
    if path not in ("seed", "data", "target_accuracy")
    and len({json.dumps(config.get(path)) for config in flat}) > 1
  ]
  return tuple(
    replace(record, varied={path: config.get(path) for path in differing})
    for record, config in zip(once, flat, strict=True)
  )


def _ground(record: TrialRecord) -> tuple:
  return (
    str(record.config.get("data", "")),
    record.target_accuracy,
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


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in config.items():
    if isinstance(value, dict):
      flat |= _flat(value, f"{prefix}{key}.")
    else:
      flat[prefix + key] = value
  return flat
