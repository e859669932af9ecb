"""NVIDIA GPUs through nvidia-ml-py: the energy counter and the power readings.

What a card supports is found by asking it, not by its name: boards of one
architecture differ, and peers that went by the name raised errors or counted
0 J. Every field of a query has a return code of its own, checked before its
value is read: what stands there after an error is anything.

All fields are asked for in one query, since each call may take driver locks.
That query is made with arguments prepared once, and its answer is digested
later, by `told`: a read comes after a pause, when every line of code is cold,
and nvidia-ml-py's own fills and checks its structures in Python.
"""

import ctypes
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pynvml

from jaxpower.power.reading import (
  Domain,
  MeterError,
  Method,
  Problem,
  Reading,
)

COUNTER = pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
INSTANT = pynvml.NVML_FI_DEV_POWER_INSTANT
AVERAGE = pynvml.NVML_FI_DEV_POWER_AVERAGE
# A power reading is taken in the GPU's own scope, else in the module's. On a
# Grace Hopper that is GPU and CPU together, and a note says so.
SCOPES = (
  (pynvml.NVML_POWER_SCOPE_GPU, ""),
  (
    pynvml.NVML_POWER_SCOPE_MODULE,
    "power of the whole module (GPU and CPU), not of the GPU alone",
  ),
)
NAMES = ("counter", "power_instant", "power_average")  # the most trusted first
MAX_WATTS = 5000.0  # chosen: above any board, where it does not tell its limit
# The average reading is that of one second (NVML's own documentation of
# nvmlDeviceGetPowerUsage, for Ampere and newer; older boards: instantaneous).
AVERAGE_SECONDS = 1.0
LIMITS = 2.0  # chosen: no mean of a tick is above so many times the power limit
# A stamp of the driver outside this is of another clock: one that was stepped.
OLDEST_STAMP_SECONDS, NEWEST_STAMP_SECONDS = 60.0, 1e-3
# nvmlFieldValue_t of nvml.h: field, scope, stamp in microseconds, latency, type
# of the value, return code, value. Unpacked at once: to look at the members of
# two fields one by one takes 25 us in nvidia-ml-py.
FIELD = struct.Struct("@IIqqii8s")
VALUES = {
  pynvml.NVML_VALUE_TYPE_DOUBLE: struct.Struct("d"),
  pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: struct.Struct("Ixxxx"),
  pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: struct.Struct("L"),
  pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: struct.Struct("Q"),
  pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: struct.Struct("q"),
  pynvml.NVML_VALUE_TYPE_SIGNED_INT: struct.Struct("ixxxx"),
  pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: struct.Struct("Hxxxxxx"),
}

KNOWN_ERRORS = {
  pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: Problem(
    "the NVML library is not there",
    "install the NVIDIA driver; in a container start it with --gpus all",
  ),
  pynvml.NVML_ERROR_DRIVER_NOT_LOADED: Problem(
    "the NVIDIA driver is not loaded",
    "sudo modprobe nvidia",
  ),
  pynvml.NVML_ERROR_NO_PERMISSION: Problem(
    "no permission to talk to the NVIDIA driver",
    "sudo chmod a+rw /dev/nvidiactl /dev/nvidia[0-9]*",
  ),
  pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: Problem(
    "the NVML library does not fit the loaded driver",
    "reboot, or reload the driver, after the driver's update",
  ),
}


def explain(error: pynvml.NVMLError) -> Problem:
  """Explains an NVML error to people: reason and fix."""
  code = getattr(error, "value", pynvml.NVML_ERROR_UNKNOWN)
  unknown = Problem(f"NVML answers: {error}", "nvidia-smi should work first")
  return KNOWN_ERRORS.get(code, unknown)


def start_nvml() -> None:
  """Starts NVML. Raises MeterError with the fix when it cannot."""
  try:
    pynvml.nvmlInit()
  except pynvml.NVMLError as error:
    problem = explain(error)
    raise MeterError(f"NVML: {problem.reason}", problem.fix) from None


def stop_nvml() -> None:
  """Undoes one `start_nvml`."""
  with suppress(pynvml.NVMLError):  # the driver may be gone already
    pynvml.nvmlShutdown()


