"""One measured stretch of work: its energy by domain, and the handle to it.

A window is open while the work runs, closed after it, and final once every
sensor has shown a value from after its end: a counter moves every 20 or 100 ms,
and the caller does not wait for it. So what a caller holds is a `Handle`, which
gives the `Window` when asked, as a future gives its result.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxpower.power.correlation import add_bounds
from jaxpower.power.shares import COMMON, Shares

# By how much the sensors of two boards may differ: the share of power that NVML
# claims for its reading ("accurate to within +/- 5%", nvmlDeviceGetPowerUsage,
# of Fermi and Kepler; of newer boards it says nothing). Against a power meter,
# boards of newer kinds read -8 to +1 %, and one +13 % (Yang, Adamek and Armour,
# arXiv 2312.02741). Taken for CPUs too, whose makers say nothing.
BOARD_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class Energy:
  """One domain's joules in one window; None where unknown, with reasons.

  `joules_bound` is the 95 % half width of the reading, for comparing on one
  board, None where modelled: a model has no honest statistical bar.
  `counter_joules` and `integral_joules` are the two
  methods, where both exist. `peak_watts` is the highest power reading.
  `shares` tells what the bound is of.
  """

  domain: str
  joules: float | None
  joules_bound: float | None
  method: str
  estimated: bool = False
  ticks: int = 0
  integral_joules: float | None = None
  counter_joules: float | None = None
  partial: bool = False
  reasons: tuple[str, ...] = ()
  peak_watts: float | None = None
  shares: Shares = COMMON

  @property
  def board_bound(self) -> float | None:
    """The half width against other boards and machines, None as the other."""
    return across_boards(self.joules, self.joules_bound)

  @property
  def disagreement(self) -> float | None:
    """(integral - counter) / counter, or None."""
    if not self.counter_joules or self.integral_joules is None:
      return None
    return (self.integral_joules - self.counter_joules) / self.counter_joules


@dataclass(frozen=True, slots=True)
class Load:
  """Mean cores that others kept busy, and that the hypervisor took away."""

  other_cores: float
  steal_cores: float


@dataclass(frozen=True, slots=True)
class Window:
  """One measured stretch: gross joules over the job's domains.

  `joules` is None when one of the domains is unknown; the bounds are as those
  of an `Energy`; `apart` has the GPUs of
  the node that do not belong to the job. `load` is that of the cores that this
  process may use, None where the machine does not tell.
  """

  name: str
  start_seconds: float
  seconds: float
  joules: float | None
  joules_bound: float | None
  energies: tuple[Energy, ...]
  estimated: bool = False
  partial: bool = False
  reasons: tuple[str, ...] = ()
  apart: tuple[Energy, ...] = ()
  load: Load | None = None

  @property
  def board_bound(self) -> float | None:
    """The half width against other boards and machines, None as the other."""
    return across_boards(self.joules, self.joules_bound)

  @property
  def watts(self) -> float | None:
    """Mean gross power."""
    if self.joules is None or self.seconds <= 0:
      return None
    return self.joules / self.seconds

  def active_joules(self, idle_watts: float | None) -> float | None:
    """Returns gross minus idle watts times seconds; None where unknown."""
    if self.joules is None or idle_watts is None:
      return None
    return self.joules - idle_watts * self.seconds


def across_boards(joules: float | None, bound: float | None) -> float | None:
  """Adds the sensor's own error of gain to the bound of a reading.

  On one board it cancels; the boards of a node may all be of one batch.
  """
  if joules is None or bound is None:
    return None
  return bound + BOARD_GAIN * abs(joules)


def total(
  name: str,
  start: float,
  end: float,
  energies: Sequence[Energy],
  apart: Sequence[Energy] = (),
  reasons: Sequence[str] = (),
  correlations: Sequence[Sequence[float]] | None = None,
) -> Window:
  """Sums domains to a window. One unknown domain makes the sum unknown.

  The bounds add by the `correlations` of the domains' errors, linearly where
  those are not given.
  """
  joules = [e.joules for e in energies if e.joules is not None]
  complete = bool(energies) and len(joules) == len(energies)
  bounds = [e.joules_bound for e in energies if e.joules_bound is not None]
  bound = None
  if complete and len(bounds) == len(energies):
    bound = add_bounds(bounds, correlations)
  named = [f"{e.domain}: {reason}" for e in energies for reason in e.reasons]
  return Window(
    name=name,
    start_seconds=start,
    seconds=end - start,
    joules=math.fsum(joules) if complete else None,
    joules_bound=bound,
    energies=tuple(energies),
    estimated=any(e.estimated for e in energies),
    partial=not complete or any(e.partial for e in energies),
    reasons=(*reasons, *named),
    apart=tuple(apart),
  )


class Handle:
  """An open or closed window. `steps` may be set: equal steps inside it.

  `at_rest` says that nothing is done in it. `laps` is what has been measured of
  a long one, from its start to `laps_end`.
  `compute` is the monitor's: from a closed handle, its end, and whether to wait
  for the sensors, to the window and whether that is final.
  """

  __slots__ = (
    "_compute",
    "_window",
    "at_rest",
    "end",
    "interrupted",
    "laps",
    "name",
    "start",
    "steps",
  )

  def __init__(
    self,
    compute: "Callable[[Handle, float, bool], tuple[Window, bool]]",
    name: str,
    start: float,
    steps: int | None = None,
  ):
    self.name = name
    self.start = start
    self.end: float | None = None
    self.steps = steps
    self.interrupted = ""
    self.laps: Window | None = None
    self.at_rest = False
    self._compute = compute
    self._window: Window | None = None

  @property
  def laps_end(self) -> float:
    """From when on it is still to be measured."""
    if self.laps is None:
      return self.start
    return self.laps.start_seconds + self.laps.seconds

  @property
  def is_final(self) -> bool:
    """Whether its energy is known for good."""
    return self._window is not None

  def settle(self, window: Window) -> Window:
    """Keeps a window that was computed for good; returns what is kept."""
    if self._window is None:
      self._window = window
    return self._window

  def result(self, *, wait: bool = True) -> Window:
    """Returns the closed window's energy; waits at most one tick for it.

    With `wait=False` the last power is carried on to the end, with a wider
    bound. Raises RuntimeError while the window is open.
    """
    if self.end is None:
      raise RuntimeError(f"window {self.name!r} is still open")
    if self._window is None:
      window, final = self._compute(self, self.end, wait)
      if not final:
        return window
      self._window = window
    return self._window
