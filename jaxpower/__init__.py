"""What it costs in joules to train a network to an accuracy.

The public face: `run` a `Sweep` of trials, or put a `Monitor` around a loop
of your own. Importing it loads no framework, and not even numpy: the threads
of its linear algebra would take the signals that `measure` hands on.
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
]


def __getattr__(name: str) -> Any:
  if name == "run":
    from jaxpower.sweep import run

    return run
  raise AttributeError(f"module 'jaxpower' has no attribute '{name}'")
