"""Keeps an eye on the state of the job's GPUs while it is measured."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jaxpower.power.devices import Board
from jaxpower.power.state import board_state

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
    self.warnings: list[str] = []

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


def state_warnings(state: dict[str, Any]) -> list[str]:
  """What a person should know about a GPU before trusting a comparison."""
  short = state["uuid"][:12]
  warnings = []
  reasons = state["throttle_reasons"] or []
  slowed = [reason for reason in reasons if reason not in HARMLESS]
  if slowed:
    warnings.append(f"{short} was throttled: {', '.join(slowed)}")
  pids = state["foreign_processes"]
  if pids:
    who = ", ".join(f"pid {pid}" for pid in pids)
    warnings.append(
      f"{short} is shared with other processes ({who}):"
      " their energy is included"
    )
  hidden = state["hidden_processes"] or 0
  if hidden > 1:  # one is most likely ours, seen from outside a container
    warnings.append(
      f"{short} is used by {hidden} processes that cannot be seen from here:"
      " it may be shared"
    )
  limit, default = (
    state["power_limit_watts"],
    state["power_limit_default_watts"],
  )
  if limit and default and abs(limit - default) > 0.5:
    warnings.append(
      f"{short} has a power limit of {limit:.0f} W, not {default:.0f} W"
    )
  if state["persistence"] is False:
    warnings.append(
      f"{short}: persistence mode is off, so the first use may wake the card;"
      " mend: sudo nvidia-smi -pm 1"
    )
  return warnings
