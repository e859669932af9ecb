"""Prints a report on a terminal, or as plain ASCII elsewhere."""

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from jaxpower.report.findings import Table
from jaxpower.report.report import Report

ROOMY = 100  # columns of a terminal that allow for wider gaps


def plain(shown: Table) -> str:
  """The table in aligned ASCII, for a file, a pipe or NO_COLOR."""
  lines = [
    [_ascii(cell) for cell in line] for line in (shown.columns, *shown.rows)
  ]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  body = [
    "  ".join(
      cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ).rstrip()
    for line in lines
  ]
  return "\n".join((*body, *map(_ascii, shown.notes)))


def show_table(shown: Table, console: Console) -> None:
  """Prints the table: drawn on a terminal, else in plain ASCII."""
  if not console.is_terminal or console.is_dumb_terminal or console.no_color:
    say(plain(shown), console)
    return
  gap = 2 if console.width >= ROOMY else 1
  drawn = RichTable(
    box=None, header_style="bold", padding=(0, gap, 0, 0), pad_edge=False
  )
  for column in shown.columns:
    drawn.add_column(Text(column))
  for row in shown.rows:
    drawn.add_row(*map(Text, row))
  console.print(drawn)
  for note in shown.notes:
    console.print(Text(note, style="dim"))


def say(line: str, console: Console) -> None:
  """Prints a line as it is: no markup, no colour, no wrapping."""
  console.print(
    line, markup=False, highlight=False, emoji=False, soft_wrap=True
  )


def say_wrapped(sentence: str, console: Console) -> None:
  """Prints a sentence, broken between words where a terminal ends."""
  if console.is_terminal:
    console.print(Text(sentence))
  else:
    say(sentence, console)


def warn(line: str, console: Console) -> None:
  """Prints a line that nobody should miss: red where there is colour."""
  if console.is_terminal:
    console.print(Text(f"WARNING: {line}", style="bold red"))
  else:
    say(_ascii(f"WARNING: {line}"), console)


def _ascii(text: str) -> str:
  return text.encode("ascii", "backslashreplace").decode()


def show_report(report: Report, console: Console) -> None:
  """Prints each table with its sentence, then notes and what was written."""
  for part in report.parts:
    if part.title:
      say(part.title, console)
    show_table(part.table, console)
    for detail in part.details:
      say("", console)
      show_table(detail, console)
    for line in part.fronts:
      say_wrapped(line, console)
    say_wrapped(part.sentence + ("\n" if part.title else ""), console)
  for section in report.sections:
    say(f"\n{section.title}", console)
    for line in section.warnings:
      warn(line, console)
    for index, shown in enumerate(section.tables):
      if index:
        say("", console)
      show_table(shown, console)
    for line in section.lines:
      say_wrapped(line, console)
  if not report.parts:
    say_wrapped(report.sentence, console)
  for note in report.notes:
    say_wrapped(note, console)
  for path in report.paths:
    say(str(path), console)
