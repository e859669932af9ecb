# ruff: noqa: N802, N815 - the functions have the names that NVML gives them
"""A simulated NVML library, put where nvidia-ml-py keeps the loaded one.

For tests and benchmarks on machines without a GPU; the product never loads it.
Every function is a C function pointer made by ctypes, so that nvidia-ml-py's
own arguments, structures, return codes and time stamps cross the same border as
on a GPU, and no compiler is needed. Truth is known: a board's power is a
`Waveform`, seen through a `SensorModel` for each of its three readings.

  with installed(Gpu(power=200.0)):
    pynvml.nvmlInit()

What it says of its GPUs is made up, but of the kind that drivers say: UUIDs of
real form, a counter in millijoules that did not begin at zero, return codes for
each field, a value that nobody may read behind an error.
"""

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_int, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml

from jaxpower.power.simulated import SensorModel
from jaxpower.power.waveform import Waveform, as_waveform

UUIDS = (
  "GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f",
  "GPU-91bc77e2-0d3f-4a55-b1c6-7e9a2f3d4c5b",
  "GPU-3f2a61c0-77d1-4e08-a5b9-c4d3e2f1a0b9",
)
MIG_UUID = "MIG-7d9e2b44-1c3a-5f60-8e7d-6b5a4c3d2e1f"

ENERGY = pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
INSTANT = pynvml.NVML_FI_DEV_POWER_INSTANT
AVERAGE = pynvml.NVML_FI_DEV_POWER_AVERAGE
OK = pynvml.NVML_SUCCESS
UNSUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED

# Handles are numbers: the board's index above the first base, and above the
# second the slot of a MIG part in steps of 0x100, plus the board's index.
BOARD_HANDLES, MIG_HANDLES, MIG_STEP = 0x1000, 0x9000, 0x100
GARBAGE = 0xDEADBEEF  # stands where an error forbids reading


@dataclass
class Gpu:
  """One simulated board: its power, its sensors, its state, its faults.

  `field_errors`, `scope_errors` and `call_errors` map a field id, a scope of
  power or a function's name to the return code it gives; they may be changed
  while the meter runs. `counter_stops` and `power_stops` are the seconds from
  which a reading stays. `stamps` are of the "call", or of the "tick" at which
  the value was sampled. `read_seconds` is what a query takes. Where `settings`
  is a file, limit and locked clock lie there: one card to several processes.
  """

  power: float | Waveform | Callable[[float], float] = 200.0
  uuid: str = UUIDS[0]
  name: str = "NVIDIA H200"
  pci: str = "00000000:17:00.0"
  counter: SensorModel = field(
    default_factory=lambda: SensorModel(energy_period=0.02, quantum=1e-3)
  )
  instant: SensorModel = field(
    default_factory=lambda: SensorModel(power_period=0.1, power_window=0.025)
  )
  average: SensorModel = field(
    default_factory=lambda: SensorModel(power_period=0.1, power_window=1.0)
  )
  field_errors: dict[int, int] = field(default_factory=dict)
  call_errors: dict[str, int] = field(default_factory=dict)
  scope_errors: dict[int, int] = field(default_factory=dict)
  read_seconds: float = 0.0
  counter_offset: float = 1.7e6  # joules since the driver was loaded
  counter_stops: float | None = None
  power_stops: float | None = None
  stamps: str = "call"
  limit_watts: float = 700.0
  default_limit_watts: float = 700.0
  limits_watts: tuple[float, float] = (200.0, 700.0)  # that it takes
  locked_mhz: int = 0
  settings: Path | None = None
  temperature: int = 41
  persistence: int = 1
  throttle: int = 0
  mig: bool = False
  mig_uuids: tuple[str, ...] = ()
  pids: tuple[int, ...] = ()
  cores: int = 16896
  memory_bytes: int = 80 << 30
  used_bytes: int = 500 << 20
  busy_percent: int = 97
  start: float = field(default_factory=time.monotonic)

  def __post_init__(self) -> None:
    self.waveform = as_waveform(self.power)

  @property
  def now(self) -> float:
    """The seconds since the board began."""
    return time.monotonic() - self.start

  def set_to(self) -> tuple[int, int]:
    """Returns the power limit in milliwatts and the locked clock in MHz."""
    if self.settings is not None and self.settings.exists():
      limit, clock = self.settings.read_text().split()
      return int(limit), int(clock)
    return round(self.limit_watts * 1e3), self.locked_mhz

  def set(self, milliwatts: int, clock: int) -> None:
    """Sets the power limit and the locked clock."""
    self.limit_watts, self.locked_mhz = milliwatts * 1e-3, clock
    if self.settings is not None:
      new = self.settings.with_suffix(".new")
      new.write_text(f"{milliwatts} {clock}")
      new.replace(self.settings)

  def millijoules(self) -> int:
    """Returns what the energy counter shows."""
    now = self.now if self.counter_stops is None else self.counter_stops
    joules = self.counter.joules(self.waveform, now)
    return round((joules + self.counter_offset) * 1e3)

  def milliwatts(self, sensor: SensorModel) -> int:
    """Returns what a power reading shows."""
    now = self.now if self.power_stops is None else self.power_stops
    return round(sensor.watts(self.waveform, now) * 1e3)

  def truth(self, start: float, end: float) -> float:
    """Returns the joules between two instants of the monotonic clock."""
    joules = self.waveform.joules
    return joules(end - self.start) - joules(start - self.start)


