"""Defines the record of a trial, and reads and writes it as JSON.

Field names are stable: a reader of a schema version can read every record of
that version and of those before. In version 1 the test set decided when the
target was reached; since version 2 `decided_by` says which set did, and
accuracies but `test_accuracy` are of that one. An unknown number is null,
never zero.

The hints of the fields are what a reader holds a record to (`readers`): types,
ranges, and no number that is not finite. Where its files lie is in
`record_files`.
"""

import dataclasses
import json
import re
import statistics
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from jaxpower import readers, readers_many
from jaxpower.attempts import Attempt
from jaxpower.config import (
  Execution,
  Transfer,
  Trial,
  as_before,
  completed,
  id_of,
  is_of_today,
  targets_of,
  to_dict,
  trial_id,
  with_seed,
)
from jaxpower.readers import Between, ReadError

SCHEMA_VERSION = 2
SHORT_ID = 6  # digits of a trial's id that tell two pretrainings apart
MOST_DETAIL = 2  # of a value's name: see `varied_value`
SHOWN = (  # in a notebook, of all fields
  *("trial_id", "varied", "seed", "status", "error"),
  *("joules_to_accuracy", "seconds_to_accuracy", "best_accuracy", "estimated"),
)

Status = Literal["reached", "missed", "diverged", "failed"]
Split = Literal["validation", "test"]

# Units of the fields, with what they can be. What is less than idle power is
# negative, so `active_joules_to_accuracy` is a plain number.
#
# Larger is damage, and overflows where reports multiply and divide. 1e18 J are
# a gigawatt for 30 years, 1e18 s more than the age of the universe, 1e18 bytes
# an exabyte: chosen, far above any training.
MOST = 1e18
# FLOPs of a step, and numbers without a field of their own, such as instants
# in nanoseconds (1.8e18 now); chosen.
MOST_OF_ANY = 1e30
Share = Annotated[float, Between(0, 1)]
Joules = Annotated[float, Between(0, MOST)]
Difference = Annotated[float, Between(-MOST, MOST)]  # of joules
Seconds = Annotated[float, Between(0, MOST)]
Watts = Annotated[float, Between(0, MOST)]
Cores = Annotated[float, Between(0, MOST)]
Count = Annotated[int, Between(0, int(MOST))]

# A record's file is named by its id, so it may hold nothing of a path.
ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


class RecordError(Exception):
  """Records that cannot be used: one line says which and why."""


