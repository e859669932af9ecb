"""Takes out of records what says whose machine they were measured on.

A report may be sent to strangers, and records hold more than it needs: the
host's name, paths, environment variables, UUIDs of GPUs, a command line. All
trials of one host or one board must stay together, and those in environments
that differ apart; so names are numbered, not dropped. Kernel, processor,
versions and revision stay: without them nobody can judge a result.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from jaxpower.provenance import arithmetic_environment
from jaxpower.records import TrialRecord

# As NVML writes them, MIG's of old drivers with instances behind a slash.
UUID = re.compile(r"\b(GPU|MIG)-(GPU-)?[0-9A-Fa-f]{4,}[0-9A-Fa-f-]*(/\d+/\d+)?")
# An absolute path, or one of a home: not a unit as in J/s, nor glue/sst2.
PATH = re.compile(r"(?<![\w/.~])(~[\w.-]*)?(/[\w.+@%~-]+)+/?")
ENVIRONMENT = "JAXPOWER_ENVIRONMENT"  # stands for all variables of a record
HIDDEN = "<path>"


@dataclasses.dataclass
class _Names:
  """The numbers of what is not named, each by what it stands for."""

  hosts: dict[str, str] = dataclasses.field(default_factory=dict)
  boards: dict[str, str] = dataclasses.field(default_factory=dict)
  environments: dict[str, str] = dataclasses.field(default_factory=dict)


def records(of: Iterable[TrialRecord]) -> list[TrialRecord]:
  """Copies records without host, paths, environment, UUIDs."""
  of = list(of)
  names = _Names()
  for record in of:
    if host := str(record.provenance.get("host") or ""):
      names.hosts.setdefault(host, f"host-{len(names.hosts) + 1}")
    environment = _environment(record)
    number = f"environment {len(names.environments) + 1}"
    names.environments.setdefault(environment, number)
  return [_record(record, names) for record in of]


def sweep(content: Mapping[str, Any]) -> dict[str, Any]:
  """Copies the content of a sweep.json without command line and paths."""
  kept = {n: v for n, v in content.items() if n != "command_line"}
  return _hide(kept, _Names())


def text(line: str) -> str:
  """Takes paths and UUIDs out of a line."""
  return _hide(line, _Names())


def _record(record: TrialRecord, names: _Names) -> TrialRecord:
  hidden = {
    field.name: _hide(getattr(record, field.name), names)
    for field in dataclasses.fields(record)
    if field.name != "provenance"
  }
  provenance = {
    key: value
    for key, value in record.provenance.items()
    if key not in ("environment", "command_line")
  }
  provenance = _hide(provenance, names)
  if "environment" in record.provenance:
    several = len(names.environments) > 1
    number = names.environments[_environment(record)]
    provenance["environment"] = {ENVIRONMENT: number} if several else {}
  return dataclasses.replace(record, **hidden, provenance=provenance)


def _environment(record: TrialRecord) -> str:
  return json.dumps(arithmetic_environment(record.provenance))


def _hide(value: Any, names: _Names) -> Any:
  """Replaces names in all texts of a value, keys among them."""
  if isinstance(value, str):
    return _hide_text(value, names)
  if isinstance(value, Mapping):
    return {_hide(k, names): _hide(v, names) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return type(value)(_hide(item, names) for item in value)
  return value


def _hide_text(line: str, names: _Names) -> str:
  def board(found: re.Match[str]) -> str:
    number = len(names.boards) + 1
    # As long as a UUID's first part, by which boards are told apart.
    return names.boards.setdefault(found[0], f"{found[1]}-{number:08d}")

  line = UUID.sub(board, line)
  for host, number in names.hosts.items():
    line = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", number, line)
  return PATH.sub(HIDDEN, line)
