"""Reads and writes the records of a run folder: a file for each trial.

  records/<trial_id>.json      the newest record of a trial
  records/<trial_id>.<n>.json  the one it replaced: an attempt that failed
  records/rejected/            files that could not be read, with the reason
  records.jsonl                what older versions wrote, a line for each trial;
                               or its archive records.jsonl.gz

A file is written whole or not at all (`durable`) and never changed in place, so
many writers on shared storage lose nothing. Files of older versions are read
for ever and never written; a file in `records/` counts more than a line.

One record that cannot be read costs that trial and no other: it is left out,
with the reason, and the sweep runs the trial again.
"""

import contextlib
import dataclasses
import errno
import gzip
import itertools
import json
import os
import pathlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxpower import garbage
from jaxpower.folder import durable
from jaxpower.readers import ReadError, parse_json
from jaxpower.records import (
  NewerRecordError,
  RecordError,
  TrialRecord,
  all_from_json,
  from_json,
  to_json,
)

FOLDER = "records"
REJECTED = "rejected"
LINES = "records.jsonl"
ARCHIVE = "records.jsonl.gz"
Listing = frozenset[tuple[str, int, int]]
AT_ONCE = 256  # records that are parsed before they are checked; chosen
NAME = re.compile(r"(?P<id>[0-9A-Za-z_-]{1,64})(\.(?P<number>\d{1,9}))?\.json")


@dataclasses.dataclass(frozen=True)
class Rejected:
  """A record that could not be read, and why.

  Attributes:
    path: The file.
    line: Its number, from 1, in a file of lines; else 0.
    reason: What is wrong with it.
  """

  path: pathlib.Path
  line: int
  reason: str

  def __str__(self) -> str:
    place = f", line {self.line}" if self.line else ""
    return f"{self.path}{place}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Found:
  """The records of a run folder.

  Attributes:
    records: In the order of the sweep; a trial that was run again is there
      more than once, the newest last.
    rejected: Those that could not be read.
    listing: As `listing` had it before they were read.
  """

  records: tuple[TrialRecord, ...] = ()
  rejected: tuple[Rejected, ...] = ()
  listing: Listing = frozenset()

  @property
  def newest(self) -> dict[str, TrialRecord]:
    """The newest record of each trial, by trial id."""
    return {record.trial_id: record for record in self.records}


def read(
  folder: pathlib.Path, order: Iterable[str] = (), *, strict: bool = False
) -> Found:
  """Reads all records of a run folder; none where there is no such folder.

  Args:
    folder: The run folder.
    order: Ids of trials in the order wanted: that of `sweep.json`. Records of
      older versions stand as they were written, before all others.
    strict: Raises RecordError on a record that cannot be read.

  Raises RecordError where a newer version wrote one of them, where an archive
  is damaged, or where there are both an archive and a file of lines.
  """
  with garbage.not_sought():
    return _read(folder, order, strict)


def _read(folder: pathlib.Path, order: Iterable[str], strict: bool) -> Found:
  attempts: dict[str, list[TrialRecord]] = {}
  rejected: list[Rejected] = []
  listed = listing(folder)
  sources = _sources(folder, order)
  while several := list(itertools.islice(sources, AT_ONCE)):
    for source, record in _records(several):
      if isinstance(record, TrialRecord):
        _add(attempts, record)
        continue
      rejected.append(source.rejected(record))
      if isinstance(record, NewerRecordError):
        raise RecordError(str(rejected[-1]))
      if strict:
        raise RecordError(
          f"{rejected[-1]}; without --strict it is left out, and the sweep runs"
          " that trial again"
        )
  records = tuple(itertools.chain(*attempts.values()))
  return Found(records, tuple(rejected), listed)


def listing(folder: pathlib.Path) -> Listing:
  """Lists the files of records, each with its size in bytes and its time in ns.

  Another one where a record was written since. Lines are left out: they are
  never written.
  """
  try:
    with os.scandir(folder / FOLDER) as entries:
      found = [entry for entry in entries if NAME.fullmatch(entry.name)]
      stats = [(entry.name, entry.stat()) for entry in found]
  except (FileNotFoundError, NotADirectoryError):
    return frozenset()
  return frozenset((name, s.st_size, s.st_mtime_ns) for name, s in stats)


