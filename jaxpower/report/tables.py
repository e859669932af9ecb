"""The table of a report, as a value, and how it is put on a terminal."""

from collections.abc import Sequence
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


@dataclass(frozen=True)
class Table:
  """Headings, rows of the same length, and notes to stand below them."""

  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  notes: tuple[str, ...] = ()


def table(comparisons: Sequence[Comparison]) -> Table:
  """What varies, and what each value cost; ratios within one comparison."""
  paths = tuple(dict.fromkeys(p for c in comparisons for p in c.paths))
  told = labels(paths)
  apart = _apart(comparisons, paths)
  energy = "joules"
  if any(c.estimated for c in comparisons):
    energy = "estimated joules"
  targets = {c.target_accuracy for c in comparisons}
  goal = percent(targets.pop()) if len(targets) == 1 else "target"
  columns = (
    *apart,
    *(told[path] for path in paths),
    "reached",
    f"{energy} to {goal}",
    "train seconds",
    f"ratio of {energy}",
    f"{energy} per 1000 examples",
  )
  rows = tuple(
    (
      *(about for about in _about(comparison, apart)),
      *(_varied(group, path) for path in paths),
      f"{group.count('reached')} of {len(group.records)}",
      estimate(group.joules),
      estimate(group.seconds),
      estimate(group.ratio),
      per_1000_examples(group),
    )
    for comparison in comparisons
    for group in comparison.groups
  )
  return Table(columns, rows, tuple(_notes(comparisons)))


def estimate(found: Estimate | None) -> str:
  """A cell: "212 (204 to 221)", "> 655 (lower bound)" or "unknown"."""
  if found is None:
    return "unknown"
  if found.at_least:
    return f"> {number(found.value)} (lower bound)"
  if found.low is None or found.high is None:
    return number(found.value)
  return f"{number(found.value)} ({interval(found)})"


def interval(found: Estimate) -> str:
  """The ends of an interval: "204 to 221"; an endless one is "unknown"."""
  if found.low is None or found.high is None:
    return "unknown"
  return f"{number(found.low)} to {number(found.high)}"


def per_1000_examples(group: Group) -> str:
  """A cell: "1.84 +- 0.02", the bound being the meter's."""
  joules = group.joules_per_1000_examples
  bound = group.joules_per_1000_examples_bound
  if joules is None:
    return "unknown"
  if bound is None:
    return number(joules)
  return f"{number(joules)} +- {number(bound)}"


def plain(shown: Table) -> str:
  """The table in aligned ASCII, for a file, a pipe or NO_COLOR."""
  lines = (shown.columns, *shown.rows)
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  body = [
    "  ".join(
      cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ).rstrip()
    for line in lines
  ]
  text = "\n".join((*body, *shown.notes))
  return text.encode("ascii", "backslashreplace").decode()


def show(shown: Table, console: Console) -> None:
  """Prints the table: drawn on a terminal, else in plain ASCII."""
  if not console.is_terminal or console.no_color:
    console.print(
      plain(shown), markup=False, highlight=False, emoji=False, soft_wrap=True
    )
    return
  drawn = RichTable(box=None, header_style="bold", padding=(0, 2, 0, 0))
  for column in shown.columns:
    drawn.add_column(Text(column), overflow="fold")
  for row in shown.rows:
    drawn.add_row(*map(Text, row))
  console.print(drawn)
  for note in shown.notes:
    console.print(Text(note, style="dim"))


def _varied(group: Group, path: str) -> str:
  return value(group.varied[path]) if path in group.varied else "-"


def _apart(
  comparisons: Sequence[Comparison], paths: Sequence[str]
) -> tuple[str, ...]:
  """Headings for what tells one comparison from another."""
  names = {
    "data": {c.data for c in comparisons},
    "target": {c.target_accuracy for c in comparisons},
    "machine": {c.machine for c in comparisons},
    "meter": {c.estimated for c in comparisons},
    "domains": {c.domains for c in comparisons},
  }
  varied = {"data"} & set(paths)
  if "target_accuracy" in paths:
    varied |= {"target"}
  return tuple(
    name
    for name, found in names.items()
    if len(found) > 1 and name not in varied
  )


def _about(comparison: Comparison, apart: Sequence[str]) -> tuple[str, ...]:
  words = {
    "data": comparison.data,
    "target": percent(comparison.target_accuracy),
    "machine": comparison.machine or "unknown",
    "meter": "estimated" if comparison.estimated else "measured",
    "domains": " + ".join(comparison.domains) or "none",
  }
  return tuple(words[name] for name in apart)


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
  groups = [group for c in comparisons for group in c.groups]
  notes = []
  if len(comparisons) > 1:
    notes.append(
      "Ratios hold within rows of one data set, target, machine and meter;"
      " others are never pooled."
    )
  few = min((_ran(g) for g in groups if _ran(g) > 1), default=ENOUGH_SEEDS)
  if few < ENOUGH_SEEDS:
    notes.append(
      "Medians over seeds; in brackets the 95 % bootstrap interval. With"
      f" {few} seeds it is at most their range, which holds the true median"
      f" in {100 * range_coverage(few):.0f} of 100 cases."
    )
  elif any(_ran(g) > 1 for g in groups):
    notes.append("Medians over seeds; in brackets the 95 % bootstrap interval.")
  if any(_ran(g) == 1 for g in groups):
    notes.append("One seed allows no interval.")
  if any(e and e.at_least for g in groups for e in (g.joules, g.seconds)):
    notes.append(
      "Lower bound: too many trials missed the target for a median to be known."
    )
  for status, words in (
    ("failed", "failed and carries no number"),
    ("diverged", "diverged; what it spent is a lower bound"),
  ):
    for group in groups:
      if count := group.count(status):
        notes.append(
          f"{opening(group.varied)}: {count} of {len(group.records)} {words}."
        )
  notes += [
    f"{opening(group.varied)}: joules unknown: {group.unknown}."
    for group in groups
    if group.unknown
  ]
  return notes


def _ran(group: Group) -> int:
  return len(group.records) - group.count("failed")
