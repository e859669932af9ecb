"""CPU power modelled from CPU time: a guess with its assumptions, labelled.

Of what it is an estimate is said with it. A trial or a command is billed the
CPU time of its process, threads and descendants: on a shared machine a
neighbour's work would become our joules and change with the hour. `watch` and
`doctor`, which do nothing themselves, show the machine.

Joules = idle watts x cores x seconds + busy watts x CPU seconds: the linear
model of Cloud Carbon Footprint. It sees neither frequency nor vector units nor
memory, so a ratio of two such joules is a ratio of CPU time.
"""

import os
import time
from dataclasses import asdict, dataclass
from typing import Literal

from jaxpower.power.cpu_time import CpuTime, MachineTime, usable_cores
from jaxpower.power.cpu_watts import Cpu, read_cpu
from jaxpower.power.reading import Domain, Reading

Whose = Literal["process", "machine"]
NAMES: dict[Whose, str] = {
  "process": "cpu-estimate",
  "machine": "cpu-machine",
}
COUNTED: dict[Whose, str] = {
  "process": "this process and its children",
  "machine": "this machine",
}
# What CCF's fits hold: more than what a RAPL counter sees.
COVERS = "the whole server at the wall, divided among its hardware threads"
NO_MACHINE_TIME = "/proc/stat does not tell the machine's CPU time"


@dataclass(frozen=True)
class CpuModel:
  """What the model assumes, for each of `cores` logical cores.

  A busy core draws `busy_watts_per_core` beside the `idle_watts_per_core` of
  every core. `threads_counted` is how many of the fit's hardware threads a
  logical core stands for.
  """

  busy_watts_per_core: float
  idle_watts_per_core: float
  cores: int
  family: str = "given"
  source: str = "given"
  covers: str = ""
  threads_per_core: int | None = None
  threads_counted: float = 1.0


def cpu_model(cpu: Cpu, cores: int) -> CpuModel:
  """Makes the model of so many logical cores of a CPU from its fit."""
  fit, threads = cpu.fit, cpu.threads_counted
  return CpuModel(
    busy_watts_per_core=threads * (fit.full_watts - fit.idle_watts),
    idle_watts_per_core=threads * fit.idle_watts,
    cores=cores,
    family=fit.family,
    source=fit.source,
    covers=COVERS,
    threads_per_core=cpu.threads_per_core,
    threads_counted=threads,
  )


class EstimateSource:
  """The CPU as the model sees it. Always labelled estimated."""

  def __init__(self, model: CpuModel | None = None, whose: Whose = "process"):
    own = whose == "process"
    cores = usable_cores() if own else os.cpu_count() or 1
    self.model = model or cpu_model(read_cpu(), cores)
    self.cpu_time = CpuTime() if own else None
    self.whose: Whose = whose
    self._machine_time = MachineTime()
    # Since when a machine was up it has spent much: told from now on.
    self._first = None if own else self._machine_time.read()
    self._start = time.monotonic()
    self._domain = Domain(
      NAMES[whose],
      "cpu",
      "model",
      f"CPU of {COUNTED[whose]}, modelled from CPU time,"
      f" {self.model.cores} cores",
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
    cpu_seconds = self._cpu_seconds()
    end = time.monotonic()
    if cpu_seconds is None:
      failure = NO_MACHINE_TIME
      return (Reading(self._domain.name, begin, end, failure=failure),)
    seconds = (begin + end) / 2 - self._start
    joules = (
      model.idle_watts_per_core * model.cores * seconds
      + model.busy_watts_per_core * cpu_seconds
    )
    return (Reading(self._domain.name, begin, end, joules),)

  def _cpu_seconds(self) -> float | None:
    if self.cpu_time is not None:
      return self.cpu_time.read()
    now = self._machine_time.read()
    return now[0] - self._first[0] if now and self._first else None

  def describe(self) -> dict[str, object]:
    """Describes the assumptions."""
    counts = f"CPU time of {COUNTED[self.whose]}"
    return {
      "source": "estimate",
      "assumptions": {**asdict(self.model), "counts": counts},
    }

  def close(self) -> None:
    """Does nothing: nothing was opened."""
