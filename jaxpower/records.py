"""Defines the record of a trial, and reads and writes the file of records.

One JSON object a line. A trial may have cost hours, so its record is appended
and synced to the disk when it ends, and nothing written before is touched. A
process that dies while it writes leaves a last line without its newline, a
torn line; readers leave it out and the next append cuts it off, so the trial
counts as not run.

Field names are stable: a reader of a schema version can read every record of
that version and of those before. In version 1 the test set decided when the
target was reached; since version 2 `decided_by` says which set did, and
accuracies but `test_accuracy` are of that one. An unknown number is null,
never zero.
"""

import dataclasses
import gzip
import json
import os
import pathlib
import statistics
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Literal

from jaxpower.config import (
  Transfer,
  Trial,
  completed,
  targets_of,
  to_dict,
  trial_id,
  with_seed,
)

SCHEMA_VERSION = 2
SHORT_ID = 6  # digits of a trial's id that tell two pretrainings apart

Status = Literal["reached", "missed", "diverged", "failed"]
Split = Literal["validation", "test"]


class RecordError(Exception):
  """A file of records that cannot be used: one line says which and why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """One evaluation on the set that decides, and what training had cost then.

  `train_seconds` and `train_joules` are sums over the train phase alone.
  """

  examples: int
  steps: int
  train_seconds: float
  train_joules: float | None
  train_loss: float
  loss: float
  accuracy: float
  accuracies: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompileCost:
  """What it cost to compile a trial's executables once."""

  seconds: float
  joules: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compilation:
  """The cost of compiling a trial's executables.

  With `cache_hit` an earlier trial of the process had compiled them, and
  `seconds` and `joules` are what that trial spent, so that the cost is known
  for every trial, whichever paid it. `repeats` has the cost of each time that
  they were compiled, from nothing: one, or more if it was asked for, of which
  `seconds` and `joules` are the first. It is empty in older records.
  """

  seconds: float
  joules: float | None
  cache_hit: bool = False
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
  not read, as in older records.
  `joules_by_phase_and_domain` has the joules of each phase by domain (a GPU, a
  CPU, a DRAM); `apart_joules_by_phase` those of the node's other GPUs, by
  phase and GPU, which are in no sum. `started_utc` and `ended_utc` are
  wall-clock time, `monotonic_origin_seconds` is the clock of the timelines at
  `started_utc`. All of these are None in older records.
  """

  trial_id: str
  config: dict[str, Any]
  varied: dict[str, Any]
  seed: int
  framework: str
  status: Status
  target_accuracy: float
  schema_version: int = SCHEMA_VERSION
  error: str | None = None
  partial: bool = False
  reasons: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()
  best_accuracy: float | None = None
  final_accuracy: float | None = None
  decided_by: Split = "test"
  validation_examples: int | None = None
  test_examples: int | None = None
  test_accuracy: float | None = None
  test_accuracy_standard_error: float | None = None
  test_accuracies: dict[str, float] = dataclasses.field(default_factory=dict)
  looks_to_target: int | None = None
  steps: int | None = None
  examples: int | None = None
  seconds_to_accuracy: float | None = None
  seconds_to_accuracy_interpolated: float | None = None
  joules_to_accuracy: float | None = None
  joules_to_accuracy_bound: float | None = None
  joules_to_accuracy_interpolated: float | None = None
  joules_to_accuracy_with_compile: float | None = None
  joules_to_accuracy_with_eval: float | None = None
  active_joules_to_accuracy: float | None = None
  started_utc: str | None = None
  ended_utc: str | None = None
  monotonic_origin_seconds: float | None = None
  wall_seconds: float | None = None
  train_seconds: float | None = None
  train_joules: float | None = None
  train_joules_bound: float | None = None
  seconds_by_phase: dict[str, float] = dataclasses.field(default_factory=dict)
  joules_by_phase: dict[str, float | None] = dataclasses.field(
    default_factory=dict
  )
  joules_by_domain: dict[str, float | None] = dataclasses.field(
    default_factory=dict
  )
  joules_by_phase_and_domain: dict[str, dict[str, float | None]] | None = None
  apart_joules_by_phase: dict[str, dict[str, float | None]] | None = None
  idle_watts: float | None = None
  other_load_cores: dict[str, float | None] | None = None
  steal_cores: dict[str, float | None] | None = None
  data_wait_seconds: float | None = None
  infer_examples: int | None = None
  infer_joules_per_example: float | None = None
  meter: dict[str, Any] = dataclasses.field(default_factory=dict)
  estimated: bool = False
  curve: tuple[Evaluation, ...] = ()
  flops_per_step: float | None = None
  parameters: int | None = None
  peak_memory_bytes: int | None = None
  numerics: dict[str, Any] = dataclasses.field(default_factory=dict)
  compile: Compilation | None = None
  init_from: str | None = None
  pretrained: dict[str, Any] | None = None
  checkpoint: str | None = None
  provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def joules_per_example(self) -> float | None:
    """Joules of training for each example trained on; None where unknown."""
    if self.train_joules is None or not self.examples:
      return None
    return self.train_joules / self.examples


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
  """Writes a record as one line; numbers that are not finite become null."""
  return json.dumps(_finite(dataclasses.asdict(record)), allow_nan=False)


def from_json(line: str) -> TrialRecord:
  """Reads a record from a line; raises ValueError where it holds none.

  Its config has the fields of today: those that did not exist when it was
  written have the value by which trials were run then.
  """
  facts = json.loads(line)
  if not isinstance(facts, dict):
    raise ValueError("not a JSON object")
  version = facts.get("schema_version")
  if version not in range(1, SCHEMA_VERSION + 1):
    raise ValueError(f"schema_version {version}, not 1 to {SCHEMA_VERSION}")
  try:
    facts["config"] = completed(Trial, facts["config"])
    facts["curve"] = tuple(Evaluation(**e) for e in facts["curve"])
    if facts["compile"] is not None:
      facts["compile"] = _compilation(facts["compile"])
    for name in ("reasons", "warnings"):
      facts[name] = tuple(facts[name])
    return TrialRecord(**facts)
  except (AttributeError, KeyError, TypeError) as error:
    raise ValueError(f"not a record: {error}") from None


def _compilation(facts: dict[str, Any]) -> Compilation:
  costs = facts.get("repeats", ())
  facts = facts | {"repeats": tuple(CompileCost(**cost) for cost in costs)}
  return Compilation(**facts)


def read(path: pathlib.Path) -> list[TrialRecord]:
  """Reads the records of a file or its archive, none where there is neither.

  Leaves out a torn last line. Raises RecordError on any other line that is not
  a record.
  """
  file = find(path)
  if file is None:
    return []
  *lines, _torn = _content(file).split(b"\n")  # b"" where none is torn
  records = []
  for number, line in enumerate(lines, start=1):
    try:
      records.append(from_json(line.decode()))
    except ValueError as error:
      raise RecordError(
        f"{file}, line {number}: {error}; delete this line and run the sweep"
        " again: it repeats only that trial"
      ) from None
  return records


def find(path: pathlib.Path) -> pathlib.Path | None:
  """Finds the file of records: `path`, or its archive `path`.gz, or None.

  An archive, which `gzip` makes, is a sixth as large and is only read. Raises
  RecordError where both are there: either may be the newer one.
  """
  archive = path.with_name(f"{path.name}.gz")
  if not archive.exists():
    return path if path.exists() else None
  if path.exists():
    raise RecordError(
      f"{path}: there is also {archive.name}; one of them must go"
    )
  return archive


def _content(file: pathlib.Path) -> bytes:
  """Reads a file of records, unpacked if it is an archive."""
  content = file.read_bytes()
  if file.suffix != ".gz":
    return content
  try:
    return gzip.decompress(content)
  except (EOFError, OSError, zlib.error) as error:
    raise RecordError(
      f"{file}: not a whole gzip file ({error}); copy it again"
    ) from None


def append(path: pathlib.Path, record: TrialRecord) -> None:
  """Appends a record and waits until it is on the disk.

  Cuts off a torn last line first.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open("a+b") as file:
    _cut_torn_line(file)
    file.write(to_json(record).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def set_varied(
  path: pathlib.Path, varied: Mapping[str, dict[str, Any]]
) -> None:
  """Replaces `varied` in the records of some trials, by trial id.

  The file is written anew and takes the old one's place whole; lines of other
  trials stay as they are, byte for byte, and a torn line is left out.
  """
  if not varied:
    return
  *lines, _torn = path.read_bytes().split(b"\n")
  unfinished = path.with_suffix(".unfinished")
  with unfinished.open("wb") as file:
    for line in lines:
      facts = json.loads(line)
      if (name := facts["trial_id"]) in varied:
        line = json.dumps(facts | {"varied": varied[name]}).encode()
      file.write(line + b"\n")
    file.flush()
    os.fsync(file.fileno())
  unfinished.replace(path)


def _cut_torn_line(file: BinaryIO) -> None:
  file.seek(0)
  whole = file.read().rfind(b"\n") + 1
  file.truncate(whole)
  file.seek(0, os.SEEK_END)


def _finite(value: Any) -> Any:
  """Replaces numbers that are not finite, which JSON does not have, by None."""
  if isinstance(value, dict):
    return {key: _finite(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(item) for item in value]
  if isinstance(value, float) and value - value != 0:
    return None
  return value


def varied_value(value: Any, among: Iterable[Any] = ()) -> Any:
  """Converts a value that a sweep varies to what its records hold.

  Numbers and strings stay as they are. A Transfer becomes "scratch",
  "fine-tuned" or "frozen", with a backbone's rate that is not 1 ("fine-tuned
  at 0.1"). Its origin is named only as far as the sweep's values differ in it:
  not at all, by the dataset, or by the pretraining's id. The id is that of
  seed 0, so that all seeds of a setting have the same value.

  Args:
    value: The value.
    among: All values of the field in the sweep, this one too.
  """
  among = tuple(among)

  def distinct(detail: int) -> int:
    return len({json.dumps(_varied_value(item, detail)) for item in among})

  enough = (d for d in (0, 1, 2) if distinct(d) == distinct(2))
  return _varied_value(value, next(enough))


def _varied_value(value: Any, detail: int) -> Any:
  """Converts a value; detail 0: no origin, 1: its dataset, 2: its id too."""
  if isinstance(value, Trial):
    name = trial_id(with_seed(value, 0))[:SHORT_ID]
    return f"{value.data} {name}" if detail == 2 else value.data
  if not isinstance(value, Transfer):
    return to_dict(value) if dataclasses.is_dataclass(value) else value
  text = "scratch"
  if origin := value.init_from or value.weights:
    text = "frozen" if value.freeze else "fine-tuned"
    if detail:
      text += f" from {_varied_value(origin, detail)}"
  if value.features == "once":
    text += ", features once"
  rate = value.backbone_rate
  return text if rate == 1 else f"{text} at {rate:g}"
