"""Reads run folders and tells them, one by one and then compared."""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from jaxpower import records
from jaxpower.records import RecordError, TrialRecord
from jaxpower.report.compare.comparable import across
from jaxpower.report.findings import Section
from jaxpower.report.given import assumptions_file, reference_files
from jaxpower.report.given.assumptions_file import AssumptionError
from jaxpower.report.given.references import BadReferenceError, Reference
from jaxpower.report.questions import lifecycle as life_cycle
from jaxpower.report.questions import references
from jaxpower.report.render.terminal import say, show_report
from jaxpower.report.report import make


def main(
  folders: Sequence[str],
  references: Sequence[str] = (),
  lifecycle: str | None = None,
) -> int:
  """Prints the report of each folder to stdout; returns the exit code.

  Numbers from elsewhere, in files of `references`, stand beside all of them.
  With `lifecycle`, a TOML file of assumptions, each folder's life cycle too.
  Bad input is one line on stderr and exit code 2, and nothing is printed.
  """
  try:
    assumed = {} if lifecycle is None else assumptions_file.read(lifecycle)
    if not folders:
      raise RecordError(
        "which run folder? python scripts/report.py RUN_FOLDER [...]"
      )
    runs = {path: read(path) for path in map(pathlib.Path, folders)}
    given = [r for file in references for r in reference_files.read(file)]
  except (AssumptionError, BadReferenceError, RecordError, OSError) as error:
    print(f"report: {error}", file=sys.stderr)
    return 2
  console = Console()
  for number, (path, (sweep, found)) in enumerate(runs.items()):
    if len(runs) > 1:
      say(("\n" if number else "") + str(path), console)
    newest = _newest(found)
    further = (
      *_further(given, newest, len(runs) == 1),
      *([life_cycle.section(found, assumed)] if assumed else []),
    )
    show_report(make(newest, sweep, further), console)
  if len(runs) > 1:
    say(f"\n{len(runs)} run folders compared", console)
    pooled = across(r for _, found in runs.values() for r in _newest(found))
    show_report(make(pooled, further=_further(given, pooled)), console)
  return 0


def read(folder: pathlib.Path) -> tuple[dict[str, Any], list[TrialRecord]]:
  """The sweep.json (empty where there is none) and records of a run folder.

  Raises RecordError with one line that says how to mend.
  """
  file = folder / "records.jsonl"
  if not folder.exists():
    raise RecordError(f"{folder}: no such folder{_nearby(folder)}")
  if not folder.is_dir():
    raise RecordError(f"{folder}: is a file; give the folder it lies in")
  if not file.is_file():
    raise RecordError(
      f"{folder}: no records.jsonl in it{_nearby(folder / 'x')}"
    )
  try:
    found = records.read(file)
  except RecordError as error:
    raise RecordError(
      f"{error}; delete this line and run the sweep again: it repeats only"
      " that trial"
    ) from None
  if not found:
    raise RecordError(f"{file}: no trial has ended yet; run the sweep first")
  return _sweep(folder / "sweep.json"), found


def _newest(found: Sequence[TrialRecord]) -> list[TrialRecord]:
  """The last record of each trial: one that failed may have been repeated."""
  return list({record.trial_id: record for record in found}.values())


def _further(
  given: Sequence[Reference], found: Sequence[TrialRecord], whole: bool = True
) -> tuple[Section, ...]:
  """What stands below a report of the whole of the records."""
  return (references.section(given, found),) if given and whole else ()


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
  found = sorted(
    str(path.parent) for path in beside.glob("*/records.jsonl")
  ) or sorted(str(path.parent) for path in beside.glob("runs/*/records.jsonl"))
  if not found:
    return "; give a folder that scripts/run.py wrote, such as runs/batch"
  return f"; run folders there: {', '.join(found[:5])}"
