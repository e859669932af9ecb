"""The idle power of a machine: measured once a minute, not in every trial.

Idle seconds of every trial were a sixth of the time of a sweep of short ones.
A worker keeps what its last trial with an idle phase measured, and gives it to
those that begin within a minute under the same conditions; their records say
how old it was.
"""

import dataclasses
from typing import Any

from jaxpower.config import Trial
from jaxpower.records import TrialRecord

PHASE = "idle"
LASTS_SECONDS = 60.0  # chosen


@dataclasses.dataclass(frozen=True)
class Idle:
  """Idle power as a trial has measured it.

  Attributes:
    watts: The mean.
    monotonic_seconds: When that trial began.
    conditions: On which it depends, of that trial.
  """

  watts: float
  monotonic_seconds: float
  conditions: tuple[Any, ...]

  def serves(self, trial: Trial, now_seconds: float) -> bool:
    """Whether a trial that begins now can do without an idle phase."""
    young = now_seconds - self.monotonic_seconds < LASTS_SECONDS
    return young and self.conditions == _conditions(trial)


def measured_by(
  trial: Trial, record: TrialRecord, began_seconds: float
) -> Idle | None:
  """Returns what the trial of a record measured; None where it did not."""
  watts = record.idle_watts
  measured = trial.idle_seconds > 0 and PHASE in record.seconds_by_phase
  if watts is None or not measured:
    return None
  return Idle(watts, began_seconds, _conditions(trial))


def _conditions(trial: Trial) -> tuple[Any, ...]:
  boards = (trial.devices, trial.power_limit_watts, trial.sm_clock_mhz)
  return (trial.idle_seconds, trial.processes, trial.cores, *boards)
