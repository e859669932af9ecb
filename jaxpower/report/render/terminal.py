"""Prints a report on a terminal, or as plain ASCII elsewhere."""

import pathlib
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from jaxpower.report.findings import NOTHING_RECORDED, Report, Section, Table
from jaxpower.wording import on_one_line, printable

WIDE = 100  # columns of a terminal from which on gaps are two spaces


def show(report: Report, console: Console) -> None:
  """Prints each section, then the report's notes and the files written."""
  for index, section in enumerate(report.sections):
    if index:
      say("", console)
    show_section(section, console)
  if not report.sections:
    say_wrapped(NOTHING_RECORDED, console)
  for note in report.notes:
    say_wrapped(note, console)
  for line in files_written(report.paths):
    say(line, console)


def files_written(paths: Sequence[pathlib.Path]) -> list[str]:
  """Names the files of a report: the page, then those that lie beside it.

  Files of one name are named once, with their kinds.
  """
  if not paths:
    return []
  page, *others = paths
  kinds: dict[str, list[str]] = {}
  for path in others:
    kinds.setdefault(path.stem, []).append(path.suffix)
  beside = (name + " ".join(suffixes) for name, suffixes in kinds.items())
  return [str(page), *([f"beside it: {', '.join(beside)}"] if kinds else [])]


def show_section(section: Section, console: Console) -> None:
  """Prints a section: its warnings, its tables, and the answer last."""
  if section.title:
    say(section.title, console)
  for warning in section.warnings:
    warn(warning, console)
  for index, table in enumerate(section.tables):
    if index:
      say("", console)
    show_table(table, console)
  for line in section.lines:
    say_wrapped(line, console)
  if section.lead:
    say_wrapped(section.lead, console)
  for point in section.sure:
    say_wrapped(f"- {point}", console)


def show_table(table: Table, console: Console) -> None:
  """Prints a table: drawn on a terminal, else in plain ASCII."""
  if not console.is_terminal or console.is_dumb_terminal or console.no_color:
    say(plain_table(table), console)
    return
  gap = 2 if console.width >= WIDE else 1
  drawn = RichTable(
    box=None, header_style="bold", padding=(0, gap, 0, 0), pad_edge=False
  )
  for column in table.columns:
    drawn.add_column(Text(on_one_line(column)))
  for row in table.rows:
    drawn.add_row(*(Text(on_one_line(cell)) for cell in row))
  console.print(drawn)
  for note in table.notes:
    console.print(Text(printable(note), style="dim"))


def plain_table(table: Table) -> str:
  """Aligns a table in ASCII, for a file, a pipe or NO_COLOR."""
  lines = [
    [_ascii(printable(cell).replace("\n", " ")) for cell in line]
    for line in (table.columns, *table.rows)
  ]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  body = [
    "  ".join(
      cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ).rstrip()
    for line in lines
  ]
  return "\n".join((*body, *map(_ascii, table.notes)))


def say(line: str, console: Console) -> None:
  """Prints lines as they are: no markup, no colour, no wrapping.

  What a terminal would act upon, in the text of a record, is escaped.
  """
  console.print(
    printable(line), markup=False, highlight=False, emoji=False, soft_wrap=True
  )


def say_wrapped(sentence: str, console: Console) -> None:
  """Prints a sentence, broken between words where a terminal ends."""
  if console.is_terminal:
    console.print(Text(printable(sentence)))
  else:
    say(sentence, console)


def warn(line: str, console: Console) -> None:
  """Prints a warning: red where there is colour."""
  if console.is_terminal:
    console.print(Text(printable(f"WARNING: {line}"), style="bold red"))
  else:
    say(_ascii(f"WARNING: {line}"), console)


def _ascii(text: str) -> str:
  return text.encode("ascii", "backslashreplace").decode()
