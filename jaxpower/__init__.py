"""Measures what it costs in joules to train a network to an accuracy.

`run` a `Sweep` of trials, `run_trial` one of them where a scheduler wants to
run them, or put a `Monitor` around a loop of your own.
Importing loads no framework, and not even numpy: the threads of its linear
algebra do not block signals, and would take those that `measure` passes on to
its command.
"""

from typing import TYPE_CHECKING, Any

from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
)
from jaxpower.power import MeterError, Monitor, Window
from jaxpower.records import TrialRecord

if TYPE_CHECKING:
  from jaxpower.one_trial import run_trial
  from jaxpower.sweep import run

__all__ = [
  "ConfigError",
  "MeterError",
  "Model",
  "Monitor",
  "Optimizer",
  "Sweep",
  "Transfer",
  "Trial",
  "TrialRecord",
  "Window",
  "run",
  "run_trial",
]


def __getattr__(name: str) -> Any:
  """Imports `run` or `run_trial` when it is first used: they load numpy."""
  if name == "__version__":
    from importlib import metadata

    try:
      return metadata.version("jaxpower")
    except metadata.PackageNotFoundError:  # a checkout on the path
      return "unknown"
  if name == "run":
    from jaxpower.sweep import run

    return run
  if name == "run_trial":
    from jaxpower.one_trial import run_trial

    return run_trial
  raise AttributeError(f"module 'jaxpower' has no attribute '{name}'")
