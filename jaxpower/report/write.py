"""A report of a run folder: what it says, and the files it leaves there."""

import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from jaxpower.records import TrialRecord
from jaxpower.report import figures, spreadsheets, tables
from jaxpower.report.groups import Comparison, compare
from jaxpower.report.sentence import sentence


@dataclass(frozen=True)
class Report:
  """What the records say; `paths` are the files that were written."""

  comparisons: tuple[Comparison, ...]
  table: tables.Table
  sentence: str
  paths: tuple[pathlib.Path, ...] = field(default=())


def make(
  records: Iterable[TrialRecord], sweep: Mapping[str, Any] | None = None
) -> Report:
  """The table and the sentence of some records; writes nothing.

  With the content of a sweep.json the table says how many trials are left.
  """
  records = tuple(records)
  comparisons = compare(records)
  shown = tables.table(comparisons)
  if (planned := _planned(sweep or {})) > len(records):
    note = f"Not complete: {len(records)} of {planned} trials are recorded."
    shown = replace(shown, notes=(*shown.notes, note))
  return Report(comparisons, shown, sentence(comparisons))


def write(
  folder: pathlib.Path, sweep: Mapping[str, Any], records: Iterable[TrialRecord]
) -> Report:
  """Writes trials.csv, summary.csv and the figure into a run folder.

  `sweep` is the content of its sweep.json. Each file appears whole or not at
  all. Raises OSError where the folder cannot be written to.
  """
  records = tuple(records)
  report = make(records, sweep)
  figure = figures.energy_accuracy(report.comparisons)
  files = {
    "trials.csv": spreadsheets.trials(records).encode(),
    "summary.csv": spreadsheets.summary(report.comparisons).encode(),
    "energy_accuracy.png": figures.render(figure, "png"),
    "energy_accuracy.svg": figures.render(figure, "svg"),
  }
  for name, content in files.items():
    _replace(folder / name, content)
  paths = tuple(folder / name for name in files)
  return Report(report.comparisons, report.table, report.sentence, paths)


def show(report: Report, console: Console) -> None:
  """Prints the table, then the sentence, then what was written."""
  if report.table.rows:
    tables.show(report.table, console)
  for line in (report.sentence, *map(str, report.paths)):
    console.print(
      line, markup=False, highlight=False, emoji=False, soft_wrap=True
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
