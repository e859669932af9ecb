"""Watches the process of a command: hears it, shows it, and ends it.

It is ended where it is to stop, where it takes too long, where what it reports
cannot be used, and where its training is over and it goes on: SIGTERM, a grace,
SIGKILL, to all that came of it.
"""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence

from jaxpower.attempts import Journal
from jaxpower.config import Trial
from jaxpower.messages import Progress
from jaxpower.power import Monitor
from jaxpower.script import boards
from jaxpower.script.attach import PHASES
from jaxpower.script.course import Course
from jaxpower.script.metrics import FileReader, LineReader
from jaxpower.script.phases import Phases
from jaxpower.script.process import (
  Ended,
  Event,
  Gone,
  Line,
  Message,
  Process,
  Spawned,
)
from jaxpower.script.report import Report
from jaxpower.trial import Stop, Tell

# All chosen.
LOOK_SECONDS = 0.1  # between two looks for a stop or a limit
FILE_SECONDS = 0.02  # between two looks at a metrics file
GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL
# A script that was told that training is over and reports so often again does
# not listen, and is ended; one report more is what callbacks do at their end.
MORE_REPORTS = 2


@dataclasses.dataclass(frozen=True)
class End:
  """How a command ended.

  Attributes:
    status: Its wait status.
    asked: Whether it was asked to end.
    stopped: Whether it was because the sweep is to stop.
    late: Whether it was because it took too long.
    last_line: Of its output.
  """

  status: int
  asked: bool
  stopped: bool
  late: bool
  last_line: str


class Watcher:
  """Watches one command from its start to its end.

  Attributes:
    course: What it has said so far.
  """

  def __init__(
    self,
    trial: Trial,
    monitor: Monitor,
    journal: Journal,
    log: boards.BoardLog,
    tell: Tell,
  ):
    self._monitor = monitor
    self._journal = journal
    self._log = log
    self._tell = tell
    self._trial = trial
    self._lines = LineReader(trial) if trial.metrics else None
    self._shown = ""
    self.course = Course(trial, Phases(monitor))

  @property
  def _is_searched(self) -> bool:
    """Whether accuracies are looked for in what it prints or writes."""
    return bool(self._trial.metrics or self._trial.metrics_file)

  def run(
    self,
    words: Sequence[str],
    folder: pathlib.Path,
    environ: Mapping[str, str],
    stop: Stop,
    timeout_seconds: float,
  ) -> End:
    """Runs the command to its end. Raises StartError where it cannot start."""
    course, asked_at, killed = self.course, None, False
    stopped = late = False
    begun, looked = time.monotonic(), 0.0
    course.phases.to(self._first_phase(), begun)
    self._show(None)
    name = self._trial.metrics_file
    file = FileReader(folder / name) if name else None
    hears = self._lines is not None
    with Process(words, folder, environ, hear_lines=hears) as process:
      while True:
        for event in process.hear(FILE_SECONDS if file else LOOK_SECONDS):
          if isinstance(event, Ended):
            self._read(file)
            course.phases.end(event.at)
            asked = asked_at is not None
            line = process.last_line()
            return End(event.status, asked, stopped, late, line)
          self._show(self._hear(event))
        self._read(file)
        now = time.monotonic()
        if now - looked > boards.LOOK_SECONDS:
          self._log.look()
          looked = now
        stopped = stopped or stop()
        late = late or 0 < timeout_seconds < now - begun
        if asked_at is None and (stopped or late or self._is_to_end()):
          asked_at = now
          process.ask_to_end()
        if asked_at is not None and not killed:
          killed = now - asked_at > GRACE_SECONDS
          if killed:
            process.kill()

  def _first_phase(self) -> str:
    """Returns what a command does before it says anything.

    Training, where nothing will tell when that begins.
    """
    told = any(
      f"(?P<{name}>" in m for m in self._trial.metrics for name in PHASES
    )
    return "train" if self._is_searched and not told else "setup"

  def _is_to_end(self) -> bool:
    """Whether it has to be asked to end, for what it has said."""
    course = self.course
    if course.failure:
      return True
    listens = course.attached and course.told <= MORE_REPORTS
    return course.over and not listens

  def _read(self, file: FileReader | None) -> None:
    now = time.monotonic()
    for facts in file.read() if file else ():
      self._show(self.course.read(facts, now))

  def _hear(self, event: Event) -> Report | None:
    """Takes a piece of news; returns the report in it."""
    course = self.course
    if isinstance(event, Spawned):
      self._monitor.look_for_children()
    elif isinstance(event, Gone):
      course.leave(event.client, event.at)
    elif isinstance(event, Message):
      self._monitor.look_for_children()
      return course.hear(event)
    elif isinstance(event, Line) and self._lines is not None:
      phase, facts = self._lines.read(event.text)
      if phase is not None:
        course.phase(phase, event.at)
      return None if facts is None else course.report(facts, event.at)
    return None

  def _show(self, result: Report | None) -> None:
    """Tells how far the command is, where that has changed."""
    name = self.course.phases.name
    if name and name != self._shown:
      self._shown = name
      self._journal.phase(name)
      self._tell(Progress(phase=name))
    if result is not None:
      examples = result.examples or 0
      self._journal.look(examples, accuracy=result.accuracy)
      self._tell(
        Progress(
          phase="train",
          examples=examples,
          accuracy=result.accuracy,
          joules=self._monitor.joules_so_far("train"),
          seconds=self.course.phases.train_seconds or None,
        )
      )
