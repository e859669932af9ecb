"""Reads the files of references: the schema as CSV or JSON, trackers' logs."""

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxpower.config import unknown
from jaxpower.report.given import trackers
from jaxpower.report.given.references import (
  COLUMNS,
  BadReferenceError,
  Reference,
  cell,
  field_of,
  given,
  reference,
  word,
)

# What the command may say of all rows of a file; numbers stand in the file.
GIVEN = tuple(
  name for name in COLUMNS if "joules" not in name and name != "seconds"
)


def read(argument: str) -> tuple[Reference, ...]:
  """The references of `FILE` or `FILE:field=value,...`.

  The fields stand in for empty cells of every row, and for what a tracker's
  log does not know. Raises BadReferenceError in one line.
  """
  path, facts = _split(argument)
  try:
    text = path.read_bytes().decode("utf-8-sig")
  except FileNotFoundError:
    raise BadReferenceError(f"{path}: no such file") from None
  except OSError as error:
    raise BadReferenceError(f"{path}: {error.strerror}") from None
  except UnicodeDecodeError:
    raise BadReferenceError(
      f"{path}: not text in UTF-8; save it as CSV"
    ) from None
  try:
    found = tuple(_references(path, text, facts))
  except BadReferenceError as error:
    raise BadReferenceError(f"{path}, {error}") from None
  if not found:
    raise BadReferenceError(f"{path}: no result in it")
  return found


def _split(argument: str) -> tuple[pathlib.Path, dict[str, str]]:
  """File and fields; a file whose name holds a colon is found all the same."""
  path, colon, text = argument.rpartition(":")
  if not colon or "=" not in text or pathlib.Path(argument).exists():
    return pathlib.Path(argument), {}
  facts = {}
  for part in filter(None, text.split(",")):
    name, equals, value = part.partition("=")
    if not equals:
      raise BadReferenceError(f"{argument}: write {word(part)}=VALUE")
    if name not in (*GIVEN, trackers.WINDOW):
      known = [*GIVEN, trackers.WINDOW]
      raise BadReferenceError(
        f"{argument}: {unknown('field', word(name), known)}"
      )
    if name in COLUMNS:
      try:
        cell(name, value)
      except BadReferenceError as error:
        raise BadReferenceError(f"{argument}: {error}") from None
    facts[name] = value
  return pathlib.Path(path), facts


def _references(
  path: pathlib.Path, text: str, facts: Mapping[str, str]
) -> Iterator[Reference]:
  said = {name: fact for name, fact in facts.items() if name in COLUMNS}
  if path.suffix == ".json" or text.lstrip()[:1] in ("[", "{"):
    yield from _schema(_entries(text), said)
    return
  logged = trackers.read(path.name, text, facts.get(trackers.WINDOW, ""))
  if logged is None:
    yield from _schema(_rows(text), said)
  else:
    yield from (given(reference, said) for reference in logged)


def _schema(
  rows: Iterable[tuple[str, Mapping[str, str]]], said: Mapping[str, str]
) -> Iterator[Reference]:
  """References of rows that name their columns, each with its place."""
  for place, cells in rows:
    try:
      for name in said.keys() & cells.keys():
        found = cell(name, cells[name])
        if found is not None and found != cell(name, said[name]):
          raise BadReferenceError(
            f"column {name}: {found} here, {said[name]} in the command"
          )
      filled = {name: text for name, text in cells.items() if text.strip()}
      yield reference({**said, **filled})
    except BadReferenceError as error:
      raise BadReferenceError(f"{place}, {error}") from None


def _rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
  """Rows of a CSV in the schema; the names of its columns are checked."""
  table = trackers.table(text)
  first, columns = next(table, (1, []))
  try:
    for column in columns:
      field_of(column)
      if columns.count(column) > 1:
        raise BadReferenceError(f"column {word(column)}: stands there twice")
  except BadReferenceError as error:
    hint = "; separate columns by commas" if ";" in "".join(columns) else ""
    raise BadReferenceError(f"row {first}, {error}{hint}") from None
  for number, cells in table:
    if len(cells) != len(columns):
      raise BadReferenceError(
        f"row {number}: {len(cells)} cells under {len(columns)} columns; put"
        ' a cell that holds a comma in "quotes"'
      )
    yield f"row {number}", dict(zip(columns, cells, strict=True))


def _entries(text: str) -> Iterator[tuple[str, dict[str, str]]]:
  """Entries of a JSON list, or of the list named references in an object."""
  try:
    found = json.loads(text, object_pairs_hook=_once)
  except RecursionError:
    raise BadReferenceError("not JSON: nested too deep") from None
  except ValueError as error:
    raise BadReferenceError(f"not JSON: {error}") from None
  if isinstance(found, dict) and "references" in found:
    found = found["references"]
  entries = found if isinstance(found, list) else [found]
  for number, entry in enumerate(entries, start=1):
    place = f"entry {number}"
    if not isinstance(entry, dict):
      raise BadReferenceError(f"{place}: not an object of columns and values")
    for column, item in entry.items():
      if isinstance(item, dict | list):
        raise BadReferenceError(
          f"{place}, column {word(column)}: not a number or a word"
        )
    yield place, {column: _text(item) for column, item in entry.items()}


def _text(item: Any) -> str:
  if item is None:
    return ""
  return item if isinstance(item, str) else json.dumps(item)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  names = [name for name, _ in pairs]
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f"{word(name)} stands there twice")
  return dict(pairs)
