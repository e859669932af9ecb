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
import pathlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from jaxpower import data, provenance, resume, side_by_side, weights
from jaxpower.config import (
  ConfigError,
  Sweep,
  Trial,
  sources,
  to_dict,
  trial_id,
)
from jaxpower.folder import (
  claims,
  disk_space,
  durable,
  record_files,
  record_keeper,
  sweep_file,
)
from jaxpower.folder.lock import FolderLock, locked
from jaxpower.folder.record_files import Listing, Rejected
from jaxpower.messages import Progress, Ready
from jaxpower.onlookers import Onlookers
from jaxpower.plan import (
  growth,
  identity,
  pretraining,
  requirements,
  same_folder,
  windows,
)
from jaxpower.plan.checks import check_cadence, check_with_sources
from jaxpower.plan.grid import expand_by_id
from jaxpower.plan.growth import Grown
from jaxpower.records import TrialRecord
from jaxpower.workers import places, step
from jaxpower.workers.patience import Limits
from jaxpower.workers.places import WHOLE, Place
from jaxpower.workers.step import Heard, Job, Stopped
from jaxpower.workers.worker import COMPILED, Worker, Workers

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
    unfit: Ids of trials that this machine cannot run, and that are left out.
    listing: The files of records when they were read.
    rebuilt: Whether the folder lost its sweep.json: the records say what was
      in it.
    names: The ids of `trials`, where they are known already.
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
  unfit: frozenset[str] = frozenset()
  unusable: dict[str, str] = dataclasses.field(default_factory=dict)
  rejected: tuple[Rejected, ...] = ()
  listing: Listing = frozenset()
  rebuilt: bool = False
  names: tuple[str, ...] = ()

  @functools.cached_property
  def ids(self) -> tuple[str, ...]:
    """The ids of `trials`, in the same order."""
    return self.names or tuple(map(trial_id, self.trials))

  @functools.cached_property
  def left(self) -> tuple[Trial, ...]:
    """The trials that are still to be run."""
    both = zip(self.ids, self.trials, strict=True)
    return tuple(trial for name, trial in both if name in self.ids_left)

  @functools.cached_property
  def ids_left(self) -> frozenset[str]:
    """The ids of `left`."""
    done = _done(self.recorded, self.retry_failed) - self.unusable.keys()
    return frozenset(self.ids) - done - self.unfit

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
  def starts(self) -> frozenset[str]:
    """Ids of trials whose weights other trials start from."""
    return frozenset(
      trial_id(source) for trial in self.trials for source in sources(trial)
    )

  def keeps_weights(self, trial: Trial) -> bool:
    """Whether the trained weights of a trial stay."""
    return self.sweep.keep_weights or trial_id(trial) in self.starts

  def job(self, trial: Trial) -> Job:
    """Returns what is to be done for a trial."""
    return Job(
      trial,
      self.varied(trial),
      self.folder,
      self.compile_repeats,
      self.sweep.checkpoint_minutes,
      self.sweep.timeout_seconds,
    )

  def varied(self, trial: Trial) -> dict[str, Any]:
    """Returns the values of a trial that the sweep varies, by field.

    Empty for a pretraining, which stands for no setting of the sweep.
    """
    if self.pretrainings and trial_id(trial) in self.pretrainings:
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
  data.forget()  # what a user's function reads may have changed
  sweep = identity.filled_in(sweep)
  expanded = expand_by_id(sweep)
  for trial in expanded.values():
    if trial.seed:  # what is checked here is the same at every seed
      continue
    requirements.check_installed(trial)
    check_with_sources(trial, requirements.check_data)
    check_with_sources(trial, check_cadence)
    check_with_sources(trial, requirements.check_weights)
  trials = pretraining.with_sources(expanded)
  folder = pathlib.Path(folder or pathlib.Path("runs") / sweep.name)
  facts = same_folder.read_folder(folder)
  found = record_files.read(folder, facts.get("order") or (), strict=strict)
  recorded = found.newest
  same_folder.check_meter(folder, facts, recorded.values(), meter)
  grown = same_folder.grow(folder, sweep, expanded, recorded)
  renamed = growth.renamed(grown, recorded)
  recorded |= {
    name: dataclasses.replace(recorded[name], varied=varied)
    for name, varied in renamed.items()
  }
  done = _done(recorded, retry_failed)
  planned = Plan(
    sweep,
    folder,
    tuple(trials.values()),
    grown,
    recorded,
    frozenset(renamed),
    meter,
    retry_failed,
    compile_repeats,
    pretrainings=frozenset(trials.keys() - expanded.keys()),
    unusable=pretraining.unusable(
      trials, {name: recorded[name] for name in done}, folder
    ),
    rejected=found.rejected,
    listing=found.listing,
    rebuilt=bool(recorded) and not facts,
    names=tuple(trials),
  )
  if planned.left:
    same_folder.check_environment(folder, recorded.values())
  return planned


