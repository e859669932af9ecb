"""Runs the trials of a sweep as an array of tasks, through submitit.

  ready trials -> an array, a task each -> records/<trial_id>.json

Whoever launches owns the plan: it holds the lock of the folder, writes
sweep.json, and waits for the records, which the tasks write. A trial that
starts from another one is submitted once that one has its record. The tasks do
not need whoever launched them: when it is stopped they go on (Slurm), and the
same command takes them up again by the job ids that it noted in jobs/jobs.json.
"""

import dataclasses
import json
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from jaxpower.config import ConfigError, Trial, trial_id
from jaxpower.folder import durable, record_files
from jaxpower.launch.task import SIGNAL_SECONDS, TrialTask
from jaxpower.records import TrialRecord
from jaxpower.workers.step import Stopped
from jaxpower.workers.worker import failed_record

LAUNCHERS = ("local", "slurm")
SLURM = ("srun", "sbatch", "scontrol")  # what submitit calls
FOLDER = "jobs"  # of a run folder: what submitit pickles, and the logs
JOBS = "jobs.json"
LOOK_SECONDS = 1.0  # between two looks for records; chosen
# A record may be seen this much later than the end of the task that wrote it:
# NFS shows names in a folder for up to 60 s as they were (acdirmax, nfs(5)).
LATE_SECONDS = 60.0
MOST_REQUEUES = 1000  # chosen: each goes on from a checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
  """Where tasks run, and what each of them gets.

  Attributes:
    launcher: "slurm", or "local" for processes of this machine.
    partition: Slurm's; "" is its default.
    gpus: For each task; None: what the cluster gives without asking.
    cpus: For each task, as `gpus`.
    memory_gb: For each task, as `gpus`.
    minutes: After which a task is requeued, and goes on from its checkpoint.
    at_once: How many tasks run at once, at most.
    options: More of sbatch, by name.
  """

  launcher: Literal["local", "slurm"]
  partition: str = ""
  gpus: int | None = None
  cpus: int | None = None
  memory_gb: float | None = None
  minutes: int = 240
  at_once: int = 1
  options: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Launching:
  """The trials of a sweep to launch, and who hears what becomes of them.

  Attributes:
    left: The trials, in order, each after the trial it starts from.
    folder: The run folder, on storage that the nodes share.
    task: Makes the task of a trial.
    newest: Records by trial id, to which `landed` adds.
    landed: Told a record that a task has written.
    keep: Writes the record of a trial whose task left none.
    say: Told a line that should be read at once.
    stop: Asked every second.
  """

  left: Sequence[Trial]
  folder: pathlib.Path
  task: Callable[[Trial], TrialTask]
  newest: Mapping[str, TrialRecord]
  landed: Callable[[Trial, TrialRecord], None]
  keep: Callable[[Trial, TrialRecord], None]
  say: Callable[[str], None]
  stop: Callable[[], bool]


def check(cluster: Cluster) -> None:
  """Raises ConfigError where submitit or the cluster is not there."""
  try:
    import submitit  # noqa: F401
  except ImportError:
    raise ConfigError(
      "submitit is not installed; run `pip install submitit`, or install"
      " jaxpower with its extra: pip install 'jaxpower[cluster]'",
      field="launcher",
    ) from None
  missing = [name for name in SLURM if shutil.which(name) is None]
  if cluster.launcher == "slurm" and missing:
    raise ConfigError(
      f"there is no {' and no '.join(missing)} here; launch from a node of the"
      " cluster that has them",
      field="launcher",
      value=cluster.launcher,
    )


def run(launching: Launching, cluster: Cluster) -> None:
  """Launches all trials and waits until each has its record.

  Raises Stopped where it was stopped before.
  """
  tasks = _Tasks(launching, cluster)
  tasks.take_up()
  while tasks.waiting or tasks.jobs:
    if launching.stop():
      tasks.leave()
      raise Stopped
    tasks.submit()
    tasks.collect()
    time.sleep(LOOK_SECONDS)
  tasks.forget()


