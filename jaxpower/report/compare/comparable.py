"""Which records may be compared, and what differs between those that may.

Comparable are trials of one data set, with the same tasks and targets, on one
machine, one set of domains and of devices, measured or estimated alike. What
differs in any of these is never pooled: a ratio across two machines or two
meters would compare the machines or the meters, and not the settings.

How the weights of a trial began is a `Start`, a value: two sweeps may give the
same start different names, so the name in a record decides nothing here.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any, Literal

from jaxpower.records import TrialRecord, to_json
from jaxpower.wording import start_name, value

ORIGIN = "transfer.init_from."  # fields of the trial that another began from
CPU = "CPU"
NO_UUID = "of unknown UUID"


# Conditions


@dataclass(frozen=True)
class Conditions:
  """All that two trials must share so that they may be compared."""

  data: str
  tasks: tuple[str, ...]
  targets: tuple[float, ...]
  machine: str
  domains: tuple[str, ...]
  estimated: bool
  devices: tuple[str, ...]

  @property
  def goal(self) -> tuple:
    """What was to be learned, and how well."""
    return self.data, self.tasks, self.targets

  @property
  def measurement(self) -> tuple:
    """Where and by what the joules were measured."""
    return self.machine, self.domains, self.estimated, self.devices


def conditions(record: TrialRecord) -> Conditions:
  """Returns the conditions of a trial."""
  tasks = tasks_of(record)
  return Conditions(
    data=str(record.config.get("data", "")),
    tasks=tasks,
    targets=tuple(target_of(record, task) for task in tasks),
    machine=machine(record),
    domains=tuple(sorted(record.joules_by_domain)),
    estimated=record.estimated,
    devices=devices(record),
  )


def comparable(
  records: Iterable[TrialRecord],
) -> tuple[tuple[TrialRecord, ...], ...]:
  """Splits records into sets that share their conditions.

  A trial that failed before its meter opened follows the others of its data,
  target and machine, so that it still counts among the trials of its group.
  """
  by_conditions: dict[Conditions, list[TrialRecord]] = {}
  unmeasured = []
  for record in sorted(records, key=_order):
    if record.joules_by_domain:
      by_conditions.setdefault(conditions(record), []).append(record)
    else:
      unmeasured.append(record)
  for record in unmeasured:
    nearest = _nearest(conditions(record), by_conditions)
    by_conditions.setdefault(nearest, []).append(record)
  return tuple(
    tuple(sorted(by_conditions[key], key=_order))
    for key in sorted(by_conditions, key=lambda key: str(astuple(key)))
  )


def _nearest(own: Conditions, among: Iterable[Conditions]) -> Conditions:
  """Returns the conditions of the trials that an unmeasured one belongs to."""
  same_goal = [other for other in among if other.goal == own.goal]
  same_machine = [other for other in same_goal if other.machine == own.machine]
  if same_machine:
    return same_machine[0]
  if same_goal and not own.machine:
    return same_goal[0]
  return own


def measured_alike(record: TrialRecord, other: TrialRecord) -> bool:
  """Returns whether joules of two trials may be added or divided."""
  return conditions(record).measurement == conditions(other).measurement


def machine(record: TrialRecord) -> str:
  """Names host and processor of a trial; empty where not recorded."""
  names = (record.provenance.get(key) for key in ("host", "cpu"))
  return ", ".join(str(name) for name in names if name)


def model_name(record: TrialRecord) -> str:
  """Names a model, with its width and depth where they are not its own."""
  facts: Any = record.config.get("model") or {}
  names = [str(facts.get("name", ""))]
  for field in ("width", "depth"):
    if facts.get(field, 1.0) != 1.0:
      names.append(f"{field} {value(float(facts[field]))}")
  return " ".join(names)


def hardware(record: TrialRecord) -> str:
  """Names what a trial trained on: "2 x NVIDIA H200", or the CPU."""
  devices = record.provenance.get("devices") or []
  kinds = [
    str(device.get("kind", ""))
    for device in devices
    if isinstance(device, dict) and device.get("platform") != "cpu"
  ]
  if kinds:
    return f"{len(kinds)} x {kinds[0]}" if len(kinds) > 1 else kinds[0]
  on_gpu = any(name.startswith("GPU-") for name in record.joules_by_domain)
  return "" if on_gpu else str(record.provenance.get("cpu", ""))


def tasks_of(record: TrialRecord) -> tuple[str, ...]:
  """Returns the tasks that a trial learned in one network."""
  return tuple(record.config.get("tasks") or ("label",))


def target_of(record: TrialRecord, task: str) -> float:
  """Returns the accuracy that a trial was to reach in one of its tasks."""
  if len(tasks_of(record)) == 1:
    return record.target_accuracy
  shared = record.config["target_accuracy"]
  return record.config.get("targets", {}).get(task, shared)


def devices(record: TrialRecord) -> tuple[str, ...]:
  """Returns UUIDs of the GPUs of a trial, or "CPU"; empty where unrecorded."""
  described = record.provenance.get("devices") or ()
  names = [_device(facts) for facts in described if isinstance(facts, dict)]
  gpus = [name for name in names if name != CPU]
  return tuple(sorted(gpus)) or tuple(names[:1])


def _device(facts: dict[str, Any]) -> str:
  if facts.get("platform") == "cpu":
    return CPU
  return str(facts.get("uuid") or f"{facts.get('kind', 'a GPU')} {NO_UUID}")


def _order(record: TrialRecord) -> tuple:
  values = [natural_key(value) for value in record.varied.values()]
  return (*values, (0, record.seed), (1, record.trial_id))


def natural_key(item: Any) -> tuple[int, Any]:
  """Sorts values of a config: numbers by size, then words."""
  if isinstance(item, bool | int | float):
    return 0, item
  if isinstance(item, str):
    return 1, item
  return 2, json.dumps(item, sort_keys=True)


# Starts


@dataclass(frozen=True)
class Start:
  """How the weights of a trial began.

  Attributes:
    kind: With random weights, with a pretrained backbone that is trained on, or
      with one that is left as it came.
    backbone_rate: The learning rate of the backbone over that of the head.
    name: What the sweep of the trial calls its start; empty where it had only
      one.
    origin: What its backbone was trained on, where that is known.
    features_once: Whether each example passed the frozen backbone only once.
  """

  kind: Literal["scratch", "fine-tuned", "frozen"]
  backbone_rate: float = 1.0
  name: str = ""
  origin: str = ""
  features_once: bool = False

  @property
  def from_scratch(self) -> bool:
    """Whether the weights were random."""
    return self.kind == "scratch"


def start_of(record: TrialRecord) -> Start:
  """Reads the start of a trial from its config; the origin stays empty."""
  name = record.varied.get("transfer")
  name = name if isinstance(name, str) else ""
  transfer = record.config.get("transfer")
  transfer = transfer if isinstance(transfer, dict) else {}
  origin = transfer.get("init_from") or transfer.get("weights")
  rate = transfer.get("backbone_rate", 1.0)
  if not (record.init_from or record.pretrained or origin):
    return Start("scratch", rate, name)
  # No rate trains what is frozen.
  if transfer.get("freeze"):
    once = transfer.get("features") == "once"
    return Start("frozen", name=name, features_once=once)
  return Start("fine-tuned", rate, name)


def without_pretraining(
  records: Iterable[TrialRecord],
) -> tuple[TrialRecord, ...]:
  """Returns the records that are settings of a sweep, and no pretraining."""
  records = tuple(records)
  excluded = {record.trial_id for record in pretraining(records)}
  return tuple(r for r in records if r.trial_id not in excluded)


def pretraining(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
  """Returns the records that other trials began from, in which nothing varies.

  What a trial began from answers another question, mostly on other data: it
  is no setting among those that began from it, unless something was varied
  in it too.
  """
  records = tuple(records)
  began_from = {record.init_from for record in records}
  settings = {record.trial_id for record in records if record.varied}
  return tuple(r for r in records if r.trial_id in began_from - settings)


# Several sweeps


def pool(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
  """Pools records of several sweeps: `varied` names all in which they differ.

  Data, tasks and targets are left out, since they split the records anyway. The
  same record read twice, from a copied folder, is taken once.
  """
  once = tuple({to_json(record): record for record in records}.values())
  trials = without_pretraining(once)
  settings = [_setting(record) for record in trials]
  paths = dict.fromkeys(path for setting in settings for path in setting)
  differing = [
    path
    for path in paths
    if path not in ("data", "tasks", "target_accuracy")
    and not path.startswith("targets.")
    and len(_values(path, settings)) > 1
  ]
  return pretraining(once) + tuple(
    replace(record, varied={p: _varied(setting.get(p)) for p in differing})
    for record, setting in zip(trials, settings, strict=True)
  )


def _setting(record: TrialRecord) -> dict[str, Any]:
  """Returns the flat config; a transfer is its start and what it began from."""
  config = dict(record.config)
  transfer = config.pop("transfer", None)
  fields = flat(config)
  if isinstance(transfer, dict):
    fields["transfer"] = replace(start_of(record), name="")
    if transfer.get("weights"):
      fields[f"{ORIGIN}weights"] = transfer["weights"]
    if isinstance(origin := transfer.get("init_from"), dict):
      fields |= flat(origin, ORIGIN)
  return {
    path: item
    for path, item in fields.items()
    # What a trial began from was trained in its framework.
    if not is_seed(path) and not path.endswith(".init_from.framework")
  }


def _values(path: str, settings: Iterable[dict[str, Any]]) -> set[str]:
  """Keys the values that a field takes.

  A field of an origin takes none in a trial from scratch, which has no origin.
  """
  return {
    json.dumps(setting.get(path), default=asdict)
    for setting in settings
    if path in setting or not path.startswith(ORIGIN)
  }


def _varied(item: Any) -> Any:
  """Returns a value as a record's `varied` holds it: a start by its name."""
  if isinstance(item, Start):
    return start_name(item.kind, item.backbone_rate, item.features_once)
  return item


def is_seed(path: str) -> bool:
  """Whether a field is a seed, of the trial or of what it began from."""
  return path.rpartition(".")[2] == "seed"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Flattens a nested config: keys are dotted paths."""
  fields = {}
  for key, item in config.items():
    if isinstance(item, dict):
      fields |= flat(item, f"{prefix}{key}.")
    else:
      fields[prefix + key] = item
  return fields
