"""CPU seconds so far: of this process and its children, and of the machine."""

import os
import resource
import time
from collections.abc import Collection, Iterable
from pathlib import Path

PROC = Path("/proc")
RESCAN_SECONDS = 1.0  # chosen: between two walks through /proc for descendants


def usable_cpus() -> frozenset[int]:
  """Returns the numbers of the logical cores this process may run on."""
  if hasattr(os, "sched_getaffinity"):
    return frozenset(os.sched_getaffinity(0))
  return frozenset(range(os.cpu_count() or 1))


def usable_cores() -> int:
  """Counts the logical cores this process may run on."""
  return len(usable_cpus())


def ticks_per_second() -> int:
  """Returns how many of the kernel's ticks in /proc are a second."""
  return os.sysconf("SC_CLK_TCK")


class CpuTime:
  """CPU seconds of this process, its threads and its descendants so far."""

  def __init__(self, proc: Path = PROC, rescan_seconds: float = RESCAN_SECONDS):
    self._proc = proc
    self._rescan_seconds = rescan_seconds
    self._ticks = ticks_per_second()
    self._children: tuple[int, ...] = ()
    self._scanned = float("-inf")
    self._highest = 0.0

  def read(self) -> float:
    """Returns seconds, which never fall.

    An orphan that ends takes its time along: nobody waits for it but init.
    """
    now = time.monotonic()
    if now - self._scanned >= self._rescan_seconds:
      self._children = self._descendants()
      self._scanned = now
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() + ended.ru_utime + ended.ru_stime
    seconds += sum(self._seconds_of(pid) for pid in self._children)
    self._highest = max(self._highest, seconds)
    return self._highest

  def rescan(self) -> None:
    """Has the next reading look for descendants, however long it was."""
    self._scanned = float("-inf")

  def _seconds_of(self, pid: int) -> float:
    """Reads the CPU seconds of a process and of its ended children."""
    try:
      stat = (self._proc / str(pid) / "stat").read_bytes()
    except OSError:
      return 0.0  # it ended: its parent has its time by now
    # After the name in brackets; then utime, stime, cutime, cstime are 11 to 14
    # (fields 14 to 17 of proc(5)), in clock ticks.
    fields = stat.rpartition(b")")[2].split()
    return sum(int(value) for value in fields[11:15]) / self._ticks

  def _descendants(self) -> tuple[int, ...]:
    """Lists the process ids of all descendants, thread by thread."""
    descendants: list[int] = []
    waiting = [os.getpid()]
    while waiting:
      pid = waiting.pop()
      tasks = self._proc / str(pid) / "task"
      try:
        threads = os.listdir(tasks)
      except OSError:
        continue
      for thread in threads:
        try:
          text = (tasks / thread / "children").read_bytes()
        except OSError:
          continue
        children = [int(child) for child in text.split()]
        descendants += children
        waiting += children
    return tuple(descendants)


class MachineTime:
  """Busy and stolen seconds of the machine's cores, or of some, since boot.

  `cpus` are the numbers of the cores; None is the whole machine.
  """

  def __init__(self, cpus: Collection[int] | None = None, proc: Path = PROC):
    names = [b"cpu"] if cpus is None else [b"cpu%d" % cpu for cpu in cpus]
    self._names = frozenset(names)
    self._path = proc / "stat"
    self._ticks = ticks_per_second()

  def read(self) -> tuple[float, float] | None:
    """Returns busy and stolen seconds; None where the machine does not tell.

    Stolen is what ready work waited for the hypervisor.
    """
    try:
      with open(self._path, "rb") as file:
        busy, stolen = self._ticks_of(file)
    except (OSError, ValueError, IndexError):
      return None
    # Sandboxes without such counters show zeros: that is no idle machine.
    return (busy / self._ticks, stolen / self._ticks) if busy else None

  def _ticks_of(self, lines: Iterable[bytes]) -> tuple[int, int]:
    """Sums user, nice, system, irq, softirq; and steal (proc(5)).

    User has the time of guests.
    """
    busy = stolen = 0
    for line in lines:
      name, *fields = line.split()
      if not name.startswith(b"cpu"):
        break  # the cores stand first; interrupts, which are many, later
      if name in self._names:
        user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
        busy += user + nice + system + irq + softirq
        stolen += steal
    return busy, stolen
