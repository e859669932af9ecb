"""Plans a sweep, runs the trials that have no record yet, keeps every record.

A run folder is continued, never overwritten: a trial is known by the hash of
its config, so after an interruption the same command runs only the trials
without a record, and one that asks for more seeds or values only what is
missing (`growth`). That asks for three things. The folder holds trials of one
sweep, and one meter (`sweep.json`), since measured and modelled joules must
not share a table. It holds trials of one environment: variables that change
arithmetic or random numbers are no part of a config. And one process at a time
writes to it, since two would run the same trials and measure each other's
energy.
"""

import dataclasses
import functools
import os
import pathlib
import statistics
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jaxpower import messages, provenance, resume
from jaxpower.config import (
  ConfigError,
  Sweep,
  Trial,
  differences,
  to_dict,
  trial_id,
)
from jaxpower.folder import (
  disk_space,
  durable,
  record_files,
  record_keeper,
  sweep_file,
)
from jaxpower.folder.lock import FolderLock, locked
from jaxpower.folder.record_files import Rejected
from jaxpower.messages import Notice, Progress, Ready
from jaxpower.onlookers import Onlookers
from jaxpower.plan import growth, pretraining, requirements
from jaxpower.plan.checks import check_cadence, check_with_sources
from jaxpower.plan.grid import expand
from jaxpower.plan.growth import Grown, GrowthError
from jaxpower.readers import ReadError
from jaxpower.records import TrialRecord
from jaxpower.workers.patience import Limits
from jaxpower.workers.worker import Workers, failed_record

# Called with the number of the trial (from 1), the trial and its news.
Watch = Callable[[int, Trial, Progress | TrialRecord], None]


@dataclasses.dataclass(frozen=True)
class Plan:
  """All trials of a sweep in their order, and the records of its folder.

  Attributes:
    sweep: The config.
    folder: The run folder.
    trials: Each stands after the trial whose weights it starts from.
    grown: What the folder holds when they have been run.
    recorded: The newest record of each trial in the folder, by trial id, those
      of trials beyond this sweep too; `varied` is that of the grown sweep.
    renamed: Ids of the records whose `varied` the file still has otherwise.
    meter: The meter asked for.
    retry_failed: Whether trials are run again whose record says failed.
    compile_repeats: How often each executable is compiled, to know by how much
      the cost of compiling varies.
    pretrainings: Ids of trials that the sweep has only to start others from.
    unusable: What is wrong with the checkpoints of recorded trials that a
      trial to be run starts from, by trial id; these are run again.
    rejected: Records of the folder that could not be read.
  """

  sweep: Sweep
  folder: pathlib.Path
  trials: tuple[Trial, ...]
  grown: Grown
  recorded: dict[str, TrialRecord]
  renamed: frozenset[str] = frozenset()
  meter: str = "auto"
  retry_failed: bool = False
  compile_repeats: int = 1
  pretrainings: frozenset[str] = frozenset()
  unusable: dict[str, str] = dataclasses.field(default_factory=dict)
  rejected: tuple[Rejected, ...] = ()

  @functools.cached_property
  def ids(self) -> tuple[str, ...]:
    """The ids of `trials`, in the same order."""
    return tuple(map(trial_id, self.trials))

  @functools.cached_property
  def left(self) -> tuple[Trial, ...]:
    """The trials that are still to be run."""
    done = _done(self.recorded, self.retry_failed) - self.unusable.keys()
    both = zip(self.ids, self.trials, strict=True)
    return tuple(trial for name, trial in both if name not in done)

  @functools.cached_property
  def order(self) -> tuple[str, ...]:
    """Ids of all trials of the folder: those beyond this sweep come first."""
    beyond = self.recorded.keys() - set(self.ids)
    return (*(name for name in self.recorded if name in beyond), *self.ids)

  @functools.cached_property
  def numbers(self) -> dict[str, int]:
    """The place of each trial in the sweep, from 1, by trial id."""
    return {name: number for number, name in enumerate(self.ids, start=1)}

  @functools.cached_property
  def expected_seconds(self) -> float | None:
    """The time that the trials left will take, at the mean of those recorded.

    None before the first record.
    """
    seconds = [record.wall_seconds for record in self.recorded.values()]
    seconds = [value for value in seconds if value is not None]
    return len(self.left) * statistics.fmean(seconds) if seconds else None

  def varied(self, trial: Trial) -> dict[str, Any]:
    """Returns the values of a trial that the sweep varies, by field.

    Empty for a pretraining, which stands for no setting of the sweep.
    """
    if trial_id(trial) in self.pretrainings:
      return {}
    return self.grown.varied(trial)


