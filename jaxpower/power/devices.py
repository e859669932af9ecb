"""Which GPU is which: index, UUID, PCI address, and which belong to the job.

CUDA numbers devices as CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER say; NVML
numbers all boards by PCI address. So an index means two different things, and
energy would be billed to a neighbour's board. The UUID is the one name on which
both agree: it alone is kept, everything else is translated to it here.
"""

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pynvml

from jaxpower.power.cuda import CudaDevice
from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.pci import PCI_DEVICES, nvidia_gpus, same_pci
from jaxpower.power.reading import MeterError, Problem

# With one of these CUDA shows no device, nor any that is named after it.
NO_DEVICE = ("", "-1", "none", "void", "nodevfiles")
# Names a device of the job of which no board is known, by CUDA's own index.
UNKNOWN = "cuda:"


GpuName = int | str  # index, UUID or prefix of it, MIG UUID, PCI address


@dataclass(frozen=True)
class Board:
  """One GPU board as NVML sees it.

  `handle` is NVML's own. `slices` are the UUIDs of the board's MIG parts.
  `speed` orders boards from slow to fast, as far as NVML tells. `lost` is what
  NVML answers instead of a board that it counts; such a board has an index,
  perhaps a PCI address, and no more.
  """

  index: int
  uuid: str
  name: str
  pci: str
  handle: Any = field(default=None, compare=False, repr=False)
  mig: bool = False
  slices: tuple[str, ...] = ()
  speed: tuple[int, ...] = ()
  lost: str = ""


@dataclass(frozen=True)
class VisibleDevice:
  """One device of the process: its CUDA index and the board it lies on."""

  index: int
  board: Board
  mig_uuid: str | None = None


