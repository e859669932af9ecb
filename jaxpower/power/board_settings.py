"""Sets the power limit and the clock of GPUs, and puts back what was.

A board keeps what it was set to after the process that set it, so a trial that
is killed would leave a slow card to whoever comes next. So a process of its
own, the guardian, is told what was before anything is changed. It waits for
the pipe from the trial's process to close, which it does however that ends,
and then puts it back: in a session of its own, deaf to the signals that end a
job, it outlives SIGKILL of worker and sweep. It does not outlive what kills
every process of a machine, a container or a control group.

What clocks were locked to is not told by NVML. So a board whose clocks are set
by somebody is refused, and afterwards they are reset.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from jaxpower.power.board_state import LIMIT_TOLERANCE_WATTS
from jaxpower.power.devices import Board, choose_boards, list_boards
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.reading import MeterError

# Set in tests and benchmarks, none of which may change a real card.
NEVER = "JAXPOWER_NEVER_SET_GPUS"
COMMAND = "from jaxpower.power import board_settings; board_settings.guard()"
READY, RESTORED = "ready", "restored"
GUARDIAN_SECONDS = 30.0  # for it to put things back; chosen
# The bit of nvmlClocksEventReasons (nvml.h) of clocks that somebody set.
CLOCKS_ARE_SET = 0x2
RIGHT = (
  "setting it needs the rights of root; run as root, or set the card by hand"
  " (sudo nvidia-smi -pl WATTS) and leave this at 0"
)


class SettingsError(MeterError):
  """Boards that cannot be set as asked for; one line with the fix."""


@dataclass(frozen=True)
class BoardSettings:
  """What boards are set to: watts and MHz; 0: as they are."""

  power_limit_watts: float = 0.0
  sm_clock_mhz: int = 0

  def __bool__(self) -> bool:
    return self.power_limit_watts > 0 or self.sm_clock_mhz > 0


def check(settings: BoardSettings, gpus: Sequence[str] | None = None) -> None:
  """Raises SettingsError unless boards can be set so, by us.

  Whether we have the right is found by setting the power limit to what it is.

  Args:
    settings: Not empty.
    gpus: UUIDs; all boards by default.
  """
  with _boards(gpus) as boards:
    for board in boards:
      _check_board(settings, board)
      _set_limit(board, _limit(board))


@contextmanager
def applied(
  settings: BoardSettings, gpus: Sequence[str]
) -> Iterator[dict[str, Any]]:
  """Sets boards for the body of a `with`; yields facts, ready for JSON.

  "boards" has of each what was before, and what it says it is set to after
  the setting and at the end of the body. Raises SettingsError before anything
  is changed.
  """
  facts: dict[str, Any] = {
    "power_limit_watts": settings.power_limit_watts,
    "sm_clock_mhz": settings.sm_clock_mhz,
    "boards": {},
  }
  if not settings:
    yield facts
    return
  with _boards(gpus) as boards:
    for board in boards:
      _check_board(settings, board)
    before = {board.uuid: _limit(board) for board in boards}
    clocks = settings.sm_clock_mhz > 0
    guardian = _Guardian({"milliwatts": before, "clocks": clocks})
    try:
      for board in boards:
        _set(settings, board)
        facts["boards"][board.uuid] = {
          "before_watts": before[board.uuid] * 1e-3,
          "set_watts": _enforced(board),
        }
      yield facts
      for board in boards:
        facts["boards"][board.uuid]["end_watts"] = _enforced(board)
    finally:
      facts["restored"] = guardian.release()


def unlike(settings: BoardSettings, states: dict[str, Any]) -> list[str]:
  """Says where a meter saw boards under another limit than was asked for.

  `states` are "start", "end" and "changes", as `StateLog` describes them.
  """
  asked = settings.power_limit_watts
  if not asked:
    return []
  seen = [
    (state["uuid"], state["power_limit_watts"])
    for name in ("start", "end")
    for state in states.get(name, ())
  ]
  seen += [
    (change["uuid"], change["after"])
    for change in states.get("changes", ())
    if change["name"] == "power_limit_watts"
  ]
  return [
    f"{uuid[:12]} was under a power limit of {watts:.0f} W, not the"
    f" {asked:.0f} W asked for"
    for uuid, watts in dict.fromkeys(seen)
    if watts is not None and abs(watts - asked) > LIMIT_TOLERANCE_WATTS
  ]


class _Guardian:
  """The process that puts boards back, seen from the one that sets them."""

  def __init__(self, before: dict[str, Any]):
    self._before = before
    self._process = subprocess.Popen(
      [sys.executable, "-P", "-c", COMMAND],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
      start_new_session=True,
      env=environment(os.environ),
    )
    said = self._tell(json.dumps(before))
    if said != READY:
      self._process.kill()
      self._process.wait()
      raise SettingsError(
        "the process that would put the GPUs' settings back did not start"
      )

  def _tell(self, line: str) -> str:
    assert self._process.stdin is not None and self._process.stdout is not None
    try:
      self._process.stdin.write(f"{line}\n")
      self._process.stdin.flush()
    except OSError:
      return ""
    return self._process.stdout.readline().strip()

  def release(self) -> bool:
    """Has everything put back now; whether that was done.

    Where the guardian is gone, it is done here.
    """
    try:
      said, _ = self._process.communicate(timeout=GUARDIAN_SECONDS)
    except (OSError, ValueError, subprocess.TimeoutExpired):
      self._process.kill()
      self._process.wait()
      said = ""
    return said.strip() == RESTORED or restore(self._before)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
  """Returns the variables of the guardian, which finds this package by them.

  Nothing comes from the current folder, which an empty entry would be.
  """
  path = [str(Path(__file__).parents[2])]
  path += variables.get("PYTHONPATH", "").split(os.pathsep)
  return {**variables, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def guard() -> None:
  """Is the guardian: waits for the end of the pipe, then puts things back.

  It hears no signal that can be ignored, whichever a job's end sends.
  """
  for number in signal.valid_signals():
    with suppress(OSError):  # KILL and STOP
      signal.signal(number, signal.SIG_IGN)
  before = json.loads(sys.stdin.readline())
  print(READY, flush=True)
  sys.stdin.read()  # returns when the other end is closed
  if restore(before):
    with suppress(OSError):  # nobody may be there to read it
      print(RESTORED, flush=True)


def restore(before: dict[str, Any]) -> bool:
  """Puts power limits (mW, by UUID) and clocks back; whether all could be."""
  done = True
  with _boards(list(before["milliwatts"])) as boards:
    for board in boards:
      limit = before["milliwatts"][board.uuid]
      try:
        pynvml.nvmlDeviceSetPowerManagementLimit(board.handle, limit)
        if before["clocks"]:
          pynvml.nvmlDeviceResetGpuLockedClocks(board.handle)
      except pynvml.NVMLError:
        done = False
  return done


@contextmanager
def _boards(gpus: Sequence[str] | None) -> Iterator[tuple[Board, ...]]:
  """Opens NVML for the boards; raises SettingsError where there are none."""
  _refuse_real_cards()
  try:
    start_nvml()
  except MeterError as error:
    raise SettingsError(f"there is no GPU to set here: {error}") from None
  try:
    boards = list_boards()
    chosen = boards if gpus is None else choose_boards(boards, gpus)
    if not chosen:
      raise SettingsError("there is no GPU to set here; leave it at 0")
    yield tuple(chosen)
  finally:
    stop_nvml()


def _refuse_real_cards() -> None:
  """Raises SettingsError where tests or benchmarks run on a real library."""
  library: Any = getattr(pynvml, "nvmlLib", None)
  if os.environ.get(NEVER) and (
    library is None or isinstance(library, ctypes.CDLL)
  ):
    raise SettingsError(f"no real GPU is set while {NEVER} is")


def _check_board(settings: BoardSettings, board: Board) -> None:
  """Raises SettingsError where a board does not take the settings."""
  try:
    least, most = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(
      board.handle
    )
    fastest = pynvml.nvmlDeviceGetMaxClockInfo(
      board.handle, pynvml.NVML_CLOCK_SM
    )
    reasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons(board.handle)
  except pynvml.NVMLError as error:
    raise SettingsError(f"{board.uuid} cannot be set: {error}") from None
  watts, clock = settings.power_limit_watts, settings.sm_clock_mhz
  if watts and not least <= watts * 1e3 <= most:
    raise SettingsError(
      f"power_limit_watts {watts:g}: {board.name} takes {least / 1e3:g} to"
      f" {most / 1e3:g} W"
    )
  if clock > fastest:
    raise SettingsError(
      f"sm_clock_mhz {clock}: {board.name} takes {fastest} MHz at most"
    )
  if clock and reasons & CLOCKS_ARE_SET:
    raise SettingsError(
      f"sm_clock_mhz {clock}: the clocks of {board.uuid} are set already, and"
      " NVML does not tell to what, to put them back; reset them first"
      " (sudo nvidia-smi -rgc)"
    )


def _set(settings: BoardSettings, board: Board) -> None:
  if settings.power_limit_watts:
    _set_limit(board, round(settings.power_limit_watts * 1e3))
  if clock := settings.sm_clock_mhz:
    try:
      pynvml.nvmlDeviceSetGpuLockedClocks(board.handle, clock, clock)
    except pynvml.NVMLError as error:
      raise _refused("sm_clock_mhz", board, error) from None


def _set_limit(board: Board, milliwatts: int) -> None:
  try:
    pynvml.nvmlDeviceSetPowerManagementLimit(board.handle, milliwatts)
  except pynvml.NVMLError as error:
    raise _refused("power_limit_watts", board, error) from None


def _refused(what: str, board: Board, error: Any) -> SettingsError:
  if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
    return SettingsError(f"{what} of {board.uuid}: {RIGHT}")
  return SettingsError(f"{what} of {board.uuid} cannot be set: {error}")


def _limit(board: Board) -> int:
  """Returns the limit that a board is set to, in milliwatts."""
  try:
    return pynvml.nvmlDeviceGetPowerManagementLimit(board.handle)
  except pynvml.NVMLError as error:
    raise SettingsError(f"{board.uuid} tells no power limit: {error}") from None


def _enforced(board: Board) -> float | None:
  """Returns the watts that hold a board back now; None if it does not tell."""
  with suppress(pynvml.NVMLError):
    return pynvml.nvmlDeviceGetEnforcedPowerLimit(board.handle) * 1e-3
  return None