def plan(
  sweep: Sweep,
  folder: pathlib.Path | str | None = None,
  *,
  meter: str = "auto",
  retry_failed: bool = False,
  compile_repeats: int = 1,
  strict: bool = False,
) -> Plan:
  """Expands a sweep and checks it against data and folder; writes nothing.

  With `strict` a record that cannot be read is an error, and not run again.

  Raises ConfigError, DataError or RecordError: one line each.
  """
  expanded = expand(sweep)
  for trial in expanded:
    requirements.check_installed(trial)
    check_with_sources(trial, requirements.check_data)
    check_with_sources(trial, check_cadence)
    check_with_sources(trial, requirements.check_weights)
  trials = tuple(pretraining.with_sources(expanded))
  folder = pathlib.Path(folder or pathlib.Path("runs") / sweep.name)
  facts = _read_folder(folder, meter)
  found = record_files.read(folder, facts.get("order") or (), strict=strict)
  recorded = found.newest
  grown = _grow(folder, sweep, expanded, recorded)
  renamed = growth.renamed(grown, recorded)
  recorded |= {
    name: dataclasses.replace(recorded[name], varied=varied)
    for name, varied in renamed.items()
  }
  done = _done(recorded, retry_failed)
  planned = Plan(
    sweep,
    folder,
    trials,
    grown,
    recorded,
    frozenset(renamed),
    meter,
    retry_failed,
    compile_repeats,
    pretrainings=frozenset(map(trial_id, trials)) - {*map(trial_id, expanded)},
    unusable=pretraining.unusable(
      trials, {name: recorded[name] for name in done}, folder
    ),
    rejected=found.rejected,
  )
  if planned.left:
    _check_environment(folder, recorded.values())
  return planned


class Stopped(Exception):  # noqa: N818, no error: somebody asked for it
  """A sweep ended before its last trial because it was asked to."""


def execute(
  plan: Plan,
  *,
  watch: Watch = lambda number, trial, news: None,
  greet: Callable[[Ready], None] = lambda ready: None,
  tell: Callable[[str], None] = lambda line: None,
  stop: Callable[[], bool] = lambda: False,
) -> tuple[TrialRecord, ...]:
  """Runs the trials left of a plan; returns the records of its folder.

  That is the newest of each trial, also of trials beyond the plan's sweep.
  What `watch`, `greet` or `tell` raise ends what is shown and not the sweep:
  records say so from then on, and a RuntimeWarning at the end does.

  Args:
    plan: What to run.
    watch: Called with the number of the trial (from 1), the trial and either
      its progress or, at its end, its record.
    greet: Called before the first trial with what the worker trains on.
    tell: Called with a line that whoever runs this should read at once.
    stop: Asked every second; once it is true the running trial ends at its
      next look, and no other is begun.

  Raises ConfigError or WorkerError before anything is written, and Stopped
  where it was stopped before the last trial had ended.
  """
  left, newest = plan.left, dict(plan.recorded)
  onlookers = Onlookers()
  if left:
    # First of all: a worker takes memory and joules from a trial that is being
    # measured here by another run.
    with locked(plan.folder) as lock, _workers(plan, lock) as workers:
      # Each framework's devices, before the first trial of any is run.
      for trials in _by_framework(left):
        ready = workers.of(trials[0].framework).ready
        requirements.check_devices(trials, ready)
      onlookers.call(greet, workers.of(left[0].framework).ready)
      say = functools.partial(onlookers.call, tell)
      if short := disk_space.shortage(plan.folder, len(left)):
        say(short)
      _write_growth(plan)
      for trial in left:
        if stop():
          raise Stopped
        number = plan.numbers[trial_id(trial)]
        news = functools.partial(onlookers.call, watch, number, trial)
        record = _run(workers, plan, trial, newest, news, say, stop)
        record = _noted(record, onlookers.problem)
        if not _keep(plan, lock, record, say, stop, first=not newest):
          raise Stopped
        newest[record.trial_id] = record
        news(record)
  elif plan.renamed:
    with locked(plan.folder):
      _write_growth(plan)
  if onlookers.problem:
    warnings.warn(onlookers.problem, RuntimeWarning, stacklevel=2)
  return tuple(newest[name] for name in plan.order if name in newest)