def execute(
  plan: Plan,
  *,
  parallel: int | str = 1,
  check_company: bool = True,
  watch: Watch = lambda number, trial, news: None,
  greet: Callable[[Ready, Plan], None] = lambda ready, plan: None,
  tell: Callable[[str], None] = lambda line: None,
  stop: Callable[[], bool] = lambda: False,
) -> tuple[TrialRecord, ...]:
  """Runs the trials left of a plan; returns the records of its folder.

  That is the newest of each trial, also of trials beyond the plan's sweep.
  What `watch`, `greet` or `tell` raise ends what is shown and not the sweep:
  records say so from then on, and a RuntimeWarning at the end does.

  Args:
    plan: What to run.
    parallel: How many trials at once; "auto" is one for each GPU, or for each
      group of as many as a trial takes.
    check_company: Whether trials at once are first checked for what their
      company costs them (`jaxpower.company`).
    watch: Called with the number of the trial (from 1), the trial and either
      its progress or, at its end, its record.
    greet: Called before the first trial with what the worker trains on, and
      the plan as it is run: by the records of now, and without the trials that
      this machine cannot run.
    tell: Called with a line that whoever runs this should read at once.
    stop: Asked every second; once it is true the running trial ends at its
      next look, and no other is begun.

  Raises ConfigError or WorkerError before anything is written, and Stopped
  where it was stopped before the last trial had ended.
  """
  newest, onlookers = dict(plan.recorded), Onlookers()
  if plan.rebuilt:
    path = plan.folder / sweep_file.NAME
    onlookers.call(tell, f"{path} was gone; it is made anew from the records")
  if plan.left:
    requirements.check_board_settings(plan.left)
    # First of all: a worker takes memory and joules from a trial that is being
    # measured here by another run.
    with locked(plan.folder) as lock, _workers(plan, lock) as workers:
      plan = _as_of_now(plan)
      newest = dict(plan.recorded)
      writer = Writer(plan, lock, newest, onlookers, watch, tell, stop)
      if plan.left:
        _run_left(writer, workers, greet, parallel, check_company)
  elif plan.renamed or plan.rebuilt:
    with locked(plan.folder):
      plan = _as_of_now(plan)
      newest = dict(plan.recorded)
      write_growth(plan)
  if onlookers.problem:
    warnings.warn(onlookers.problem, RuntimeWarning, stacklevel=2)
  return tuple(newest[name] for name in plan.order if name in newest)


def _run_left(
  writer: "Writer",
  workers: Workers,
  greet: Callable[[Ready, Plan], None],
  parallel: int | str,
  check_company: bool,
) -> None:
  """Runs the trials left of a plan, in turn or side by side."""
  ready, plan, lines = _looked_at(writer.plan, workers)
  writer = dataclasses.replace(writer, plan=plan)
  for line in lines:
    writer.say(line)
  if not plan.left:
    return
  where = places.deal(
    parallel, _most_devices(plan.left), ready.platform, ready.devices
  )
  writer.onlookers.call(greet, ready, plan)
  if short := disk_space.shortage(plan.folder, len(plan.left)):
    writer.say(short)
  write_growth(plan)
  if len(where) == 1:
    _one_by_one(writer, workers)
  else:
    workers.stop()
    side_by_side.run(_sweeping(writer), where, check_company=check_company)


@dataclasses.dataclass(frozen=True)
class Writer:
  """Whoever writes the records of a sweep, and tells of them: one thread.

  Attributes are those of `execute`; `newest` grows with each record.
  """

  plan: Plan
  lock: FolderLock
  newest: dict[str, TrialRecord]
  onlookers: Onlookers
  watch: Watch
  tell: Callable[[str], None]
  stop: Callable[[], bool]

  def say(self, line: str) -> None:
    """Tells a line that should be read at once."""
    self.onlookers.call(self.tell, line)

  def news(self, trial: Trial, news: Progress | TrialRecord) -> None:
    """Tells how far a trial is, or how it ended."""
    number = self.plan.numbers[trial_id(trial)]
    self.onlookers.call(self.watch, number, trial, news)

  def keep(self, trial: Trial, record: TrialRecord) -> None:
    """Writes a record and tells of it; raises Stopped where it may not wait."""
    record = _noted(record, self.onlookers.problem)
    first, kept = not self.newest, self.plan.keeps_weights(trial)
    if not kept:
      record = dataclasses.replace(record, checkpoint=None)
    if not _keep(
      self.plan, self.lock, record, self.say, self.stop, first=first
    ):
      raise Stopped
    if not kept:
      weights.forget(self.plan.folder, record.trial_id)
    self.landed(trial, record)

  def landed(self, trial: Trial, record: TrialRecord) -> None:
    """Takes in a record that is written, and tells of it."""
    self.newest[record.trial_id] = record
    self.news(trial, record)


