"""Runs one trial into a folder that many processes on many nodes write to.

The step on which a scheduler of any kind rides: from a trial to its record,
records/<trial_id>.json. It needs no sweep beside it, holds no lock that others
would have to share, and may be called for the same trial as often as anybody
likes: a trial with a record is not run again, and one that is running elsewhere
is told of in a line (`folder.claims`).
"""

import copy
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

from jaxpower import company, resume, weights
from jaxpower.config import ConfigError, Sweep, Trial, trial_id
from jaxpower.folder import claims, record_files, record_keeper
from jaxpower.messages import Progress
from jaxpower.plan import checks, identity, requirements
from jaxpower.plan.checks import check_with_sources
from jaxpower.plan.field_values import check_types
from jaxpower.power.cpu_time import usable_cpus
from jaxpower.records import TrialRecord
from jaxpower.workers import step
from jaxpower.workers.patience import DEFAULT_LIMITS, Limits
from jaxpower.workers.places import WHOLE, Place
from jaxpower.workers.step import Heard, Job, Stopped
from jaxpower.workers.worker import COMPILED, Workers

WAIT_SECONDS = 1.0  # between two looks at a trial that is taken; chosen


def run_trial(
  trial: Trial,
  folder: pathlib.Path | str,
  *,
  varied: dict[str, Any] | None = None,
  meter: str = "auto",
  retry_failed: bool = False,
  keep_checkpoints: bool = False,
  keep_weights: bool = True,
  checkpoint_minutes: float = Sweep.checkpoint_minutes,
  timeout_seconds: float = Sweep.timeout_seconds,
  compilation_cache: bool = Sweep.compilation_cache,
  compile_repeats: int = 1,
  limits: Limits = DEFAULT_LIMITS,
  wait_seconds: float = 0.0,
  watch: Callable[[Progress], None] = lambda progress: None,
  tell: Callable[[str], None] = lambda line: None,
  stop: Callable[[], bool] = lambda: False,
) -> TrialRecord:
  """Runs a trial, or goes on with it, and returns its record.

  Args:
    trial: What to run; one that starts from another needs that one's record.
    folder: The run folder, on storage that all share; it is made.
    varied: The values of it that its sweep varies, by which reports tell
      settings apart (`sweep.Plan.varied`).
    meter: auto, nvml, rapl or estimate.
    retry_failed: Whether it is run again where its record says failed.
    keep_checkpoints: Whether those inside the trial stay once it has a record.
    keep_weights: Whether its trained weights do.
    checkpoint_minutes: Between two of them, from which it goes on after a kill.
    timeout_seconds: After which a command is ended; 0: never.
    compilation_cache: Whether what JAX compiles is kept in the folder, for the
      trials after it; nodes that share it have to be of one kind.
    compile_repeats: How often each program is compiled, to measure it.
    limits: How long its worker is waited for.
    wait_seconds: How long it is waited for where another process runs it.
    watch: Called with how far it is.
    tell: Called with a line that should be read at once.
    stop: Asked every second; once true it ends at its next look.

  Raises:
    ConfigError, DataError, WorkerError: It cannot be run here; one line.
    TakenError: Another process runs it; the line says which.
    Stopped: It ended on request, with a checkpoint to go on from.
    RecordError: The record could not be written; the line says where it is.
  """
  trial = _checked(trial)
  folder, name = pathlib.Path(folder), trial_id(trial)
  compiled = folder / COMPILED if compilation_cache else None
  until = time.monotonic() + wait_seconds
  while True:
    known = record_files.newest(folder, name)
    if known and not (retry_failed and known.status == "failed"):
      return known
    try:
      with claims.claimed(folder, name) as claim:
        job = Job(
          trial,
          varied or {},
          folder,
          compile_repeats,
          checkpoint_minutes,
          timeout_seconds,
        )
        newest = _known(trial, folder) | ({name: known} if known else {})
        place = allotted()
        heard = Heard(watch, tell, stop)
        with Workers(meter, limits, place=place, compiled=compiled) as workers:
          _check_here(trial, workers)
          record = step.run(workers, job, heard, newest, claim)
        record = _told(record, place)
        if not keep_weights:
          record = dataclasses.replace(record, checkpoint=None)
        if not record_keeper.keep(claim, record, tell, stop=stop):
          raise Stopped
        if record.status != "failed" and not keep_checkpoints:
          resume.forget(folder, name)
        if not keep_weights:
          weights.forget(folder, name)
        return record
    except claims.TakenError:
      if time.monotonic() >= until or stop():
        raise
      time.sleep(WAIT_SECONDS)


def allotted() -> Place:
  """Returns where a trial runs that its caller gave a part of a machine.

  A scheduler that gives this process a part of the cores gives the others to
  somebody else; what the whole machine has one counter for is divided.
  """
  cores, machine = usable_cpus(), os.cpu_count() or 1
  if len(cores) >= machine:
    return WHOLE
  return Place(cores=tuple(sorted(cores)), at_once=round(machine / len(cores)))


def _checked(trial: Trial) -> Trial:
  """Copies a trial, with the checksums of the user's files that it names.

  Raises ConfigError or DataError where it cannot be run anywhere.
  """
  trial = copy.deepcopy(trial)
  check_types(trial)
  identity.fill_in(trial)
  requirements.check_installed(trial)
  for check in (
    checks.check_trial,
    requirements.check_data,
    checks.check_cadence,
    requirements.check_weights,
  ):
    check_with_sources(trial, check)
  return trial


def _check_here(trial: Trial, workers: Workers) -> None:
  """Raises ConfigError where a trial's worker cannot run it."""
  worker = workers.of(trial.framework)
  check = functools.partial(requirements.check_devices, ready=worker.ready)
  check_with_sources(trial, check)
  for own, facts in requirements.with_own_networks([trial]):
    worker.check(own, facts)


def _known(trial: Trial, folder: pathlib.Path) -> dict[str, TrialRecord]:
  """Reads the record of the trial that a trial starts from.

  Raises ConfigError where there is none yet.
  """
  source = trial.transfer.init_from
  if source is None:
    return {}
  name = trial_id(source)
  record = record_files.newest(folder, name)
  if record is None:
    raise ConfigError(
      f"the trial that it starts from, {name}, has no record in {folder} yet;"
      " run that one first",
      field="transfer.init_from",
    )
  return {name: record}


def _told(record: TrialRecord, place: Place) -> TrialRecord:
  """Says in a record that its trial had a part of a machine only."""
  if place == WHOLE or record.company is not None:
    return record
  told = company.facts(record, None, cores=place.cores)
  return dataclasses.replace(record, company=told)
