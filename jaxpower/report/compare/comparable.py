"""Which records may be compared, and what differs between those that may.

Comparable are trials of one data set, with the same tasks and targets, decided
in the same way, on the same kind of system (`compare.system`). What differs in
any of these is never pooled: a ratio across two kinds of board or two meters
would compare the boards or the meters, and not the settings. Equal boards and
hosts are pooled.

How the weights of a trial began is a `Start`, a value: two sweeps may give the
same start different names, so the name in a record decides nothing here.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any, Literal

from jaxpower.config import COMMAND
from jaxpower.records import TrialRecord, to_json
from jaxpower.report.compare.system import (
  System,
  board_of,
  by_software,
  machine,
  system_of,
)
from jaxpower.wording import start_name, value

ORIGIN = "transfer.init_from."  # fields of the trial that another began from
# Fields that part records anyway, so that they need not name a setting.
PARTING = ("data", "tasks", "target_accuracy", "crossing")
By = Literal["system", "board"]


# Conditions


@dataclass(frozen=True)
class Conditions:
  """All that two trials must share so that they may be compared.

  Attributes:
    data: The data set.
    tasks: What was learned of it in one network.
    targets: The accuracy of each task.
    decided_by: The set whose accuracy decided that a target was met.
    crossing: The rule by which it did.
    system: What the joules were spent in and read by.
    board: Host and boards, where even equal ones are kept apart; else empty.
    software: Versions and variables of the frameworks, where these differ
      among trials that share all else; else empty.
  """

  data: str
  tasks: tuple[str, ...]
  targets: tuple[float, ...]
  decided_by: str
  crossing: str
  system: System
  board: str = ""
  software: tuple[str, ...] = ()

  @property
  def goal(self) -> tuple:
    """What was to be learned, how well, and how that was decided."""
    return self.data, self.tasks, self.targets, self.decided_by, self.crossing

  @property
  def measurement(self) -> tuple:
    """In what and by what the joules were measured."""
    return *astuple(self.system), self.board, self.software


def conditions(record: TrialRecord, by: By = "system") -> Conditions:
  """Returns the conditions of a trial, as far as it alone can tell them."""
  tasks = tasks_of(record)
  return Conditions(
    data=str(record.config.get("data", "")),
    tasks=tasks,
    targets=tuple(target_of(record, task) for task in tasks),
    decided_by=record.decided_by,
    crossing=str(record.config.get("crossing", "first")),
    system=system_of(record),
    board=" on ".join((board_of(record), machine(record)))
    if by == "board"
    else "",
  )


def comparable(
  records: Iterable[TrialRecord], by: By = "system"
) -> dict[Conditions, tuple[TrialRecord, ...]]:
  """Splits records into sets that share their conditions.

  A trial that failed before its meter opened follows the others of its goal
  and hardware, so that it still counts among the trials of its group.

  Args:
    records: The records.
    by: "system" to pool equal boards and hosts, "board" to keep them apart.
  """
  by_conditions: dict[Conditions, list[TrialRecord]] = {}
  unmeasured = []
  for record in sorted(records, key=_order):
    if record.joules_by_domain:
      by_conditions.setdefault(conditions(record, by), []).append(record)
    else:
      unmeasured.append(record)
  by_conditions = dict(_with_software(by_conditions))
  joined = set()
  for record in unmeasured:
    nearest = _nearest(record, by_conditions, by)
    by_conditions.setdefault(nearest, []).append(record)
    joined.add(nearest)
  for key in joined:
    by_conditions[key].sort(key=_order)
  return {
    key: tuple(by_conditions[key])
    for key in sorted(by_conditions, key=lambda key: str(astuple(key)))
  }


def _with_software(
  by_conditions: dict[Conditions, list[TrialRecord]],
) -> Iterator[tuple[Conditions, list[TrialRecord]]]:
  for key, trials in by_conditions.items():
    for used, part in by_software(trials).items():
      yield replace(key, software=used), part


def _nearest(
  record: TrialRecord,
  among: dict[Conditions, list[TrialRecord]],
  by: By,
) -> Conditions:
  """Returns the conditions of the trials that an unmeasured one belongs to."""
  own = conditions(record, by)
  here = machine(record)
  same_goal = [other for other in among if other.goal == own.goal]
  same_place = [
    other
    for other in same_goal
    if here in map(machine, among[other])
    or (by == "system" and own.system.hardware == other.system.hardware != ())
  ]
  if same_place:
    return same_place[0]
  return same_goal[0] if same_goal and not here else own


def unlike(conditions: Iterable[Conditions]) -> tuple[str, ...]:
  """Names the fields, those of the system too, in which conditions differ."""
  several = tuple(conditions)
  names = (
    *(name for name in _names(Conditions) if name != "system"),
    *_names(System),
  )
  return tuple(
    name for name in names if len({fact(each, name) for each in several}) > 1
  )


def fact(conditions: Conditions, name: str) -> Any:
  """Returns a field of conditions, or of their system."""
  of_system = name in _names(System)
  return getattr(conditions.system if of_system else conditions, name)


def _names(kind: type) -> tuple[str, ...]:
  return tuple(field.name for field in dataclasses.fields(kind))


def measured_alike(record: TrialRecord, other: TrialRecord) -> bool:
  """Returns whether joules of two trials may be added or divided.

  On how many boards they were spent does not matter here.
  """
  systems = (replace(system_of(each), devices=None) for each in (record, other))
  return next(systems) == next(systems)


def model_name(record: TrialRecord) -> str:
  """Names a model, with its width and depth where they are not its own."""
  facts: Any = record.config.get("model") or {}
  names = [str(facts.get("name", ""))]
  for field in ("width", "depth"):
    if facts.get(field, 1.0) != 1.0:
      names.append(f"{field} {value(float(facts[field]))}")
  return " ".join(names)


def is_seen(config: Mapping[str, Any], path: str) -> bool:
  """Whether the training of a trial sees a field of its config.

  A command sees what it names in braces: `{batch_size}`, `{optimizer.name:.3}`.
  """
  if config.get("framework") != COMMAND:
    return True
  return bool(re.search(rf"{{{re.escape(path)}[}}:!]", str(config["command"])))


def tasks_of(record: TrialRecord) -> tuple[str, ...]:
  """Returns the tasks that a trial learned in one network."""
  return tuple(record.config.get("tasks") or ("label",))


def target_of(record: TrialRecord, task: str) -> float:
  """Returns the accuracy that a trial was to reach in one of its tasks."""
  if len(tasks_of(record)) == 1:
    return record.target_accuracy
  shared = record.config["target_accuracy"]
  return record.config.get("targets", {}).get(task, shared)


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

  Data, tasks, targets and how these were decided are left out, since they split
  the records anyway. The same record read twice, from a copied folder, is taken
  once.
  """
  once = tuple({to_json(record): record for record in records}.values())
  trials = without_pretraining(once)
  settings = [_setting(record) for record in trials]
  paths = dict.fromkeys(path for setting in settings for path in setting)
  differing = [
    path
    for path in paths
    if path not in PARTING
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
