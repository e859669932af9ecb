"""A report of a run folder: what it says, and the files it leaves there."""

import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from jaxpower.records import TrialRecord
from jaxpower.report import figures, spreadsheets, tables
from jaxpower.report.groups import Comparison, compare, title
from jaxpower.report.sentence import sentence


@dataclass(frozen=True)
class Part:
  """One comparison, told; `title` says what it is of where there are more."""

  comparison: Comparison
  title: str
  table: tables.Table
  sentence: str


@dataclass(frozen=True)
class Report:
  """What the records say; `paths` are the files that were written."""

  parts: tuple[Part, ...]
  notes: tuple[str, ...] = ()
  paths: tuple[pathlib.Path, ...] = ()

  @property
  def sentence(self) -> str:
    """The sentences of all parts, a line each."""
    if not self.parts:
      return "No trial is recorded yet."
    return "\n".join(
      f"{part.title}: {part.sentence}" if part.title else part.sentence
      for part in self.parts
    )


def make(
  records: Iterable[TrialRecord], sweep: Mapping[str, Any] | None = None
) -> Report:
  """The tables and the sentences of some records; writes nothing.

  With the content of a sweep.json it says how many trials are left.
  """
  records = tuple(records)
  comparisons = compare(records)
  notes = []
  if len(comparisons) > 1:
    notes.append(
      "These are not pooled, and no ratio crosses from one to another: data,"
      " target, machine or meter differ."
    )
  if (planned := _planned(sweep or {})) > len(records):
    notes.append(
      f"Not complete: {len(records)} of {planned} trials are recorded."
    )
  parts = tuple(
    Part(c, title(c, comparisons), tables.table(c), sentence(c))
    for c in comparisons
  )
  return Report(parts, tuple(notes))


def write(
  folder: pathlib.Path, sweep: Mapping[str, Any], records: Iterable[TrialRecord]
) -> Report:
  """Writes trials.csv, summary.csv and the figure into a run folder.

  `sweep` is the content of its sweep.json. Each file appears whole or not at
  all. Raises OSError where the folder cannot be written to.
  """
  report = make(records, sweep)
  comparisons = tuple(part.comparison for part in report.parts)
  ordered = [r for c in comparisons for g in c.groups for r in g.records]
  figure = figures.energy_accuracy(comparisons)
  files = {
    "trials.csv": spreadsheets.trials(ordered).encode(),
    "summary.csv": spreadsheets.summary(comparisons).encode(),
    "energy_accuracy.png": figures.render(figure, "png"),
    "energy_accuracy.svg": figures.render(figure, "svg"),
  }
  for name, content in files.items():
    _replace(folder / name, content)
  return replace(report, paths=tuple(folder / name for name in files))


def show(report: Report, console: Console) -> None:
  """Prints each table with its sentence, then notes and what was written."""
  for part in report.parts:
    if part.title:
      tables.say(part.title, console)
    tables.show(part.table, console)
    tables.tell(part.sentence + ("\n" if part.title else ""), console)
  if not report.parts:
    tables.tell(report.sentence, console)
  for note in report.notes:
    tables.tell(note, console)
  for path in report.paths:
    tables.say(str(path), console)


def _planned(sweep: Mapping[str, Any]) -> int:
  """How many trials a sweep.json asks for; 0 where it does not say."""
  config = sweep.get("config", {})
  values = config.get("vary", {}).values()
  return config.get("seeds", 0) * math.prod(map(len, values))


def _replace(path: pathlib.Path, content: bytes) -> None:
  part = path.with_name(f".{path.name}.{os.getpid()}")
  try:
    part.write_bytes(content)
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)
