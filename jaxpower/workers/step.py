"""Runs one trial in a worker: the step of which every sweep is made.

One trial after the other, several at once, or a task of a scheduler on another
node: all of them come here, so that a trial is claimed, run, begun again and
stopped in one way.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from jaxpower import messages
from jaxpower.config import Trial, trial_id
from jaxpower.folder import record_files
from jaxpower.folder.claims import STALE_SECONDS, Claim, TakenError
from jaxpower.messages import Notice, Progress
from jaxpower.plan import pretraining
from jaxpower.records import TrialRecord
from jaxpower.workers.worker import Workers, failed_record


class Stopped(Exception):  # noqa: N818, no error: somebody asked for it
  """A sweep ended before its last trial because it was asked to."""


@dataclasses.dataclass(frozen=True)
class Job:
  """A trial to run.

  Attributes:
    trial: The trial.
    varied: The values of it that its sweep varies, for the record.
    folder: The run folder.
    compile_repeats: As `messages.Task`.
    checkpoint_minutes: As `messages.Task`.
    timeout_seconds: As `messages.Task`.
  """

  trial: Trial
  varied: Mapping[str, Any]
  folder: pathlib.Path
  compile_repeats: int = 1
  checkpoint_minutes: float = messages.Task.checkpoint_minutes
  timeout_seconds: float = messages.Task.timeout_seconds


@dataclasses.dataclass(frozen=True)
class Heard:
  """Whom a step tells what, and whom it asks.

  Attributes:
    news: Called with the progress of the trial.
    say: Called with a line that should be read at once.
    stop: Asked every second; once true the trial ends at its next look.
  """

  news: Callable[[Progress], None] = lambda progress: None
  say: Callable[[str], None] = lambda line: None
  stop: Callable[[], bool] = lambda: False


def run(
  workers: Workers,
  job: Job,
  heard: Heard,
  newest: Mapping[str, TrialRecord],
  claim: Claim,
) -> TrialRecord:
  """Runs a trial and returns its record, to be written under its claim.

  Args:
    workers: Start the worker, which is killed if this is interrupted.
    job: What to run.
    heard: Who hears of it.
    newest: Records by trial id, with that of the trial's pretraining.
    claim: That of the trial, held.

  Raises Stopped where it ended on request, TakenError where the claim was
  taken over, WorkerError where no worker can be started.
  """
  trial, varied = job.trial, dict(job.varied)
  if trial_id(trial) not in newest:
    landed = record_files.newest(job.folder, trial_id(trial))
    if landed is not None:  # by another process, since this one looked
      return landed
  if reason := pretraining.blocked_by(trial, newest):
    return failed_record(trial, varied, reason)
  worker = workers.of(trial.framework)
  from_worker = worker.run(
    trial,
    varied,
    job.folder,
    job.compile_repeats,
    stop=lambda: heard.stop() or claim.lost,
    checkpoint_minutes=job.checkpoint_minutes,
    timeout_seconds=job.timeout_seconds,
  )
  try:
    for message in from_worker:
      if isinstance(message, Progress):
        heard.news(message)
      elif isinstance(message, Notice):
        heard.say(message.line)
      else:
        break
    else:
      raise AssertionError("a worker says how every trial ends")
  except BaseException:
    worker.terminate()
    raise
  if isinstance(message, messages.Stopped):
    if claim.lost:
      raise TakenError(
        f"trial {trial_id(trial)} was taken over by another process, since"
        f" this one gave no sign of life for {STALE_SECONDS:g} s"
      )
    raise Stopped
  return message.record
