"""From a meter's name on the command line to the sources that can be read.

`auto` takes what can really be read. A CPU model joins only where nothing of
the job is measured: beside a measured GPU it would make the sum an estimate. A
GPU of the job that no sensor shows stays in as an unreadable source, so that
the sum is unknown and not too small in silence.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from jaxpower.power.devices import (
  Board,
  GpuName,
  choose_boards,
  gpu_names,
  is_unknown,
  list_boards,
  lost_problem,
  visible_devices,
)
from jaxpower.power.estimate import EstimateSource, Whose
from jaxpower.power.nvml import NvmlSource, start_nvml, stop_nvml
from jaxpower.power.rapl import POWERCAP, RaplSource
from jaxpower.power.reading import (
  Domain,
  MeterError,
  Problem,
  Reading,
  Source,
  record_line,
)

# Chosen: RAPL moves every millisecond, the slowest GPU counter that is known
# every 0.2 s. One that does not in this time is refused, like one that does not
# answer; looked for every so many seconds.
MOVES_SECONDS, LOOK_SECONDS = 0.5, 2e-3

METERS = ("auto", "nvml", "rapl", "estimate")


@dataclass
class Meter:
  """The open sources of a meter, what it could not read, what to know of it.

  `boards` are the job's readable GPUs.
  """

  sources: list[Source] = field(default_factory=list)
  failures: list[Problem] = field(default_factory=list)
  warnings: list[Problem] = field(default_factory=list)
  boards: list[Board] = field(default_factory=list)


OR_ESTIMATE = "or use --meter=estimate"


class UnreadableSource:
  """A GPU of the job that no sensor shows: its joules stay unknown."""

  def __init__(self, board: Board, reason: str):
    self._domain = Domain(board.uuid, "gpu", "counter", board.name)
    self._reason = reason

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The one domain that cannot be read."""
    return (self._domain,)

  def read(self) -> tuple[Reading, ...]:
    """Returns a reading without a value, with the reason."""
    now = time.monotonic()
    return (Reading(self._domain.name, now, now, failure=self._reason),)

  def describe(self) -> dict[str, object]:
    """Says why there is nothing to read."""
    return {"source": "unreadable", "reason": self._reason}

  def close(self) -> None:
    """Does nothing: nothing was opened."""


def open_meter(
  name: str,
  gpus: GpuName | Sequence[GpuName] | None = None,
  environ: Mapping[str, str] | None = None,
  powercap: Path = POWERCAP,
  estimate_of: Whose = "process",
) -> Meter:
  """Opens the sources of a meter by its name, one of METERS.

  `gpus` are the job's GPUs by any name that `choose_boards` takes; by default
  those visible to this process. `estimate_of` says whose CPU time the CPU
  model counts, where it is used. Raises MeterError when a meter asked for by
  name cannot be read.
  """
  meter = Meter()
  names = None if gpus is None else gpu_names(gpus)
  if name not in METERS:
    near = get_close_matches(name, METERS, n=1)
    hint = (
      f"did you mean {near[0]!r}?" if near else "one of: " + ", ".join(METERS)
    )
    raise MeterError(f"there is no meter {name!r}; {hint}")
  if name == "nvml":
    _add_gpus(meter, names, environ)
    if not _measures_the_job(meter):
      for source in meter.sources:
        source.close()
      failures = [str(failure) for failure in meter.failures]
      reason = "; ".join(failures) or "the job has no GPU"
      raise MeterError(f"meter nvml: {reason}")
  elif name == "rapl":
    try:
      meter.sources.append(_open_rapl(powercap))
    except MeterError as error:  # of a meter that was asked for by name
      fixes = filter(None, [error.problem.fix, OR_ESTIMATE])
      raise MeterError(error.problem.reason, ", ".join(fixes)) from None
  elif name == "estimate":
    meter.sources.append(EstimateSource(whose=estimate_of))
  else:
    _add_everything(meter, names, environ, powercap, estimate_of)
  return meter


def _measures_the_job(meter: Meter) -> bool:
  return any(
    domain.counted
    for source in meter.sources
    if not isinstance(source, UnreadableSource)
    for domain in source.domains
  )


def _add_everything(
  meter: Meter,
  gpus: Sequence[str] | None,
  environ: Mapping[str, str] | None,
  powercap: Path,
  estimate_of: Whose,
) -> None:
  """Adds GPUs, then RAPL, or where neither is there the CPU model."""
  try:
    _add_gpus(meter, gpus, environ)
  except MeterError as error:
    if not all(is_unknown(gpu) for gpu in gpus or ()):
      raise
    meter.failures.append(error.problem)
  try:
    rapl = _open_rapl(powercap)
  except MeterError as error:
    meter.failures.append(error.problem)
    # An unreadable GPU counts here too: the sum is unknown, and no model helps.
    if not any(d.counted for s in meter.sources for d in s.domains):
      meter.sources.append(EstimateSource(whose=estimate_of))
  else:
    meter.sources.append(rapl)
    meter.failures.extend(denied.problem for denied in rapl.denied)


def _open_rapl(powercap: Path) -> RaplSource:
  """Opens RAPL without the counters that stand still."""
  source = RaplSource(powercap)
  source.leave_out_still(still_counters(source))
  return source


def still_counters(source: Source) -> set[str]:
  """Reads until every counter has moved; returns those that never did."""
  first = {r.domain: r.joules for r in source.read() if r.joules is not None}
  still = set(first)
  deadline = time.monotonic() + MOVES_SECONDS
  while still and time.monotonic() < deadline:
    time.sleep(LOOK_SECONDS)
    readings = source.read()
    still -= {r.domain for r in readings if r.joules != first.get(r.domain)}
  return still


def _add_gpus(
  meter: Meter, gpus: Sequence[str] | None, environ: Mapping[str, str] | None
) -> None:
  """Adds every board: the job's as counted, the others apart.

  Of a device that is named as an unknown one nothing can be read.
  """
  unknown = [name for name in gpus or () if is_unknown(name)]
  for name in unknown:
    meter.sources.append(_unknown_gpu(name))
  start_nvml()
  try:
    boards = list_boards()
    if not boards:
      raise MeterError("NVML: it sees no GPU", "check nvidia-smi -L")
    if gpus is None:
      visible, warnings = visible_devices(boards, environ)
      meter.warnings.extend(Problem(text) for text in warnings)
      job = {device.board.uuid for device in visible}
    else:
      known = [name for name in gpus if name not in unknown]
      job = {board.uuid for board in choose_boards(boards, known)}
    for board in boards:
      if board.lost:
        meter.failures.append(lost_problem(board))
      else:
        _add_board(meter, board, counted=board.uuid in job)
  finally:
    stop_nvml()  # each source holds NVML on its own


def _unknown_gpu(name: str) -> UnreadableSource:
  """Makes the source of a device of the job whose board is not known."""
  board = Board(-1, name, "a GPU of the job whose board is not known", "")
  return UnreadableSource(board, "which board it is, is not known")


def _add_board(meter: Meter, board: Board, *, counted: bool) -> None:
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
    if not source.tells_power and still_counters(source):
      source.close()
      raise MeterError(
        f"{board.uuid}: its energy counter does not move, and it tells no power"
      )
  except MeterError as error:
    meter.failures.append(error.problem)
    if counted:
      reason = record_line(error.problem)
      meter.sources.append(UnreadableSource(board, reason))
    return
  meter.sources.append(source)
  if counted:
    meter.boards.append(board)
    meter.warnings.extend(
      Problem(f"{board.uuid}: {note}") for note in source.domains[0].notes
    )
