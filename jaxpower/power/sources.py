"""From a name on the command line to the sources that can really be read."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from jaxpower.power.devices import (
  Board,
  choose_boards,
  list_boards,
  visible_devices,
)
from jaxpower.power.estimate import EstimateSource
from jaxpower.power.nvml import NvmlSource, start_nvml, stop_nvml
from jaxpower.power.rapl import POWERCAP, RaplSource, find_zones
from jaxpower.power.reading import (
  Domain,
  MeterError,
  Problem,
  Reading,
  Source,
  record_line,
)

METERS = ("auto", "nvml", "rapl", "estimate")


@dataclass
class Found:
  """The sources of a meter, and what could not be read, with the fix."""

  sources: list[Source] = field(default_factory=list)
  failures: list[Problem] = field(default_factory=list)
  warnings: list[Problem] = field(default_factory=list)
  boards: list[Board] = field(default_factory=list)


class UnreadableSource:
  """A GPU of the job that no sensor shows: its joules stay unknown.

  Left out of the sum, it would make the sum too small in silence.
  """

  def __init__(self, board: Board, reason: str):
    self._domain = Domain(board.uuid, "gpu", "counter", board.name)
    self._reason = reason

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The one domain that cannot be read."""
    return (self._domain,)

  def read(self) -> tuple[Reading, ...]:
    """A reading without a value, with the reason."""
    now = time.monotonic()
    return (Reading(self._domain.name, now, now, failure=self._reason),)

  def describe(self) -> dict[str, object]:
    """Why there is nothing to read."""
    return {"source": "unreadable", "reason": self._reason}

  def close(self) -> None:
    """Nothing was opened."""


def find_sources(
  meter: str,
  gpus: Sequence[str] | None = None,
  environ: Mapping[str, str] | None = None,
  powercap: Path = POWERCAP,
) -> Found:
  """Opens the sources of a named meter.

  Raises MeterError when a meter asked for by name cannot be read.
  """
  found = Found()
  if meter not in METERS:
    near = get_close_matches(meter, METERS, n=1)
    hint = (
      f"did you mean {near[0]!r}?" if near else "one of: " + ", ".join(METERS)
    )
    raise MeterError(f"there is no meter {meter!r}; {hint}")
  if meter == "nvml":
    _add_gpus(found, gpus, environ)
    if not any(
      domain.counted
      for source in found.sources
      if not isinstance(source, UnreadableSource)
      for domain in source.domains
    ):
      _close(found)
      lines = [record_line(problem) for problem in found.failures]
      why = "; ".join(lines) or "the job has no GPU"
      raise MeterError(f"meter nvml: {why}")
  elif meter == "rapl":
    found.sources.append(RaplSource(powercap))
  elif meter == "estimate":
    found.sources.append(EstimateSource())
  else:
    _add_everything(found, gpus, environ, powercap)
  return found


def _add_everything(
  found: Found,
  gpus: Sequence[str] | None,
  environ: Mapping[str, str] | None,
  powercap: Path,
) -> None:
  try:
    _add_gpus(found, gpus, environ)
  except MeterError as error:
    if gpus:
      raise
    found.failures.append(error.problem)
  try:
    found.sources.append(RaplSource(powercap))
  except MeterError as error:
    found.failures.append(error.problem)
    # Beside a measured GPU a modelled CPU would make the sum an estimate.
    if not any(d.counted for s in found.sources for d in s.domains):
      found.sources.append(EstimateSource())
  else:
    for denied in find_zones(powercap)[1]:
      found.failures.append(denied.problem)


def _add_gpus(
  found: Found, gpus: Sequence[str] | None, environ: Mapping[str, str] | None
) -> None:
  start_nvml()
  try:
    boards = list_boards()
    if not boards:
      raise MeterError("NVML: it sees no GPU", "check nvidia-smi -L")
    if gpus is None:
      devices, warnings = visible_devices(boards, environ)
      found.warnings.extend(Problem(text) for text in warnings)
      job = {device.board.uuid for device in devices}
    else:
      job = {board.uuid for board in choose_boards(boards, gpus)}
    for board in boards:
      _add_board(found, board, board.uuid in job)
  finally:
    stop_nvml()  # each source holds NVML on its own


def _add_board(found: Found, board: Board, counted: bool) -> None:
  notes = []
  if board.mig:
    notes.append("MIG is on: the energy is that of the whole board")
  try:
    source = NvmlSource(
      board.handle,
      board.uuid,
      description=f"{board.name}, index {board.index}, PCI {board.pci}",
      counted=counted,
      notes=notes,
    )
  except MeterError as error:
    found.failures.append(error.problem)
    if counted:
      reason = record_line(error.problem)
      found.sources.append(UnreadableSource(board, reason))
    return
  found.sources.append(source)
  if counted:
    found.boards.append(board)
  found.warnings.extend(
    Problem(f"{board.uuid}: {note}")
    for note in source.domains[0].notes
    if counted
  )


def _close(found: Found) -> None:
  for source in found.sources:
    source.close()
