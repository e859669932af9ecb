"""The instrument: opens the meters, measures windows, leaves nothing behind."""

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from jaxpower.power.history import History
from jaxpower.power.reading import Domain, Source
from jaxpower.power.replay import Sample
from jaxpower.power.sampler import LEARN_SECONDS, Sampler
from jaxpower.power.sources import Found, find_sources
from jaxpower.power.window import Energy, Window, energy_of, total

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 0.25  # seconds to wait for a tick of a sensor without known period
FORKED = "this process was forked: the meter stayed in its parent"


class Handle:
  """An open or closed window."""

  def __init__(self, monitor: "Monitor", name: str, start: float):
    self.name = name
    self.start = start
    self.end: float | None = None
    self._monitor = monitor
    self._window: Window | None = None

  def result(self, *, wait: bool = True) -> Window:
    """The energy of the closed window; waits at most one tick for it.

    With `wait=False` the last power is carried on to the end, with a wider
    bound. Raises RuntimeError while the window is open.
    """
    if self.end is None:
      raise RuntimeError(f"window {self.name!r} is still open")
    if self._window is not None:
      return self._window
    window, final = self._monitor._settle(self, wait)
    if final:
      self._window = window
    return window


class Monitor:
  """Measures the energy of named windows, from entering to leaving it.

  `meter` is auto, nvml, rapl, estimate, or sources. `wait` makes the arrays
  in a value ready (`jax.block_until_ready`). `gpus` are the job's GPUs by
  UUID; by default those visible to this process. `interval_seconds` reads at
  a fixed pace instead of near the sensors' ticks.

  Raises MeterError when a meter asked for by name cannot be read.
  """

  def __init__(
    self,
    meter: str | Sequence[Source] = "auto",
    *,
    wait: Callable[[Any], Any] | None = None,
    gpus: Sequence[str] | None = None,
    interval_seconds: float | None = None,
  ):
    if interval_seconds is not None and not interval_seconds > 0:
      raise ValueError(f"interval_seconds must be above 0: {interval_seconds}")
    if isinstance(meter, str):
      self._found = find_sources(meter, gpus)
      self.meter = meter
    else:
      self._found = Found(list(meter))
      self.meter = "given"
    self._wait = wait
    self._pid = os.getpid()
    self._handles: list[Handle] = []
    self._lock = threading.Lock()
    self._warnings = list(self._found.warnings)
    self._closed = False
    self._sampler = Sampler(self._found.sources, interval_seconds)
    self._start: float | None = None

  @property
  def domains(self) -> tuple[Domain, ...]:
    """What is measured: the job's domains first, then GPUs apart."""
    domains = [history.domain for history in self._histories()]
    return tuple(sorted(domains, key=lambda domain: not domain.counted))

  @property
  def warnings(self) -> tuple[str, ...]:
    """What a person should know about these numbers."""
    return tuple(dict.fromkeys(self._warnings))

  def _histories(self) -> tuple[History, ...]:
    return tuple(
      history
      for channel in self._sampler.channels
      for history in channel.histories
    )

  def __enter__(self) -> "Monitor":
    """Starts the sampler and waits until the sensors' rhythm is known."""
    self._sampler.start()
    deadline = time.monotonic() + LEARN_SECONDS + 0.5
    while time.monotonic() < deadline and not all(
      c.reads and not c.learning for c in self._sampler.channels
    ):
      time.sleep(1e-3)
    self._start = time.monotonic()
    return self

  def __exit__(self, *_: object) -> None:
    """Settles the last windows, stops the sampler, closes the sources."""
    if os.getpid() != self._pid:
      return
    self.windows()
    self._closed = True
    if not self._sampler.stop():
      self._warnings.append(
        "a sensor did not answer: its thread was left behind"
      )

  def measure(
    self, phase: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
  ) -> R:
    """Calls `fn` in a window of its own, between two barriers.

    Every array in the arguments is ready before the window opens, every array
    in the result before it closes. Returns the result at once.
    """
    if self._wait is not None:
      self._wait((args, kwargs))
    with self.window(phase):
      result = fn(*args, **kwargs)
      if self._wait is not None:
        self._wait(result)
    return result

  def measured(self, phase: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The decorator form of `measure`."""

    def decorate(fn: Callable[P, R]) -> Callable[P, R]:
      @functools.wraps(fn)
      def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return self.measure(phase, fn, *args, **kwargs)

      return wrapper

    return decorate

  @contextmanager
  def window(self, name: str) -> Iterator[Handle]:
    """Opens a window; windows may nest and overlap, in several threads."""
    self._sampler.nudge()
    handle = Handle(self, name, time.monotonic())
    try:
      yield handle
    finally:
      handle.end = time.monotonic()
      self._sampler.nudge()
      if os.getpid() == self._pid:
        with self._lock:
          self._handles.append(handle)

  def windows(self) -> tuple[Window, ...]:
    """All closed windows, in the order they closed, settled."""
    with self._lock:
      handles = tuple(self._handles)
    return tuple(handle.result() for handle in handles)

  def joules_so_far(self, name: str | None = None) -> float | None:
    """Joules of the closed windows of a name, or since the start. No waiting.

    None when a domain is unknown.
    """
    now = time.monotonic()
    if name is None:
      start = now if self._start is None else self._start
      return self._measure("so far", start, now, extrapolate=True).joules
    with self._lock:
      handles = [h for h in self._handles if h.name == name]
    joules = [handle.result(wait=False).joules for handle in handles]
    known = [value for value in joules if value is not None]
    return sum(known) if len(known) == len(joules) else None

  def _settle(self, handle: Handle, wait: bool) -> tuple[Window, bool]:
    """The window of a closed handle, and whether it will not change."""
    end = handle.end
    assert end is not None
    if os.getpid() != self._pid:
      return total(handle.name, handle.start, end, (), (), (FORKED,)), True
    if wait:
      self._await(end)
    covered = all(h.covers(end) for h in self._histories())
    final = wait or covered
    window = self._measure(
      handle.name, handle.start, end, extrapolate=not (covered or wait)
    )
    return window, final

  def _await(self, end: float) -> None:
    """Waits until every sensor has shown a value from after `end`."""
    deadlines = []
    for history in self._histories():
      period = history.counter.period or history.power.period
      slack = 0.1 if history.continuous or period else PATIENCE
      deadlines.append((history, end + 1.5 * (period or 0.0) + slack))
    while self._sampler.alive:
      now = time.monotonic()
      late = [h for h, by in deadlines if not h.covers(end) and now < by]
      if not late:
        return
      if any(history.continuous for history in late):
        self._sampler.nudge()
      time.sleep(1e-3)

  def _measure(
    self, name: str, start: float, end: float, *, extrapolate: bool
  ) -> Window:
    energies: list[Energy] = []
    apart: list[Energy] = []
    with self._sampler.lock:
      for history in self._histories():
        energy = energy_of(history, start, end, extrapolate=extrapolate)
        (energies if history.domain.counted else apart).append(energy)
    return total(name, start, end, energies, apart)

  def timeline(self) -> tuple[Sample, ...]:
    """Every raw reading: domain, seconds (monotonic), joules, watts."""
    with self._sampler.lock:
      return tuple(
        Sample(
          history.domain.name,
          seconds,
          None if joules != joules else joules,
          None if watts != watts else watts,
        )
        for history in self._histories()
        for seconds, joules, watts in zip(
          history.seconds, history.joules, history.watts, strict=True
        )
      )

  def describe(self) -> dict[str, Any]:
    """What was measured and how, ready for JSON."""
    domains = []
    for channel in self._sampler.channels:
      source = channel.source.describe()
      for history in channel.histories:
        domain = history.domain
        reads = max(1, len(history.seconds))
        domains.append(
          {
            "domain": domain.name,
            "kind": domain.kind,
            "method": domain.method,
            "description": domain.description,
            "estimated": domain.estimated,
            "counted": domain.counted,
            "notes": list(domain.notes),
            "sensor": {
              "counter_period_seconds": history.counter.period
              if not history.continuous
              else domain.update_seconds,
              "power_period_seconds": history.power.period,
              "read_seconds_mean": history.latency_total / reads,
              "read_seconds_max": history.latency_highest,
              "reads": len(history.seconds),
            },
            **source,
          }
        )
    return {
      "meter": self.meter,
      "estimated": any(d.estimated for d in self.domains if d.counted),
      "domains": domains,
      "failures": list(self._found.failures),
      "warnings": list(self.warnings),
    }
