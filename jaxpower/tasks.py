"""Runs the trials of a plan as tasks: launched on a cluster, or one alone.

Every task is a call of `run_trial`, with what the plan says of its trial.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

from jaxpower.config import Trial
from jaxpower.folder import sweep_file
from jaxpower.folder.lock import locked
from jaxpower.launch import launcher
from jaxpower.launch.task import WAIT_SECONDS, TrialTask
from jaxpower.one_trial import run_trial
from jaxpower.onlookers import Onlookers
from jaxpower.records import TrialRecord
from jaxpower.sweep import (
  Plan,
  Watch,
  Writer,
  execute,
  limits_of,
  write_growth,
  write_sweep,
)
from jaxpower.workers import places


def launch(
  plan: Plan,
  cluster: launcher.Cluster,
  *,
  watch: Watch = lambda number, trial, news: None,
  tell: Callable[[str], None] = lambda line: None,
  stop: Callable[[], bool] = lambda: False,
) -> tuple[TrialRecord, ...]:
  """Runs the trials left of a plan as tasks of a cluster, and waits for them.

  Args and what it returns are those of `execute`; the folder has to lie on
  storage that the nodes of the cluster share. Once `stop` is true it waits no
  longer: tasks of this machine end at their next look, those of a cluster go
  on.
  """
  newest, onlookers = dict(plan.recorded), Onlookers()
  if not plan.left:
    return execute(plan, watch=watch, tell=tell, stop=stop)
  launcher.check(cluster)
  with locked(plan.folder) as lock:
    write_growth(plan)
    writer = Writer(plan, lock, newest, onlookers, watch, tell, stop)
    launcher.run(
      launcher.Launching(
        left=plan.left,
        folder=plan.folder,
        task=functools.partial(_task, plan, cluster),
        newest=newest,
        landed=writer.landed,
        keep=writer.keep,
        say=writer.say,
        stop=stop,
      ),
      cluster,
    )
  return tuple(newest[name] for name in plan.order if name in newest)


def prepare(plan: Plan) -> None:
  """Writes sweep.json for a plan whose trials others will run.

  Raises ConfigError where the folder cannot be written to, or another run has
  it.
  """
  with locked(plan.folder):
    write_growth(plan)


def run_one(plan: Plan, trial: Trial, **facts: Any) -> TrialRecord:
  """Runs one trial of a plan, beside other processes that run others of it.

  The first of them writes sweep.json. A trial that another process has is
  waited for, as long as the claim of a node that died may stand. `facts` are
  further arguments of `run_trial`, whose errors it raises.
  """
  plan.folder.mkdir(parents=True, exist_ok=True)
  if not (plan.folder / sweep_file.NAME).exists():
    write_sweep(plan)
  task: dict[str, Any] = {"wait_seconds": WAIT_SECONDS}
  task |= _arguments(plan, trial) | facts
  return run_trial(trial, plan.folder, **task)


def _task(plan: Plan, cluster: launcher.Cluster, trial: Trial) -> TrialTask:
  """Makes the task of a trial."""
  # submitit hides GPUs from tasks of this machine that ask for none.
  local = cluster.launcher == "local"
  return TrialTask(
    trial=trial,
    folder=plan.folder.absolute(),
    visible=os.environ.get(places.VISIBLE, "") if local else None,
    **_arguments(plan, trial),
  )


def _arguments(plan: Plan, trial: Trial) -> dict[str, Any]:
  """Returns what a plan says of how one of its trials is run."""
  return {
    "varied": plan.varied(trial),
    "meter": plan.meter,
    "retry_failed": plan.retry_failed,
    "keep_checkpoints": plan.sweep.keep_checkpoints,
    "keep_weights": plan.keeps_weights(trial),
    "checkpoint_minutes": plan.sweep.checkpoint_minutes,
    "timeout_seconds": plan.sweep.timeout_seconds,
    "compilation_cache": plan.sweep.compilation_cache,
    "compile_repeats": plan.compile_repeats,
    "limits": limits_of(plan.sweep),
  }