class _Tasks:
  """The trials that wait for a task, and the tasks that run or are queued."""

  def __init__(self, launching: Launching, cluster: Cluster):
    self._launching, self._cluster = launching, cluster
    self._folder = launching.folder.absolute() / FOLDER
    self._folder.mkdir(exist_ok=True)
    self._executor = _executor(self._folder, cluster)
    self._before = dict(launching.newest)
    self._done_since: dict[str, float] = {}
    self.waiting = {trial_id(trial): trial for trial in launching.left}
    self.jobs: dict[str, tuple[Trial, Any]] = {}

  def take_up(self) -> None:
    """Takes up jobs of an earlier command that are not over."""
    if self._cluster.launcher != "slurm":
      return  # those of this machine ended with the command
    for name, job_id in _noted(self._folder).items():
      if (trial := self.waiting.get(name)) is None:
        continue
      job = _slurm_job(self._folder, job_id)
      if not job.done():
        self.jobs[name] = (self.waiting.pop(name, trial), job)
    if self.jobs:
      self._launching.say(f"waits for {len(self.jobs)} jobs that are queued")

  def submit(self) -> None:
    """Submits the trials whose time has come, as an array."""
    ready = [t for t in self.waiting.values() if self._is_ready(t)]
    if self._cluster.launcher == "local":
      ready = ready[: max(0, self._cluster.at_once - len(self.jobs))]
    if not ready:
      return
    calls = [self._launching.task(trial) for trial in ready]
    if len(calls) == 1:
      jobs = [self._executor.submit(calls[0])]
    else:
      with self._executor.batch():
        jobs = [self._executor.submit(call) for call in calls]
    for trial, job in zip(ready, jobs, strict=True):
      del self.waiting[trial_id(trial)]
      self.jobs[trial_id(trial)] = (trial, job)
    ids = {name: job.job_id for name, (_, job) in self.jobs.items()}
    text = json.dumps(_noted(self._folder) | ids, indent=1)
    durable.replace(self._folder / JOBS, text.encode() + b"\n")
    if self._cluster.launcher == "slurm":
      self._launching.say(
        f"submitted {len(jobs)} tasks as job {_array(jobs[0].job_id)}; logs are"
        f" in {self._folder}"
      )

  def collect(self) -> None:
    """Takes in the records that have landed, and tasks that left none."""
    for name, (trial, job) in list(self.jobs.items()):
      record = record_files.newest(self._launching.folder, name)
      # Here the process is waited for too: nothing of it is to be left behind.
      ended = self._cluster.launcher != "local" or job.done()
      if ended and record is not None and record != self._before.get(name):
        del self.jobs[name]
        self._launching.landed(trial, record)
      elif job.done():
        since = self._done_since.setdefault(name, time.monotonic())
        late = LATE_SECONDS if self._cluster.launcher == "slurm" else 0.0
        if time.monotonic() - since >= late:
          del self.jobs[name]
          self._failed(trial, job)

  def leave(self) -> None:
    """Ends tasks of this machine; those of a cluster go on."""
    if self._cluster.launcher == "local":
      for _, job in self.jobs.values():
        job._process.terminate()  # it passes TERM on: the task ends gracefully
      for _, job in self.jobs.values():
        job._process.wait()
    elif self.jobs:
      arrays = {_array(job.job_id) for _, job in self.jobs.values()}
      self._launching.say(
        f"{len(self.jobs)} jobs go on (scancel {' '.join(sorted(arrays))} ends"
        " them); the same command waits for them"
      )

  def forget(self) -> None:
    """Forgets the ids of jobs that are over."""
    (self._folder / JOBS).unlink(missing_ok=True)

  def _is_ready(self, trial: Trial) -> bool:
    """Whether a trial can be submitted: what it starts from has its record."""
    source = trial.transfer.init_from
    if source is None:
      return True
    name = trial_id(source)
    return name not in self.waiting and name not in self.jobs

  def _failed(self, trial: Trial, job: Any) -> None:
    """Keeps a failed record for a task that left none."""
    reason = _why(job)
    where = f"{self._cluster.launcher} job {job.job_id}"
    task = self._launching.task(trial)
    record = failed_record(
      trial, task.varied, f"{where} left no record: {reason}"
    )
    self._launching.keep(trial, record)


def _executor(folder: pathlib.Path, cluster: Cluster) -> Any:
  """Makes submitit's executor."""
  import submitit

  executor = submitit.AutoExecutor(
    folder=folder / "%j",
    cluster=cluster.launcher,
    slurm_max_num_timeout=MOST_REQUEUES,
  )
  asked = {
    "slurm_partition": cluster.partition or None,
    "gpus_per_node": cluster.gpus,
    "cpus_per_task": cluster.cpus,
    "mem_gb": cluster.memory_gb,
    "slurm_additional_parameters": dict(cluster.options) or None,
  }
  executor.update_parameters(
    name="jaxpower",
    timeout_min=cluster.minutes,
    slurm_signal_delay_s=SIGNAL_SECONDS,
    slurm_array_parallelism=cluster.at_once,
    **{name: value for name, value in asked.items() if value is not None},
  )
  return executor


def _slurm_job(folder: pathlib.Path, job_id: str) -> Any:
  import submitit

  return submitit.SlurmJob(folder / "%j", job_id)


def _noted(folder: pathlib.Path) -> dict[str, str]:
  """Reads the job of each trial that was submitted; {} where nothing is."""
  try:
    facts = json.loads((folder / JOBS).read_bytes())
  except (OSError, ValueError):
    return {}
  return facts if isinstance(facts, dict) else {}


def _array(job_id: str) -> str:
  return job_id.partition("_")[0]


def _why(job: Any) -> str:
  """Says in one line why a task ended without a record."""
  lines: list[str] = []
  for text in (_asked(job.stderr), _asked(job.stdout)):
    lines += (text or "").strip().splitlines()[-1:]
  return lines[0].strip() if lines else "it says nothing; see its logs"


def _asked(question: Callable[[], Any]) -> Any:
  try:
    return question()
  except Exception:  # noqa: BLE001, logs that are not there
    return None


def options(words: Iterable[str]) -> dict[str, str]:
  """Reads options of sbatch, each NAME=VALUE; raises ConfigError."""
  found = {}
  for word in words:
    name, equals, value = word.partition("=")
    if not equals or not name:
      raise ConfigError("write NAME=VALUE", field="sbatch", value=word)
    found[name.lstrip("-").replace("-", "_")] = value
  return found
