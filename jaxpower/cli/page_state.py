"""Knows of what the page of a run folder was made: it need not be made anew.

Drawing figures is most of what a page costs, and a command that finds nothing
left to run would draw what is there. A hidden file beside the page holds a hash
of all that it was made of, and the size and time of each file that was written;
where one of them differs the page is made anew.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from jaxpower.folder import durable, record_files, sweep_file
from jaxpower.readers import ReadError, load_json
from jaxpower.records import TrialRecord
from jaxpower.report.given import timelines

NAME = ".report.json"
PACKAGES = ("jinja2", "matplotlib", "numpy", "scipy")  # that pages are made by
CODE = (".csv", ".html", ".js", ".py")  # ends of files of ours that make them


@dataclass(frozen=True)
class State:
  """What a page was made of, and what was written.

  Attributes:
    made_of: The hash that `made_of` returned before.
    files: Names of all files in the order in which they are told, with size in
      bytes and time in ns.
  """

  made_of: str
  files: dict[str, list[int]]


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


def _of_files(paths: Iterable[pathlib.Path]) -> list[tuple[str, list[int]]]:
  return [(str(path), _of_file(path)) for path in sorted(paths)]


def _of_file(path: pathlib.Path) -> list[int]:
  """Returns size and time of a file; nothing of a folder, or where none is."""
  with contextlib.suppress(OSError):
    facts = path.stat()
    if path.is_file():
      return [facts.st_size, facts.st_mtime_ns]
  return []


def written(folder: pathlib.Path, made: str) -> tuple[pathlib.Path, ...]:
  """Returns the files of the page, in their order, where all are as written.

  None of them where they were made of something else, or one has changed.
  """
  try:
    state = load_json(folder / NAME, State, "what a page was made of")
  except ReadError:
    return ()
  paths = tuple(folder / name for name in state.files)
  if state.made_of != made or _sizes(paths) != state.files:
    return ()
  return paths


def note(
  folder: pathlib.Path, made: str, paths: Iterable[pathlib.Path]
) -> None:
  """Notes of what the page was made that was just written. Raises OSError."""
  state = State(made, _sizes(paths))
  durable.replace(folder / NAME, (json.dumps(asdict(state)) + "\n").encode())


def _sizes(paths: Iterable[pathlib.Path]) -> dict[str, list[int]]:
  return {path.name: _of_file(path) for path in paths}
