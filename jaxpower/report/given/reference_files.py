"""Reads files of references: the schema as CSV or JSON, and trackers' logs.

A log knows what was spent but not what was trained. The command says that, as
`FILE:field=value,...`. In a log it replaces what is there; in the schema it
only fills empty cells, since somebody wrote the others on purpose.
"""

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
  field_of,
  printable,
  read_cell,
  read_row,
  with_facts,
)

# The fields that the command may give for a whole file; results stand in it.
COMMAND_FIELDS = tuple(
  name for name in COLUMNS if "joules" not in name and name != "seconds"
)


def read(argument: str) -> tuple[Reference, ...]:
  """Reads the references of `FILE` or `FILE:field=value,...`.

  Raises BadReferenceError: one line with the file, its row and column.
  """
  try:
    path, facts = _split_argument(argument)
  except (RuntimeError, ValueError):
    raise BadReferenceError(f"{argument}: there is no such home") from None
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
  except ValueError:  # a zero byte or half a character
    raise BadReferenceError(f"{path}: no file can be called so") from None
  try:
    references = tuple(_references(path, text, facts))
  except BadReferenceError as error:
    raise BadReferenceError(f"{path}, {error}") from None
  if not references:
    raise BadReferenceError(f"{path}: no result in it")
  return references


def _split_argument(argument: str) -> tuple[pathlib.Path, dict[str, str]]:
  """Splits FILE from its fields; the name of a file may contain a colon."""
  path, colon, text = argument.rpartition(":")
  if not colon or "=" not in text or _exists(argument):
    return pathlib.Path(argument).expanduser(), {}
  facts = {}
  for part in filter(None, text.split(",")):
    name, equals, value = part.partition("=")
    if not equals:
      raise BadReferenceError(f"{argument}: write {printable(part)}=VALUE")
    if name not in (*COMMAND_FIELDS, trackers.WINDOW):
      fields = [*COMMAND_FIELDS, trackers.WINDOW]
      raise BadReferenceError(
        f"{argument}: {unknown('field', printable(name), fields)}"
      )
    if name in COLUMNS:
      try:
        read_cell(name, value)
      except BadReferenceError as error:
        raise BadReferenceError(f"{argument}: {error}") from None
    facts[name] = value
  return pathlib.Path(path).expanduser(), facts


def _exists(path: str) -> bool:
  try:
    return pathlib.Path(path).expanduser().exists()
  except (OSError, RuntimeError, ValueError):  # no file can be called so
    return False


def _references(
  path: pathlib.Path, text: str, facts: Mapping[str, str]
) -> Iterator[Reference]:
  fields = {name: fact for name, fact in facts.items() if name in COLUMNS}
  if path.suffix == ".json" or text.lstrip()[:1] in ("[", "{"):
    yield from _read_rows(_json_rows(text), fields)
    return
  logged = trackers.read(path.name, text, facts.get(trackers.WINDOW, ""))
  if logged is None:
    yield from _read_rows(_csv_rows(text), fields)
  else:
    yield from (with_facts(reference, fields) for reference in logged)


def _read_rows(
  rows: Iterable[tuple[str, Mapping[str, str]]], facts: Mapping[str, str]
) -> Iterator[Reference]:
  """Reads references from rows of the schema, each with its place."""
  for place, cells in rows:
    try:
      for name in facts.keys() & cells.keys():
        value = read_cell(name, cells[name])
        if value is not None and value != read_cell(name, facts[name]):
          raise BadReferenceError(
            f"column {name}: {value} here, {facts[name]} in the command"
          )
      filled = {name: text for name, text in cells.items() if text.strip()}
      yield read_row({**facts, **filled})
    except BadReferenceError as error:
      raise BadReferenceError(f"{place}, {error}") from None


def _csv_rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
  """Reads rows of a CSV of the schema, and checks the names of its columns."""
  table = trackers.table(text)
  first, columns = next(table, (1, []))
  try:
    for column in columns:
      field_of(column)
      if columns.count(column) > 1:
        raise BadReferenceError(f"column {printable(column)}: appears twice")
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


def _json_rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
  """Reads entries of a JSON list, or of an object's list `references`."""
  try:
    content = json.loads(text, object_pairs_hook=_unique_keys)
  except RecursionError:
    raise BadReferenceError("not JSON: nested too deep") from None
  except ValueError as error:
    raise BadReferenceError(f"not JSON: {error}") from None
  if isinstance(content, dict) and "references" in content:
    content = content["references"]
  entries = content if isinstance(content, list) else [content]
  for number, entry in enumerate(entries, start=1):
    place = f"entry {number}"
    if not isinstance(entry, dict):
      raise BadReferenceError(f"{place}: not an object of columns and values")
    for column, item in entry.items():
      if isinstance(item, dict | list):
        raise BadReferenceError(
          f"{place}, column {printable(column)}: not a number or a word"
        )
    yield place, {column: _text(item) for column, item in entry.items()}


def _text(item: Any) -> str:
  if item is None:
    return ""
  return item if isinstance(item, str) else json.dumps(item)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """Makes a JSON object; raises ValueError where a key appears twice."""
  names = [name for name, _ in pairs]
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f"{printable(name)} appears twice")
  return dict(pairs)
