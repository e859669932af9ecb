"""The schema of a reference, and how its cells are read.

A reference is a result that was measured elsewhere. Its cells are text until
they are read here, wherever they came from: a CSV, a JSON file, a tracker's log
or the command line. A misread number would stand beside measured ones, so the
names of columns contain the units, a column without a unit is refused, and so
is every cell that does not match the schema. An empty cell is unknown and never
zero. docs/references.md documents the schema.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxpower.config import unknown
from jaxpower.report.given.carbon import JOULES_PER_KWH
from jaxpower.wording import as_given

# Beyond this no joules, seconds or examples can be; chosen, so that ratios and
# sums of what was read stay finite.
LARGEST = 1e30

BOUNDARY = ("gpu", "cpu", "dram", "node", "overhead")

PHASES = ("setup", "idle", "compile", "warmup", "train", "eval", "infer")


class BadReferenceError(Exception):
  """A reference cannot be used: one line says which file, row and column."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
  """A result that was measured elsewhere; empty or None is unknown.

  Joules and seconds are those until the target was met. `boundary` names the
  parts of the machine that the joules cover, `phases` the parts of the run.
  Where a log has the joules of each part of the machine, they are in
  `joules_by_part`, and `modelled` names the parts that were not, or may not
  have been, measured; `estimated` says so of the whole.
  """

  name: str
  source: str
  hardware: str = ""
  model: str = ""
  data: str = ""
  batch_size: int | None = None
  target_accuracy: float | None = None
  joules: float | None = None
  joules_low: float | None = None
  joules_high: float | None = None
  seconds: float | None = None
  accuracy: float | None = None
  framework: str = ""
  precision: str = ""
  boundary: tuple[str, ...] = ()
  phases: tuple[str, ...] = ()
  estimated: bool | None = None
  date: str = ""
  joules_by_part: dict[str, float] = dataclasses.field(default_factory=dict)
  modelled: tuple[str, ...] = ()


def printable(text: str) -> str:
  """Strips a text of whatever a terminal would act upon."""
  return "".join(sign for sign in text if sign.isprintable())


# Readers of cells


def positive(text: str) -> float:
  """Reads a number above zero. Raises ValueError with the fix."""
  try:
    number = float(text)
  except ValueError:
    raise ValueError(f"{printable(text)!r} is not a number") from None
  if not 1 / LARGEST <= number <= LARGEST:
    raise ValueError(
      f"{as_given(number)} is out of range; must be above 0, or empty where"
      " unknown"
    )
  return number


def share(text: str) -> float:
  """Reads a share of one. Raises ValueError with the fix."""
  number = positive(text.removesuffix("%").rstrip())
  if number > 1 or text.endswith("%"):
    raise ValueError(f"{printable(text)} is not a share of one; 80 % is 0.8")
  return number


def whole_number(text: str) -> int:
  """Reads a number of examples. Raises ValueError with the fix."""
  number = positive(text)
  if number != int(number):
    raise ValueError(f"{as_given(number)} is not a whole number")
  return int(number)


def boolean(text: str) -> bool:
  """Reads true or false, in any case. Raises ValueError with the fix."""
  if text.lower() not in ("true", "false"):
    raise ValueError(f"{printable(text)!r} is neither true nor false")
  return text.lower() == "true"


