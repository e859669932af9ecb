"""A report of a run folder: what it says, and the files it leaves there."""

import math
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report import findings
from jaxpower.report.compare.comparable import pretraining
from jaxpower.report.compare.comparison import Comparison, compare, title
from jaxpower.report.findings import Section
from jaxpower.report.questions import cheapest, frameworks, multitask, transfer
from jaxpower.report.questions.cheapest import past_target, sentence
from jaxpower.report.questions.which_field import grid_table, importance_table
from jaxpower.report.render import csv_files, figures, page, pareto_figure

# What else records may have to tell; each answers None where they have not.
SECTIONS: tuple[Callable[[Sequence[TrialRecord]], Section | None], ...] = (
  frameworks.section,
  transfer.section,
  multitask.section,
)


@dataclass(frozen=True)
class Part:
  """One comparison, told; `title` says what it is of where there are more.

  `details` are the grid and the shares of a sweep of two or more fields;
  `fronts` names the settings on each Pareto front, a line each.
  """

  comparison: Comparison
  title: str
  table: findings.Table
  sentence: str
  details: tuple[findings.Table, ...] = ()
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
      " tasks, target, machine or meter differ."
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
  records = tuple(records)
  report = make(records, sweep)
  comparisons = tuple(part.comparison for part in report.parts)
  ordered = [r for c in comparisons for g in c.groups for r in g.records]
  ordered += pretraining(records)
  drawn = {"energy_accuracy": figures.energy_accuracy(comparisons)}
  if fronts := pareto_figure.drawable(comparisons):
    drawn["pareto"] = pareto_figure.pareto(fronts)
  images = {
    f"{name}.{kind}": figures.render(figure, kind)
    for name, figure in drawn.items()
    for kind in ("png", "svg")
  }
  told = page.page(
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
    "trials.csv": csv_files.trials(ordered).encode(),
    "summary.csv": csv_files.summary(comparisons).encode(),
    **images,
  }
  for name, content in files.items():
    _replace(folder / name, content)
  return replace(report, paths=tuple(folder / name for name in files))


def _part(comparison: Comparison, heading: str) -> Part:
  details = (grid_table(comparison), importance_table(comparison))
  table = cheapest.table(comparison)
  notes = (*table.notes, *past_target(comparison))
  return Part(
    comparison,
    heading,
    replace(table, notes=notes),
    sentence(comparison),
    tuple(detail for detail in details if detail),
    cheapest.fronts_told(comparison),
  )


def _planned(sweep: Mapping[str, Any]) -> int:
  """How many trials a sweep.json asks for; 0 where it does not say."""
  if "trials" in sweep:
    return sweep["trials"]
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
