"""Reads and writes `sweep.json`, which says what a run folder holds."""

import contextlib
import dataclasses
import json
import pathlib
from typing import Annotated, Any

from jaxpower import readers
from jaxpower.config import Sweep
from jaxpower.folder import durable
from jaxpower.readers import ReadError

NAME = "sweep.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepFacts:
  """The fields of sweep.json; one that an older version left out is None.

  Attributes:
    config: The sweep, with all that its folder has grown by.
    meter: The meter asked for.
    trials: How many there are.
    order: Their ids.
    command_line: Of the newest run that asked for all of it.
  """

  config: dict[str, Any] | None = None
  meter: str | None = None
  trials: Annotated[int, readers.Between(0)] | None = None
  order: tuple[str, ...] | None = None
  command_line: tuple[str, ...] | None = None


def read(folder: pathlib.Path) -> dict[str, Any]:
  """Reads the sweep.json of a run folder; {} where there is none.

  Fields of other versions are in it too; one that is null is left out, as if
  an older version had not known it.

  Raises ReadError in one line where a field is not what it should be.
  """
  path = folder / NAME
  try:
    facts = readers.load_json(path, dict[str, Any], "what a run wrote")
  except ReadError:
    if not path.exists():
      return {}
    raise
  try:
    readers.check_parts(SweepFacts, facts)
    readers.check_parts(Sweep, facts.get("config") or {})
  except ReadError as error:
    raise error.inside(f"{path}: ") from None
  return {name: value for name, value in facts.items() if value is not None}


def write(folder: pathlib.Path, facts: dict[str, Any]) -> None:
  """Writes sweep.json, whole or not at all; raises OSError.

  Fields that a newer version wrote stay.
  """
  with contextlib.suppress(ReadError):  # damaged: there is nothing to keep
    facts = read(folder) | facts
  durable.replace(folder / NAME, (json.dumps(facts, indent=2) + "\n").encode())
