"""The ledger: every attempt at a trial, and what it had cost by its last line.

A record is written when its trial has ended; a process that is killed leaves
none, and its joules would be in no file. So an attempt leaves lines from its
first second on: that it began, each phase and each look of training with the
examples, joules and seconds so far, and how it ended. The file, attempts.jsonl
of a run folder, is only ever appended to, one write a line, so that several
processes may write to it; a line that a crash tore is closed by the next writer
and skipped by readers.

Between two looks may lie an hour. A thread therefore writes the same numbers
every now and then over a small file of the attempt's own, its beat, which is
gone once the attempt has its end: attempts.jsonl does not grow by the hour.

An attempt without an end is one that was killed. It cost at least what its
last line or beat says; where the joules are unknown they are None, not zero.
Nothing here raises into training: what cannot be written is a warning.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import math
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

LEDGER = "attempts.jsonl"
BEATS = "attempts"  # folder of the beats of attempts that have no end

# Chosen: so many seconds of an attempt are unknown after a kill at most, the
# share once it is long. A beat took 0.8 to 0.9 ms of CPU time, the estimate of
# the joules with it (median of 2,000, benchmarks/beat.py): 0.4 % of a core at
# first, 0.01 % at the longest.
BEAT_SECONDS = 0.25
BEAT_SHARE = 0.01
LONGEST_BEAT = 10.0

INTERRUPTED = "interrupted"  # ended on request, at a safe point
KILLED = "killed"  # it left no end of its own
FAILED = "failed"
HUNG = "hung"  # killed, since it gave no sign of life
RECORDED = ("reached", "missed", "diverged")

Joules = Callable[[], float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt:
  """One attempt at a trial, as far as the ledger knows it.

  Attributes:
    attempt: Its own name.
    trial_id: What was tried.
    number: From 1, among the attempts at that trial.
    began: UTC, ISO 8601.
    host: Where.
    pid: The process there.
    framework: That of the trial.
    resumed_examples: Those that it did not train again; 0 from the start.
    phase: The last that it is known to have been in.
    examples: Trained on by then, by it and those that it continued.
    joules: All that it had cost by then, between phases too; None if unknown.
    seconds: How long it had run by then.
    ended: "reached", "missed", "diverged", "failed", "interrupted", "killed",
      "hung"; None where it has no end: it runs, or was killed.
    joules_counted: Those of `joules` that stand in the trial's record as spent
      on the trial; the rest is lost. None where any is unknown.
    seconds_counted: Those of `seconds`.
  """

  attempt: str
  trial_id: str
  number: int
  began: str
  host: str
  pid: int
  framework: str
  resumed_examples: int = 0
  phase: str = ""
  examples: int = 0
  joules: float | None = None
  seconds: float = 0.0
  ended: str | None = None
  joules_counted: float | None = 0.0
  seconds_counted: float = 0.0


def facts_of(attempts: Iterable[Attempt]) -> dict[str, Any]:
  """Returns the fields of a record that tell of the attempts at its trial.

  One that made a record of its own, which was not good enough, is not lost.
  """
  told = tuple(
    dataclasses.replace(
      attempt, joules_counted=attempt.joules, seconds_counted=attempt.seconds
    )
    if attempt.ended in RECORDED
    else attempt
    for attempt in attempts
  )
  return {
    "attempts": told,
    "joules_lost": joules_lost(told),
    "seconds_lost": seconds_lost(told),
  }


def joules_lost(attempts: Iterable[Attempt]) -> float | None:
  """Sums the joules that no record counts; None where any is unknown."""
  lost = 0.0
  for attempt in attempts:
    if attempt.joules is None or attempt.joules_counted is None:
      return None
    lost += max(0.0, attempt.joules - attempt.joules_counted)
  return lost


def seconds_lost(attempts: Iterable[Attempt]) -> float:
  """Sums the seconds of work that no record counts."""
  return math.fsum(
    max(0.0, attempt.seconds - attempt.seconds_counted) for attempt in attempts
  )


class Journal:
  """Writes the lines of one attempt, from entering to leaving it.

  Leaving it without `end` says "failed".
  """

  def __init__(
    self,
    folder: pathlib.Path,
    trial_id: str,
    framework: str,
    joules: Joules,
  ):
    """Args as in `Attempt`; `joules` returns what was spent so far."""
    self._folder = folder
    self._joules = joules
    self._began = time.monotonic()
    self._now = Attempt(
      attempt=f"{trial_id}-{uuid.uuid4().hex[:8]}",
      trial_id=trial_id,
      number=1,
      began=_utc(),
      host=socket.gethostname(),
      pid=os.getpid(),
      framework=framework,
    )
    self._before: tuple[Attempt, ...] = ()
    self._lock = threading.Lock()
    self._over = threading.Event()
    self._thread: threading.Thread | None = None
    self.problems: list[str] = []

  def __enter__(self) -> "Journal":
    """Closes the attempts before it, says that it began, starts to beat."""
    with self._guarded():
      # Only here: a folder that is gone later is not made anew.
      self._folder.mkdir(parents=True, exist_ok=True)
      self._before = tuple(end_open(self._folder, self.trial_id, KILLED))
      self._change(number=len(self._before) + 1)
      _append(self._folder, {"event": "began"} | dataclasses.asdict(self._now))
    self._thread = threading.Thread(
      target=self._beat_on, name="jaxpower-ledger", daemon=True
    )
    self._thread.start()
    return self

  def __exit__(self, kind: type | None, *_: object) -> None:
    if not self._over.is_set():
      self.end(FAILED)

  @property
  def trial_id(self) -> str:
    """What is tried."""
    return self._now.trial_id

  @property
  def now(self) -> Attempt:
    """The attempt as of its last line or beat."""
    return self._now

  @property
  def before(self) -> tuple[Attempt, ...]:
    """The attempts at the trial before this one."""
    return self._before

  def resumes(self, examples: int) -> None:
    """Says that training goes on after so many examples."""
    self._change(resumed_examples=examples, examples=examples)
    self._write("resumed", resumed_examples=examples)

  def phase(self, name: str) -> None:
    """Says that a phase begins."""
    self._change(phase=name)
    self._write("phase")

  def look(self, examples: int, **facts: Any) -> None:
    """Says how far training is, after an evaluation."""
    self._change(phase="train", examples=examples)
    self._write("look", **facts)

  def note(self, event: str, **facts: Any) -> None:
    """Says anything else: a checkpoint that was written, or not taken up."""
    self._write(event, **facts)

  def end(self, how: str) -> None:
    """Says how the attempt ended."""
    self._over.set()
    if self._thread is not None:
      self._thread.join()
    self._change(ended=how)
    self._write("ended", ended=how)
    with self._guarded():
      _beat_file(self._folder, self._now.attempt).unlink(missing_ok=True)

  def _write(self, event: str, **facts: Any) -> None:
    self._measure()
    with self._guarded():
      _append(self._folder, _known(self._now) | facts | {"event": event})

  def _measure(self) -> None:
    """Notes what the attempt has cost so far."""
    try:
      joules = self._joules()
    except Exception:  # noqa: BLE001 - never raise into training
      joules = None
    if joules is not None and not math.isfinite(joules):
      joules = None
    seconds = time.monotonic() - self._began
    if joules is None:  # what is known stays known: at least so much
      self._change(seconds=seconds)
    else:
      self._change(joules=joules, seconds=seconds)

  def _change(self, **facts: Any) -> None:
    with self._lock:
      self._now = dataclasses.replace(self._now, **facts)

  def _beat_on(self) -> None:
    """Writes beats until the end; the thread of its own."""
    while not self._over.wait(_pause(self._now.seconds)):
      self.beat()

  def beat(self) -> None:
    """Notes what the attempt has cost so far, between two lines."""
    self._measure()
    with self._guarded():
      _write_beat(self._folder, self._now)

  @contextlib.contextmanager
  def _guarded(self) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # noqa: BLE001 - never raise into training
      if not self.problems:
        self.problems.append(f"the ledger could not be written: {error}")


def read(folder: pathlib.Path, trial_id: str | None = None) -> list[Attempt]:
  """Reads the attempts of a run folder, or at one of its trials, in order.

  Beats of attempts without an end are taken into account. Lines that are torn
  or not of an attempt are left out.
  """
  attempts: dict[str, Attempt] = {}
  for facts in _lines(folder, trial_id):
    name = str(facts.get("attempt"))
    known = attempts.get(name)
    attempt = _attempt(facts) if known is None else _updated(known, facts)
    if attempt is not None:
      attempts[name] = attempt
  return [_with_beat(folder, attempt) for attempt in attempts.values()]


def end(
  folder: pathlib.Path, trial_id: str, how: str = KILLED
) -> list[Attempt]:
  """Says for a dead worker how its attempt at a trial ended.

  For the sweep, which knows that the worker is gone: `how` is "killed", "hung"
  or "failed". Attempts that have an end keep it. Never raises. Returns all
  attempts at the trial.
  """
  try:
    return end_open(folder, trial_id, how)
  except OSError:
    return []


def end_open(folder: pathlib.Path, trial_id: str, how: str) -> list[Attempt]:
  """Ends all attempts at a trial that have no end; returns all at it."""
  attempts = []
  for attempt in read(folder, trial_id):
    if attempt.ended is None:
      attempt = dataclasses.replace(attempt, ended=how)
      _append(folder, _known(attempt) | {"ended": how} | {"event": "ended"})
      _beat_file(folder, attempt.attempt).unlink(missing_ok=True)
    attempts.append(attempt)
  return attempts


def _pause(seconds: float) -> float:
  """Returns the seconds to the next beat of an attempt of so many."""
  return min(max(BEAT_SECONDS, BEAT_SHARE * seconds), LONGEST_BEAT)


def _known(attempt: Attempt) -> dict[str, Any]:
  """Returns what every line says."""
  return {
    "attempt": attempt.attempt,
    "trial_id": attempt.trial_id,
    "at": _utc(),
    "phase": attempt.phase,
    "examples": attempt.examples,
    "joules": attempt.joules,
    "seconds": round(attempt.seconds, 3),
  }


def _append(folder: pathlib.Path, facts: dict[str, Any]) -> None:
  """Appends a line in one write, after closing one that was torn."""
  known = {  # JSON has no numbers that are not finite
    name: None if isinstance(v, float) and not math.isfinite(v) else v
    for name, v in facts.items()
  }
  line = json.dumps(known, allow_nan=False).encode() + b"\n"
  handle = os.open(
    folder / LEDGER, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666
  )
  try:
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
      line = b"\n" + line
    os.write(handle, line)
  finally:
    os.close(handle)


def _lines(
  folder: pathlib.Path, trial_id: str | None
) -> Iterator[dict[str, Any]]:
  """Yields the lines of a ledger that can be read, of one trial or of all."""
  try:
    content = (folder / LEDGER).read_bytes()
  except FileNotFoundError:
    return
  wanted = b"" if trial_id is None else trial_id.encode()
  for line in content.split(b"\n"):
    if not line or wanted not in line:  # most are not parsed
      continue
    try:
      facts = json.loads(line)
    except (ValueError, RecursionError):
      continue
    if isinstance(facts, dict) and trial_id in (None, facts.get("trial_id")):
      yield facts


def _attempt(facts: dict[str, Any]) -> Attempt | None:
  """Reads an attempt from the line that it began with; None if it is none."""
  fields = {f.name for f in dataclasses.fields(Attempt)}
  own = {name: value for name, value in facts.items() if name in fields}
  try:
    return Attempt(**own) if _sound(own) else None
  except TypeError:
    return None


def _sound(facts: dict[str, Any]) -> bool:
  """Whether what is a number is one, and what is text is text."""
  numbers = ("number", "pid", "resumed_examples", "examples", "seconds")
  texts = ("attempt", "trial_id", "began", "host", "framework", "phase")
  joules = facts.get("joules")
  values = [facts[name] for name in numbers if name in facts]
  values += [] if joules is None else [joules]
  return all(
    type(v) in (int, float) and math.isfinite(v) and v >= 0 for v in values
  ) and all(isinstance(facts[name], str) for name in texts if name in facts)


def _updated(attempt: Attempt, facts: dict[str, Any]) -> Attempt:
  """Takes over what a later line says of an attempt."""
  names = (
    *("phase", "examples", "joules", "seconds"),
    *("resumed_examples", "ended"),
  )
  later = {name: facts[name] for name in names if name in facts}
  if not _sound(later):
    return attempt
  # What is known once stays: the cost of an attempt only grows.
  if later.get("joules") is None:
    later.pop("joules", None)
  return dataclasses.replace(attempt, **later)


def _beat_file(folder: pathlib.Path, attempt: str) -> pathlib.Path:
  return folder / BEATS / f"{attempt}.json"


def _write_beat(folder: pathlib.Path, attempt: Attempt) -> None:
  """Writes over the beat of an attempt, whole or not at all."""
  path = _beat_file(folder, attempt.attempt)
  path.parent.mkdir(exist_ok=True)
  unfinished = path.with_suffix(".unfinished")
  unfinished.write_text(json.dumps(_known(attempt)))
  unfinished.replace(path)


def _with_beat(folder: pathlib.Path, attempt: Attempt) -> Attempt:
  """Takes over the beat of an attempt without an end where it is newer."""
  if attempt.ended is not None:
    return attempt
  try:
    facts = json.loads(_beat_file(folder, attempt.attempt).read_bytes())
    newer = facts["seconds"] > attempt.seconds
    return _updated(attempt, facts) if newer else attempt
  except (OSError, ValueError, KeyError, TypeError):
    return attempt


def _utc() -> str:
  now = dt.datetime.now(dt.UTC)
  return now.isoformat(timespec="milliseconds")
