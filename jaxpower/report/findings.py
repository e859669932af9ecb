"""A part of a report beside its comparisons, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
  """Headings, rows of the same length, and notes to stand below them."""

  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
  """A heading, tables, and the lines to stand below them.

  `warnings` are lines nobody should miss: in red, above the tables.
  """

  title: str
  tables: tuple[Table, ...] = ()
  lines: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()
