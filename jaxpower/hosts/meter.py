"""The meter of another host: what rank 0 asks of it, and its answers."""

import contextlib
import dataclasses
from typing import Any

from jaxpower.power import Monitor, Window


@dataclasses.dataclass(frozen=True)
class Enter:
  """Start to meter a trial, on these GPUs of the host; answered by True."""

  gpus: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Open:
  """Open a window. Not answered."""

  name: str
  steps: int | None


@dataclasses.dataclass(frozen=True)
class Close:
  """Close the window that was opened last. Not answered."""


@dataclasses.dataclass(frozen=True)
class Tell:
  """Tell what was measured since `Enter`: answered by a `Metered`."""


@dataclasses.dataclass(frozen=True)
class Leave:
  """End metering the trial. Not answered."""


@dataclasses.dataclass(frozen=True)
class Metered:
  """The windows of a host, in the order they closed, and its meter."""

  windows: tuple[Window, ...]
  description: dict[str, Any]


class HostMeter:
  """Meters this host as rank 0 says.

  Args:
    meter: auto, nvml, rapl or estimate.
  """

  def __init__(self, meter: str):
    self._meter = meter
    self._monitor: Monitor | None = None
    self._entered = contextlib.ExitStack()
    self._open: list[Any] = []

  def handle(self, message: Any) -> Any:
    """Does what a message says; returns the answer, None where it has none."""
    match message:
      case Enter(gpus):
        self._leave()
        # The rank itself waits for its device before rank 0 goes on.
        self._monitor = Monitor(self._meter, gpus=list(gpus))
        self._entered.enter_context(self._monitor)
        return True
      case Open(name, steps):
        if self._monitor is not None:
          window = self._monitor.window(name, steps=steps)
          window.__enter__()
          self._open.append(window)
      case Close():
        if self._open:
          self._open.pop().__exit__(None, None, None)
      case Tell():
        assert self._monitor is not None  # rank 0 has said Enter
        return Metered(self._monitor.windows(), self._monitor.describe())
      case Leave():
        self._leave()
      case _:
        raise TypeError(f"nothing that a meter does: {message}")
    return None

  def _leave(self) -> None:
    self._open.clear()
    self._entered.close()
    self._monitor = None
