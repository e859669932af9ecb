"""Asks CUDA itself on which boards it computes, through the driver's library.

CUDA read its environment when it began, knows how it sorts unlike boards, and
sees a MIG part where NVML sees a board; so its word counts, and what
`devices.visible_devices` works out from the environment is for where CUDA is
not at work. To be asked only in a process that computes with CUDA: the question
initialises it, which elsewhere would open the driver and forbid forking.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

from jaxpower.power.reading import MeterError

LIBRARY = "libcuda.so.1"  # as the NVIDIA driver installs it
UUID_BYTES = 16  # of a CUuuid, cuda.h
PCI_BYTES = 32  # chosen: "0000:17:00.0" and its end take 13 (cuda.h)
# The second is of drivers before 11.4, and gives the board's even where the
# device is a MIG part of it.
UUID_FUNCTIONS = ("cuDeviceGetUuid_v2", "cuDeviceGetUuid")


@dataclass(frozen=True)
class CudaDevice:
  """A device as CUDA counts it in this process.

  `uuid` has no prefix, since CUDA gives that of a board and that of a MIG part
  alike; `pci` is the board's address in both cases. None: CUDA does not tell.
  """

  index: int
  uuid: str | None
  pci: str | None


def cuda_devices(library: str = LIBRARY) -> tuple[CudaDevice, ...]:
  """Asks CUDA for the devices of this process, in its own order.

  Raises MeterError where there is no CUDA or it does not answer.
  """
  try:
    cuda = ctypes.CDLL(library)
  except OSError as error:
    raise MeterError(f"CUDA's library cannot be loaded: {error}") from None
  count = ctypes.c_int()
  _call(cuda, "cuInit", ctypes.c_uint(0))
  _call(cuda, "cuDeviceGetCount", ctypes.byref(count))
  return tuple(_device(cuda, index) for index in range(count.value))


def _device(cuda: ctypes.CDLL, index: int) -> CudaDevice:
  device, pci = ctypes.c_int(), ctypes.create_string_buffer(PCI_BYTES)
  _call(cuda, "cuDeviceGet", ctypes.byref(device), index)
  try:
    _call(cuda, "cuDeviceGetPCIBusId", pci, PCI_BYTES, device)
  except MeterError:
    return CudaDevice(index, _uuid(cuda, device), None)
  return CudaDevice(index, _uuid(cuda, device), pci.value.decode())


def _uuid(cuda: ctypes.CDLL, device: ctypes.c_int) -> str | None:
  """Asks for a device's UUID by the newest function that the driver has."""
  raw = (ctypes.c_ubyte * UUID_BYTES)()
  for name in UUID_FUNCTIONS:
    try:
      _call(cuda, name, raw, device)
    except MeterError:
      continue
    digits = bytes(raw).hex()
    parts = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
    return "-".join(parts)
  return None


def _call(cuda: ctypes.CDLL, name: str, *arguments: Any) -> None:
  """Calls a function of the driver; raises MeterError where it fails."""
  try:
    code = getattr(cuda, name)(*arguments)
  except AttributeError:
    raise MeterError(f"this CUDA driver has no {name}") from None
  if code:
    raise MeterError(f"CUDA answers {name} with error {code}")
