"""Measures what it costs in joules to train a network to an accuracy.

`run` a `Sweep` of trials, `run_trial` one of them where a scheduler wants to
run them, put a `Monitor` around a loop of your own, or `attach` a script of
your own to a sweep. Each name is imported when it is first used, so that
`from jaxpower import attach` costs a script next to nothing, and so that no
numpy is loaded: the threads of its linear algebra do not block signals, and
would take those that `measure` passes on to its command.
"""

import importlib

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
  from typing import Any

  from jaxpower.cli.from_python import run
  from jaxpower.config import (
    ConfigError,
    Model,
    Optimizer,
    Sweep,
    Transfer,
    Trial,
  )
  from jaxpower.one_trial import run_trial
  from jaxpower.power import MeterError, Monitor, Window
  from jaxpower.records import TrialRecord
  from jaxpower.result import Result
  from jaxpower.script.attach import attach

__all__ = [
  "ConfigError",
  "MeterError",
  "Model",
  "Monitor",
  "Optimizer",
  "Result",
  "Sweep",
  "Transfer",
  "Trial",
  "TrialRecord",
  "Window",
  "attach",
  "run",
  "run_trial",
]

_HOMES = {
  "ConfigError": "jaxpower.config",
  "MeterError": "jaxpower.power",
  "Model": "jaxpower.config",
  "Monitor": "jaxpower.power",
  "Optimizer": "jaxpower.config",
  "Result": "jaxpower.result",
  "Sweep": "jaxpower.config",
  "Transfer": "jaxpower.config",
  "Trial": "jaxpower.config",
  "TrialRecord": "jaxpower.records",
  "Window": "jaxpower.power",
  "attach": "jaxpower.script.attach",
  "run": "jaxpower.cli.from_python",
  "run_trial": "jaxpower.one_trial",
}


def __getattr__(name: str) -> "Any":
  """Imports a name of `__all__` when it is first used."""
  if name in _HOMES:
    return getattr(importlib.import_module(_HOMES[name]), name)
  if name == "__version__":
    from importlib import metadata

    try:
      return metadata.version("jaxpower")
    except metadata.PackageNotFoundError:  # a checkout on the path
      return "unknown"
  raise AttributeError(f"module 'jaxpower' has no attribute '{name}'")
