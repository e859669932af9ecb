"""`scripts/report.py`: shows what run folders say, one by one and together."""

import json
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from jaxpower import records
from jaxpower.records import RecordError, TrialRecord
from jaxpower.report.compare.comparable import By, pool
from jaxpower.report.given import Given, assumptions_file, reference_files
from jaxpower.report.given.assumptions_file import AssumptionError
from jaxpower.report.given.references import BadReferenceError
from jaxpower.report.render.terminal import say, show
from jaxpower.report.report import make, write

MOST_NEIGHBOURS = 5  # run folders named where the one asked for is not there


def main(
  folders: Sequence[str],
  references: Sequence[str] = (),
  lifecycle: str | None = None,
  out: str | None = None,
  by: By = "system",
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
  """
  try:
    if not folders:
      raise RecordError(
        "which run folder? python scripts/report.py RUN_FOLDER [...]"
      )
    given = Given(
      tuple(r for file in references for r in reference_files.read(file)),
      {} if lifecycle is None else assumptions_file.read(lifecycle),
    )
    runs = {path: read(path) for path in map(pathlib.Path, folders)}
    if out is not None:
      pathlib.Path(out).mkdir(parents=True, exist_ok=True)
  except (AssumptionError, BadReferenceError, RecordError, OSError) as error:
    print(f"report: {error}", file=sys.stderr)
    return 2
  console = Console()
  if len(runs) == 1:
    ((sweep, attempts),) = runs.values()
    newest = _newest(attempts)
    _report(out, runs, console, newest, sweep, given, attempts, by)
    return 0
  for number, (path, (sweep, attempts)) in enumerate(runs.items()):
    say(("\n" if number else "") + str(path), console)
    alone = Given(assumptions=given.assumptions)
    show(make(_newest(attempts), sweep, alone, attempts, by), console)
  say(f"\n{len(runs)} run folders compared", console)
  pooled = pool(r for _, attempts in runs.values() for r in _newest(attempts))
  together = Given(references=given.references)
  _report(out, runs, console, pooled, {}, together, None, by)
  return 0


def _report(
  out: str | None,
  runs: Iterable[pathlib.Path],
  console: Console,
  newest: Sequence[TrialRecord],
  sweep: dict[str, Any],
  given: Given,
  attempts: Sequence[TrialRecord] | None,
  by: By,
) -> None:
  """Shows a report, and writes its files into `out` where that is a folder."""
  if out is None:
    show(make(newest, sweep, given, attempts, by), console)
    return
  files = [str(records.find(run / "records.jsonl")) for run in runs]
  written = write(
    pathlib.Path(out),
    sweep,
    newest,
    given,
    attempts,
    name=" + ".join(run.resolve().name for run in runs),
    records_files=[os.path.relpath(file, out) for file in files],
    by=by,
  )
  show(written, console)


def read(folder: pathlib.Path) -> tuple[dict[str, Any], list[TrialRecord]]:
  """Reads the sweep.json (empty where there is none) and records of a run.

  Raises RecordError with one line that says what is wrong and the fix.
  """
  file = folder / "records.jsonl"
  if not folder.exists():
    raise RecordError(f"{folder}: no such folder{_nearby(folder)}")
  if not folder.is_dir():
    raise RecordError(f"{folder}: is a file; give the folder it lies in")
  if records.find(file) is None:
    raise RecordError(
      f"{folder}: no records.jsonl in it{_nearby(folder / 'x')}"
    )
  attempts = records.read(file)
  if not attempts:
    raise RecordError(f"{file}: no trial has ended yet; run the sweep first")
  return _sweep(folder / "sweep.json"), attempts


def _newest(attempts: Sequence[TrialRecord]) -> list[TrialRecord]:
  """The last record of each trial: one that failed may have been repeated."""
  return list({record.trial_id: record for record in attempts}.values())


def _sweep(path: pathlib.Path) -> dict[str, Any]:
  try:
    sweep = json.loads(path.read_text())
  except FileNotFoundError:
    return {}
  except ValueError as error:
    raise RecordError(
      f"{path}: not JSON ({error}); move it away to report without it"
    ) from None
  return sweep if isinstance(sweep, dict) else {}


def _nearby(folder: pathlib.Path) -> str:
  """Names the run folders that stand beside a wrong one."""
  beside = folder.parent
  neighbours = _run_folders(beside, "*") or _run_folders(beside, "runs/*")
  if not neighbours:
    return "; give a folder that scripts/run.py wrote, such as runs/batch"
  return f"; run folders there: {', '.join(neighbours[:MOST_NEIGHBOURS])}"


def _run_folders(root: pathlib.Path, pattern: str) -> list[str]:
  names = ("records.jsonl", "records.jsonl.gz")
  files = (file for name in names for file in root.glob(f"{pattern}/{name}"))
  return sorted({str(file.parent) for file in files})
