"""What is left to run, in which order; run it; keep every record."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from jaxpower import pretraining, provenance, records, requirements
from jaxpower.checks import check_cadence
from jaxpower.config import (
  ConfigError,
  Sweep,
  Trial,
  differences,
  get,
  to_dict,
  trial_id,
)
from jaxpower.grid import expand
from jaxpower.messages import Done, Progress, Ready
from jaxpower.records import TrialRecord, varied_value
from jaxpower.worker import Shift, Worker, failed_record

RECORDS = "records.jsonl"
SWEEP = "sweep.json"


@dataclasses.dataclass(frozen=True)
class Plan:
  """All trials of a sweep in their order, and what is known of them.

  Each stands after the trial it begins from. `pretrainings` are the ids of
  those that the sweep does not ask for itself. `lost` tells of recorded trials
  why their weights cannot be used by one that begins from them; they are run
  again.
  """

  sweep: Sweep
  folder: pathlib.Path
  trials: tuple[Trial, ...]
  recorded: dict[str, TrialRecord]
  meter: str = "auto"
  retry_failed: bool = False
  pretrainings: frozenset[str] = frozenset()
  lost: dict[str, str] = dataclasses.field(default_factory=dict)

  @property
  def left(self) -> tuple[Trial, ...]:
    """The trials that are still to be run."""
    done = _done(self.recorded, self.retry_failed) - self.lost.keys()
    return tuple(t for t in self.trials if trial_id(t) not in done)

  @property
  def expected_seconds(self) -> float | None:
    """Time left, from the trials recorded so far; None before the first."""
    known = [record.wall_seconds for record in self.recorded.values()]
    known = [seconds for seconds in known if seconds is not None]
    return len(self.left) * statistics.fmean(known) if known else None

  def varied(self, trial: Trial) -> dict[str, Any]:
    """The values of this trial that the sweep varies; a pretraining's: none."""
    if trial_id(trial) in self.pretrainings:
      return {}
    return {
      path: varied_value(get(trial, path), values)
      for path, values in self.sweep.vary.items()
    }


Watch = Callable[[int, Trial, Progress | TrialRecord], None]


def plan(
  sweep: Sweep,
  folder: pathlib.Path | str | None = None,
  *,
  meter: str = "auto",
  retry_failed: bool = False,
) -> Plan:
  """Checks a sweep against its data and its folder; writes nothing.

  Raises ConfigError, DataError or RecordError: one line each.
  """
  asked = expand(sweep)
  for trial in asked:
    requirements.check_installed(trial)
    pretraining.check_chain(trial, requirements.check_data)
    pretraining.check_chain(trial, check_cadence)
    pretraining.check_weights(trial)
  trials = tuple(pretraining.with_sources(asked))
  folder = pathlib.Path(folder or pathlib.Path("runs") / sweep.name)
  _check_folder(folder, sweep, meter)
  recorded = {r.trial_id: r for r in records.read(folder / RECORDS)}
  done = _done(recorded, retry_failed)
  return Plan(
    sweep,
    folder,
    trials,
    recorded,
    meter,
    retry_failed,
    pretrainings=frozenset(map(trial_id, trials)) - {*map(trial_id, asked)},
    lost=pretraining.lost(trials, {n: recorded[n] for n in done}, folder),
  )


def execute(
  plan: Plan,
  *,
  watch: Watch = lambda number, trial, news: None,
  greet: Callable[[Ready], None] = lambda ready: None,
) -> tuple[TrialRecord, ...]:
  """Runs what is left of a plan and returns the newest record of each trial.

  Args:
    plan: What to run.
    watch: Hears the number of the trial (from 1), the trial and the news.
    greet: Hears what is trained on, before the first trial.

  Raises ConfigError or WorkerError before anything is written.
  """
  left, found = plan.left, dict(plan.recorded)
  if left:
    with Shift(plan.meter) as shift:
      for trials in _by_framework(left):
        requirements.check_devices(
          trials, shift.worker(trials[0].framework).ready
        )
      greet(shift.worker(left[0].framework).ready)
      with _claimed(plan.folder):
        _write_sweep(plan)
        for trial in left:
          number = plan.trials.index(trial) + 1
          if why := pretraining.obstacle(trial, found):
            record = failed_record(trial, plan.varied(trial), why)
          else:
            worker = shift.worker(trial.framework)
            record = _run(worker, plan, trial, number, watch)
          records.append(plan.folder / RECORDS, record)
          found[record.trial_id] = record
          watch(number, trial, record)
  ids = [trial_id(trial) for trial in plan.trials]
  return tuple(found[name] for name in ids if name in found)


