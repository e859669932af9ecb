"""A report of a run folder: what it says, and the files it leaves there."""

import math
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from jaxpower.records import TrialRecord
from jaxpower.report import (
  figures,
  frameworks,
  html,
  pareto,
  spreadsheets,
  tables,
)
from jaxpower.report.grids import grid_table, importance_table
from jaxpower.report.groups import Comparison, compare, title
from jaxpower.report.sections import Section
from jaxpower.report.sentence import sentence

# What else records may have to tell; each answers None where they have not.
SECTIONS: tuple[Callable[[Sequence[TrialRecord]], Section | None], ...] = (
  frameworks.section,
)


@dataclass(frozen=True)
class Part:
  """One comparison, told; `title` says what it is of where there are more.

  `details` are the grid and the shares of a sweep of two or more fields;
  `fronts` names the settings on each Pareto front, a line each.
  """

  comparison: Comparison
  title: str
  table: tables.Table
  sentence: str
  details: tuple[tables.Table, ...] = ()
  fronts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
  """What the records say; `paths` are the files that were written."""

  parts: tuple[Part, ...]
  sections: tuple[Section, ...] = ()
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
  records: Iterable[TrialRecord],
  sweep: Mapping[str, Any] | None = None,
  further: Sequence[Section] = (),
) -> Report:
  """The tables and the sentences of some records; writes nothing.

  With the content of a sweep.json it says how many trials are left. Sections
  in `further` stand after those that the records themselves give.
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
  parts = tuple(_part(c, title(c, comparisons)) for c in comparisons)
  sections = [found for tell in SECTIONS if (found := tell(records))]
  return Report(parts, (*sections, *further), tuple(notes))


def write(
  folder: pathlib.Path, sweep: Mapping[str, Any], records: Iterable[TrialRecord]
) -> Report:
  """Writes report.html, tables as CSV and figures into a run folder.

  `sweep` is the content of its sweep.json. Each file appears whole or not at
  all. Raises OSError where the folder cannot be written to.
  """
  report = make(records, sweep)
  comparisons = tuple(part.comparison for part in report.parts)
  ordered = [r for c in comparisons for g in c.groups for r in g.records]
  drawn = {"energy_accuracy": figures.energy_accuracy(comparisons)}
  if fronts := pareto.drawable(comparisons):
    drawn["pareto"] = pareto.pareto(fronts)
  images = {
    f"{name}.{kind}": figures.render(figure, kind)
    for name, figure in drawn.items()
    for kind in ("png", "svg")
  }
  told = html.page(
    str(sweep.get("config", {}).get("name", "") or folder.name),
    [
      (part.title, part.sentence, (part.table, *part.details), part.fronts)
      for part in report.parts
    ],
    comparisons,
    {name: images[f"{name}.svg"] for name in drawn},
    report.sections,
    report.notes,
  )
  files = {
    "report.html": told.encode(),
    "trials.csv": spreadsheets.trials(ordered).encode(),
    "summary.csv": spreadsheets.summary(comparisons).encode(),
    **images,
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
    for detail in part.details:
      tables.say("", console)
      tables.show(detail, console)
    for line in part.fronts:
      tables.tell(line, console)
    tables.tell(part.sentence + ("\n" if part.title else ""), console)
  for section in report.sections:
    tables.say(f"\n{section.title}", console)
    for line in section.warnings:
      tables.warn(line, console)
    for index, shown in enumerate(section.tables):
      if index:
        tables.say("", console)
      tables.show(shown, console)
    for line in section.lines:
      tables.tell(line, console)
  if not report.parts:
    tables.tell(report.sentence, console)
  for note in report.notes:
    tables.tell(note, console)
  for path in report.paths:
    tables.say(str(path), console)


def _part(comparison: Comparison, heading: str) -> Part:
  details = (grid_table(comparison), importance_table(comparison))
  return Part(
    comparison,
    heading,
    tables.table(comparison),
    sentence(comparison),
    tuple(detail for detail in details if detail),
    pareto.fronts_told(comparison),
  )


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
