"""Finds the GPUs that a command computes on, by the processes NVML names.

The meter reads every GPU that the command can see. Only while it runs is it
known which of them it uses; so at the end the others go where a window keeps
the GPUs that do not belong to the job. Where NVML names no process of the
command on any, as in a container that hides process ids, all are billed, as
`measure` would, and that is said.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from jaxpower.power import Window
from jaxpower.power.board_state import is_descendant, processes_on
from jaxpower.power.devices import Board, list_boards
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.reading import MeterError, Problem
from jaxpower.power.window import total

LOOK_SECONDS = 1.0  # between two looks; chosen


@dataclasses.dataclass
class BoardLog:
  """The boards that a command was seen on; from `of_machine`.

  Attributes:
    boards: All that NVML sees; none without NVML.
    used: UUIDs of those on which a process of the command was seen.
  """

  boards: tuple[Board, ...] = ()
  used: set[str] = dataclasses.field(default_factory=set)

  def look(self) -> None:
    """Asks every board whether one of this process's children is on it."""
    for board in self.boards:
      pids = () if board.lost else processes_on(board.handle) or ()
      if any(map(is_descendant, pids)):
        self.used.add(board.uuid)

  def devices(self, cpu: str) -> list[dict[str, Any]]:
    """Describes what the command computed on, as records hold it."""
    gpus = [board for board in self.boards if board.uuid in self.used]
    if not gpus:
      return [{"platform": "cpu", "kind": cpu, "index": 0, "uuid": None}]
    return [
      {
        "platform": "gpu",
        "kind": board.name,
        "index": board.index,
        "uuid": board.uuid,
        "mig_uuid": None,
        "uuid_by": "processes",
      }
      for board in gpus
    ]

  def cautions(self, gpus: Collection[str]) -> tuple[Problem, ...]:
    """Says where it is not known which GPUs were used, of those metered."""
    if self.used or not gpus:
      return ()
    return (
      Problem(
        "NVML named no process of the command on any GPU: all that it can see"
        " are billed",
        "set CUDA_VISIBLE_DEVICES to those that it is to use; empty for none",
      ),
    )


def of_machine() -> BoardLog:
  """Opens the boards that NVML sees, until `close`; none without NVML."""
  try:
    start_nvml()
  except MeterError:
    return BoardLog()
  return BoardLog(list_boards())


def close(log: BoardLog) -> None:
  """Lets go of NVML."""
  if log.boards:
    stop_nvml()


def billed(
  windows: Sequence[Window], gpus: Collection[str], used: Collection[str]
) -> tuple[Window, ...]:
  """Moves GPUs that were not used among those that are shown apart.

  The bounds of the others add linearly then, to at most so much as they were.

  Args:
    windows: As the meter measured them.
    gpus: Names of all domains that are GPUs.
    used: Those that the command computed on; none: it is not known.
  """
  unused = set(gpus) - set(used) if used else set()
  return tuple(
    _without(window, unused)
    if any(energy.domain in unused for energy in window.energies)
    else window
    for window in windows
  )


def _without(window: Window, unused: Collection[str]) -> Window:
  kept = [e for e in window.energies if e.domain not in unused]
  moved = [e for e in window.energies if e.domain in unused]
  own = tuple(
    reason
    for reason in window.reasons
    if not any(reason.startswith(f"{e.domain}: ") for e in window.energies)
  )
  end = window.start_seconds + window.seconds
  summed = total(
    window.name,
    window.start_seconds,
    end,
    kept,
    (*window.apart, *moved),
    own,
  )
  return dataclasses.replace(summed, seconds=window.seconds, load=window.load)
