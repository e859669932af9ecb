"""Runs a short trial of a plan, to judge by it what all others will cost."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from jaxpower.config import COMMAND, ConfigError, Trial
from jaxpower.one_trial import run_trial
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan

SEGMENTS = 2  # evaluations that a probe trains to; chosen: seconds, not minutes


def first(trials: Iterable[Trial]) -> Trial:
  """Chooses the trial to probe: the first that starts from nothing.

  Raises ConfigError where there is none that can be cut short.
  """
  for trial in trials:
    if trial.transfer.init_from is None and trial.framework != COMMAND:
      return trial
  raise ConfigError(
    "no trial to run can be cut short: each is a command, or starts from"
    " another trial",
    field="--probe",
  )


def cut(trial: Trial) -> Trial:
  """Copies a trial that trains for SEGMENTS evaluations and no longer."""
  most = SEGMENTS * trial.evaluate_every_examples
  return dataclasses.replace(
    trial,
    budget_examples=min(trial.budget_examples, most),
    stop_at_target=False,
    patience=0,
  )


def run(
  plan: Plan,
  trial: Trial,
  watch: Callable[[Any], None] = lambda progress: None,
  tell: Callable[[str], None] = lambda line: None,
  stop: Callable[[], bool] = lambda: False,
) -> TrialRecord:
  """Runs a trial of a plan, cut short, and leaves nothing behind.

  Raises what `run_trial` does, and ConfigError where the trial failed.
  """
  with tempfile.TemporaryDirectory(prefix="jaxpower-probe-") as folder:
    record = run_trial(
      cut(trial),
      pathlib.Path(folder),
      meter=plan.meter,
      watch=watch,
      tell=tell,
      stop=stop,
    )
  if record.status == "failed":
    raise ConfigError(f"the probe failed: {record.error}")
  return record
