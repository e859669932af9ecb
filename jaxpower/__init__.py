"""What it costs in joules to train a network to an accuracy.

The public face: `run` a `Sweep` of trials, or put a `Monitor` around a loop
of your own. Importing it loads no framework.
"""

from jaxpower.config import ConfigError, Model, Optimizer, Sweep, Trial
from jaxpower.power import MeterError, Monitor, Window
from jaxpower.records import TrialRecord
from jaxpower.sweep import run

__all__ = [
  "ConfigError",
  "MeterError",
  "Model",
  "Monitor",
  "Optimizer",
  "Sweep",
  "Trial",
  "TrialRecord",
  "Window",
  "run",
]