def run(
  sweep: Sweep,
  folder: pathlib.Path | str | None = None,
  *,
  meter: str = "auto",
  watch: Watch = lambda number, trial, news: None,
) -> tuple[TrialRecord, ...]:
  """Runs a sweep and returns the records of its folder.

  Those of earlier runs are included, of a larger sweep too.

  Args:
    sweep: What to run.
    folder: The run folder, where records go; `runs/<name>` by default.
    meter: auto, nvml, rapl or estimate.
    watch: Called with the number of the trial (from 1), the trial and either
      its progress or, at its end, its record.

  Raises:
    ConfigError, DataError, RecordError, WorkerError: One line each, before
      anything is written.
  """
  return execute(plan(sweep, folder, meter=meter), watch=watch)


def _noted(record: TrialRecord, problem: str) -> TrialRecord:
  """Adds to a record's warnings why nothing is shown any more, if so."""
  if not problem:
    return record
  return dataclasses.replace(record, warnings=(*record.warnings, problem))


def _keep(
  plan: Plan,
  lock: FolderLock,
  record: TrialRecord,
  say: Callable[[str], None],
  stop: Callable[[], bool],
  *,
  first: bool,
) -> bool:
  """Writes a record, and lets go of what only a trial without one needs.

  Of a new folder the first record shows what space each trial takes. Returns
  false where it was stopped while the folder could not be written to.
  """
  if not record_keeper.keep(lock, record, say, stop=stop):
    return False
  if first and (short := disk_space.shortage(plan.folder, len(plan.left) - 1)):
    say(short)
  if record.status != "failed" and not plan.sweep.keep_checkpoints:
    resume.forget(plan.folder, record.trial_id)
  return True


def _workers(plan: Plan, lock: FolderLock) -> Workers:
  """Returns what starts the workers of a plan, which hold its lock too."""
  sweep = plan.sweep
  limits = Limits(
    silent=sweep.patience_seconds,
    start=sweep.start_seconds,
    compile=sweep.compile_seconds,
    phase=sweep.phase_seconds,
  )
  return Workers(plan.meter, limits, (lock.descriptor,))


def _run(
  workers: Workers,
  plan: Plan,
  trial: Trial,
  newest: Mapping[str, TrialRecord],
  news: Callable[[Progress], None],
  say: Callable[[str], None],
  stop: Callable[[], bool],
) -> TrialRecord:
  """Runs one trial in a worker, which is killed if the sweep is interrupted.

  Raises Stopped where the trial ended because `stop` became true.
  """
  varied = plan.varied(trial)
  if reason := pretraining.blocked_by(trial, newest):
    return failed_record(trial, varied, reason)
  worker = workers.of(trial.framework)
  heard = worker.run(
    trial,
    varied,
    plan.folder,
    plan.compile_repeats,
    stop=stop,
    checkpoint_minutes=plan.sweep.checkpoint_minutes,
    timeout_seconds=plan.sweep.timeout_seconds,
  )
  try:
    for message in heard:
      if isinstance(message, Progress):
        news(message)
      elif isinstance(message, Notice):
        say(message.line)
      else:
        break
    else:
      raise AssertionError("a worker says how every trial ends")
  except BaseException:
    worker.terminate()
    raise
  if isinstance(message, messages.Stopped):
    raise Stopped
  return message.record