@dataclass
class Library:
  """Stands in for libnvidia-ml.so.1: functions by name, made on first use.

  `missing` names functions that an older driver does not have. `calls` counts,
  `functions` may be given others, `initialised` is NVML's own count.
  """

  gpus: tuple[Gpu, ...]
  driver: str = "580.95.05"
  cuda: int = 13000  # the newest that the driver knows: 1000 major, 10 minor
  init_error: int = OK
  missing: frozenset[str] = frozenset()
  calls: dict[str, int] = field(default_factory=dict)
  functions: dict[str, Any] = field(default_factory=dict)
  initialised: int = 0

  def __getattr__(self, name: str) -> Any:
    if name.startswith("__") or name in self.missing:
      raise AttributeError(name)
    if name not in self.functions:
      self.functions[name] = self._build(name)
    return self.functions[name]

  def _build(self, name: str) -> Any:
    try:
      body, *types = getattr(_Calls, name), *SIGNATURES[name]
    except KeyError:
      raise AttributeError(name) from None

    def call(*args: Any) -> int:
      self.calls[name] = self.calls.get(name, 0) + 1
      return body(self, *args)

    return ctypes.CFUNCTYPE(c_int, *types)(call)

  def gpu(self, handle: int, call: str = "") -> tuple[Gpu, int]:
    """Returns the board of a handle, and the code with which the call fails."""
    gpu = self.gpus[(handle - BOARD_HANDLES) % MIG_STEP]
    return gpu, gpu.call_errors.get(call, OK)


def _write(kind: Any, address: int, value: Any) -> int:
  """Puts a C value where the caller wants it."""
  kind.from_address(address).value = value
  return OK


def _write_text(address: int, text: str) -> int:
  """Puts a C string where the caller wants it."""
  data = text.encode() + b"\0"
  ctypes.memmove(address, data, len(data))
  return OK


def _uint(name: str, value: Callable[[Gpu], int]) -> Callable[..., int]:
  """Makes a function that gives one number, perhaps after a selector."""

  def body(library: Library, handle: int, *rest: int) -> int:
    gpu, error = library.gpu(handle, name)
    return error or _write(c_uint, rest[-1], value(gpu))

  return staticmethod(body)  # type: ignore[return-value]