def run(
  sweep: Sweep,
  folder: pathlib.Path | str | None = None,
  *,
  meter: str = "auto",
  watch: Watch = lambda number, trial, news: None,
) -> tuple[TrialRecord, ...]:
  """Runs a sweep and returns its records, those of an earlier run included.

  Args:
    sweep: What to run.
    folder: Where records go; `runs/<name>` by default.
    meter: auto, nvml, rapl or estimate.
    watch: Hears the number of the trial (from 1), the trial and the news.

  Raises:
    ConfigError, DataError, RecordError, WorkerError: One line each, before
      anything is written.
  """
  return execute(plan(sweep, folder, meter=meter), watch=watch)


def read_sweep(folder: pathlib.Path) -> dict[str, Any]:
  """What a run folder says of its sweep: config, meter, order of trials."""
  return json.loads((folder / SWEEP).read_text())


def _run(
  worker: Worker, plan: Plan, trial: Trial, number: int, watch: Watch
) -> TrialRecord:
  try:
    for message in worker.run(trial, plan.varied(trial), plan.folder):
      if isinstance(message, Done):
        return message.record
      watch(number, trial, message)
  except BaseException:
    worker.terminate()
    raise
  raise AssertionError("a worker ends every trial with a record")


def _done(recorded: dict[str, TrialRecord], retry_failed: bool) -> set[str]:
  """The ids of the trials whose record stands."""
  return {
    name
    for name, record in recorded.items()
    if not (retry_failed and record.status == "failed")
  }


def _by_framework(trials: tuple[Trial, ...]) -> list[tuple[Trial, ...]]:
  """The trials of each framework; last those of the one that begins."""
  frameworks = dict.fromkeys(trial.framework for trial in trials)
  return [
    tuple(trial for trial in trials if trial.framework == framework)
    for framework in reversed(frameworks)
  ]


def _check_folder(folder: pathlib.Path, sweep: Sweep, meter: str) -> None:
  """Raises ConfigError where the folder holds another config's records."""
  if folder.exists() and not folder.is_dir():
    raise ConfigError(f"{folder} is a file; name a folder with --out")
  if (archive := folder / f"{RECORDS}.gz").exists():
    raise ConfigError(
      f"{archive} is an archive, to be read; unpack it with gunzip to continue"
      " its sweep, or name another folder with --out"
    )
  if not (folder / SWEEP).exists():
    if (folder / RECORDS).exists():
      raise ConfigError(
        f"{folder} has records but no {SWEEP}; name another folder with --out"
      )
    return
  try:
    held = read_sweep(folder)
    changes = differences(held["config"], to_dict(sweep))
    changes += differences({"meter": held["meter"]}, {"meter": meter})
  except (ValueError, KeyError, TypeError) as error:
    raise ConfigError(
      f"{folder / SWEEP} is damaged ({error}); name another folder with --out"
    ) from None
  if changes:
    raise ConfigError(
      f"{folder} holds records of another config ({'; '.join(changes)});"
      " name another folder with --out"
    )


def _write_sweep(plan: Plan) -> None:
  path = plan.folder / SWEEP
  if path.exists():
    return
  facts = {
    "config": to_dict(plan.sweep),
    "meter": plan.meter,
    "trials": len(plan.trials),
    "order": [trial_id(trial) for trial in plan.trials],
    "command_line": provenance.command_line(),
  }
  unfinished = path.with_suffix(".unfinished")
  unfinished.write_text(json.dumps(facts, indent=2) + "\n")
  unfinished.replace(path)


@contextlib.contextmanager
def _claimed(folder: pathlib.Path) -> Iterator[None]:
  """Holds the folder for this process; a second one is refused.

  The lock is the kernel's and goes with the process, however it ends.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
  except OSError as error:
    raise ConfigError(
      f"cannot write to {folder} ({error.strerror}); name another folder with"
      " --out"
    ) from None
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ConfigError(
        f"another run is writing to {folder}; wait for it or name another"
        " folder with --out"
      ) from None
    yield
  finally:
    os.close(handle)
