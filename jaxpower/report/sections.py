"""A part of a report beside its comparisons, as a value."""

from dataclasses import dataclass

from jaxpower.report.tables import Table


@dataclass(frozen=True)
class Section:
  """A heading, tables, and the lines to stand below them."""

  title: str
  tables: tuple[Table, ...] = ()
  lines: tuple[str, ...] = ()
