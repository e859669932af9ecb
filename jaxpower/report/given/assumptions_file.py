"""Reads a file of assumptions; whatever is wrong in it is one line."""

import datetime as dt
import math
import os
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from jaxpower.config import unknown
from jaxpower.report.given.assumptions import FIELDS, KINDS, Assumption
from jaxpower.report.given.carbon import GRIDS


class AssumptionError(Exception):
  """An assumption cannot be used: one line says which field and why."""


def read(path: str | os.PathLike) -> dict[str, Assumption]:
  """The assumptions of a TOML file. Raises AssumptionError, one line."""
  path = pathlib.Path(path)
  try:
    return parse(path.read_bytes())
  except AssumptionError as error:
    raise AssumptionError(f"{path}: {error}") from None
  except OSError as error:
    raise AssumptionError(f"{path}: {error.strerror or error}") from None


def parse(content: bytes) -> dict[str, Assumption]:
  """The assumptions of a TOML text, in the order of the template.

  Raises AssumptionError where it is no TOML, a name or a field is unknown or
  missing, or a number, a unit, a source or a date is not one.
  """
  try:
    tables = tomllib.loads(content.decode())
  except (ValueError, RecursionError) as error:
    why = _plain(str(error)) or "nested too deeply"
    raise AssumptionError(f"not TOML: {why}") from None
  for name in tables:
    if name not in KINDS:
      raise AssumptionError(unknown("assumption", _plain(name), KINDS))
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
  if name == "grid_intensity" and "region" in table:
    return _of_region(table)
  for field in table:
    if field not in FIELDS:
      raise AssumptionError(unknown(f"field of {name}", _plain(field), FIELDS))
  for field in FIELDS:
    if field not in table:
      raise AssumptionError(f"{name}.{field}: is missing; no field may be")
  kind = KINDS[name]
  if table["unit"] != kind.unit:
    raise AssumptionError(
      f"{name}.unit: is {_shown(table['unit'])}; must be '{kind.unit}'"
    )
  return Assumption(
    _number(name, table["value"]),
    kind.unit,
    _text(f"{name}.source", table["source"]),
    _date(f"{name}.date", table["date"]),
  )


def _of_region(table: Mapping[str, Any]) -> Assumption:
  if len(table) > 1:
    raise AssumptionError(
      "grid_intensity: give either region alone or value, unit, source, date"
    )
  region = table["region"]
  if not isinstance(region, str) or region not in GRIDS:
    raise AssumptionError(
      "grid_intensity.region: " + unknown("region", _shown(region), GRIDS)
    )
  grid = GRIDS[region]
  return Assumption(
    grid.grams_co2e_per_kwh,
    KINDS["grid_intensity"].unit,
    f"{region}: {grid.source}",
    grid.year,
  )


def _number(name: str, value: Any) -> float:
  kind, where = KINDS[name], f"{name}.value"
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise AssumptionError(f"{where}: is {_shown(value)}; must be a number")
  try:
    number = float(value)
  except OverflowError:
    number = math.inf
  if not math.isfinite(number):
    raise AssumptionError(f"{where}: must be a finite number")
  low = number <= kind.least if kind.above else number < kind.least
  if low or number > kind.most:
    least = f"{'above' if kind.above else 'at least'} {kind.least:g}"
    most = f" and at most {kind.most:g}" if math.isfinite(kind.most) else ""
    raise AssumptionError(f"{where}: is {number:g}; must be {least}{most}")
  return number


def _text(where: str, value: Any) -> str:
  if not isinstance(value, str) or not value.strip():
    raise AssumptionError(f"{where}: must say where the number is from")
  if not value.isprintable():
    raise AssumptionError(f"{where}: must be one line of printable text")
  return value.strip()


def _date(where: str, value: Any) -> str:
  if isinstance(value, dt.date):
    return value.isoformat()[:10]
  text = value if isinstance(value, str) else ""
  shape = {4: "-01-01", 7: "-01", 10: ""}.get(len(text))
  try:
    if shape is None:
      raise ValueError
    return dt.date.fromisoformat(text + shape).isoformat()[: len(text)]
  except ValueError:
    raise AssumptionError(
      f"{where}: is {_shown(value)}; must be a year, a month or a day, as"
      ' "2023", "2023-07" or "2023-07-14"'
    ) from None


def _shown(value: Any) -> str:
  """A value of the file on one line, cut where it is long."""
  try:
    text = _plain(str(value))
  except (ValueError, RecursionError):  # an integer or a list without end
    return "too long"
  return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"


def _plain(text: str) -> str:
  return text.encode("unicode_escape").decode()