def _looked_at(plan: Plan, workers: Workers) -> tuple[Ready, Plan, list[str]]:
  """Looks at the devices of each framework, before the first trial of any.

  Returns what the worker says that is to run the first trial, and stays up;
  the plan without trials that this machine cannot run; and lines of these, and
  of windows that are too short for the counter.
  Raises ConfigError where none can be run and none has a record.
  """
  unfit: dict[str, ConfigError] = {}
  short: list[str] = []
  for trials in _by_framework(plan.left):
    worker = workers.of(trials[0].framework)
    unfit |= requirements.unfit(trials, worker.ready)
    fit = [trial for trial in trials if trial_id(trial) not in unfit]
    short += filter(None, [windows.short_windows(fit, worker.ready)])
    _check_networks(worker, trials)
  left = tuple(t for t in plan.left if trial_id(t) not in unfit)
  if not left and not plan.recorded:
    raise next(iter(unfit.values()))
  ready = workers.of((left or plan.left)[0].framework).ready
  lines = [*requirements.left_out(unfit), *short[:1]]
  return ready, dataclasses.replace(plan, unfit=frozenset(unfit)), lines


def _most_devices(trials: Iterable[Trial]) -> int:
  """Returns how many devices a trial takes at most; 0 where one takes all."""
  devices = {trial.devices for trial in trials}
  return 0 if 0 in devices else max(devices, default=1)


def _one_by_one(writer: Writer, workers: Workers) -> None:
  """Runs the trials of a plan in turn."""
  plan = writer.plan
  for trial in plan.left:
    if writer.stop():
      raise Stopped
    news = functools.partial(writer.news, trial)
    heard = Heard(news, writer.say, writer.stop)
    try:
      with claims.claimed(plan.folder, trial_id(trial), locked=True) as claim:
        job = plan.job(trial)
        record = step.run(workers, job, heard, writer.newest, claim)
        writer.keep(trial, record)
    except claims.TakenError as error:
      writer.say(str(error))


def _sweeping(writer: Writer) -> side_by_side.Sweeping:
  """Returns a plan as what runs it in several places at once."""
  plan = writer.plan
  return side_by_side.Sweeping(
    left=plan.left,
    folder=plan.folder,
    job=plan.job,
    newest=writer.newest,
    workers=functools.partial(_workers, plan, writer.lock),
    keep=writer.keep,
    news=writer.news,
    say=writer.say,
    stop=writer.stop,
  )


def _as_of_now(planned: Plan) -> Plan:
  """Plans again where another run wrote records before this one had the lock.

  Else trials that it ended would be run twice, and its sweep.json lost.
  """
  if record_files.listing(planned.folder) == planned.listing:
    return planned
  return plan(
    planned.sweep,
    planned.folder,
    meter=planned.meter,
    retry_failed=planned.retry_failed,
    compile_repeats=planned.compile_repeats,
  )


def run(
  sweep: Sweep,
  folder: pathlib.Path | str | None = None,
  *,
  meter: str = "auto",
  parallel: int | str = 1,
  check_company: bool = True,
  watch: Watch = lambda number, trial, news: None,
) -> tuple[TrialRecord, ...]:
  """Runs a sweep and returns the records of its folder.

  Those of earlier runs are included, of a larger sweep too.

  Args:
    sweep: What to run.
    folder: The run folder, where records go; `runs/<name>` by default.
    meter: auto, nvml, rapl or estimate.
    parallel: How many trials at once, or "auto": as in `execute`.
    check_company: As in `execute`.
    watch: Called with the number of the trial (from 1), the trial and either
      its progress or, at its end, its record.

  Raises:
    ConfigError, DataError, RecordError, WorkerError: One line each, before
      anything is written.
  """
  return execute(
    plan(sweep, folder, meter=meter),
    parallel=parallel,
    check_company=check_company,
    watch=watch,
  )


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


def _workers(plan: Plan, lock: FolderLock, place: Place = WHOLE) -> Workers:
  """Returns what starts the workers of a plan, which hold its lock too."""
  compiled = plan.folder / COMPILED if plan.sweep.compilation_cache else None
  limits, held = limits_of(plan.sweep), (lock.descriptor,)
  return Workers(plan.meter, limits, held, place, compiled)


def limits_of(sweep: Sweep) -> Limits:
  """Returns how long workers are waited for."""
  return Limits(
    silent=sweep.patience_seconds,
    start=sweep.start_seconds,
    compile=sweep.compile_seconds,
    phase=sweep.phase_seconds,
  )


def _check_networks(worker: Worker, trials: Iterable[Trial]) -> None:
  """Raises ConfigError where a network of the user's cannot be trained."""
  for trial, facts in requirements.with_own_networks(trials):
    worker.check(trial, facts)


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


def write_growth(plan: Plan) -> None:
  """Writes what the folder's sweep is now, and what its records vary in it.

  Records that could not be read are moved away, and so is what a kill left.
  """
  if not claims.living(plan.folder):  # nobody else is writing a record
    durable.remove_unfinished(plan.folder)
    durable.remove_unfinished(plan.folder / record_files.FOLDER)
  record_files.set_aside(plan.rejected)
  write_sweep(plan)
  varied = {name: plan.recorded[name].varied for name in plan.renamed}
  record_files.set_varied(plan.folder, varied)


def write_sweep(plan: Plan) -> None:
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
