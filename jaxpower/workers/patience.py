"""Says how long a worker is waited for, and when that is over.

A worker sends a sign of life every few seconds from a thread of its own, so
silence means that the process is stopped or the machine in trouble. A call of
a driver or of XLA that never returns leaves that thread alive, so each phase
has a limit too. Only time counts in which this process ran: after a machine
slept, or both processes were stopped, the worker has not been late.
"""

import dataclasses
import time
from collections.abc import Callable

from jaxpower.config import Sweep

START = "start"  # the phase before a worker is ready
COMPILING = ("prepare", "compile")

# The longest a single wait may count. Waits are shorter, so what is beyond was
# no waiting: this process was stopped, or busy elsewhere.
TICK_SECONDS = 1.0  # chosen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
  """The seconds that a worker is waited for; by default those of a sweep.

  Attributes:
    silent: Without a sign of life.
    start: Until it is ready.
    compile: In one phase of compiling.
    phase: In any other phase: from one evaluation to the next in training.
  """

  silent: float = Sweep.patience_seconds
  start: float = Sweep.start_seconds
  compile: float = Sweep.compile_seconds
  phase: float = Sweep.phase_seconds


DEFAULT_LIMITS = Limits()


class Patience:
  """Counts for how long a worker was waited for.

  Args:
    limits: The limits; 0 or less is none.
    phase: The phase that the worker is in.
    clock: Returns seconds that never go back.
  """

  def __init__(
    self,
    limits: Limits,
    phase: str,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._limits = limits
    self._clock = clock
    self._last = clock()
    self._silent = 0.0
    self._in_phase = 0.0
    self.phase = phase

  def hears(self, phase: str | None = None) -> None:
    """Notes a sign of life, which may say that a phase begins."""
    self._silent = 0.0
    if phase is not None:
      self.phase, self._in_phase = phase, 0.0

  def exhausted(self) -> str:
    """Says why the worker is to be given up; "" while it is not."""
    now = self._clock()
    waited, self._last = min(now - self._last, TICK_SECONDS), now
    self._silent += waited
    self._in_phase += waited
    # A process that is starting has no thread yet that could give a sign.
    if self.phase != START and 0 < self._limits.silent < self._silent:
      return (
        f"hung in {self.phase}: no sign of life for {self._limits.silent:g} s"
        " (patience_seconds)"
      )
    field, limit = self._limit()
    if 0 < limit < self._in_phase:
      return f"hung in {self.phase}: not over after {limit:g} s ({field})"
    return ""

  def _limit(self) -> tuple[str, float]:
    """Returns the field that limits the present phase, and its seconds."""
    if self.phase == START:
      return "start_seconds", self._limits.start
    if self.phase in COMPILING:
      return "compile_seconds", self._limits.compile
    return "phase_seconds", self._limits.phase
