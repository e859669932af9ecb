"""`scripts/report.py`: shows what run folders say, one by one and together."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from jaxpower import garbage
from jaxpower.cli.output import PlainConsole
from jaxpower.cli.paths import path as path_of
from jaxpower.config import ConfigError
from jaxpower.folder import record_files, sweep_file
from jaxpower.folder.record_files import Found, Rejected
from jaxpower.readers import ReadError
from jaxpower.records import RecordError, TrialRecord
from jaxpower.report import share
from jaxpower.report.compare.comparable import By, pool
from jaxpower.report.findings import Report, Section
from jaxpower.report.given import (
  Given,
  assumptions_file,
  reference_files,
  timelines,
)
from jaxpower.report.given.assumptions_file import AssumptionError
from jaxpower.report.given.references import BadReferenceError
from jaxpower.report.questions.lifecycle.words import TITLE as LIFE_CYCLE
from jaxpower.report.render.terminal import say, show
from jaxpower.report.report import make, write
from jaxpower.wording import count, on_one_line

REFUSED = (
  AssumptionError,
  BadReferenceError,
  ConfigError,
  RecordError,
  OSError,
)
MOST_NEIGHBOURS = 5  # run folders named where the one asked for is not there
MOST_REJECTED = 3  # records named that could not be read, the rest counted


@dataclasses.dataclass(frozen=True)
class Run:
  """What a run folder holds: its sweep.json, and its records."""

  folder: pathlib.Path
  sweep: dict[str, Any]
  found: Found
  shared: bool = False  # without what says whose machine it was

  @property
  def newest(self) -> list[TrialRecord]:
    """The newest record of each trial: one that failed may be repeated."""
    return list(self.found.newest.values())

  @property
  def notes(self) -> tuple[str, ...]:
    """Says what could not be read."""
    notes = unreadable(self.folder, self.found.rejected)
    return tuple(map(share.text, notes)) if self.shared else notes


def main(
  folders: Sequence[str],
  references: Sequence[str] = (),
  lifecycle: str | None = None,
  out: str | None = None,
  by: By = "system",
  strict: bool = False,
  shared: bool = False,
) -> int:
  """Prints the report of each folder to stdout; returns the exit code.

  References stand beside all folders together; with a file of assumptions
  each folder's life cycle is shown too. Bad input is one line on stderr and
  exit code 2, and nothing is printed or written.

  Args:
    folders: Run folders.
    references: Files of results measured elsewhere.
    lifecycle: A TOML file of assumptions.
    out: A folder to write the page, figures and CSV files of it all into.
    by: "system" to pool equal boards and hosts, "board" to keep them apart.
    strict: Refuses a folder with a record that cannot be read.
    shared: Leaves out what says whose machine it was: host, paths,
      environment, UUIDs of GPUs, command line.
  """
  try:
    if not folders:
      raise RecordError(
        "which run folder? python scripts/report.py RUN_FOLDER [...]"
      )
    given = Given(
      tuple(r for file in references for r in reference_files.read(file)),
      {} if lifecycle is None else assumptions_file.read(path_of(lifecycle)),
    )
    paths = dict.fromkeys(map(path_of, folders))
    if out is not None and not shared:  # domains of timelines name boards
      given = dataclasses.replace(given, timelines=timelines.find(paths))
    with garbage.kept():
      runs = [read(path, strict) for path in paths]
    if shared:
      runs = _without_owner(runs)
    if out is not None:
      out = str(path_of(out))
      pathlib.Path(out).mkdir(parents=True, exist_ok=True)
  except REFUSED as error:
    print(f"report: {on_one_line(str(error))}", file=sys.stderr)
    return 2
  console = PlainConsole()
  if len(runs) == 1:
    (run,) = runs
    _report(out, runs, console, run.newest, given, by)
    return 0
  lives: list[Section] = []
  for number, run in enumerate(runs):
    say(("\n" if number else "") + str(run.folder), console)
    alone = Given(assumptions=given.assumptions)
    attempts = run.found.records
    made = make(run.newest, run.sweep, alone, attempts, by, run.notes)
    show(made, console)
    lives += _life_cycles(made, run.folder.resolve().name, number + 1)
  say(f"\n{len(runs)} run folders compared", console)
  pooled = pool(record for run in runs for record in run.newest)
  together = dataclasses.replace(given, assumptions={})
  _report(out, runs, console, pooled, together, by, lives)
  return 0


def _life_cycles(report: Report, name: str, number: int) -> list[Section]:
  """Names the life cycles of one of several folders, and their figures."""
  return [
    dataclasses.replace(
      section,
      title=f"{section.title} of {name} (folder {number})",
      figures=tuple(
        dataclasses.replace(figure, name=f"{figure.name}_{number}")
        for figure in section.figures
      ),
    )
    for section in report.sections
    if section.title == LIFE_CYCLE
  ]


def _without_owner(runs: Sequence[Run]) -> list[Run]:
  """Copies runs without what says whose machine they were measured on.

  All of them at once, so that one host has one number.
  """
  hidden = iter(share.records(r for run in runs for r in run.found.records))
  return [
    dataclasses.replace(
      run,
      sweep=share.sweep(run.sweep),
      found=dataclasses.replace(
        run.found, records=tuple(next(hidden) for _ in run.found.records)
      ),
      shared=True,
    )
    for run in runs
  ]


def _report(
  out: str | None,
  runs: Sequence[Run],
  console: Console,
  newest: Sequence[TrialRecord],
  given: Given,
  by: By,
  more: Sequence[Section] = (),
) -> None:
  """Shows a report, and writes its files into `out` where that is a folder.

  What a sweep plans and its repeated trials are told of one run alone. Sections
  that were shown before, `more`, are in the files too.
  """
  sweep: dict[str, Any] = {}
  attempts, notes = None, ()
  if len(runs) == 1:
    sweep, attempts = runs[0].sweep, runs[0].found.records
    notes = runs[0].notes
  if out is None:
    show(make(newest, sweep, given, attempts, by, notes), console)
    return
  places = [
    place
    for run in runs
    if not run.shared  # records name the host
    for place in record_files.places(run.folder)
  ]
  written = write(
    pathlib.Path(out),
    sweep,
    newest,
    given,
    attempts,
    name=" + ".join(run.folder.resolve().name for run in runs),
    records_files=[os.path.relpath(place, out) for place in places],
    by=by,
    notes=notes,
    more=more,
  )
  shown = written.sections[: len(written.sections) - len(more)]
  show(dataclasses.replace(written, sections=shown), console)


def read(folder: pathlib.Path, strict: bool = False) -> Run:
  """Reads the sweep.json (empty where there is none) and records of a run.

  Raises RecordError with one line that says what is wrong and the fix.
  """
  if not folder.exists():
    raise RecordError(f"{folder}: no such folder{_nearby(folder)}")
  if not folder.is_dir():
    raise RecordError(f"{folder}: is a file; give the folder it lies in")
  if not record_files.exist(folder):
    raise RecordError(f"{folder}: no records in it{_nearby(folder / 'x')}")
  try:
    sweep = sweep_file.read(folder)
  except ReadError as error:
    raise RecordError(f"{error}; move it away to report without it") from None
  found = record_files.read(folder, sweep.get("order") or (), strict=strict)
  if not found.records:
    raise RecordError(
      f"{folder}: no trial has ended yet; run the sweep first"
      if not found.rejected
      else f"{folder}: none of its records can be read ({found.rejected[0]})"
    )
  return Run(folder, sweep, found)


def unreadable(
  folder: pathlib.Path, rejected: Sequence[Rejected]
) -> tuple[str, ...]:
  """Says which records of a run folder could not be read."""
  notes = []
  if rejected:
    verb, what = ("was", "it") if len(rejected) == 1 else ("were", "them")
    named = [str(each) for each in rejected[:MOST_REJECTED]]
    if more := len(rejected) - len(named):
      named.append(f"{more} more")
    notes.append(
      f"{count(len(rejected), 'record')} could not be read and {verb} left out;"
      f" running the sweep again makes {what} anew: {'; '.join(named)}."
    )
  if aside := record_files.were_set_aside(folder):
    notes.append(
      f"Earlier runs found {count(aside, 'record')} that could not be read: see"
      f" {folder / record_files.FOLDER / record_files.REJECTED}."
    )
  return tuple(notes)


def _nearby(folder: pathlib.Path) -> str:
  """Names the run folders that stand beside a wrong one."""
  beside = folder.parent
  neighbours = _run_folders(beside, "*") or _run_folders(beside, "runs/*")
  if not neighbours:
    return "; give a folder that scripts/run.py wrote, such as runs/batch"
  return f"; run folders there: {', '.join(neighbours[:MOST_NEIGHBOURS])}"


def _run_folders(root: pathlib.Path, pattern: str) -> list[str]:
  names = (record_files.FOLDER, record_files.LINES, record_files.ARCHIVE)
  files = (file for name in names for file in root.glob(f"{pattern}/{name}"))
  return sorted({str(file.parent) for file in files})