def field_value(kind: int, value: bytes) -> float | None:
  """Returns the number in a field's union, None for a type not known."""
  layout = VALUES.get(kind)
  return None if layout is None else float(layout.unpack(value)[0])


class NvmlSource:
  """One GPU board. Raises MeterError when it tells neither energy nor power."""

  def __init__(
    self,
    handle: Any,
    uuid: str,
    *,
    description: str = "",
    counted: bool = True,
    notes: Sequence[str] = (),
  ):
    self._handle = handle
    self._legacy: dict[str, Any] = {}
    self._fields: list[tuple[int, int]] = []
    self.missing: dict[str, str] = {}
    notes = list(notes)
    for name, field in zip(NAMES, (COUNTER, INSTANT, AVERAGE), strict=True):
      note = self._probe(name, field)
      if note:
        notes.append(note)
    if {(INSTANT, 0), (AVERAGE, 0)} <= set(self._fields):
      self._fields.remove((AVERAGE, 0))  # it says less, and costs as much
    self._probe_legacy()
    offered = self._offered()
    if not offered:
      reasons = "; ".join(f"{k}: {v}" for k, v in self.missing.items())
      raise MeterError(f"{uuid} tells neither energy nor power ({reasons})")
    method: Method = offered[0]  # type: ignore[assignment]
    if method != "counter":
      notes.append(f"no energy counter: {self.missing['counter']}")
    self._domain = Domain(
      uuid,
      "gpu",
      method,
      description,
      counted=counted,
      max_watts=_highest_watts(handle),
      power_window_seconds=self._power_window(),
      notes=tuple(notes),
    )
    start_nvml()
    self._open = True
    self._values = (pynvml.c_nvmlFieldValue_t * len(self._fields))()
    for value, (field, scope) in zip(self._values, self._fields, strict=True):
      value.fieldId, value.scopeId = field, scope
    self._query = self._prepared()

  def _prepared(self) -> Callable[[], int]:
    """Returns the query of all fields, which answers in `_values`."""
    if not self._fields:
      return lambda: pynvml.NVML_SUCCESS
    query = pynvml.nvmlLib.nvmlDeviceGetFieldValues  # type: ignore[attr-defined]
    count = ctypes.c_int(len(self._fields))
    return partial(query, self._handle, count, ctypes.byref(self._values))

  @property
  def tells_power(self) -> bool:
    """Whether the board has a power reading."""
    return not {"power_instant", "power_average"} <= self.missing.keys()

  def _power_window(self) -> float:
    """Returns the seconds that the power reading averages, where long."""
    if "power_instant" not in self.missing or "power_average" in self.missing:
      return 0.0
    if "power_average" in self._legacy:
      with suppress(pynvml.NVMLError):
        architecture = pynvml.nvmlDeviceGetArchitecture(self._handle)
        if architecture < pynvml.NVML_DEVICE_ARCH_AMPERE:
          return 0.0
    return AVERAGE_SECONDS

  def _offered(self) -> list[str]:
    return [name for name in NAMES if name not in self.missing]

  def _probe(self, name: str, field: int) -> str:
    """Asks for a field in each scope; notes when it is not the GPU's own."""
    scopes = SCOPES[:1] if name == "counter" else SCOPES
    reason = ""
    for scope, note in scopes:
      try:
        (value,) = pynvml.nvmlDeviceGetFieldValues(
          self._handle, [(field, scope)]
        )
      except pynvml.NVMLError as error:
        self.missing[name] = str(error)
        return ""
      if value.nvmlReturn == pynvml.NVML_SUCCESS:
        self._fields.append((field, scope))
        self.missing.pop(name, None)
        return note and f"{name}: {note}"
      reason = reason or str(pynvml.NVMLError(value.nvmlReturn))
      self.missing[name] = reason
    return ""

  def _probe_legacy(self) -> None:
    """Tries the calls of older drivers, where the fields are not known."""
    if "counter" in self.missing:
      self._try_legacy("counter", pynvml.nvmlDeviceGetTotalEnergyConsumption)
    if "power_instant" in self.missing and "power_average" in self.missing:
      self._try_legacy("power_average", pynvml.nvmlDeviceGetPowerUsage)

  def _try_legacy(self, name: str, call: Any) -> None:
    try:
      call(self._handle)
    except pynvml.NVMLError:
      return
    self._legacy[name] = call
    self.missing.pop(name, None)

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The board."""
    return (self._domain,)

  def read(self) -> tuple[Reading]:
    """Reads all fields in one query; what failed is None."""
    return self.ask()()

  def ask(self) -> Callable[[], tuple[Reading]]:
    """Reads, and returns what digests the answer.

    It runs often, after a pause each time: short code is what makes it cheap.
    """
    older = None
    begin = time.monotonic()
    error = self._query()
    if self._legacy and not error:
      older = self._ask_older()
    end = time.monotonic()
    raw = bytes(self._values)
    return partial(self._told, begin, end, time.time(), error, raw, older)

  def _told(
    self,
    begin: float,
    end: float,
    wall: float,
    error: int,
    raw: bytes,
    older: dict[str, float] | pynvml.NVMLError | None,
  ) -> tuple[Reading]:
    """Digests the answer of a query, that ended at a wall clock's time."""
    joules = instant = average = stamp = failure = None
    refusal = 0
    refused = pynvml.NVMLError(error) if error else older
    if isinstance(refused, pynvml.NVMLError):
      failure = f"NVML answers: {refused}"
    elif refused:
      joules, average = refused.get("counter"), refused.get("power_average")
    for field, _, micros, _, kind, code, union in FIELD.iter_unpack(raw):
      value = None
      if code == pynvml.NVML_SUCCESS and failure is None:
        value = field_value(kind, union)
      if value is None:
        refusal = refusal or code
      elif field == COUNTER:
        joules = value * 1e-3
        stamp = _stamp(micros, begin, end, wall - end)
      elif field == INSTANT:
        instant = value * 1e-3
      else:
        average = value * 1e-3
    watts = average if instant is None else instant
    if joules is None and watts is None and failure is None:
      failure = "NVML gave no value"
      if refusal:
        failure = f"NVML answers: {pynvml.NVMLError(refusal)}"
    name = self._domain.name
    return (Reading(name, begin, end, joules, watts, stamp, failure),)

  def _ask_older(self) -> dict[str, float] | pynvml.NVMLError:
    """Reads joules and average watts by the calls of older drivers."""
    try:
      return {
        name: call(self._handle) * 1e-3 for name, call in self._legacy.items()
      }
    except pynvml.NVMLError as error:
      return error

  def describe(self) -> dict[str, object]:
    """Describes what the card offers, and what not."""
    return {
      "source": "nvml",
      "offers": self._offered(),
      "not_offered": dict(self.missing),
      "older_calls": sorted(self._legacy),
    }

  def close(self) -> None:
    """Lets go of NVML."""
    if self._open:
      self._open = False
      stop_nvml()


def _highest_watts(handle: Any) -> float:
  """Returns the watts that a board cannot draw, by its power limits."""
  limits = []
  for call in (
    pynvml.nvmlDeviceGetEnforcedPowerLimit,
    pynvml.nvmlDeviceGetPowerManagementDefaultLimit,
  ):
    with suppress(pynvml.NVMLError):
      limits.append(call(handle) * 1e-3)  # milliwatts
  highest = max(limits, default=0.0)
  return LIMITS * highest if highest > 0 else MAX_WATTS


def _stamp(
  microseconds: int, begin: float, end: float, ahead: float
) -> float | None:
  """Brings the driver's own time of a value to the monotonic clock.

  The wall clock was `ahead` of that when the value was read. None where the
  time is missing or cannot be: in the future, or minutes old, as after a step
  of the wall clock.
  """
  if not microseconds:
    return None
  stamp = microseconds * 1e-6 - ahead
  oldest, newest = begin - OLDEST_STAMP_SECONDS, end + NEWEST_STAMP_SECONDS
  return stamp if oldest < stamp < newest else None
