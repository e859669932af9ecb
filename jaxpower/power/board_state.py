"""Keeps an eye on the state of the job's GPUs while it is measured.

The state of the GPUs: what a joule has to be read together with.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
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

THROTTLE_REASONS = {
  0x4: "power cap",
  0x8: "hardware slowdown",
  0x10: "sync boost",
  0x20: "thermal slowdown (software)",
  0x40: "thermal slowdown (hardware)",
  0x80: "power brake",
  0x100: "display clocks",
}


def gpu_state(
  gpus: Sequence[str] | None = None,
  environ: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
  """What each GPU of the job is set to and does now, ready for JSON.

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
      devices, _ = visible_devices(boards, environ)
      chosen = tuple(dict.fromkeys(device.board for device in devices))
    else:
      chosen = choose_boards(boards, gpus)
    driver = _ask(pynvml.nvmlSystemGetDriverVersion)
    return [{**board_state(board), "driver": driver} for board in chosen]
  finally:
    stop_nvml()


def board_state(board: Board) -> dict[str, Any]:
  """The state of one board. NVML must be started."""
  handle = board.handle
  reasons = _ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
  if reasons is None:
    reasons = _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
  ecc = _ask(pynvml.nvmlDeviceGetEccMode, handle)
  persistence = _ask(pynvml.nvmlDeviceGetPersistenceMode, handle)
  return {
    "name": board.name,
    "uuid": board.uuid,
    "index": board.index,
    "pci": board.pci,
    "power_limit_watts": _watts(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle),
    "power_limit_default_watts": _watts(
      pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle
    ),
    "sm_clock_mhz": _ask(
      pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM
    ),
    "memory_clock_mhz": _ask(
      pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM
    ),
    "p_state": _ask(pynvml.nvmlDeviceGetPerformanceState, handle),
    "temperature_celsius": _ask(
      pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU
    ),
    "persistence": None if persistence is None else bool(persistence),
    "ecc": None if ecc is None else bool(ecc[0]),
    "mig": board.mig,
    "throttle_reasons": None
    if reasons is None
    else [text for bit, text in THROTTLE_REASONS.items() if reasons & bit],
    **other_processes(handle),
  }


def other_processes(handle: Any) -> dict[str, Any]:
  """Processes on a GPU that are neither ours nor our family's.

  `foreign_processes` are ids seen on this system; `hidden_processes` counts
  those that are not, as in a container, where our own shows under an id of
  the host. None when the driver does not tell.
  """
  compute = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
  if compute is None:
    return {"foreign_processes": None, "hidden_processes": None}
  graphics = _ask(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle) or []
  pids = {process.pid for process in [*compute, *graphics]}
  seen = {pid for pid in pids if is_visible(pid)}
  return {
    "foreign_processes": sorted(pid for pid in seen if not _is_family(pid)),
    "hidden_processes": len(pids) - len(seen),
  }


def is_visible(pid: int) -> bool:
  """Whether a process id means something on this system."""
  return os.path.exists(f"/proc/{pid}")


def _is_family(pid: int) -> bool:
  """Whether a process is this one, an ancestor or a descendant of it."""
  return os.getpid() in _ancestry(pid) or pid in _ancestry(os.getpid())


def _ancestry(pid: int) -> list[int]:
  line = []
  while pid > 1 and pid not in line:
    line.append(pid)
    try:
      with open(f"/proc/{pid}/stat", "rb") as file:
        pid = int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
      break
  return line


def gpu_uuid(
  device: int | str, environ: Mapping[str, str] | None = None
) -> str | None:
  """The UUID of a framework's device: its visible index or PCI address.

  For JAX: `gpu_uuid(device.local_hardware_id)`. None when there is no NVML or
  no such device.
  """
  try:
    start_nvml()
  except MeterError:
    return None
  try:
    boards = list_boards()
    if isinstance(device, int):
      devices, _ = visible_devices(boards, environ)
      fits = [d.board.uuid for d in devices if d.index == device]
    else:
      try:
        fits = [board.uuid for board in choose_boards(boards, [device])]
      except MeterError:
        fits = []
    return fits[0] if fits else None
  finally:
    stop_nvml()


def _ask(call: Callable[..., Any], *args: Any) -> Any:
  try:
    return call(*args)
  except pynvml.NVMLError:
    return None


def _watts(call: Callable[..., Any], handle: Any) -> float | None:
  milliwatts = _ask(call, handle)
  return None if milliwatts is None else milliwatts * 1e-3


WATCHED = (
  "power_limit_watts",
  "persistence",
  "ecc",
  "mig",
  "throttle_reasons",
  "foreign_processes",
  "hidden_processes",
)

HARMLESS = {"power cap", "display clocks"}


@dataclass(frozen=True)
class Change:
  """A watched value of a GPU that changed at a monotonic instant."""

  seconds: float
  uuid: str
  name: str
  before: Any
  after: Any


class Watch:
  """States at the start and at the end, changes between, warnings on them."""

  def __init__(self, boards: Sequence[Board]):
    self._boards = tuple(boards)
    self.first: list[dict[str, Any]] = []
    self.last: list[dict[str, Any]] = []
    self.changes: list[Change] = []
    self.warnings: list[Problem] = []

  def look(self) -> None:
    """Asks every board; notes what is new."""
    states = [board_state(board) for board in self._boards]
    now = time.monotonic()
    for before, after in zip(self.last, states, strict=False):
      for name in WATCHED:
        if before[name] != after[name]:
          self.changes.append(
            Change(now, after["uuid"], name, before[name], after[name])
          )
    self.first = self.first or states
    self.last = states
    for state in states:
      for warning in state_warnings(state):
        if warning not in self.warnings:
          self.warnings.append(warning)

  def describe(self) -> dict[str, Any]:
    """States and changes, ready for JSON."""
    return {
      "start": self.first,
      "end": self.last,
      "changes": [asdict(change) for change in self.changes],
    }


def state_warnings(state: dict[str, Any]) -> list[Problem]:
  """What a person should know about a GPU before trusting a comparison."""
  short = state["uuid"][:12]
  warnings = []
  reasons = state["throttle_reasons"] or []
  slowed = [reason for reason in reasons if reason not in HARMLESS]
  if slowed:
    warnings.append(Problem(f"{short} was throttled: {', '.join(slowed)}"))
  pids = state["foreign_processes"]
  if pids:
    who = ", ".join(f"pid {pid}" for pid in pids)
    warnings.append(
      Problem(
        f"{short} is shared with other processes ({who}):"
        " their energy is included"
      )
    )
  hidden = state["hidden_processes"] or 0
  if hidden > 1:  # one is most likely ours, seen from outside a container
    warnings.append(
      Problem(
        f"{short} is used by {hidden} processes that cannot be seen from here:"
        " it may be shared"
      )
    )
  limit, default = (
    state["power_limit_watts"],
    state["power_limit_default_watts"],
  )
  if limit and default and abs(limit - default) > 0.5:
    warnings.append(
      Problem(
        f"{short} has a power limit of {limit:.0f} W, not {default:.0f} W"
      )
    )
  if state["persistence"] is False:
    warnings.append(
      Problem(
        f"{short}: persistence mode is off, so the first use may wake the card",
        "sudo nvidia-smi -pm 1",
      )
    )
  return warnings
