"""Runs one trial of a command: its process under the meter, then its record.

idle -> {setup, train, eval, ...} as the command tells -> its end. Before it
says anything it is in setup; where its output is searched for accuracies, in
training, since nothing says when that begins. After the report that decides,
what it still does is "other". The meter is this process's, and so are the
windows (`phases`); the process is only heard (`process`, `watch`).
"""

import json
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpower import accounting
from jaxpower.attempts import Journal
from jaxpower.config import ConfigError, Trial, trial_id
from jaxpower.folder import timelines
from jaxpower.messages import Progress, Task, TrialError
from jaxpower.power import Monitor, Window
from jaxpower.power.clocks import read_clocks, span
from jaxpower.power.cpu_time import usable_cores
from jaxpower.power.load import load_warnings, mean_load
from jaxpower.power.reading import record_line
from jaxpower.provenance import environment
from jaxpower.records import Compilation, TrialRecord
from jaxpower.resume import Part
from jaxpower.script import boards, template
from jaxpower.script.course import Course
from jaxpower.script.process import StartError
from jaxpower.script.watch import End, Watcher
from jaxpower.trial import Stop, Stopped, Tell, journaled
from jaxpower.workers.worker import GIVEN

FOLDER = "commands"  # of a run folder; in it one for each trial
MOST_SHOWN = 200  # characters of a last line of output; chosen
HERE = (
  "a command runs in a folder of its own: name its files in the command, or"
  " write {here} for the folder of the sweep"
)


def run(
  task: Task,
  *,
  monitor: Monitor,
  provenance: dict[str, Any],
  tell: Tell,
  stop: Stop,
) -> TrialRecord:
  """Runs the trial of a command under an entered monitor; returns its record.

  Raises TrialError where there is none, and Stopped where `stop` was true.
  """

  def attempt(journal: Journal) -> tuple[TrialRecord, Part]:
    record = _run(task, monitor, journal, provenance, tell, stop)
    return record, Part()  # nothing of attempts before it is taken up

  return journaled(task.trial, pathlib.Path(task.folder), monitor, attempt)


def _run(
  task: Task,
  monitor: Monitor,
  journal: Journal,
  provenance: dict[str, Any],
  tell: Tell,
  stop: Stop,
) -> TrialRecord:
  """Runs the process, and makes the record of what it said and cost."""
  trial, folder = task.trial, pathlib.Path(task.folder)
  own = _folder(folder, trial)
  words, environ = _words(trial, own), child_environment(os.environ)
  if stop():
    raise Stopped
  started = read_clocks()
  journal.phase("idle")
  tell(Progress(phase="idle"))
  monitor.measure("idle", time.sleep, trial.idle_seconds)
  log = boards.of_machine()
  watcher = Watcher(trial, monitor, journal, log, tell)
  try:
    end = watcher.run(words, own, environ, stop, task.timeout_seconds)
  except StartError as error:
    raise TrialError(f"the command: {error}") from None
  finally:
    boards.close(log)
  if end.stopped:
    raise Stopped
  course = watcher.course
  if reason := failure(course, end, task.timeout_seconds):
    raise TrialError(reason)
  gpus = [d.name for d in monitor.domains if d.kind == "gpu" and d.counted]
  windows = boards.billed(monitor.windows(), gpus, log.used)
  times = span(started, read_clocks())
  timeline = folder / "timelines" / f"{trial_id(trial)}.parquet"
  timelines.write(timeline, monitor.timeline().chunks(), windows, times)
  cautions = log.cautions(gpus)
  return accounting.record(
    trial,
    task.varied,
    course.results,
    windows,
    _compilation(windows),
    course.done,
    **times,
    wall_seconds=time.monotonic() - started.monotonic_seconds,
    warnings=(
      *monitor.warnings,
      *map(record_line, (*cautions, *_load_warnings(windows))),
      *warnings(trial, course, end, windows),
    ),
    meter=monitor.describe(),
    provenance=provenance
    | {
      "environment": environment(environ),
      "versions": course.versions,
      "devices": log.devices(str(provenance.get("cpu"))),
      "command": words,
      "command_exit": how_ended(end.status) or "exit code 0",
    },
  )