class _Calls:
  """NVML's functions, each with the library in front of its C arguments.

  They return NVML's code and write their answer to addresses given to them.
  """

  @staticmethod
  def nvmlInitWithFlags(library, _flags):
    if library.init_error:
      return library.init_error
    library.initialised += 1
    return OK

  @staticmethod
  def nvmlShutdown(library):
    library.initialised -= 1
    return OK

  @staticmethod
  def nvmlSystemGetDriverVersion(library, text, _size):
    return _write_text(text, library.driver)

  @staticmethod
  def nvmlSystemGetNVMLVersion(library, text, _size):
    return _write_text(text, f"{library.cuda // 1000}.{library.driver}")

  @staticmethod
  def nvmlSystemGetCudaDriverVersion_v2(library, version):
    return _write(c_int, version, library.cuda)

  @staticmethod
  def nvmlDeviceGetCount_v2(library, count):
    return _write(c_uint, count, len(library.gpus))

  @staticmethod
  def nvmlDeviceGetHandleByIndex_v2(library, index, handle):
    error = library.gpus[index].call_errors.get("nvmlDeviceGetHandleByIndex")
    return error or _write(c_void_p, handle, BOARD_HANDLES + index)

  @staticmethod
  def nvmlDeviceGetUUID(library, handle, text, _size):
    if handle >= MIG_HANDLES:
      slot, index = divmod(handle - MIG_HANDLES, MIG_STEP)
      gpu = library.gpus[index]
      return _write_text(text, gpu.mig_uuids[slot])
    gpu, error = library.gpu(handle, "nvmlDeviceGetUUID")
    return error or _write_text(text, gpu.uuid)

  @staticmethod
  def nvmlDeviceGetName(library, handle, text, _size):
    return _write_text(text, library.gpu(handle)[0].name)

  @staticmethod
  def nvmlDeviceGetPciInfo_v3(library, handle, info):
    pci = pynvml.nvmlPciInfo_t.from_address(info)
    pci.busId = library.gpu(handle)[0].pci.encode()
    return OK

  @staticmethod
  def nvmlDeviceGetFieldValues(library, handle, count, values):
    gpu, error = library.gpu(handle, "nvmlDeviceGetFieldValues")
    if gpu.read_seconds:
      time.sleep(gpu.read_seconds)
    if error:
      return error
    stride = ctypes.sizeof(pynvml.c_nvmlFieldValue_t)
    for i in range(count):
      value = pynvml.c_nvmlFieldValue_t.from_address(values + i * stride)
      _fill_field(gpu, value)
    return OK

  @staticmethod
  def nvmlDeviceGetTotalEnergyConsumption(library, handle, millijoules):
    gpu, error = library.gpu(handle, "nvmlDeviceGetTotalEnergyConsumption")
    return error or _write(c_ulonglong, millijoules, gpu.millijoules())

  @staticmethod
  def nvmlDeviceGetMigMode(library, handle, current, pending):
    gpu, error = library.gpu(handle, "nvmlDeviceGetMigMode")
    _write(c_uint, pending, int(gpu.mig))
    return error or _write(c_uint, current, int(gpu.mig))

  @staticmethod
  def nvmlDeviceGetMigDeviceHandleByIndex(library, handle, slot, part):
    gpu, _ = library.gpu(handle)
    if slot >= len(gpu.mig_uuids):
      return pynvml.NVML_ERROR_NOT_FOUND
    index = handle - BOARD_HANDLES
    return _write(c_void_p, part, MIG_HANDLES + slot * MIG_STEP + index)

  @staticmethod
  def nvmlDeviceGetCudaComputeCapability(library, handle, major, minor):
    _write(c_int, major, 9)
    return _write(c_int, minor, 0)

  @staticmethod
  def nvmlDeviceGetEccMode(library, handle, current, pending):
    _write(c_uint, pending, 1)
    return _write(c_uint, current, 1)

  @staticmethod
  def nvmlDeviceGetCurrentClocksEventReasons(library, handle, reasons):
    return _write(c_ulonglong, reasons, library.gpu(handle)[0].throttle)

  @staticmethod
  def nvmlDeviceSetPowerManagementLimit(library, handle, milliwatts):
    gpu, error = library.gpu(handle, "nvmlDeviceSetPowerManagementLimit")
    least, most = gpu.limits_watts
    if not error and not least * 1e3 <= milliwatts <= most * 1e3:
      error = pynvml.NVML_ERROR_INVALID_ARGUMENT
    if not error:
      gpu.set(milliwatts, gpu.set_to()[1])
    return error

  @staticmethod
  def nvmlDeviceGetPowerManagementLimitConstraints(library, handle, low, high):
    gpu, error = library.gpu(handle, "constraints")
    _write(c_uint, low, round(gpu.limits_watts[0] * 1e3))
    return error or _write(c_uint, high, round(gpu.limits_watts[1] * 1e3))

  @staticmethod
  def nvmlDeviceSetGpuLockedClocks(library, handle, _low, high):
    gpu, error = library.gpu(handle, "nvmlDeviceSetGpuLockedClocks")
    if not error:
      gpu.set(gpu.set_to()[0], high)
    return error

  @staticmethod
  def nvmlDeviceResetGpuLockedClocks(library, handle):
    gpu, error = library.gpu(handle, "nvmlDeviceResetGpuLockedClocks")
    if not error:
      gpu.set(gpu.set_to()[0], 0)
    return error

  @staticmethod
  def nvmlDeviceGetMemoryInfo(library, handle, info):
    gpu, error = library.gpu(handle, "nvmlDeviceGetMemoryInfo")
    memory = pynvml.c_nvmlMemory_t.from_address(info)
    memory.total, memory.used = gpu.memory_bytes, gpu.used_bytes
    memory.free = gpu.memory_bytes - gpu.used_bytes
    return error

  @staticmethod
  def nvmlDeviceGetUtilizationRates(library, handle, rates):
    gpu, error = library.gpu(handle, "nvmlDeviceGetUtilizationRates")
    pynvml.c_nvmlUtilization_t.from_address(rates).gpu = gpu.busy_percent
    return error

  @staticmethod
  def nvmlDeviceGetComputeRunningProcesses_v3(
    library, handle, count, processes
  ):
    pids = library.gpu(handle)[0].pids
    room = c_uint.from_address(count).value
    _write(c_uint, count, len(pids))
    if not pids:
      return OK
    if processes is None or room < len(pids):
      return pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    size = ctypes.sizeof(pynvml.c_nvmlProcessInfo_v3_t)
    for i, pid in enumerate(pids):
      at = processes + i * size
      pynvml.c_nvmlProcessInfo_v3_t.from_address(at).pid = pid
    return OK

  @staticmethod
  def nvmlDeviceGetGraphicsRunningProcesses_v3(
    library, handle, count, processes
  ):
    return _write(c_uint, count, 0)

  nvmlDeviceGetPowerUsage = _uint(
    "nvmlDeviceGetPowerUsage", lambda gpu: gpu.milliwatts(gpu.average)
  )
  nvmlDeviceGetArchitecture = _uint("architecture", lambda gpu: 9)
  nvmlDeviceGetMaxMigDeviceCount = _uint("mig count", lambda gpu: 7)
  nvmlDeviceGetNumGpuCores = _uint("cores", lambda gpu: gpu.cores)
  nvmlDeviceGetMaxClockInfo = _uint("clock", lambda gpu: 1980)
  nvmlDeviceGetClockInfo = _uint("clock", lambda gpu: gpu.set_to()[1] or 1755)
  nvmlDeviceGetPerformanceState = _uint("state", lambda gpu: 0)
  nvmlDeviceGetTemperature = _uint("temperature", lambda gpu: gpu.temperature)
  nvmlDeviceGetPersistenceMode = _uint(
    "persistence", lambda gpu: gpu.persistence
  )
  nvmlDeviceGetEnforcedPowerLimit = _uint("limit", lambda gpu: gpu.set_to()[0])
  nvmlDeviceGetPowerManagementLimit = _uint(
    "limit", lambda gpu: gpu.set_to()[0]
  )
  nvmlDeviceGetPowerManagementDefaultLimit = _uint(
    "limit", lambda gpu: round(gpu.default_limit_watts * 1e3)
  )