class NewerRecordError(ReadError):
  """A record that a newer version wrote; this one must not judge it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """One evaluation on the set that decides, and what training had cost then.

  `train_seconds` and `train_joules` are sums over the train phase alone. Of a
  command what it did not report is None.
  """

  examples: Count | None
  steps: Count | None
  train_seconds: Seconds
  train_joules: Joules | None
  train_loss: float | None
  loss: float | None
  accuracy: Share | None
  accuracies: dict[str, Share] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompileCost:
  """What it cost to compile a trial's executables once."""

  seconds: Seconds
  joules: Joules | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compilation:
  """The cost of compiling a trial's executables.

  With `cache_hit` an earlier trial of the process had compiled them, and
  `seconds` and `joules` are what that trial spent, so that the cost is known
  for every trial, whichever paid it. `repeats` has the cost of each time that
  they were compiled, from nothing: one, or more if it was asked for, of which
  `seconds` and `joules` are the first. It is empty in older records.
  `from_disk` counts the programs that were read from the run's cache and not
  compiled, so that the cost is less than that of compiling; None: not known.
  """

  seconds: Seconds
  joules: Joules | None
  cache_hit: bool = False
  from_disk: Count | None = None
  repeats: tuple[CompileCost, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialRecord:
  """All facts of one trial.

  Energy to accuracy counts the train phase until the target is reached, by the
  config's `crossing`; the variants add compiling or evaluation, or interpolate
  between the evaluation that reached it and the one before. All are null
  unless `status` is "reached". The set that `decided_by` names is evaluated in
  training; where it is the validation set, the test set is evaluated once, on
  the state when training stopped.
  `train_joules` and `train_seconds` are the whole train phase: for a missed
  trial a lower bound of what the target would have cost. Bounds are
  half-widths at 95 %. In a `partial` record the meter did not see all of a
  domain's energy; `reasons` say of which and why. `target_accuracy` is the
  mean of the tasks' targets, as every accuracy is the mean over tasks.
  `other_load_cores` and `steal_cores` are the mean cores in each phase that
  other work kept busy, and that the hypervisor took away; None where they were
  not read, as in older records. `others` are the fields of a newer version,
  which are written back as they were.
  `board_settings` are the power limit and clock that a trial set its GPUs to,
  and what they said of it; None: it set none.
  `joules_by_phase_and_domain` has the joules of each phase by domain (a GPU, a
  CPU, a DRAM); `apart_joules_by_phase` those of the node's other GPUs, by
  phase and GPU, which are in no sum. `joules_by_host` has the joules of each
  host of a trial over several, whose domains but those of the first are named
  "HOST/DOMAIN"; None where it was on one. `batch_size_per_device` is each
  device's share of the `batch_size` of the config, which is global.
  `started_utc` and `ended_utc` are wall-clock time, `monotonic_origin_seconds`
  is the clock of the timelines at `started_utc`. All of these are None in older
  records. `company` says with how many trials at once it ran and what they
  shared (`jaxpower.company`); None where it had the machine to itself.
  """

  trial_id: str
  config: dict[str, Any]
  varied: dict[str, Any]
  seed: Count
  framework: str
  status: Status
  target_accuracy: Share
  schema_version: int = SCHEMA_VERSION
  error: str | None = None
  partial: bool = False
  reasons: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()
  best_accuracy: Share | None = None
  final_accuracy: Share | None = None
  decided_by: Split = "test"
  validation_examples: Count | None = None
  test_examples: Count | None = None
  test_accuracy: Share | None = None
  test_accuracy_standard_error: Share | None = None
  test_accuracies: dict[str, Share] = dataclasses.field(default_factory=dict)
  looks_to_target: Count | None = None
  steps: Count | None = None
  examples: Count | None = None
  seconds_to_accuracy: Seconds | None = None
  seconds_to_accuracy_interpolated: Seconds | None = None
  joules_to_accuracy: Joules | None = None
  joules_to_accuracy_bound: Joules | None = None
  joules_to_accuracy_interpolated: Joules | None = None
  joules_to_accuracy_with_compile: Joules | None = None
  joules_to_accuracy_with_eval: Joules | None = None
  active_joules_to_accuracy: Difference | None = None
  started_utc: str | None = None
  ended_utc: str | None = None
  monotonic_origin_seconds: Seconds | None = None
  wall_seconds: Seconds | None = None
  train_seconds: Seconds | None = None
  train_joules: Joules | None = None
  train_joules_bound: Joules | None = None
  train_joules_board_bound: Joules | None = None
  seconds_by_phase: dict[str, Seconds] = dataclasses.field(default_factory=dict)
  joules_by_phase: dict[str, Joules | None] = dataclasses.field(
    default_factory=dict
  )
  joules_by_domain: dict[str, Joules | None] = dataclasses.field(
    default_factory=dict
  )
  joules_by_phase_and_domain: dict[str, dict[str, Joules | None]] | None = None
  apart_joules_by_phase: dict[str, dict[str, Joules | None]] | None = None
  joules_by_host: dict[str, Joules | None] | None = None
  idle_watts: Watts | None = None
  idle_seconds_ago: Seconds | None = None
  other_load_cores: dict[str, Cores | None] | None = None
  steal_cores: dict[str, Cores | None] | None = None
  data_wait_seconds: Seconds | None = None
  infer_examples: Count | None = None
  infer_joules_per_example: Joules | None = None
  meter: dict[str, Any] = dataclasses.field(default_factory=dict)
  estimated: bool = False
  curve: tuple[Evaluation, ...] = ()
  batch_size_per_device: Count | None = None
  flops_per_step: Annotated[float, Between(0, MOST_OF_ANY)] | None = None
  parameters: Count | None = None
  peak_memory_bytes: Count | None = None
  numerics: dict[str, Any] = dataclasses.field(default_factory=dict)
  compile: Compilation | None = None
  init_from: str | None = None
  pretrained: dict[str, Any] | None = None
  checkpoint: str | None = None
  board_settings: dict[str, Any] | None = None
  attempts: tuple[Attempt, ...] = ()
  joules_lost: Joules | None = None
  seconds_lost: Seconds | None = None
  provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
  company: dict[str, Any] | None = None
  others: dict[str, Any] = dataclasses.field(
    default_factory=dict, metadata=readers.KEEP_OTHERS
  )

  @property
  def joules_per_example(self) -> float | None:
    """Joules of training for each example trained on; None where unknown."""
    if self.train_joules is None or not self.examples:
      return None
    return self.train_joules / self.examples

  def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
    """Shows what matters first in a notebook, not all fields."""
    facts = {name: getattr(self, name) for name in SHOWN}
    told = ", ".join(f"{name}={fact!r}" for name, fact in facts.items())
    printer.text(f"TrialRecord({told}, ...)")


# What the dicts of a record have to hold where they have it: whoever reads
# them relies on it. They may have more, and may lack any of it.


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Assumptions:
  idle_watts_per_core: Watts | None = None
  busy_watts_per_core: Watts | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Domain:
  domain: str | None = None
  kind: str | None = None
  method: str | None = None
  description: str | None = None
  estimated: bool | None = None
  counted: bool | None = None
  assumptions: _Assumptions | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Meter:
  domains: tuple[_Domain, ...] = ()  # never null
  gpus: dict[str, Any] | None = None
  estimated: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Device:
  kind: str | None = None
  platform: str | None = None
  uuid: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Provenance:
  host: str | None = None
  cpu: str | None = None
  cpu_count: Count | None = None
  cpus_usable: Count | None = None
  devices: tuple[_Device, ...] | None = None
  environment: dict[str, str] | None = None
  versions: dict[str, str | None] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Interference:
  of: str  # never null
  more: Annotated[float, Between(-1, MOST)]
  low: Annotated[float, Between(-1, MOST)] | None = None
  high: Annotated[float, Between(-1, MOST)] | None = None
  segments: Count
  trials: Count


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Company:
  at_once: Count | None = None
  gpus: tuple[str, ...] = ()
  cores: tuple[Count, ...] = ()
  shared: tuple[str, ...] = ()
  check: str | None = None
  interference: _Interference | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pretrained:
  path: str | None = None
  joules: Joules | None = None
  source: str | None = None
  sha256: str | None = None


PARTS: dict[str, type] = {
  "config": Trial,
  "meter": _Meter,
  "provenance": _Provenance,
  "pretrained": _Pretrained,
  "company": _Company,
}
# Those with numbers that have no field of their own.
WITH_NUMBERS = ("varied", "meter", "numerics", "provenance")


def identity(trial: Trial, varied: dict[str, Any]) -> dict[str, Any]:
  """Returns the fields of a record that are known before its trial starts."""
  source = trial.transfer.init_from
  return {
    "trial_id": trial_id(trial),
    "config": to_dict(trial),
    "varied": varied,
    "seed": trial.seed,
    "framework": trial.framework,
    "target_accuracy": statistics.fmean(targets_of(trial).values()),
    "init_from": None if source is None else trial_id(source),
    "decided_by": deciding_split(trial),
  }


def deciding_split(trial: Trial) -> Split:
  """Returns the split that decides when a trial has reached its target."""
  return "validation" if trial.validation_share else "test"


def to_json(record: TrialRecord) -> str:
  """Writes a record as one line, one that `from_json` reads.

  Numbers that are not finite become null. A field that would be refused (a
  negative energy) is left out, as unknown, and `reasons` say so: a record that
  nobody can read would be run again for ever. Raises ReadError where a field
  without a default would be refused.
  """
  fields = {field.name: field for field in dataclasses.fields(record)}
  facts = dataclasses.asdict(record)
  facts = readers.finite(facts.pop("others") | facts)
  for _ in fields:  # each is left out once at most
    try:
      _check_parts(readers.fit(TrialRecord, facts))
      break
    except ReadError as error:
      name = re.split(r"[.\[]", error.place)[0]
      field = fields.get(name)
      if field is None or name not in facts or _is_needed(field):
        raise
      del facts[name]
      said = f"{error} (not recorded)"
      facts |= {"partial": True, "reasons": [*facts.get("reasons", ()), said]}
  return json.dumps(facts, allow_nan=False)


def _is_needed(field: dataclasses.Field[Any]) -> bool:
  missing = dataclasses.MISSING
  return field.default is missing and field.default_factory is missing


def from_json(line: bytes | str) -> TrialRecord:
  """Reads a record; raises ReadError where it holds none, or not a sound one.

  Its config has the fields of today: those that did not exist when it was
  written have the value by which trials were run then. NewerRecordError where
  a newer version wrote it.
  """
  record = readers.fit(TrialRecord, _facts(line))
  _check(record)
  return record


def all_from_json(
  lines: Iterable[bytes | str],
) -> list[TrialRecord | ReadError]:
  """Reads records as `from_json` each: of what is no record, its error.

  All of them at once, which takes half the time where all are sound.
  """
  read: list[dict[str, Any] | ReadError] = []
  for line in lines:
    try:
      read.append(_facts(line))
    except ReadError as error:
      read.append(error)
  facts = [each for each in read if isinstance(each, dict)]
  try:
    sound = readers_many.fit_all(TrialRecord, facts)
    _check_parts_of_all(sound)
  except ReadError:
    made = iter([_record_of(each) for each in facts])
  else:
    made = iter([_checked(record) for record in sound])
  return [next(made) if isinstance(each, dict) else each for each in read]


def _record_of(facts: dict[str, Any]) -> TrialRecord | ReadError:
  try:
    record = readers.fit(TrialRecord, facts)
    _check(record)
  except ReadError as error:
    return error
  return record


def _checked(record: TrialRecord) -> TrialRecord | ReadError:
  """Checks a record, of which the parts are sound."""
  try:
    _check_name(record)
    _check_id(record)
  except ReadError as error:
    return error
  return record


def _facts(line: bytes | str) -> dict[str, Any]:
  """Parses a record of this version or an older one, its config completed."""
  facts = readers.parse_json(line)
  if not isinstance(facts, dict):
    raise ReadError("not a JSON object")
  version = facts.get("schema_version")
  if type(version) is int and version > SCHEMA_VERSION:
    raise NewerRecordError(
      f"schema_version {version}, not 1 to {SCHEMA_VERSION}; a newer jaxpower"
      " wrote it: use that one"
    )
  if type(version) is not int or version < 1:
    raise ReadError(f"schema_version {version}, not 1 to {SCHEMA_VERSION}")
  if isinstance(config := facts.get("config"), dict):
    facts["config"] = completed(Trial, config)
  return facts


def _check(record: TrialRecord) -> None:
  """Raises ReadError on a record that its own config contradicts."""
  _check_name(record)
  _check_parts(record)
  _check_id(record)


def _check_name(record: TrialRecord) -> None:
  if not ID.fullmatch(record.trial_id):
    raise ReadError("not an id", "trial_id")


def _check_id(record: TrialRecord) -> None:
  """Raises ReadError where a record's id or seed is not that of its config."""
  # The id of a config with other fields cannot be made again.
  if is_of_today(Trial, record.config):
    if (made := id_of(record.config)) != record.trial_id:
      raise ReadError(
        f"not the hash of its config, which is {made}", "trial_id"
      )
    if record.seed != record.config["seed"]:
      raise ReadError("not that of its config", "seed")


def _check_parts(record: TrialRecord) -> None:
  """Raises ReadError where a dict of a record holds what its readers can't."""
  for place, kind in PARTS.items():
    _check_part(place, kind, getattr(record, place) or {})
  for place in WITH_NUMBERS:
    _check_numbers(place, getattr(record, place))


def _check_parts_of_all(records: Iterable[TrialRecord]) -> None:
  """Checks the dicts of many records; raises ReadError, not saying where."""
  records = list(records)
  for place, kind in PARTS.items():
    parts = [part for r in records if (part := getattr(r, place))]
    readers_many.check_parts_of_all(kind, parts)
  for place in WITH_NUMBERS:
    _check_numbers(place, [getattr(record, place) for record in records])


def _check_numbers(place: str, value: Any) -> None:
  """Raises ReadError on a number of a size that nothing has."""
  level = [value]
  while level:
    numbers = [item for item in level if type(item) in (int, float)]
    for number in numbers and (min(numbers), max(numbers)):
      if abs(number) > MOST_OF_ANY:
        raise ReadError(f"{readers.shown(number)} is too large", place)
    level = [
      inner
      for outer in level
      if type(outer) in (dict, list, tuple)
      for inner in (outer.values() if type(outer) is dict else outer)
    ]


def _check_part(place: str, kind: type, part: dict[str, Any]) -> None:
  try:
    readers.check_parts(kind, part)
  except ReadError as error:
    raise error.inside(place) from None


def varied_value(value: Any, detail: int = 0) -> Any:
  """Converts a value that a sweep varies to what its records hold.

  Numbers and strings stay as they are; of an Execution the switches are named
  that are not at their default. A Transfer becomes "scratch",
  "fine-tuned" or "frozen", with a backbone's rate that is not 1 ("fine-tuned
  at 0.1"). Its origin is named as far as `detail` says (`detail_needed`): at 0
  not at all, at 1 by the dataset, at 2 by the pretraining's id too. The id is
  that of seed 0, so that all seeds of a setting have the same value.
  """
  if isinstance(value, Trial):
    name = trial_id(with_seed(value, 0))[:SHORT_ID]
    return f"{value.data} {name}" if detail == MOST_DETAIL else value.data
  if isinstance(value, Execution):
    usual = vars(Execution())
    switched = {n: v for n, v in vars(value).items() if v != usual[n]}
    return ", ".join(f"{n} {v}" for n, v in switched.items()) or "default"
  if not isinstance(value, Transfer):
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
      return value
    # As older records have it: without later fields at their defaults.
    return as_before(type(value), to_dict(value))
  text = "scratch"
  if origin := value.init_from or value.weights:
    text = "frozen" if value.freeze else "fine-tuned"
    if detail:
      text += f" from {varied_value(origin, detail)}"
  if value.features == "once":
    text += ", features once"
  rate = value.backbone_rate
  return text if rate == 1 else f"{text} at {rate:g}"


def detail_needed(among: Iterable[Any]) -> int:
  """Returns the least detail at which the names of values tell them apart.

  As far as the most detailed names do.

  Args:
    among: All values of a field in a sweep.
  """
  among = tuple(among)

  def distinct(detail: int) -> int:
    return len({json.dumps(varied_value(item, detail)) for item in among})

  most = distinct(MOST_DETAIL)
  return next(d for d in range(MOST_DETAIL + 1) if distinct(d) == most)
