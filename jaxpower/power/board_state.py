"""The state of the job's GPUs: limits, clocks, throttling, who shares them.

A joule has to be read together with it: a board under a lower power limit, a
hot one, or one that a neighbour uses takes other energy for the same work. The
state is asked for at the start, at the end and every few seconds between, so
that a change in the middle is noted too.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pynvml

from jaxpower.power.devices import (
  Board,
  choose_boards,
  list_boards,
  visible_devices,
)
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.reading import MeterError, Problem

# The bits of nvmlClocksEventReasons in nvml.h, without those of an idle board
# (0x1) and of clocks that the user set (0x2).
THROTTLE_REASONS = {
  0x4: "power cap",
  0x8: "hardware slowdown",
  0x10: "sync boost",
  0x20: "thermal slowdown (software)",
  0x40: "thermal slowdown (hardware)",
  0x80: "power brake",
  0x100: "display clocks",
}
# Noted, but no reason to warn: a busy board meets its power cap.
HARMLESS = {"power cap", "display clocks"}

# A change of one of these is noted; clocks and temperature always change.
WATCHED = (
  "power_limit_watts",
  "persistence",
  "ecc",
  "mig",
  "throttle_reasons",
  "foreign_processes",
  "hidden_processes",
)

MOST_CHANGES = 1000  # noted, chosen: some boards change at every look for days
LIMIT_TOLERANCE_WATTS = 0.5  # chosen: limits that differ by less are equal


def gpu_state(
  gpus: Sequence[str] | None = None,
  environ: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
  """Reads what each GPU of the job is set to and does now, ready for JSON.

  A value that the card does not tell is None. Without NVML or GPU the list
  is empty. `gpus` are UUIDs; by default those visible to this process.
  """
  try:
    start_nvml()
  except MeterError:
    return []
  try:
    boards = list_boards()
    if gpus is None:
      visible, _ = visible_devices(boards, environ)
      chosen = tuple(dict.fromkeys(device.board for device in visible))
    else:
      chosen = choose_boards(boards, gpus)
    driver = _query(pynvml.nvmlSystemGetDriverVersion)
    return [{**board_state(board), "driver": driver} for board in chosen]
  finally:
    stop_nvml()


@dataclass(frozen=True)
class Use:
  """How busy a GPU is now; None where the card does not tell.

  Attributes:
    busy: The share of the last moment in which anything computed on it.
    memory_used_bytes: Of its memory, by whomever.
  """

  busy: float | None
  memory_used_bytes: int | None


@contextmanager
def gpu_uses() -> Iterator[Callable[[], dict[str, Use]]]:
  """Yields what asks for the use of every GPU, by UUID; none without NVML."""
  try:
    start_nvml()
  except MeterError:
    yield dict
    return
  try:
    handles = {b.uuid: b.handle for b in list_boards() if not b.lost}
    yield lambda: {uuid: _use(handle) for uuid, handle in handles.items()}
  finally:
    stop_nvml()


def _use(handle: Any) -> Use:
  rates = _query(pynvml.nvmlDeviceGetUtilizationRates, handle)
  return Use(None if rates is None else rates.gpu / 100, _memory_used(handle))


def board_state(board: Board) -> dict[str, Any]:
  """Reads the state of one board. NVML must be started."""
  handle = board.handle
  reasons = _query(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
  if reasons is None:  # an older driver knows it by its older name
    reasons = _query(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
  ecc = _query(pynvml.nvmlDeviceGetEccMode, handle)
  persistence = _query(pynvml.nvmlDeviceGetPersistenceMode, handle)
  return {
    "name": board.name,
    "uuid": board.uuid,
    "index": board.index,
    "pci": board.pci,
    "power_limit_watts": _watts(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle),
    "power_limit_default_watts": _watts(
      pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle
    ),
    "sm_clock_mhz": _query(
      pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM
    ),
    "memory_clock_mhz": _query(
      pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM
    ),
    "p_state": _query(pynvml.nvmlDeviceGetPerformanceState, handle),
    "temperature_celsius": _query(
      pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU
    ),
    "persistence": None if persistence is None else bool(persistence),
    "ecc": None if ecc is None else bool(ecc[0]),
    "mig": board.mig,
    "memory_used_bytes": _memory_used(handle),
    "throttle_reasons": None
    if reasons is None
    else [text for bit, text in THROTTLE_REASONS.items() if reasons & bit],
    **other_processes(handle),
  }


def _query(call: Callable[..., Any], *args: Any) -> Any:
  """Calls NVML; None where the card does not answer."""
  try:
    return call(*args)
  except pynvml.NVMLError:
    return None


def _watts(call: Callable[..., Any], handle: Any) -> float | None:
  milliwatts = _query(call, handle)
  return None if milliwatts is None else milliwatts * 1e-3


def _memory_used(handle: Any) -> int | None:
  """Returns the bytes of a board that are taken, by whomever."""
  memory = _query(pynvml.nvmlDeviceGetMemoryInfo, handle)
  return None if memory is None else int(memory.used)


def other_processes(handle: Any) -> dict[str, Any]:
  """Finds processes on a GPU that are neither ours nor our family's.

  `foreign_processes` are ids seen on this system; `hidden_processes` counts
  those that are not, as in a container, where our own shows under an id of
  the host. None when the driver does not tell.
  """
  pids = processes_on(handle)
  if pids is None:
    return {"foreign_processes": None, "hidden_processes": None}
  visible = {pid for pid in pids if is_visible(pid)}
  return {
    "foreign_processes": sorted(pid for pid in visible if not _is_family(pid)),
    "hidden_processes": len(pids) - len(visible),
  }


def processes_on(handle: Any) -> frozenset[int] | None:
  """Returns the ids of the processes on a GPU; None where it does not tell."""
  compute = _query(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
  if compute is None:
    return None
  graphics = _query(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle) or []
  return frozenset(process.pid for process in [*compute, *graphics])


def is_visible(pid: int) -> bool:
  """Tells whether a process id means something on this system."""
  return os.path.exists(f"/proc/{pid}")


def _is_family(pid: int) -> bool:
  """Tells whether a process is this one, an ancestor or a descendant of it."""
  return is_descendant(pid) or pid in _ancestry(os.getpid())


def is_descendant(pid: int) -> bool:
  """Tells whether a process is this one or came of it."""
  return os.getpid() in _ancestry(pid)


def _ancestry(pid: int) -> list[int]:
  """Lists a process and its ancestors, without init."""
  line = []
  while pid > 1 and pid not in line:
    line.append(pid)
    try:
      with open(f"/proc/{pid}/stat", "rb") as file:
        # The command's name stands in brackets and may hold any character;
        # after it come the state and the parent's id.
        pid = int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
      break
  return line


@dataclass(frozen=True)
class Change:
  """A watched value of a GPU that changed at a monotonic instant."""

  seconds: float
  uuid: str
  name: str
  before: Any
  after: Any


class StateLog:
  """States of boards at the start and at the end, changes between, warnings."""

  def __init__(self, boards: Sequence[Board]):
    self._boards = tuple(boards)
    self.first: list[dict[str, Any]] = []
    self.last: list[dict[str, Any]] = []
    self.changes: list[Change] = []
    self.memory_peaks: dict[str, int] = {}  # bytes taken, the most seen
    self.warnings: list[Problem] = []

  def update(self) -> None:
    """Asks every board; notes what is new."""
    states = [board_state(board) for board in self._boards]
    now = time.monotonic()
    for before, after in zip(self.last, states, strict=False):
      for name in WATCHED:
        if before[name] != after[name] and len(self.changes) < MOST_CHANGES:
          self.changes.append(
            Change(now, after["uuid"], name, before[name], after[name])
          )
    self.first = self.first or states
    self.last = states
    for state in states:
      if (used := state["memory_used_bytes"]) is not None:
        peak = self.memory_peaks.get(state["uuid"], 0)
        self.memory_peaks[state["uuid"]] = max(peak, used)
      for warning in state_warnings(state):
        if warning not in self.warnings:
          self.warnings.append(warning)

  def describe(self) -> dict[str, Any]:
    """Returns states and changes, ready for JSON."""
    return {
      "start": self.first,
      "end": self.last,
      "changes": [asdict(change) for change in self.changes],
      "memory_peak_bytes": self.memory_peaks,
    }


def state_warnings(state: dict[str, Any]) -> list[Problem]:
  """Lists what one should know of a GPU before trusting a comparison."""
  name = state["uuid"][:12]
  warnings = []
  reasons = state["throttle_reasons"] or []
  slowed = [reason for reason in reasons if reason not in HARMLESS]
  if slowed:
    warnings.append(Problem(f"{name} was throttled: {', '.join(slowed)}"))
  pids = state["foreign_processes"]
  if pids:
    processes = ", ".join(f"pid {pid}" for pid in pids)
    warnings.append(
      Problem(
        f"{name} is shared with other processes ({processes}):"
        " their energy is included"
      )
    )
  hidden = state["hidden_processes"] or 0
  if hidden > 1:  # one is most likely ours, seen from outside a container
    warnings.append(
      Problem(
        f"{name} is used by {hidden} processes that cannot be seen from here:"
        " it may be shared"
      )
    )
  limit = state["power_limit_watts"]
  default = state["power_limit_default_watts"]
  if limit and default and abs(limit - default) > LIMIT_TOLERANCE_WATTS:
    warnings.append(
      Problem(f"{name} has a power limit of {limit:.0f} W, not {default:.0f} W")
    )
  if state["persistence"] is False:
    warnings.append(
      Problem(
        f"{name}: persistence mode is off, so the first use may wake the card",
        "sudo nvidia-smi -pm 1",
      )
    )
  return warnings
