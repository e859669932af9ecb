"""Reads a file of assumptions; whatever is wrong in it is one line.

A person writes the file by hand, so it is read exactly or refused: every field
is needed, no unit is converted, and an unknown name is an error. Otherwise a
typing error would be an assumption that silently counts for nothing.
"""

import datetime as dt
import math
import os
import pathlib
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from jaxpower.config import unknown
from jaxpower.report.given.assumptions import FIELDS, KINDS, Assumption
from jaxpower.report.given.published import GPUS, GRIDS, Published
from jaxpower.wording import as_given

LONGEST_VALUE = 60  # of a value in an error line, so that it stays a line
# What may stand alone in a table, and the published numbers it names.
NAMED = {"grid_intensity": ("region", GRIDS), "gpu_embodied": ("gpu", GPUS)}
MOST_NAMES = 20  # in an error line
DAY_SUFFIXES = {4: "-01-01", 7: "-01", 10: ""}  # by length: year, month, day


class AssumptionError(Exception):
  """An assumption cannot be used: one line says which field and why."""


def read(path: str | os.PathLike) -> dict[str, Assumption]:
  """Reads the assumptions of a TOML file; raises AssumptionError, one line."""
  path = pathlib.Path(path)
  try:
    return parse(path.read_bytes())
  except AssumptionError as error:
    raise AssumptionError(f"{path}: {error}") from None
  except OSError as error:
    raise AssumptionError(f"{path}: {error.strerror or error}") from None


def parse(content: bytes) -> dict[str, Assumption]:
  """Reads the assumptions of a TOML text, in the order of the template.

  Raises AssumptionError where it is no TOML, a name or a field is unknown or
  missing, or a number, a unit, a source or a date is not one.
  """
  try:
    tables = tomllib.loads(content.decode())
  except (ValueError, RecursionError) as error:
    reason = _printable(str(error)) or "nested too deeply"
    raise AssumptionError(f"not TOML: {reason}") from None
  for name in tables:
    if name not in KINDS:
      raise AssumptionError(unknown("assumption", _printable(name), KINDS))
  if not tables:
    raise AssumptionError(
      "no assumption in it; --lifecycle_template prints all there are"
    )
  return {
    name: _assumption(name, tables[name]) for name in KINDS if name in tables
  }


def _assumption(name: str, table: Any) -> Assumption:
  if not isinstance(table, Mapping):
    raise AssumptionError(
      f"{name}: must be a table with {', '.join(FIELDS)}; write [{name}]"
    )
  if name in NAMED and NAMED[name][0] in table:
    return _published(name, table, *NAMED[name])
  for field in table:
    if field not in FIELDS:
      raise AssumptionError(
        unknown(f"field of {name}", _printable(field), FIELDS)
      )
  for field in FIELDS:
    if field not in table:
      raise AssumptionError(
        f"{name}.{field}: is missing; every field is needed"
      )
  kind = KINDS[name]
  if table["unit"] != kind.unit:
    raise AssumptionError(
      f"{name}.unit: is {_quoted(table['unit'])}; must be '{kind.unit}'"
    )
  return Assumption(
    _number(name, table["value"]),
    kind.unit,
    _text(f"{name}.source", table["source"]),
    _date(f"{name}.date", table["date"]),
  )


def _published(
  name: str,
  table: Mapping[str, Any],
  field: str,
  numbers: Mapping[str, Published],
) -> Assumption:
  """Looks up the published number that a table names in its only field."""
  if len(table) > 1:
    raise AssumptionError(
      f"{name}: give either {field} alone or {', '.join(FIELDS)}"
    )
  key = table[field]
  if not isinstance(key, str) or key not in numbers:
    raise AssumptionError(f"{name}.{field}: {_unknown(field, key, numbers)}")
  number = numbers[key]
  return Assumption(
    number.value, KINDS[name].unit, f"{key}: {number.source}", number.date
  )


def _unknown(what: str, key: Any, names: Collection[str]) -> str:
  """Says that a name is unknown: with the nearest, or all if they are few."""
  shown = _quoted(key).strip("'")
  if len(names) <= MOST_NAMES or get_close_matches(shown, names, cutoff=0.5):
    return unknown(what, shown, names)
  return (
    f"unknown {what} '{shown}'; name a country in English, such as United"
    " Kingdom, a continent or World"
  )


def _number(name: str, value: Any) -> float:
  """Checks a value: a finite number within the limits of its kind."""
  kind, where = KINDS[name], f"{name}.value"
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise AssumptionError(f"{where}: is {_quoted(value)}; must be a number")
  try:
    number = float(value)
  except OverflowError:  # an integer of TOML may have any number of digits
    number = math.inf
  if not math.isfinite(number):
    raise AssumptionError(f"{where}: must be a finite number")
  too_small = number <= kind.least if kind.above else number < kind.least
  if too_small or number > kind.most:
    limits = f"{'above' if kind.above else 'at least'} {as_given(kind.least)}"
    if math.isfinite(kind.most):
      limits += f" and at most {as_given(kind.most)}"
    raise AssumptionError(f"{where}: is {as_given(number)}; must be {limits}")
  return number


def _text(where: str, value: Any) -> str:
  """Checks a source: one line that says something."""
  if not isinstance(value, str) or not value.strip():
    raise AssumptionError(f"{where}: must say where the number is from")
  if not value.isprintable():
    raise AssumptionError(f"{where}: must be one line of printable text")
  return value.strip()


def _date(where: str, value: Any) -> str:
  """Checks a year, a month or a day, which stays as exact as it was given."""
  if isinstance(value, dt.date):
    return value.isoformat()[:10]
  text = value if isinstance(value, str) else ""
  suffix = DAY_SUFFIXES.get(len(text))
  try:
    if suffix is None:
      raise ValueError
    return dt.date.fromisoformat(text + suffix).isoformat()[: len(text)]
  except ValueError:
    raise AssumptionError(
      f"{where}: is {_quoted(value)}; must be a year, a month or a day, as"
      ' "2023", "2023-07" or "2023-07-14"'
    ) from None


def _quoted(value: Any) -> str:
  """Quotes a value of the file on one line, cut where it is long."""
  try:
    text = _printable(str(value))
  except (ValueError, RecursionError):  # an integer or a list without end
    return "too long"
  if len(text) > LONGEST_VALUE:
    text = f"{text[: LONGEST_VALUE - 3]}..."
  return f"'{text}'"


def _printable(text: str) -> str:
  """Escapes whatever would break a line or steer a terminal."""
  return text.encode("unicode_escape").decode()