def gpu_uuid(
  device: int | str, environ: Mapping[str, str] | None = None
) -> str | None:
  """Returns the UUID of a framework's device: a visible index or PCI address.

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
      visible, _ = visible_devices(boards, environ)
      uuids = [d.board.uuid for d in visible if d.index == device]
    else:
      try:
        uuids = [board.uuid for board in choose_boards(boards, [device])]
      except MeterError:
        uuids = []
    return uuids[0] if uuids else None
  finally:
    stop_nvml()


def list_boards(pci_devices: Path = PCI_DEVICES) -> tuple[Board, ...]:
  """Lists all boards by PCI address, also those that are lost.

  A lost board keeps its place, so that the others keep their numbers; one that
  this process may not use has no number in CUDA either, and is left out. NVML
  must be started. `pci_devices` is where Linux lists the machine's cards.
  """
  boards = []
  for index in range(pynvml.nvmlDeviceGetCount()):
    try:
      boards.append(_board(index))
    except pynvml.NVMLError as error:
      if getattr(error, "value", None) != pynvml.NVML_ERROR_NO_PERMISSION:
        lost = Board(index, "", "GPU", _address(index), lost=str(error))
        boards.append(lost)
  if not any(board.lost for board in boards):
    return tuple(boards)
  return _with_addresses(boards, nvidia_gpus(pci_devices))


def _board(index: int) -> Board:
  """Asks NVML for a board. Raises NVMLError where it does not answer."""
  handle = pynvml.nvmlDeviceGetHandleByIndex(index)
  mig = _mig_enabled(handle)
  return Board(
    index,
    pynvml.nvmlDeviceGetUUID(handle),
    pynvml.nvmlDeviceGetName(handle),
    pynvml.nvmlDeviceGetPciInfo(handle).busId,
    handle,
    mig,
    _slices(handle) if mig else (),
    _speed(handle),
  )


def _address(index: int) -> str:
  """Asks for the PCI address of a board that answers little; "" if nothing."""
  try:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return pynvml.nvmlDeviceGetPciInfo(handle).busId
  except pynvml.NVMLError:
    return ""


def _with_addresses(
  boards: Sequence[Board], addresses: Sequence[str]
) -> tuple[Board, ...]:
  """Gives boards without a PCI address those that no other board has.

  None is given where there are more of them than boards are lost, as in a
  container that sees a part of the machine's boards.
  """
  known = [board.pci for board in boards if board.pci]
  free = [a for a in addresses if not any(same_pci(a, k) for k in known)]
  lost = [board for board in boards if not board.pci]
  if len(free) != len(lost):
    return tuple(boards)
  by_index = {b.index: a for b, a in zip(lost, free, strict=True)}
  return tuple(
    replace(board, pci=by_index.get(board.index, board.pci)) for board in boards
  )


def lost_problem(board: Board) -> Problem:
  """Says which board does not answer, and what to do about it."""
  where = f"at PCI {board.pci}" if board.pci else f"of index {board.index}"
  reset = f" -i {board.pci}" if board.pci else ""
  return Problem(
    f"the GPU {where} is lost: NVML counts it and answers {board.lost!r}",
    "look for its error with: sudo dmesg | grep -i xid; then reset it"
    f" (sudo nvidia-smi --gpu-reset{reset}) or restart the machine",
  )


def is_unknown(name: object) -> bool:
  """Tells whether a name stands for a device of which no board is known."""
  return str(name).startswith(UNKNOWN)


def board_of(device: CudaDevice, boards: Sequence[Board]) -> Board | None:
  """Finds the board on which a device of CUDA lies: by UUID, else by address.

  A MIG part lies on the board that lists it. None where no board fits.
  """
  for board in boards:
    uuids = [board.uuid.removeprefix("GPU-")]
    uuids += [part.removeprefix("MIG-") for part in board.slices]
    if device.uuid in uuids and device.uuid:
      return board
  at = [b for b in boards if device.pci and same_pci(b.pci, device.pci)]
  return at[0] if len(at) == 1 and not at[0].lost else None


def _mig_enabled(handle: Any) -> bool:
  try:
    current, _ = pynvml.nvmlDeviceGetMigMode(handle)
  except pynvml.NVMLError:
    return False  # a card that knows no MIG
  return bool(current)


def _slices(handle: Any) -> tuple[str, ...]:
  uuids = []
  try:
    count = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
  except pynvml.NVMLError:
    return ()
  for index in range(count):
    try:
      part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
      uuids.append(pynvml.nvmlDeviceGetUUID(part))
    except pynvml.NVMLError:
      continue  # not every slot is filled
  return tuple(uuids)


def _speed(handle: Any) -> tuple[int, ...]:
  """Guesses what CUDA sorts by: cores times clock, then compute capability."""
  try:
    capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle))
    cores = pynvml.nvmlDeviceGetNumGpuCores(handle)
    clock = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)
  except pynvml.NVMLError:
    return ()
  return (cores * clock, *capability)


def visible_devices(
  boards: Sequence[Board], environ: Mapping[str, str] | None = None
) -> tuple[tuple[VisibleDevice, ...], tuple[str, ...]]:
  """Returns the devices this process may use, in CUDA's order, and warnings.

  Like CUDA, reading CUDA_VISIBLE_DEVICES stops at the first entry that names
  no device; unlike CUDA, it says so.
  """
  environ = os.environ if environ is None else environ
  ordered, order_warning = cuda_order(boards, environ)
  text = environ.get("CUDA_VISIBLE_DEVICES")
  if text is None:
    devices = [
      VisibleDevice(i, board)
      for i, board in enumerate(ordered)
      if not board.lost
    ]
    return tuple(devices), (order_warning,) if order_warning else ()
  devices = []
  warnings: list[str] = []
  for entry in (part.strip() for part in text.split(",")):
    if entry.lower() in NO_DEVICE:
      break
    match = _match(entry, ordered)
    if isinstance(match, str):
      warnings.append(
        f"CUDA_VISIBLE_DEVICES: {match}; CUDA ignores it and all after it"
      )
      break
    board, mig_uuid = match
    if (board.uuid, mig_uuid) in [(d.board.uuid, d.mig_uuid) for d in devices]:
      warnings.append(
        f"CUDA_VISIBLE_DEVICES names {entry} twice; CUDA then shows no device"
      )
      return (), tuple(warnings)
    # Only a number depends on the order; a UUID means what it says.
    if entry.isdecimal() and order_warning and order_warning not in warnings:
      warnings.append(order_warning)
    devices.append(VisibleDevice(len(devices), board, mig_uuid))
  return tuple(devices), tuple(warnings)


def cuda_order(
  boards: Sequence[Board], environ: Mapping[str, str]
) -> tuple[tuple[Board, ...], str]:
  """Sorts boards as CUDA counts them; a warning where that is a guess.

  CUDA puts the fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID, and does
  not say how it judges. Equal boards keep their PCI order.
  """
  by_pci = tuple(sorted(boards, key=lambda board: board.index))
  if environ.get("CUDA_DEVICE_ORDER", "").upper() == "PCI_BUS_ID":
    return by_pci, ""
  if len({board.name for board in boards if not board.lost}) <= 1:
    return by_pci, ""
  warning = (
    "the GPUs differ, so CUDA's fastest-first numbers are a guess:"
    " set CUDA_DEVICE_ORDER=PCI_BUS_ID"
  )
  fastest_first = sorted(by_pci, key=lambda board: board.speed, reverse=True)
  return tuple(fastest_first), warning


def gpu_names(gpus: Any) -> list[str]:
  """Returns the names of GPUs as text: given one by one, or only one.

  Indices may be integers of any kind; a text may have several, with commas.
  Raises MeterError for anything else.
  """
  if isinstance(gpus, str) or not isinstance(gpus, Iterable):
    gpus = [gpus]
  names: list[str] = []
  for gpu in gpus:
    if isinstance(gpu, str):
      names += [part.strip() for part in gpu.split(",")]
      continue
    try:
      if isinstance(gpu, bool):
        raise TypeError
      names.append(str(operator.index(gpu)))
    except TypeError:
      raise MeterError(
        f"gpus: {gpu!r} names no GPU",
        "name UUIDs, PCI addresses or indices from 0",
      ) from None
  return names


def choose_boards(
  boards: Sequence[Board], names: Sequence[str]
) -> tuple[Board, ...]:
  """Picks boards by UUID, UUID prefix, MIG UUID, PCI address or NVML index.

  Raises MeterError for a name that fits none or several.
  """
  chosen: list[Board] = []
  for name in names:
    by_pci = [b for b in boards if same_pci(b.pci, name)]
    match = _found(by_pci[0], name, None) if by_pci else _match(name, boards)
    if isinstance(match, str):
      known = [board.uuid for board in boards if not board.lost]
      uuids = ", ".join(known) or "none"
      raise MeterError(match, f"name one of: {uuids}")
    if match[0] not in chosen:
      chosen.append(match[0])
  return tuple(chosen)


def _match(
  entry: str, ordered: Sequence[Board]
) -> tuple[Board, str | None] | str:
  """Finds the board (and MIG part) an entry names, or says why it has none."""
  if entry.isdecimal():
    index = int(entry)
    if index < len(ordered):
      return _found(ordered[index], entry, None)
    return f"there is no device {index}, only {len(ordered)} boards"
  if entry.startswith("MIG-GPU-"):  # drivers before 470: MIG-GPU-<uuid>/gi/ci
    uuid = entry.removeprefix("MIG-").split("/")[0]
    matches = [(b, entry) for b in ordered if b.uuid == uuid]
  elif entry.startswith("MIG-"):
    matches = [
      (b, part) for b in ordered for part in b.slices if part.startswith(entry)
    ]
  else:
    matches = [(b, None) for b in ordered if b.uuid.startswith(entry)]
  if len(matches) == 1:
    return matches[0]
  if matches:
    return f"{entry!r} fits {len(matches)} devices"
  return f"{entry!r} names no device"


def _found(
  board: Board, name: str, mig_uuid: str | None
) -> tuple[Board, str | None] | str:
  """Returns a board that was named, or says that it is lost."""
  return f"the GPU {name} is lost" if board.lost else (board, mig_uuid)