def newest(folder: pathlib.Path, trial_id: str) -> TrialRecord | None:
  """Reads the newest record of one trial; None where it has no sound one.

  Lines of older versions are not looked at.
  """
  source = _Source(folder / FOLDER / f"{trial_id}.json")
  try:
    return _record(source, source.read())
  except (OSError, ReadError):
    return None


def trial_ids(folder: pathlib.Path) -> set[str]:
  """Lists the ids of trials that have a file; lines are not looked at."""
  return {match["id"] for match in _names(folder)}


def exist(folder: pathlib.Path) -> bool:
  """Whether a folder has records, readable or not."""
  lines = any((folder / name).exists() for name in (LINES, ARCHIVE))
  return lines or bool(_names(folder))


def places(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists what of a run folder holds records: a file, a folder or both."""
  file, files = lines_file(folder), folder / FOLDER
  return [*([file] if file else []), *([files] if files.is_dir() else [])]


def lines_file(folder: pathlib.Path) -> pathlib.Path | None:
  """Finds the records of older versions: the file of lines or its archive.

  Raises RecordError where both are there: either may be the newer one.
  """
  plain, archive = folder / LINES, folder / ARCHIVE
  if not archive.exists():
    return plain if plain.exists() else None
  if plain.exists():
    raise RecordError(
      f"{plain}: there is also {archive.name}; one of them must go"
    )
  return archive


def write(folder: pathlib.Path, record: TrialRecord) -> None:
  """Writes the record of a trial, and waits until it is on the disk.

  One that is there already is kept under the next free number. Makes
  `records/`, but not the run folder: where that is gone, so is its disk.

  Raises OSError, named by the file; what was there before is then whole.
  """
  folder = folder / FOLDER
  path = folder / f"{record.trial_id}.json"
  content = to_json(record).encode() + b"\n"
  with durable.named(path):
    folder.mkdir(exist_ok=True)
    _keep_older(path, content)
    durable.replace(path, content)


def set_varied(
  folder: pathlib.Path, varied: Mapping[str, dict[str, Any]]
) -> None:
  """Writes some records anew with another `varied`, by trial id.

  All else in them stays, fields of a newer version too. What stands in a line
  becomes a file, and the line stays. Raises OSError.
  """
  if not varied:
    return
  written: dict[pathlib.Path, dict[str, Any]] = {}
  for source in _sources(folder):
    with contextlib.suppress(FileNotFoundError, ReadError):
      content = source.read()
      name = _record(source, content).trial_id
      if name in varied:
        path = folder / FOLDER / f"{name}.json" if source.line else source.path
        written[path] = parse_json(content) | {"varied": varied[name]}
  for path, facts in written.items():
    with durable.named(path):
      path.parent.mkdir(exist_ok=True)
      durable.replace(path, json.dumps(facts).encode() + b"\n")


def set_aside(rejected: Iterable[Rejected]) -> None:
  """Moves files that could not be read away, each with its reason beside it.

  Lines stay where they are: no file of lines is ever written. Raises OSError.
  """
  for each in rejected:
    if each.line or not each.path.exists():
      continue
    folder = each.path.parent / REJECTED
    folder.mkdir(exist_ok=True)
    target = _free_name(folder / each.path.name)
    reason = f"{each.reason}\n".encode()
    durable.replace(target.with_suffix(".reason.txt"), reason)
    each.path.replace(target)
    durable.sync_folder(folder)


def were_set_aside(folder: pathlib.Path) -> int:
  """Counts the records of a run folder that earlier runs moved away."""
  return sum(1 for _ in (folder / FOLDER / REJECTED).glob("*.json"))


@dataclasses.dataclass(frozen=True)
class _Source:
  """Where a record lies; `content` is None where it is a file's own."""

  path: pathlib.Path
  line: int = 0
  content: bytes | None = None

  def read(self) -> bytes:
    """Returns the record as JSON; raises ReadError where the disk fails."""
    if self.content is not None:
      return self.content
    try:
      return self.path.read_bytes()
    except OSError as error:
      if error.errno in (errno.EIO, errno.EISDIR, errno.ELOOP):
        reason = f"cannot be read ({error.strerror})"
        raise ReadError(reason) from None
      raise

  def rejected(self, error: ReadError) -> Rejected:
    """Says why this record could not be read."""
    return Rejected(self.path, self.line, str(error))


def _record(source: _Source, content: bytes) -> TrialRecord:
  """Reads a record; raises ReadError, also where the file names another one."""
  return _of_its_name(source, from_json(content))


def _of_its_name(source: _Source, record: TrialRecord) -> TrialRecord:
  if source.line or source.path.name.startswith(f"{record.trial_id}."):
    return record
  raise ReadError(f"holds the record of {record.trial_id}")


def _records(
  sources: Iterable[_Source],
) -> Iterator[tuple[_Source, TrialRecord | ReadError]]:
  """Reads several records; a file set aside at this instant is left out."""
  contents: list[tuple[_Source, bytes | ReadError]] = []
  for source in sources:
    try:
      contents.append((source, source.read()))
    except FileNotFoundError:
      continue
    except ReadError as error:
      contents.append((source, error))
  read = iter(all_from_json(c for _, c in contents if isinstance(c, bytes)))
  for source, content in contents:
    record = next(read) if isinstance(content, bytes) else content
    try:
      if isinstance(record, TrialRecord):
        record = _of_its_name(source, record)
    except ReadError as error:
      record = error
    yield source, record


def _add(attempts: dict[str, list[TrialRecord]], record: TrialRecord) -> None:
  """Adds a record; it takes the place of the line that it was written from."""
  of_trial = attempts.setdefault(record.trial_id, [])
  if of_trial and record == dataclasses.replace(
    of_trial[-1], varied=record.varied
  ):
    of_trial.pop()
  of_trial.append(record)


def _sources(
  folder: pathlib.Path, order: Iterable[str] = ()
) -> Iterator[_Source]:
  """Yields where records lie: lines, then files, from old to new.

  Files stand in the order given, trials that it does not name last.
  """
  yield from _lines(folder)
  places = {name: place for place, name in enumerate(order)}

  def place(match: re.Match[str]) -> tuple[int, str, float]:
    number = match["number"]
    age = float("inf") if number is None else int(number)
    return places.get(match["id"], len(places)), match["id"], age

  for match in sorted(_names(folder), key=place):
    yield _Source(folder / FOLDER / match[0])


def _lines(folder: pathlib.Path) -> Iterator[_Source]:
  """Yields the lines of older versions.

  A last line without its newline is one like any other: whole, or torn by a
  process that died while it wrote, and then no JSON.
  """
  file = lines_file(folder)
  if file is None:
    return
  for number, line in enumerate(_content(file).split(b"\n"), start=1):
    if line.strip():
      yield _Source(file, number, line)


def _content(file: pathlib.Path) -> bytes:
  """Reads a file of lines, unpacked if it is an archive."""
  content = file.read_bytes()
  if file.suffix != ".gz":
    return content
  try:
    return gzip.decompress(content)
  except (EOFError, OSError, zlib.error) as error:
    raise RecordError(
      f"{file}: not a whole gzip file ({error}); copy it again"
    ) from None


def _names(folder: pathlib.Path) -> list[re.Match[str]]:
  """Lists the files of records by name."""
  try:
    names = os.listdir(folder / FOLDER)
  except (FileNotFoundError, NotADirectoryError):
    return []
  return [match for name in names if (match := NAME.fullmatch(name))]


def _keep_older(path: pathlib.Path, content: bytes) -> None:
  """Gives the record that is about to be replaced a name of its own."""
  try:
    older = path.read_bytes()
  except FileNotFoundError:
    return
  if older == content:
    return
  for number in itertools.count(1):
    kept = path.with_name(f"{path.stem}.{number}.json")
    try:
      os.link(path, kept)  # the trial has a record at every instant
      return
    except FileExistsError:
      continue
    except OSError as error:
      if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
        raise
    if not kept.exists():  # a file system without links
      durable.replace(kept, older)
      return


def _free_name(path: pathlib.Path) -> pathlib.Path:
  """Returns a path, or the next with a number, at which nothing lies."""
  numbered = (
    path.with_name(f"{path.stem}.{n}.json") for n in itertools.count(1)
  )
  return next(p for p in itertools.chain([path], numbered) if not p.exists())