def _fill_field(gpu: Gpu, value: Any) -> None:
  """Answers one field of a batched query, with its own code and stamp."""
  error = gpu.field_errors.get(value.fieldId, OK)
  if not error and value.fieldId != ENERGY:
    error = gpu.scope_errors.get(value.scopeId, OK)
  stamp = time.time()
  if value.fieldId == ENERGY:
    value.value.ullVal = gpu.millijoules()
    value.valueType = pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    if gpu.stamps == "tick" and gpu.counter.energy_period:
      stamp -= (gpu.now - gpu.counter.phase) % gpu.counter.energy_period
  elif value.fieldId == INSTANT:
    value.value.uiVal = gpu.milliwatts(gpu.instant)
    value.valueType = pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
  elif value.fieldId == AVERAGE:
    value.value.uiVal = gpu.milliwatts(gpu.average)
    value.valueType = pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
  else:
    error = pynvml.NVML_ERROR_INVALID_ARGUMENT
  value.nvmlReturn = error
  value.timestamp = 0 if error else round(stamp * 1e6)
  if error:
    value.value.ullVal = GARBAGE


P, U = c_void_p, c_uint
# The C types of each function's arguments, after nvml.h; a handle is a pointer.
SIGNATURES: dict[str, tuple[Any, ...]] = {
  "nvmlInitWithFlags": (U,),
  "nvmlShutdown": (),
  "nvmlSystemGetDriverVersion": (P, U),
  "nvmlSystemGetNVMLVersion": (P, U),
  "nvmlSystemGetCudaDriverVersion_v2": (P,),
  "nvmlDeviceGetCount_v2": (P,),
  "nvmlDeviceGetHandleByIndex_v2": (U, P),
  "nvmlDeviceGetUUID": (P, P, U),
  "nvmlDeviceGetName": (P, P, U),
  "nvmlDeviceGetPciInfo_v3": (P, P),
  "nvmlDeviceGetFieldValues": (P, c_int, P),
  "nvmlDeviceGetTotalEnergyConsumption": (P, P),
  "nvmlDeviceGetMigMode": (P, P, P),
  "nvmlDeviceGetMigDeviceHandleByIndex": (P, U, P),
  "nvmlDeviceGetCudaComputeCapability": (P, P, P),
  "nvmlDeviceGetEccMode": (P, P, P),
  "nvmlDeviceGetCurrentClocksEventReasons": (P, P),
  "nvmlDeviceGetComputeRunningProcesses_v3": (P, P, P),
  "nvmlDeviceGetGraphicsRunningProcesses_v3": (P, P, P),
  "nvmlDeviceGetPowerUsage": (P, P),
  "nvmlDeviceGetArchitecture": (P, P),
  "nvmlDeviceGetMaxMigDeviceCount": (P, P),
  "nvmlDeviceGetNumGpuCores": (P, P),
  "nvmlDeviceGetMaxClockInfo": (P, U, P),
  "nvmlDeviceGetClockInfo": (P, U, P),
  "nvmlDeviceGetPerformanceState": (P, P),
  "nvmlDeviceGetTemperature": (P, U, P),
  "nvmlDeviceGetPersistenceMode": (P, P),
  "nvmlDeviceGetEnforcedPowerLimit": (P, P),
  "nvmlDeviceGetPowerManagementLimit": (P, P),
  "nvmlDeviceGetPowerManagementLimitConstraints": (P, P, P),
  "nvmlDeviceSetPowerManagementLimit": (P, U),
  "nvmlDeviceSetGpuLockedClocks": (P, U, U),
  "nvmlDeviceResetGpuLockedClocks": (P,),
  "nvmlDeviceGetMemoryInfo": (P, P),
  "nvmlDeviceGetUtilizationRates": (P, P),
  "nvmlDeviceGetPowerManagementDefaultLimit": (P, P),
}


def install(library: Library) -> None:
  """Puts a library where pynvml keeps the loaded one, for good."""
  pynvml.nvmlLib = library
  pynvml._nvmlGetFunctionPointer_cache.clear()  # type: ignore[attr-defined]


@contextmanager
def installed(*gpus: Gpu, **kwargs: Any) -> Iterator[Library]:
  """Installs a library with these boards for the body of a `with`."""
  before = pynvml.nvmlLib  # type: ignore[attr-defined]
  library = Library(tuple(gpus), **kwargs)
  install(library)
  try:
    yield library
  finally:
    pynvml.nvmlLib = before
    pynvml._nvmlGetFunctionPointer_cache.clear()  # type: ignore[attr-defined]
