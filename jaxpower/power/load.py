"""How many cores other work than ours kept busy in each window.

Whoever shares the cores changes the seconds of a training, and with them its
joules, measured or modelled. So the thread that reads the sensors also notes
now and then what the cores that we may use have spent, and what we have; a
window gets the mean between its edges, interpolated. The caller reads nothing
at an edge.
"""

import math
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable

from jaxpower.power.cpu_time import CpuTime, MachineTime, usable_cpus
from jaxpower.power.reading import Problem
from jaxpower.power.window import Load, Window

# Chosen: more than so much of the usable cores, used by others or stolen, is
# told; told in such steps, so that twelve trials do not give twelve warnings.
BUSY_SHARE, STEP = 0.1, 0.1
QUIET = "run on a quiet machine"


class LoadLog:
  """What the machine's cores and we had spent, at instants.

  May be used from several threads.
  """

  def __init__(self, own: CpuTime, machine: MachineTime | None = None):
    self._own = own
    self._machine = machine or MachineTime(usable_cpus())
    self._lock = threading.Lock()
    self._instants: list[float] = []
    self._spent: list[tuple[float, float, float]] = []  # busy, stolen, own

  def update(self) -> None:
    """Notes what was spent up to now, if the machine tells it."""
    with self._lock:
      machine, now = self._machine.read(), time.monotonic()
      if machine is not None:
        self._instants.append(now)
        self._spent.append((*machine, self._own.read()))

  def between(self, start: float, end: float) -> Load | None:
    """Returns the load between two instants; None where it is not known.

    Reads once more if the last reading is from before the end.
    """
    if end <= start:
      return None
    if not self._instants or self._instants[-1] < end:
      self.update()
    with self._lock:
      before, after = self._at(start), self._at(end)
    if before is None or after is None:
      return None
    busy, stolen, own = (b - a for a, b in zip(before, after, strict=True))
    # The kernel's ticks less our own, finer clock may come out below zero.
    other = max(0.0, busy - own)
    return Load(other / (end - start), stolen / (end - start))

  def drop_before(self, instant: float) -> None:
    """Forgets the readings that no window from an instant on needs."""
    with self._lock:
      old = bisect_left(self._instants, instant) - 1
      if old > 0:
        del self._instants[:old], self._spent[:old]

  def _at(self, instant: float) -> tuple[float, ...] | None:
    """Interpolates what was spent up to an instant between two readings."""
    instants, spent = self._instants, self._spent
    if not instants or not instants[0] <= instant <= instants[-1]:
      return None
    i = bisect_left(instants, instant)
    if instants[i] == instant:
      return spent[i]
    share = (instant - instants[i - 1]) / (instants[i] - instants[i - 1])
    pairs = zip(spent[i - 1], spent[i], strict=True)
    return tuple(a + share * (b - a) for a, b in pairs)


def mean_load(windows: Iterable[Window]) -> Load | None:
  """Returns the mean load of windows; None where that of one is unknown."""
  other, stolen, seconds = [], [], []
  for window in windows:
    if window.load is None:
      return None
    other.append(window.load.other_cores * window.seconds)
    stolen.append(window.load.steal_cores * window.seconds)
    seconds.append(window.seconds)
  whole = math.fsum(seconds)
  if whole <= 0:
    return None
  return Load(math.fsum(other) / whole, math.fsum(stolen) / whole)


def load_warnings(load: Load | None, cores: int) -> tuple[Problem, ...]:
  """Warns where others had more than BUSY_SHARE of so many cores."""
  if load is None:
    return ()
  shared = "its seconds and joules are those of a shared machine"
  warnings = []
  if load.other_cores > BUSY_SHARE * cores:
    kept = f"other work kept {_share(load.other_cores, cores)} busy"
    warnings.append(Problem(f"{kept}: {shared}", QUIET))
  if load.steal_cores > BUSY_SHARE * cores:
    took = f"the hypervisor took away {_share(load.steal_cores, cores)}"
    warnings.append(Problem(f"{took}: {shared}", QUIET))
  return tuple(warnings)


def _share(busy: float, cores: int) -> str:
  share = STEP * round(busy / cores / STEP)
  return f"about {100 * share:.0f} % of the {cores} cores"
