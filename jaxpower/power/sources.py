"""From a name on the command line to the sources that can really be read."""

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
from jaxpower.power.reading import MeterError, Source

METERS = ("auto", "nvml", "rapl", "estimate")


@dataclass
class Found:
  """The sources of a meter, and what could not be read, with the mend."""

  sources: list[Source] = field(default_factory=list)
  failures: list[str] = field(default_factory=list)
  warnings: list[str] = field(default_factory=list)
  boards: list[Board] = field(default_factory=list)


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
    if not any(d.counted for s in found.sources for d in s.domains):
      _close(found)
      why = "; ".join(found.failures) or "the job has no GPU"
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
    if gpus is not None:
      raise
    found.failures.append(str(error))
  try:
    found.sources.append(RaplSource(powercap))
  except MeterError as error:
    found.failures.append(str(error))
    found.sources.append(EstimateSource())
  else:
    for denied in find_zones(powercap)[1]:
      found.failures.append(
        f"RAPL {denied.name}: {denied.reason}; mend: {denied.mend}"
      )


def _add_gpus(
  found: Found, gpus: Sequence[str] | None, environ: Mapping[str, str] | None
) -> None:
  start_nvml()
  try:
    boards = list_boards()
    if not boards:
      raise MeterError("NVML: it sees no GPU; mend: check nvidia-smi -L")
    if gpus is None:
      devices, warnings = visible_devices(boards, environ)
      found.warnings.extend(warnings)
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
    found.failures.append(str(error))
    return
  found.sources.append(source)
  if counted:
    found.boards.append(board)
  found.warnings.extend(
    f"{board.uuid}: {note}" for note in source.domains[0].notes if counted
  )


def _close(found: Found) -> None:
  for source in found.sources:
    source.close()
