"""CPU power modelled from CPU time: a guess with its assumptions, labelled.

Counts the CPU time of the measured process, its threads and its descendants,
not of the whole machine: on a shared machine a neighbour's work would become
our joules and change with the hour, while CPU time of the job repeats.
"""

import os
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from jaxpower.power.reading import Domain, Reading

RESCAN_SECONDS = 1.0  # chosen: between two walks through /proc for descendants


@dataclass(frozen=True)
class CpuModel:
  """Joules = idle watts x cores x seconds + busy watts x CPU seconds.

  Per logical core. Makers give 280 W for 64 cores (EPYC 7763), 270 W for 40
  (Xeon 8380), 360 W for 96 (EPYC 9654): 3.8 to 6.8 W a core at full load. We
  take 5 W, of which a fifth is drawn by an idle core too: an assumption, not a
  measurement. It may be wrong by a factor of two on a given machine; the ratio
  of two runs on one machine suffers less.
  """

  busy_watts_per_core: float = 4.0
  idle_watts_per_core: float = 1.0
  cores: int = 0
  reason: str = (
    "CPU makers state 3.8 to 6.8 W a core at full load;"
    " a fifth of it taken as idle"
  )
  counts: str = "CPU time of the process, its threads and its descendants"


def usable_cores() -> int:
  """Counts the cores this process may run on."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


class CpuTime:
  """CPU seconds of this process, its threads and its descendants so far."""

  def __init__(self, proc: Path = Path("/proc")):
    self._proc = proc
    self._ticks = os.sysconf("SC_CLK_TCK")
    self._children: tuple[int, ...] = ()
    self._scanned = float("-inf")
    self._highest = 0.0

  def read(self) -> float:
    """Returns seconds, which never fall.

    An orphan that ends takes its time along: nobody waits for it but init.
    """
    now = time.monotonic()
    if now - self._scanned >= RESCAN_SECONDS:
      self._children = self._descendants()
      self._scanned = now
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() + ended.ru_utime + ended.ru_stime
    seconds += sum(self._seconds_of(pid) for pid in self._children)
    self._highest = max(self._highest, seconds)
    return self._highest

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


class EstimateSource:
  """The CPU as the model sees it. Always labelled estimated."""

  def __init__(self, model: CpuModel | None = None):
    model = model or CpuModel()
    if not model.cores:
      model = CpuModel(**{**asdict(model), "cores": usable_cores()})
    self.model = model
    self._cpu_time = CpuTime()
    self._start = time.monotonic()
    self._domain = Domain(
      "cpu-estimate",
      "cpu",
      "model",
      f"CPU modelled from CPU time, {model.cores} cores",
      estimated=True,
      update_seconds=0.0,
    )

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The modelled CPU."""
    return (self._domain,)

  def read(self) -> tuple[Reading]:
    """Models the joules since the source was made."""
    model = self.model
    begin = time.monotonic()
    cpu_seconds = self._cpu_time.read()
    end = time.monotonic()
    seconds = (begin + end) / 2 - self._start
    joules = (
      model.idle_watts_per_core * model.cores * seconds
      + model.busy_watts_per_core * cpu_seconds
    )
    return (Reading(self._domain.name, begin, end, joules),)

  def describe(self) -> dict[str, object]:
    """Describes the assumptions."""
    return {"source": "estimate", "assumptions": asdict(self.model)}

  def close(self) -> None:
    """Does nothing: nothing was opened."""
