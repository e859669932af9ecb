"""Which GPU is which: index, UUID, PCI address, and which belong to the job.

CUDA numbers devices as CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER say; NVML
numbers all boards by PCI address. So an index means two different things, and
energy would be billed to a neighbour's board. The UUID is the one name on which
both agree: it alone is kept, everything else is translated to it here.
"""

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml

from jaxpower.power.nvml import start_nvml, stop_nvml
from jaxpower.power.reading import MeterError

# With one of these CUDA shows no device, nor any that is named after it.
NO_DEVICE = ("", "-1", "none", "void", "nodevfiles")


GpuName = int | str  # index, UUID or prefix of it, MIG UUID, PCI address


@dataclass(frozen=True)
class Board:
  """One GPU board as NVML sees it.

  `handle` is NVML's own. `slices` are the UUIDs of the board's MIG parts.
  `speed` orders boards from slow to fast, as far as NVML tells.
  """

  index: int
  uuid: str
  name: str
  pci: str
  handle: Any = field(default=None, compare=False, repr=False)
  mig: bool = False
  slices: tuple[str, ...] = ()
  speed: tuple[int, ...] = ()


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


def list_boards() -> tuple[Board, ...]:
  """Lists all boards by PCI address, without lost ones.

  NVML must be started.
  """
  boards = []
  for index in range(pynvml.nvmlDeviceGetCount()):
    try:
      handle = pynvml.nvmlDeviceGetHandleByIndex(index)
      mig = _mig_enabled(handle)
      boards.append(
        Board(
          index,
          pynvml.nvmlDeviceGetUUID(handle),
          pynvml.nvmlDeviceGetName(handle),
          pynvml.nvmlDeviceGetPciInfo(handle).busId,
          handle,
          mig,
          _slices(handle) if mig else (),
          _speed(handle),
        )
      )
    except pynvml.NVMLError:
      continue
  return tuple(boards)


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
    devices = [VisibleDevice(i, board) for i, board in enumerate(ordered)]
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
  if len({board.name for board in boards}) <= 1:
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
    match = (by_pci[0], None) if by_pci else _match(name, boards)
    if isinstance(match, str):
      uuids = ", ".join(board.uuid for board in boards) or "none"
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
      return ordered[index], None
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


def same_pci(first: str, second: str) -> bool:
  """Tells whether two PCI addresses are one slot: 00000000:17:00.0, 17:00."""
  return _pci_key(first) is not None and _pci_key(first) == _pci_key(second)


def _pci_key(text: str) -> tuple[int, ...] | None:
  """Returns (domain, bus, device), or None for what is no PCI address."""
  digits = text.split(".")[0].split(":")
  try:
    numbers = tuple(int(part, 16) for part in digits)
  except ValueError:
    return None
  return (0, *numbers)[-3:] if len(numbers) in (2, 3) else None
