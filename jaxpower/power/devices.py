"""Which GPU is which: index, UUID, PCI address, and which belong to the job.

CUDA numbers devices as CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER say; NVML
numbers all boards by PCI address. The UUID is the one name both agree on.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml

from jaxpower.power.reading import MeterError


@dataclass(frozen=True)
class Board:
  """One GPU board as NVML sees it. `slices` are the UUIDs of its MIG parts."""

  index: int
  uuid: str
  name: str
  pci: str
  handle: Any = field(default=None, compare=False, repr=False)
  mig: bool = False
  slices: tuple[str, ...] = ()
  speed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Visible:
  """One device of the process: its CUDA index and the board it lies on."""

  index: int
  board: Board
  mig_uuid: str | None = None


def list_boards() -> tuple[Board, ...]:
  """All boards by PCI address, without lost ones. NVML must be started."""
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
  found = []
  try:
    count = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
  except pynvml.NVMLError:
    return ()
  for index in range(count):
    try:
      part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
      found.append(pynvml.nvmlDeviceGetUUID(part))
    except pynvml.NVMLError:
      continue  # not every slot is filled
  return tuple(found)


def _speed(handle: Any) -> tuple[int, ...]:
  try:
    capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle))
    cores = pynvml.nvmlDeviceGetNumGpuCores(handle)
    clock = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)
  except pynvml.NVMLError:
    return ()
  return (cores * clock, *capability)


def cuda_order(
  boards: Sequence[Board], environ: Mapping[str, str]
) -> tuple[tuple[Board, ...], str]:
  """Boards in the order CUDA counts them, and a doubt where there is one.

  CUDA puts the fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID, and does
  not say how it judges. Equal boards keep their PCI order.
  """
  by_pci = tuple(sorted(boards, key=lambda board: board.index))
  if environ.get("CUDA_DEVICE_ORDER", "").upper() == "PCI_BUS_ID":
    return by_pci, ""
  if len({board.name for board in boards}) <= 1:
    return by_pci, ""
  doubt = (
    "the GPUs differ, so CUDA's fastest-first numbers are a guess:"
    " set CUDA_DEVICE_ORDER=PCI_BUS_ID"
  )
  fastest = sorted(by_pci, key=lambda board: board.speed, reverse=True)
  return tuple(fastest), doubt


def visible_devices(
  boards: Sequence[Board], environ: Mapping[str, str] | None = None
) -> tuple[tuple[Visible, ...], tuple[str, ...]]:
  """The devices this process may use, in CUDA's order, and warnings.

  Like CUDA, reading CUDA_VISIBLE_DEVICES stops at the first entry that names
  no device; unlike CUDA, it says so.
  """
  environ = os.environ if environ is None else environ
  ordered, doubt = cuda_order(boards, environ)
  text = environ.get("CUDA_VISIBLE_DEVICES")
  if text is None:
    everything = tuple(Visible(i, b) for i, b in enumerate(ordered))
    return everything, (doubt,) if doubt else ()
  entries = [entry.strip() for entry in text.split(",")]
  found: list[Visible] = []
  warnings: list[str] = []
  for entry in entries:
    if entry in ("", "-1") or entry.lower() in ("none", "void", "nodevfiles"):
      break
    match = _find(entry, ordered)
    if isinstance(match, str):
      warnings.append(
        f"CUDA_VISIBLE_DEVICES: {match}; CUDA ignores it and all after it"
      )
      break
    board, mig_uuid = match
    seen = [(v.board.uuid, v.mig_uuid) for v in found]
    if (board.uuid, mig_uuid) in seen:
      warnings.append(
        f"CUDA_VISIBLE_DEVICES names {entry} twice; CUDA then shows no device"
      )
      return (), tuple(warnings)
    if entry.isdecimal() and doubt and doubt not in warnings:
      warnings.append(doubt)
    found.append(Visible(len(found), board, mig_uuid))
  return tuple(found), tuple(warnings)


def _find(
  entry: str, ordered: Sequence[Board]
) -> tuple[Board, str | None] | str:
  """The board (and MIG part) an entry names, or why it names none."""
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


def choose_boards(
  boards: Sequence[Board], wanted: Sequence[str]
) -> tuple[Board, ...]:
  """Boards by UUID, UUID prefix, MIG UUID, PCI address or NVML index.

  Raises MeterError for a name that fits none or several.
  """
  chosen: list[Board] = []
  for name in wanted:
    by_pci = [b for b in boards if same_pci(b.pci, name)]
    match = (by_pci[0], None) if by_pci else _find(name, boards)
    if isinstance(match, str):
      known = ", ".join(board.uuid for board in boards) or "none"
      raise MeterError(match, f"name one of: {known}")
    if match[0] not in chosen:
      chosen.append(match[0])
  return tuple(chosen)


def same_pci(first: str, second: str) -> bool:
  """Whether two PCI addresses mean one slot, as 00000000:17:00.0 and 17:00."""
  return _pci_key(first) is not None and _pci_key(first) == _pci_key(second)


def _pci_key(text: str) -> tuple[int, ...] | None:
  parts = text.split(".")[0].split(":")
  try:
    numbers = tuple(int(part, 16) for part in parts)
  except ValueError:
    return None
  return (0, *numbers)[-3:] if len(numbers) in (2, 3) else None
