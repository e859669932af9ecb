"""What a sensor covers, and what it said: the values every source speaks in.

Sources convert to watts and joules here, once; nothing above knows milliwatts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["gpu", "cpu", "dram"]
Method = Literal["counter", "power_instant", "power_average", "model"]


@dataclass(frozen=True)
class Problem:
  """What is wrong with a meter or a sensor: the reason, the fix where known."""

  reason: str
  fix: str = ""

  def __str__(self) -> str:
    """Renders the one line that people read."""
    return f"{self.reason}; fix: {self.fix}" if self.fix else self.reason


def record_line(problem: Problem) -> str:
  """Renders a problem as the one line that records and JSON hold.

  The word "mend" is part of record schema v1. Nothing splits the line again.
  """
  if not problem.fix:
    return problem.reason
  return f"{problem.reason}; mend: {problem.fix}"


class MeterError(Exception):
  """Something cannot be measured: `problem` says why and how to fix it."""

  def __init__(self, reason: str, fix: str = ""):
    super().__init__(reason, fix)  # as an error is pickled
    self.problem = Problem(reason, fix)

  def __str__(self) -> str:
    return str(self.problem)


@dataclass(frozen=True)
class Domain:
  """What a number covers: one GPU by UUID, a CPU package, a DRAM.

  `counted` is false for GPUs of the node outside the job: shown apart.
  `max_watts` is what no honest reading exceeds; a jump above it is a fault.
  `update_seconds` is how often the counter moves, where that is known; None
  means it has to be found out. `power_window_seconds` is how long the power
  reading averages, where that is known to be long.
  """

  name: str
  kind: Kind
  method: Method
  description: str = ""
  estimated: bool = False
  counted: bool = True
  max_watts: float | None = None
  update_seconds: float | None = None
  power_window_seconds: float = 0.0
  notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
  """One answer of one sensor.

  `begin` and `end` are the monotonic seconds around the call. `joules` is the
  cumulative counter, `watts` the instant power (or the average one where
  there is no instant). `stamp_seconds` is the sensor's own time of the
  counter's value, on the monotonic clock. A missing value is None; `failure`
  says why.
  """

  domain: str
  begin: float
  end: float
  joules: float | None = None
  watts: float | None = None
  stamp_seconds: float | None = None
  failure: str | None = None


class Source(Protocol):
  """Reads one or more domains in one go, already open when made.

  `read` returns a reading for each domain and never raises for a sensor's
  fault: it says so in the reading. `close` may be called more than once.
  """

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The domains, in a fixed order."""
    ...

  def read(self) -> Sequence[Reading]:
    """Returns one reading for each domain, in the order of `domains`."""
    ...

  def describe(self) -> dict[str, object]:
    """Returns what a record should keep about the source, ready for JSON."""
    ...

  def close(self) -> None:
    """Gives back what the source holds."""
    ...


class QuickSource(Source, Protocol):
  """A source whose answers can be digested later, when there is time.

  `read` is `ask()()`. What `ask` returns is called once, and may be called
  after the next `ask`.
  """

  def ask(self) -> Callable[[], Sequence[Reading]]:
    """Reads, and returns what makes readings of the answer."""
    ...
