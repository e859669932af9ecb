"""Where workers run that run at once: each on its own GPUs, or its own cores.

GPUs are named by UUID, the one name on which CUDA and NVML agree. Cores are
dealt out by physical core, so that no two workers share one; a worker's cores
are those of its process, by which XLA and OpenMP size their threads.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

from jaxpower.config import COMMAND, ConfigError
from jaxpower.power import MeterError
from jaxpower.power.cpu_time import usable_cpus
from jaxpower.power.devices import list_boards, visible_devices
from jaxpower.power.nvml import start_nvml, stop_nvml

AUTO = "auto"
VISIBLE = "CUDA_VISIBLE_DEVICES"
CPUS = pathlib.Path("/sys/devices/system/cpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
  """Where a worker runs, and beside how many.

  Attributes:
    gpus: UUIDs of its boards, or of MIG parts; none: those of its sweep.
    cores: Numbers of its logical cores; none: those of its sweep.
    at_once: How many workers the sweep runs at once, this one too.
  """

  gpus: tuple[str, ...] = ()
  cores: tuple[int, ...] = ()
  at_once: int = 1

  @property
  def environment(self) -> dict[str, str]:
    """The variables by which frameworks see these GPUs alone."""
    return {VISIBLE: ",".join(self.gpus)} if self.gpus else {}

  @property
  def cores_usable(self) -> int:
    """Counts the logical cores that its worker may run on."""
    return len(self.cores or usable_cpus())

  def narrowed(self, cores: int) -> "Place":
    """Returns the place with so many of its cores; 0: with all of them."""
    if not cores:
      return self
    every = by_physical_core(frozenset(self.cores) or usable_cpus())
    return dataclasses.replace(self, cores=tuple(sorted(every[:cores])))

  @property
  def name(self) -> str:
    """Names it in a line: its boards or its cores."""
    if self.gpus:
      return ", ".join(self.gpus)
    return f"cores {', '.join(map(str, self.cores))}" if self.cores else ""

  @contextlib.contextmanager
  def held(self) -> Iterator[None]:
    """Gives what this thread starts meanwhile the cores; a context manager."""
    if not self.cores:
      yield
      return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, self.cores)
    try:
      yield
    finally:
      os.sched_setaffinity(0, before)


WHOLE = Place()  # all that its sweep may use


def parse(text: str) -> int | str:
  """Reads how many trials are to run at once; raises ConfigError."""
  if text == AUTO:
    return AUTO
  if not text.isdecimal() or not int(text):
    raise ConfigError(
      "not a number from 1, nor auto", field="parallel", value=text
    )
  return int(text)


def deal(
  parallel: int | str, devices: int, platform: str, visible: int
) -> tuple[Place, ...]:
  """Deals GPUs or cores out to so many workers; one place where it is one.

  Args:
    parallel: How many; "auto" is one for each group of GPUs, on a CPU one.
    devices: How many each trial is divided over, at most; 0: all.
    platform: On which the workers train: "cpu", "command" or another.
    visible: How many devices a worker sees that has no place.

  Raises ConfigError where there are not enough of them.
  """
  parallel = parse(str(parallel))
  if parallel == 1:
    return (WHOLE,)
  gpus: tuple[str, ...] = ()
  if platform == COMMAND:  # it may take whatever there is
    gpus = _gpus_or_none()
    platform = "gpu" if gpus else "cpu"
  if platform == "cpu":
    if parallel == AUTO:
      return (WHOLE,)
    return by_cores(int(parallel), by_physical_core(usable_cpus()))
  if not devices:
    raise ConfigError(
      "each trial takes all GPUs (devices=0), so that none are left for"
      " another; set --config.devices=1",
      field="parallel",
      value=str(parallel),
    )
  return by_gpus(parallel, devices, gpus or visible_gpus(visible))


def by_gpus(
  parallel: int | str, devices: int, gpus: Sequence[str]
) -> tuple[Place, ...]:
  """Gives each worker so many GPUs, in CUDA's order."""
  most = len(gpus) // devices
  count = most if parallel == AUTO else int(parallel)
  if not 1 <= count <= most:
    raise ConfigError(
      f"at {devices} a trial, {len(gpus)} GPUs are enough for {most}",
      field="parallel",
      value=str(parallel),
    )
  groups = [gpus[i * devices : (i + 1) * devices] for i in range(count)]
  return tuple(Place(gpus=tuple(own), at_once=count) for own in groups)


def by_cores(parallel: int, cores: Sequence[int]) -> tuple[Place, ...]:
  """Gives each worker equally many cores; what is left over is nobody's."""
  each = len(cores) // parallel
  if not each:
    raise ConfigError(
      f"there are {len(cores)} cores",
      field="parallel",
      value=str(parallel),
    )
  groups = [cores[i * each : (i + 1) * each] for i in range(parallel)]
  return tuple(
    Place(cores=tuple(sorted(own)), at_once=parallel) for own in groups
  )


def by_physical_core(
  cpus: frozenset[int], root: pathlib.Path = CPUS
) -> list[int]:
  """Sorts logical cores so that those of one physical core stand together."""
  return sorted(cpus, key=lambda cpu: (*_core_of(cpu, root), cpu))


def _core_of(cpu: int, root: pathlib.Path) -> tuple[int, int]:
  """Returns the package and the physical core of a logical one."""
  folder = root / f"cpu{cpu}" / "topology"
  try:
    package = int((folder / "physical_package_id").read_text())
    return package, int((folder / "core_id").read_text())
  except (OSError, ValueError):
    return 0, cpu


def visible_gpus(count: int) -> tuple[str, ...]:
  """Lists the GPUs of this process by UUID, in CUDA's order.

  Raises ConfigError unless they are as many as a framework sees.
  """
  try:
    found, warnings = _gpus()
  except MeterError as error:
    raise ConfigError(
      f"trials at once need their GPUs by UUID, and {error}", field="parallel"
    ) from None
  if len(found) != count or warnings:
    reason = warnings[0] if warnings else f"NVML shows {len(found)} of {count}"
    raise ConfigError(
      f"which GPUs a trial would have is not known ({reason}); name them by"
      f" UUID in {VISIBLE}",
      field="parallel",
    )
  return found


def _gpus_or_none() -> tuple[str, ...]:
  """Lists the GPUs of this process by UUID; none without NVML."""
  try:
    found, _ = _gpus()
  except MeterError:
    return ()
  return found


def _gpus() -> tuple[tuple[str, ...], tuple[str, ...]]:
  """Lists the GPUs that CUDA would show by UUID, and what NVML warns of."""
  start_nvml()
  try:
    found, warnings = visible_devices(list_boards())
  finally:
    stop_nvml()
  names = (device.mig_uuid or device.board.uuid for device in found)
  return tuple(names), tuple(warnings)