def _folder(run_folder: pathlib.Path, trial: Trial) -> pathlib.Path:
  """Makes the folder of a trial anew: an attempt that was killed left one."""
  own = run_folder.absolute() / FOLDER / trial_id(trial)
  shutil.rmtree(own, ignore_errors=True)
  own.mkdir(parents=True)
  return own


def _words(trial: Trial, own: pathlib.Path) -> list[str]:
  """Returns the words of the command; TrialError where a file has changed."""
  here = pathlib.Path.cwd()
  now = template.checksums(trial, here)
  for name in sorted(now.keys() | trial.command_files.keys()):
    if now.get(name) != trial.command_files.get(name):
      raise TrialError(
        f"{name} has changed since the sweep began; begin it again, in another"
        " folder"
      )
  try:
    return template.words_of(trial, str(own), here)
  except ConfigError as error:
    raise TrialError(str(error)) from None


def child_environment(variables: Mapping[str, str]) -> dict[str, str]:
  """Returns the variables of a command, from those of a worker.

  Where its output is searched, Python prints each line when it has it.
  """
  environ = dict(variables)
  given = json.loads(environ.pop(GIVEN, "{}"))
  for name, value in given.items():
    environ.pop(name, None)
    if value is not None:
      environ[name] = value
  return environ | {
    "PYTHONUNBUFFERED": environ.get("PYTHONUNBUFFERED", "1"),
    "PATH": template.search_path(environ),
  }


def failure(course: Course, end: End, timeout_seconds: float) -> str:
  """Says why a command makes no record; "" where it does."""
  if course.failure:
    return course.failure
  if end.late:
    return f"not over after {timeout_seconds:g} s (timeout_seconds)"
  how, line = how_ended(end.status), end.last_line[:MOST_SHOWN]
  if how and not course.over:
    said = f": {line}" if line else ""
    hint = f"; {HERE}" if "No such file" in line else ""
    return f"the command ended with {how}{said}{hint}"
  if not course.results:
    return (
      "the command ended without a report: call attach().report(...) in its"
      " script, or give metrics"
    )
  return ""


def how_ended(status: int) -> str:
  """Says how a process ended by its wait status; "" where it ended well."""
  if os.WIFSIGNALED(status):
    number = os.WTERMSIG(status)
    return f"signal {number} ({signal.Signals(number).name})"
  code = os.WEXITSTATUS(status)
  return f"exit code {code}" if code else ""


def warnings(
  trial: Trial, course: Course, end: End, windows: Sequence[Window]
) -> list[str]:
  """Lists what one should know of a record for how its command behaved."""
  lines = []
  how = how_ended(end.status)
  if how and not end.asked:
    lines.append(f"after training was over the command ended with {how}")
  if not course.attached and not accounting.of_phase(windows, "eval"):
    lines.append(
      "its start and its evaluations count as training, since its output does"
      " not tell them apart"
    )
  if "seed" not in template.names_of(trial):
    lines.append("the command does not name {seed}: its seeds are repeats")
  if any(result.examples is None for result in course.results):
    lines.append("it reports no examples, so that its budget is not watched")
  return lines


def _compilation(windows: Sequence[Window]) -> Compilation | None:
  """Returns what a script's phase of compiling cost; None without one."""
  compiling = accounting.of_phase(windows, "compile")
  if not compiling:
    return None
  spent = accounting.total(compiling)
  return Compilation(seconds=spent.seconds, joules=spent.joules)


def _load_warnings(windows: Sequence[Window]) -> tuple[Any, ...]:
  """Warns of other work that had much of the cores while it trained."""
  load = mean_load(accounting.of_phase(windows, "train"))
  return load_warnings(load, usable_cores())