def parts_of(allowed: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
  """Makes a reader of parts joined by +; it returns them in this order."""

  def read(text: str) -> tuple[str, ...]:
    parts = {part.strip().lower() for part in text.split("+")}
    for part in sorted(parts - set(allowed)):
      raise ValueError(
        f"{unknown('part', printable(part), allowed)}; joined by +"
      )
    return tuple(part for part in allowed if part in parts)

  return read


# Columns


# The reader of each column's cells, and what the template says of it.
COLUMNS: dict[str, tuple[Callable[[str], Any], str]] = {
  "name": (printable, "what the report calls it; needed"),
  "hardware": (printable, "such as NVIDIA H200, or 8 x NVIDIA H200"),
  "model": (printable, "as jaxpower names it, such as resnet18"),
  "data": (printable, "as jaxpower names it, such as cifar10"),
  "batch_size": (whole_number, "examples per update over all devices"),
  "target_accuracy": (share, "a share of the test set, such as 0.8"),
  "joules": (positive, "spent until the target was met"),
  "seconds": (positive, "taken until the target was met"),
  "accuracy": (share, "what was reached, a share of the test set"),
  "source": (printable, "where the number comes from; needed"),
  "joules_low": (positive, "lower end of the 95 % interval"),
  "joules_high": (positive, "upper end of the 95 % interval"),
  "framework": (printable, "such as torch 2.13"),
  "precision": (printable, "float32 or bfloat16"),
  "boundary": (parts_of(BOUNDARY), f"what is in: {', '.join(BOUNDARY)}"),
  "phases": (parts_of(PHASES), f"what is in: {', '.join(PHASES)}"),
  "estimated": (boolean, "true where power was modelled, not measured"),
  "date": (printable, "when it was measured"),
}

# No `energy_mj`: somebody's milli is somebody else's mega.
JOULES_PER_UNIT = {
  "joules": 1.0,
  "kilojoules": 1e3,
  "megajoules": 1e6,
  "watt_hours": JOULES_PER_KWH / 1e3,
  "kilowatt_hours": JOULES_PER_KWH,
  "energy_j": 1.0,
  "energy_kj": 1e3,
  "energy_wh": JOULES_PER_KWH / 1e3,
  "energy_kwh": JOULES_PER_KWH,
}

# The field that a column in some unit gives, and the factor to the unit of that
# field: units are converted once, when a cell is read.
UNITS: dict[str, tuple[str, float]] = {
  f"{unit}{end}": (f"joules{end}", factor)
  for unit, factor in JOULES_PER_UNIT.items()
  for end in ("", "_low", "_high")
} | {
  "seconds": ("seconds", 1.0),
  "minutes": ("seconds", 60.0),
  "hours": ("seconds", 3600.0),
}

# Columns that do not say their unit, and what they might be called instead.
WITHOUT_UNIT = {
  "energy": "joules, watt_hours, kilowatt_hours",
  "power": "joules: energy, not power",
  "watts": "joules: energy, not power",
  "time": "seconds, minutes, hours",
  "duration": "seconds, minutes, hours",
}


def field_of(column: str) -> str:
  """Returns the field that a column gives.

  Raises BadReferenceError where it gives none.
  """
  if column in UNITS:
    return UNITS[column][0]
  if column in COLUMNS:
    return column
  if column in WITHOUT_UNIT:
    raise BadReferenceError(
      f"column {column}: its name must say the unit: {WITHOUT_UNIT[column]}"
    )
  raise BadReferenceError(
    unknown("column", printable(column), [*COLUMNS, *UNITS])
  )


# Rows


def read_cell(column: str, text: str) -> Any:
  """Reads a cell, in joules and seconds; None where it is empty.

  Raises BadReferenceError with the column and the fix.
  """
  if not printable(text).strip():
    return None
  field, factor = UNITS.get(column, (column, 1.0))
  try:
    value = COLUMNS[field][0](text.strip())
    return positive(str(value * factor)) if factor != 1 else value
  except ValueError as error:
    raise BadReferenceError(f"column {column}: {error}") from None


def read_row(cells: Mapping[str, str]) -> Reference:
  """Reads a reference from the cells of a row, by column.

  Raises BadReferenceError with the column and the fix.
  """
  fields: dict[str, Any] = {}
  for column, text in cells.items():
    field, value = field_of(column), read_cell(column, text)
    if value is not None and field in fields:
      raise BadReferenceError(
        f"column {column}: another column gives {field} too"
      )
    if value is not None:
      fields[field] = value
  for column in ("name", "source"):
    if column not in fields:
      raise BadReferenceError(f"column {column}: missing; every row needs one")
  if not fields.keys() & {"joules", "seconds"}:
    raise BadReferenceError("column joules: missing, and so is seconds")
  reference = Reference(**fields)
  ends = (reference.joules_low, reference.joules, reference.joules_high)
  known_ends = [end for end in ends if end is not None]
  if known_ends != sorted(known_ends):
    raise BadReferenceError(
      "column joules_low: not joules_low <= joules <= joules_high"
    )
  return reference


def with_facts(reference: Reference, facts: Mapping[str, str]) -> Reference:
  """Replaces fields of a reference by what the command says of them."""
  values = {name: read_cell(name, text) for name, text in facts.items()}
  return dataclasses.replace(
    reference, **{name: v for name, v in values.items() if v is not None}
  )


def template() -> str:
  """Writes an empty file of the schema: a comment a column, then the names."""
  comments = [f"# {name}: {meaning}" for name, (_, meaning) in COLUMNS.items()]
  return "\n".join(
    (
      "# One result a row; an empty cell is unknown. docs/references.md",
      *comments,
      "# energy in other units: watt_hours or kilowatt_hours in place of"
      " joules; time: minutes or hours in place of seconds",
      ",".join(COLUMNS),
      "",
    )
  )
