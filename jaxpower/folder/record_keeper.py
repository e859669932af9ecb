"""Keeps the record of a trial in memory until it is on a disk.

A trial may have cost days, and the disk may be full or away when it ends. So a
record that cannot be written is tried again while the run waits, and is put
somewhere else if that does not help. Nothing trains meanwhile: the next
trial's weights would meet the same disk.
"""

import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Protocol

from jaxpower.folder import durable, record_files
from jaxpower.records import RecordError, TrialRecord, to_json

PATIENCE_SECONDS = 600.0  # chosen: long enough to free space by hand
RETRY_SECONDS = 5.0  # chosen
STOP_SECONDS = 0.5  # chosen: between two looks at whether to wait on


class Held(Protocol):
  """A run folder that this process may write to: by its lock, or by a claim."""

  @property
  def folder(self) -> pathlib.Path:
    """The run folder."""
    ...

  def holds(self) -> bool:
    """Whether the folder at this path is still that one."""
    ...


def keep(
  lock: Held,
  record: TrialRecord,
  tell: Callable[[str], None] = lambda line: None,
  patience_seconds: float = PATIENCE_SECONDS,
  stop: Callable[[], bool] = lambda: False,
) -> bool:
  """Writes a record into its run folder, however long that takes.

  Returns whether it is there: not where `stop` became true while it waited; the
  last line told then says why, and where the record lies instead.

  The folder has to be the one that was locked: where its file system is gone,
  the same path leads to another disk.

  Args:
    lock: The run folder.
    record: The record of a trial that has ended.
    tell: Called with a line when the run begins to wait, and when it goes on.
    patience_seconds: How long it waits.
    stop: Asked while it waits; once it is true nothing is waited for.

  Raises RecordError where it waited in vain, or was interrupted meanwhile; the
  line says why, and where the record lies instead.
  """
  began = time.monotonic()
  problem = _problem(lock, record)
  if not problem:
    return True
  tell(f"{problem}; the trial has ended and its record waits in memory")
  try:
    while time.monotonic() - began < patience_seconds:
      if _stopped(stop):
        tell(_put_elsewhere(lock, record, problem))
        return False
      if not _problem(lock, record):
        tell(f"the record of {record.trial_id} is written now")
        return True
  except BaseException:
    tell(_put_elsewhere(lock, record, problem))
    raise
  raise RecordError(_put_elsewhere(lock, record, problem))


def _stopped(stop: Callable[[], bool]) -> bool:
  """Waits for the next try; returns early, and true, once `stop` is."""
  began = time.monotonic()
  while not stop():
    if time.monotonic() - began >= RETRY_SECONDS:
      return False
    time.sleep(STOP_SECONDS)
  return True


def _problem(lock: Held, record: TrialRecord) -> str:
  """Tries to write a record; returns why that failed, "" where it did not."""
  if not lock.holds():
    return (
      f"cannot write to {lock.folder}: it is not the folder that this run began"
      " in; is its disk still mounted?"
    )
  try:
    record_files.write(lock.folder, record)
  except OSError as error:
    return durable.why_not(pathlib.Path(error.filename or lock.folder), error)
  return ""


def _put_elsewhere(lock: Held, record: TrialRecord, problem: str) -> str:
  """Writes a record into the folder for temporary files.

  Returns a line that says where it is and what to do with it; the record
  itself where that folder cannot be written to either.
  """
  name = f"{record.trial_id}.json"
  path = pathlib.Path(tempfile.gettempdir()) / f"jaxpower-{name}"
  goal = lock.folder / record_files.FOLDER / name
  try:
    durable.replace(path, to_json(record).encode() + b"\n")
  except OSError:
    return f"{problem}; the record is nowhere on a disk: {to_json(record)}"
  return f"{problem}; the record lies in {path}: move it to {goal}"
