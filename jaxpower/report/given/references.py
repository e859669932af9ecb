"""Numbers from elsewhere: the schema of a reference and what its cells hold.

Every cell is text until it is read here, wherever it came from: a CSV, a JSON
file, a tracker's log or the command line. docs/references.md tells the schema.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxpower.config import unknown

LARGEST = 1e30  # beyond this no joules, seconds or examples can be

BOUNDARY = ("gpu", "cpu", "dram", "node", "overhead")

PHASES = ("setup", "idle", "compile", "warmup", "train", "eval", "infer")


class BadReferenceError(Exception):
  """A reference cannot be used: one line says which file, row and column."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
  """A result measured elsewhere; empty or None is unknown, never zero.

  `boundary` is what of the machine its joules cover, `phases` what of the run.
  `joules_by_part` are the joules of each part of the boundary, where a log has
  them apart, and `modelled` the parts that were not, or may not have been,
  measured; `estimated` says so of the whole.
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


def word(text: str) -> str:
  """A word or sentence, whatever a terminal would act upon taken out."""
  return "".join(sign for sign in text if sign.isprintable())


def positive(text: str) -> float:
  """A number above zero. Raises ValueError with the mend."""
  try:
    number = float(text)
  except ValueError:
    raise ValueError(f"{word(text)!r} is not a number") from None
  if not 1 / LARGEST <= number <= LARGEST:
    raise ValueError(
      f"{number:g} cannot be; above 0, or empty where it is not known"
    )
  return number


def share(text: str) -> float:
  """A share of one. Raises ValueError with the mend."""
  number = positive(text.removesuffix("%").rstrip())
  if number > 1 or text.endswith("%"):
    raise ValueError(f"{word(text)} is not a share of one; 80 % is 0.8")
  return number


def whole(text: str) -> int:
  """A number of examples. Raises ValueError with the mend."""
  number = positive(text)
  if number != int(number):
    raise ValueError(f"{number:g} is not a whole number")
  return int(number)


def truth(text: str) -> bool:
  """True or false. Raises ValueError with the mend."""
  if text.lower() not in ("true", "false"):
    raise ValueError(f"{word(text)!r} is neither true nor false")
  return text.lower() == "true"


def parts(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
  """A reader of words joined by +, in the order of those known."""

  def read(text: str) -> tuple[str, ...]:
    words = {part.strip().lower() for part in text.split("+")}
    for part in sorted(words - set(known)):
      raise ValueError(f"{unknown('part', word(part), known)}; joined by +")
    return tuple(part for part in known if part in words)

  return read


# What each column holds, and how a cell of it is read.
COLUMNS: dict[str, tuple[Callable[[str], Any], str]] = {
  "name": (word, "what the report calls it; needed"),
  "hardware": (word, "such as NVIDIA H200, or 8 x NVIDIA H200"),
  "model": (word, "as jaxpower names it, such as resnet18"),
  "data": (word, "as jaxpower names it, such as cifar10"),
  "batch_size": (whole, "examples per update over all devices"),
  "target_accuracy": (share, "a share of the test set, such as 0.8"),
  "joules": (positive, "spent until the target was met"),
  "seconds": (positive, "taken until the target was met"),
  "accuracy": (share, "what was reached, a share of the test set"),
  "source": (word, "where the number comes from; needed"),
  "joules_low": (positive, "lower end of the 95 % interval"),
  "joules_high": (positive, "upper end of the 95 % interval"),
  "framework": (word, "such as torch 2.13"),
  "precision": (word, "float32 or bfloat16"),
  "boundary": (parts(BOUNDARY), f"what is in: {', '.join(BOUNDARY)}"),
  "phases": (parts(PHASES), f"what is in: {', '.join(PHASES)}"),
  "estimated": (truth, "true where power was modelled, not measured"),
  "date": (word, "when it was measured"),
}

JOULES = {
  "joules": 1.0,
  "kilojoules": 1e3,
  "megajoules": 1e6,
  "watt_hours": 3.6e3,
  "kilowatt_hours": 3.6e6,
  "energy_j": 1.0,
  "energy_kj": 1e3,
  "energy_wh": 3.6e3,
  "energy_kwh": 3.6e6,
}

# Other units are turned into joules and seconds here, once.
UNITS: dict[str, tuple[str, float]] = {
  f"{unit}{end}": (f"joules{end}", factor)
  for unit, factor in JOULES.items()
  for end in ("", "_low", "_high")
} | {
  "seconds": ("seconds", 1.0),
  "minutes": ("seconds", 60.0),
  "hours": ("seconds", 3600.0),
}

WITHOUT_UNIT = {
  "energy": "joules, watt_hours, kilowatt_hours",
  "power": "joules: energy, not power",
  "watts": "joules: energy, not power",
  "time": "seconds, minutes, hours",
  "duration": "seconds, minutes, hours",
}


def field_of(column: str) -> str:
  """The field that a column gives. Raises BadReferenceError on others."""
  if column in UNITS:
    return UNITS[column][0]
  if column in COLUMNS:
    return column
  if column in WITHOUT_UNIT:
    raise BadReferenceError(
      f"column {column}: its name must say the unit: {WITHOUT_UNIT[column]}"
    )
  raise BadReferenceError(unknown("column", word(column), [*COLUMNS, *UNITS]))


def cell(column: str, text: str) -> Any:
  """What a cell holds, in joules and seconds; None where it is empty.

  Raises BadReferenceError with the column and the mend.
  """
  if not word(text).strip():
    return None
  field, factor = UNITS.get(column, (column, 1.0))
  try:
    value = COLUMNS[field][0](text.strip())
    return positive(str(value * factor)) if factor != 1 else value
  except ValueError as error:
    raise BadReferenceError(f"column {column}: {error}") from None


def reference(cells: Mapping[str, str]) -> Reference:
  """The reference in a row of the schema's cells, by column.

  Raises BadReferenceError with the column and the mend.
  """
  known: dict[str, Any] = {}
  for column, text in cells.items():
    field, value = field_of(column), cell(column, text)
    if value is not None and field in known:
      raise BadReferenceError(f"column {column}: another one gives {field} too")
    if value is not None:
      known[field] = value
  for column in ("name", "source"):
    if column not in known:
      raise BadReferenceError(f"column {column}: missing; every row needs one")
  if not known.keys() & {"joules", "seconds"}:
    raise BadReferenceError("column joules: missing, and so is seconds")
  found = Reference(**known)
  ends = (found.joules_low, found.joules, found.joules_high)
  told = [end for end in ends if end is not None]
  if told != sorted(told):
    raise BadReferenceError(
      "column joules_low: not joules_low <= joules <= joules_high"
    )
  return found


def given(reference: Reference, facts: Mapping[str, str]) -> Reference:
  """A reference with what the command says of it in place of its own."""
  read = {name: cell(name, text) for name, text in facts.items()}
  return dataclasses.replace(
    reference, **{name: v for name, v in read.items() if v is not None}
  )


def template() -> str:
  """An empty file of the schema: a comment for each column, then the names."""
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
