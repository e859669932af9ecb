"""Knows of what the page of a run folder was made: it need not be made anew.

Comparing trials and drawing figures is most of what a page costs, and a command
that finds nothing left to run would do for nothing what was done before. A
hidden file beside the page holds a hash of all that it was made of, the size
and time of each file that was written, and what a terminal shows of it; where
one of them differs the page is made anew.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from jaxpower.folder import durable, record_files, sweep_file
from jaxpower.readers import ReadError, load_json
from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Compared
from jaxpower.report.findings import Report, Section, Table
from jaxpower.report.given import timelines

NAME = ".report.json"
PACKAGES = ("jinja2", "matplotlib", "numpy", "scipy")  # that pages are made by
CODE = (".csv", ".html", ".js", ".py")  # ends of files of ours that make them


@dataclass(frozen=True, kw_only=True)
class Told:
  """A section as a terminal shows it: all of `Section` but its figures."""

  title: str
  lead: str
  sure: tuple[str, ...]
  warnings: tuple[str, ...]
  tables: tuple[Table, ...]
  lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class State:
  """What a page was made of, what was written, and what it says.

  Attributes:
    made_of: The hash that `made_of` returned before.
    files: Names of all files in the order in which they are told, with size in
      bytes and time in ns.
    sections: What the report says.
    notes: About the report as a whole.
  """

  made_of: str
  files: dict[str, tuple[int, ...]]
  sections: tuple[Told, ...]
  notes: tuple[str, ...]


def made_of(
  folder: pathlib.Path, records: Iterable[TrialRecord], notes: Iterable[str]
) -> str:
  """Hashes all that the page of a run folder depends on.

  Records by the names, sizes and times of their files, the code in the same
  way.
  """
  ours = pathlib.Path(__file__).parents[1]
  facts = [
    [record.trial_id for record in records],
    sorted(record_files.listing(folder)),
    [_of_file(path) for path in record_files.places(folder)],
    _of_file(folder / sweep_file.NAME),
    _of_files((folder / timelines.FOLDER).glob("*.parquet")),
    list(notes),
    _of_files(path for path in ours.rglob("*") if path.suffix in CODE),
    list(map(_version, PACKAGES)),
    sys.version,
  ]
  return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _version(package: str) -> str:
  with contextlib.suppress(importlib.metadata.PackageNotFoundError):
    return importlib.metadata.version(package)
  return ""


def _of_files(
  paths: Iterable[pathlib.Path],
) -> list[tuple[str, tuple[int, ...]]]:
  return [(str(path), _of_file(path)) for path in sorted(paths)]


def _of_file(path: pathlib.Path) -> tuple[int, ...]:
  """Returns size and time of a file; nothing of a folder, or where none is."""
  with contextlib.suppress(OSError):
    facts = path.stat()
    if path.is_file():
      return facts.st_size, facts.st_mtime_ns
  return ()


def written(folder: pathlib.Path, made: str) -> Report | None:
  """Returns the report that the page has, without figures and comparisons.

  None where it was made of something else, or one of its files has changed.
  """
  try:
    state = load_json(folder / NAME, State, "what a page was made of")
  except ReadError:
    return None
  paths = tuple(folder / name for name in state.files)
  if state.made_of != made or _sizes(paths) != state.files:
    return None
  sections = tuple(Section(**vars(told)) for told in state.sections)
  return Report(Compared((), (), ()), sections, state.notes, paths)


def note(folder: pathlib.Path, made: str, report: Report) -> None:
  """Notes of what the page was made that was just written. Raises OSError."""
  names = [field.name for field in fields(Told)]
  state = State(
    made_of=made,
    files=_sizes(report.paths),
    sections=tuple(
      Told(**{name: getattr(section, name) for name in names})
      for section in report.sections
    ),
    notes=report.notes,
  )
  durable.replace(folder / NAME, (json.dumps(asdict(state)) + "\n").encode())


def _sizes(paths: Iterable[pathlib.Path]) -> dict[str, tuple[int, ...]]:
  return {path.name: _of_file(path) for path in paths}