def _done(recorded: dict[str, TrialRecord], retry_failed: bool) -> set[str]:
  """Returns the ids of the trials that need not be run again."""
  return {
    name
    for name, record in recorded.items()
    if not (retry_failed and record.status == "failed")
  }


def _by_framework(trials: tuple[Trial, ...]) -> list[tuple[Trial, ...]]:
  """Groups trials by framework.

  The framework that is to run first comes last: it is the last one whose
  worker is started to be looked at, and so its worker stays up for it.
  """
  frameworks = dict.fromkeys(trial.framework for trial in trials)
  return [
    tuple(trial for trial in trials if trial.framework == framework)
    for framework in reversed(frameworks)
  ]


def _read_folder(folder: pathlib.Path, meter: str) -> dict[str, Any]:
  """Reads the sweep.json of a run folder; {} where the folder is new.

  Raises ConfigError where the folder cannot be continued: it has records of
  another meter, or of no known sweep.
  """
  if folder.exists() and not folder.is_dir():
    raise ConfigError(f"{folder} is a file; name a folder with --out")
  path = folder / sweep_file.NAME
  try:
    facts = sweep_file.read(folder)
  except ReadError as error:
    raise ConfigError(
      f"{path} is damaged ({error}); name another folder with --out"
    ) from None
  if not path.exists():
    if record_files.exist(folder):
      raise ConfigError(
        f"{folder} has records but no {path.name}; name another folder with"
        " --out"
      )
    return {}
  if "meter" not in facts:
    raise ConfigError(
      f"{path} is damaged (no meter); name another folder with --out"
    )
  if (held := facts["meter"]) != meter:
    raise ConfigError(
      f"{folder} holds records of another meter (meter: {held} -> {meter});"
      " name another folder with --out"
    )
  return facts


def _grow(
  folder: pathlib.Path,
  sweep: Sweep,
  expanded: list[Trial],
  recorded: dict[str, TrialRecord],
) -> Grown:
  """Adds a sweep to those of a folder.

  Raises ConfigError where a recorded trial is no part of it.
  """
  try:
    return growth.grow(sweep, expanded, recorded)
  except GrowthError as error:
    raise ConfigError(
      f"{folder} holds records of another config ({error}); name another folder"
      " with --out"
    ) from None


def _check_environment(
  folder: pathlib.Path, recorded: Iterable[TrialRecord]
) -> None:
  """Raises ConfigError where records were made in another environment.

  What a trial that failed was run in does not matter, nor does a record that
  does not say it.
  """
  now = provenance.arithmetic_environment(provenance.of_worker(os.environ))
  ran = [r.provenance for r in recorded if r.status != "failed"]
  before = [
    provenance.arithmetic_environment(p) for p in ran if "environment" in p
  ]
  if not before or now in before:
    return
  changes = differences(before[-1], now, absent="not set")
  raise ConfigError(
    f"{folder} holds records made with other environment variables"
    f" ({'; '.join(changes)}); set them as they were, or name another folder"
    " with --out"
  )


def _write_growth(plan: Plan) -> None:
  """Writes what the folder's sweep is now, and what its records vary in it.

  Records that could not be read are moved away, and so is what a kill left.
  """
  durable.remove_unfinished(plan.folder)
  durable.remove_unfinished(plan.folder / record_files.FOLDER)
  record_files.set_aside(plan.rejected)
  _write_sweep(plan)
  varied = {name: plan.recorded[name].varied for name in plan.renamed}
  record_files.set_varied(plan.folder, varied)


def _write_sweep(plan: Plan) -> None:
  """Writes sweep.json as the folder's sweep has grown.

  The command line is that of the newest run, unless the folder holds more than
  that run asked for.
  """
  facts = {
    "config": to_dict(plan.grown.sweep),
    "meter": plan.meter,
    "trials": len(plan.order),
    "order": plan.order,
    "command_line": provenance.command_line(),
  }
  path = plan.folder / sweep_file.NAME
  if path.exists() and plan.grown.sweep != plan.sweep:
    facts.pop("command_line")  # the one that is there stays
  sweep_file.write(plan.folder, facts)
