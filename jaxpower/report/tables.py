"""The table of a report, as a value, and how it is put on a terminal."""

import math
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from jaxpower.report.groups import Comparison, Group
from jaxpower.report.labels import labels, number, opening, percent, value
from jaxpower.report.statistics import (
  ENOUGH_SEEDS,
  Estimate,
  range_coverage,
)

ROOMY = 100  # columns of a terminal that allow for wider gaps
COUNTED = {
  "train": "training alone",
  "compile": "with compiling",
  "eval": "with evaluation",
  "active": "less idle energy",
}


@dataclass(frozen=True)
class Table:
  """Headings, rows of the same length, and notes to stand below them."""

  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  notes: tuple[str, ...] = ()


def table(comparison: Comparison) -> Table:
  """What varies and what each value of it cost, a row per group."""
  paths = comparison.paths
  told = labels(paths)
  energy, short = "joules", "J"
  if comparison.estimated:
    energy, short = "estimated joules", "estimated J"
  columns = (
    *(told[path] for path in paths),
    "reached",
    f"{energy} to {percent(comparison.target_accuracy)}",
    "seconds",
    "ratio",
    f"{short} per 1000 examples",
  )
  rows = tuple(
    (
      *(value(group.varied[path]) for path in paths),
      f"{group.count('reached')} of {len(group.records)}",
      _joules(group),
      estimate(group.seconds),
      estimate(group.ratio),
      bounded(
        group.joules_per_1000_examples, group.joules_per_1000_examples_bound
      ),
    )
    for group in comparison.groups
  )
  return Table(columns, rows, tuple(_notes(comparison)))


def estimate(found: Estimate | None) -> str:
  """A cell: "212 (204-221)", "> 655" for a lower bound, or "unknown"."""
  if found is None:
    return "unknown"
  if found.at_least:
    return f"> {number(found.value)}"
  if found.low is None or found.high is None:
    return number(found.value)
  return f"{number(found.value)} ({interval(found, '-')})"


def interval(found: Estimate, to: str = " to ", figures: int = 3) -> str:
  """The ends of an interval: "204 to 221"; "204 or more" where endless."""
  if found.low is None or found.high is None:
    return "unknown"
  low = number(found.low, figures)
  if math.isinf(found.high):
    return f"{low} or more"
  return f"{low}{to}{number(found.high, figures)}"


def bounded(joules: float | None, bound: float | None) -> str:
  """A cell: "1.84 +- 0.9 %", the bound being the meter's."""
  if joules is None:
    return "unknown"
  if bound is None or not joules:
    return number(joules)
  return f"{number(joules)} +- {number(100 * bound / joules, 2)} %"


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


def show(shown: Table, console: Console) -> None:
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


def tell(sentence: str, console: Console) -> None:
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


def _joules(group: Group) -> str:
  at_least = group.joules is not None and group.joules.at_least
  return estimate(group.joules) + (" (lower bound)" if at_least else "")


def _ratio(found: Estimate) -> str:
  """With the low end also where the ratio is only bounded."""
  if found.at_least and found.low is not None:
    return f"{estimate(found)} ({interval(found)})"
  return estimate(found)


def _notes(comparison: Comparison) -> list[str]:
  groups = comparison.groups
  ran = [len(group.records) - group.count("failed") for group in groups]
  notes = []
  if any(count > 1 for count in ran):
    notes.append(interval_note(min(count for count in ran if count > 1)))
  if 1 in ran:
    notes.append("One seed allows no interval.")
  if any(e and e.at_least for g in groups for e in (g.joules, g.seconds)):
    notes.append(
      "Lower bound: too many trials missed the target for a median to be known."
    )
  notes += [
    f"{opening(group.varied)}: {count} of {len(group.records)} {words}."
    for status, words in (
      ("failed", "failed and carries no number"),
      ("diverged", "diverged; what it spent is a lower bound"),
    )
    for group in groups
    if (count := group.count(status))
  ]
  ratios = [
    f"{words} {_ratio(found.energy_ratio)}"
    for name, words in COUNTED.items()
    if (found := comparison.rankings.get(name)) and found.energy_ratio
  ]
  if len(groups) > 1 and ratios:
    notes.append(f"Dearest over cheapest: {', '.join(ratios)}.")
    unseen = [
      words
      for name, words in COUNTED.items()
      if name not in comparison.rankings
    ]
    if unseen:
      notes.append(f"Not known of every trial: {' and '.join(unseen)}.")
  usual = comparison.rankings["train"].order
  otherwise = [
    COUNTED[name]
    for name, found in comparison.rankings.items()
    if found.order != usual
  ]
  if otherwise:
    notes.append(f"The order of settings differs {' and '.join(otherwise)}.")
  return notes


def interval_note(fewest: int) -> str:
  """What brackets hold, where the fewest trials of a setting are so many."""
  note = "Medians over seeds; in brackets the 95 % bootstrap interval"
  if fewest >= ENOUGH_SEEDS:
    return f"{note}."
  return (
    f"{note}. With {fewest} seeds it is at most their range, which holds the"
    f" true median in {100 * range_coverage(fewest):.0f} of 100 cases."
  )
