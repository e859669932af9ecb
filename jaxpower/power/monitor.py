"""The instrument: opens the meters, measures windows, leaves nothing behind.

Training must never fail or slow down because its measuring does. So all reads
happen in one daemon thread (`Sampler`), a window costs its caller two
timestamps, the energy is computed when it is asked for, and an error of the
meter becomes a warning. A forked child has no thread and must not wait for
locks that its parent held: it compares process ids and says that it has no
meter.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from jaxpower.power.board_state import StateLog
from jaxpower.power.cpu_time import CpuTime
from jaxpower.power.devices import GpuName
from jaxpower.power.estimate import EstimateSource, Whose
from jaxpower.power.load import LoadLog
from jaxpower.power.reading import Domain, Problem, Source, record_line
from jaxpower.power.recording import Timeline
from jaxpower.power.sampler import Sampler
from jaxpower.power.sensor import characterise
from jaxpower.power.shared import divided
from jaxpower.power.sources import Meter, open_meter
from jaxpower.power.window import Handle, Window
from jaxpower.power.window_log import FORKED, WindowLog
from jaxpower.power.wrapping import is_lazy, undone, wrap

P = ParamSpec("P")
R = TypeVar("R")

STATE_SECONDS = 5.0  # chosen: between two looks at the GPUs' state
LOAD_SECONDS = 1.0  # chosen: between two readings of the load of the cores
# Chosen: between two looks for our children, where no CPU model looks for them
FAMILY_SECONDS = 5.0
TIDY_SECONDS = 1.0  # between two looks for what need not be kept


class Monitor:
  """Measures the energy of named windows, from entering to leaving it.

  `meter` is auto, nvml, rapl, estimate, or sources. `wait` makes the arrays
  in a value ready (`jax.block_until_ready`). `gpus` are the job's GPUs by
  UUID, PCI address or index of NVML, one or several; by default those visible
  to this process. `interval_seconds` reads at a fixed pace instead of near the
  sensors' ticks. `estimate_of` says whose CPU time a CPU model counts, of this
  "process" or of the "machine". `at_once` says how many trials the machine runs
  at once: what they share is divided among them (`power.shared`); `own_cores`
  that each has cores of its own; `cores` how many idle ones the CPU model
  counts (0: those that this process may run on).

  A monitor is entered once. Raises MeterError when a meter asked for by name
  cannot be read, or a GPU is not there.
  """

  def __init__(
    self,
    meter: str | Sequence[Source] = "auto",
    *,
    wait: Callable[[Any], Any] | None = None,
    gpus: GpuName | Sequence[GpuName] | None = None,
    interval_seconds: float | None = None,
    estimate_of: Whose = "process",
    at_once: int = 1,
    own_cores: bool = False,
    cores: int = 0,
  ):
    if interval_seconds is not None and not 0 < interval_seconds < math.inf:
      raise ValueError(f"interval_seconds must be above 0: {interval_seconds}")
    if isinstance(meter, str):
      self._opened = open_meter(meter, gpus, estimate_of=estimate_of)
      self.meter = meter
    else:
      self._opened = Meter(list(meter))
      self.meter = "given"
    sources = divided(self._opened.sources, at_once, own_cores, cores)
    self._opened.sources = sources
    self.idle_watts: dict[str, float] = {}
    self._wait = wait
    self._pid = os.getpid()
    self._warnings = list(self._opened.warnings)
    self._state_log = StateLog(self._opened.boards)
    self._own_time = _own_time(self._opened.sources)
    self._load_log = LoadLog(self._own_time)
    self._sampler = Sampler(self._opened.sources, interval_seconds)
    self._sampler.add_chore(self._update_state, STATE_SECONDS)
    self._sampler.add_chore(self._update_load, LOAD_SECONDS)
    self._sampler.add_chore(self._tidy, TIDY_SECONDS)
    self._windows = WindowLog(self._sampler, self._load_log)
    self._entered = False
    self._whole: Handle | None = None  # from entering to leaving it

  @property
  def domains(self) -> tuple[Domain, ...]:
    """What is measured: the job's domains first, then GPUs apart."""
    channels = self._sampler.channels
    domains = (domain for c in channels for domain in c.source.domains)
    return tuple(sorted(domains, key=lambda domain: not domain.counted))

  @property
  def failures(self) -> tuple[Problem, ...]:
    """What could not be read, each with its fix."""
    return tuple(self._opened.failures)

  @property
  def cautions(self) -> tuple[Problem, ...]:
    """What a person should know about these numbers, each with its fix."""
    channels = self._sampler.channels
    thinned = [h.recording.problem for c in channels for h in c.histories]
    return tuple(
      dict.fromkeys(
        [
          *self._warnings,
          *self._state_log.warnings,
          *(Problem(text) for text in thinned if text),
        ]
      )
    )

  @property
  def warnings(self) -> tuple[str, ...]:
    """The cautions as lines, as records hold them."""
    return tuple(record_line(caution) for caution in self.cautions)

  def __enter__(self) -> "Monitor":
    """Starts the sampler and waits until the sensors' rhythm is known.

    Raises RuntimeError when it was entered before.
    """
    if self._entered:
      raise RuntimeError("this Monitor was entered before: make a new one")
    self._entered = True
    self._update_state()
    self._update_load()
    self._sampler.start()
    self._sampler.await_rhythm()
    self._whole = self._windows.open("so far")
    return self

  def __exit__(self, *_: object) -> None:
    """Computes the last windows, stops the sampler, closes the sources."""
    if self._forked:
      return
    try:
      if self._whole is not None:
        self._windows.end(self._whole)
      self.windows()
      self._update_state()
    except Exception as error:  # noqa: BLE001 - never raise into training
      self._warn(f"the meter failed at its end: {error!r}")
    if not self._sampler.stop():
      self._warn("a sensor hangs: its thread was left behind")

  @property
  def _forked(self) -> bool:
    """Whether this is a child of the process that made the monitor."""
    return os.getpid() != self._pid

  def _update_state(self) -> None:
    try:
      self._state_log.update()
    except Exception as error:  # noqa: BLE001 - never raise into training
      self._warn(f"the GPUs' state could not be read: {error!r}")

  def _update_load(self) -> None:
    try:
      self._load_log.update()
    except Exception as error:  # noqa: BLE001 - never raise into training
      self._warn(f"the cores' load could not be read: {error!r}")

  def _tidy(self) -> None:
    try:
      self._windows.tidy()
    except Exception as error:  # noqa: BLE001 - never raise into training
      self._warn(f"windows could not be settled: {error!r}")

  def _warn(self, reason: str) -> None:
    if Problem(reason) not in self._warnings:
      self._warnings.append(Problem(reason))

  def measure(
    self, phase: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
  ) -> R:
    """Calls `fn` in a window of its own, between two barriers.

    Every array in the arguments is ready before the window opens, every array
    in the result before it closes. Returns the result at once. The work of a
    coroutine or a generator is measured while it is awaited or iterated.
    """
    if is_lazy(fn):
      return self.measured(phase)(fn)(*args, **kwargs)
    if self._wait is not None:
      self._wait((args, kwargs))
    with self.window(phase) as handle:
      result = fn(*args, **kwargs)
      if self._wait is not None:
        self._wait(result)
      handle.interrupted = undone(result)
    return result

  def measured(
    self, phase: str, *, steps: int | None = None
  ) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns the decorator form of `measure`.

    `steps` says how many equal steps are done in a call, as in `window`.
    """

    return lambda fn: wrap(fn, partial(self._around, phase, steps))

  @contextmanager
  def _around(
    self, phase: str, steps: int | None, arguments: Any
  ) -> Iterator[Callable[[Any], Any]]:
    """Waits for arguments, opens a window, yields what waits for a result."""
    if self._wait is not None:
      self._wait(arguments)
    with self.window(phase, steps=steps) as handle:

      def finish(result: Any) -> Any:
        if self._wait is not None:
          self._wait(result)
        handle.interrupted = undone(result)
        return result

      yield finish

  @contextmanager
  def window(self, name: str, *, steps: int | None = None) -> Iterator[Handle]:
    """Opens a window; windows may nest and overlap, in several threads.

    `steps` says how many equal steps are done inside, so that their rhythm
    can be held against the sensor's.
    """
    # The sampler reads closely near the edges only, so it is told of both.
    self._sampler.nudge()
    handle = self._windows.open(name, steps)
    try:
      yield handle
    except BaseException as error:
      handle.interrupted = f"ended by {type(error).__name__}"
      raise
    finally:
      handle.end = time.monotonic()
      self._sampler.nudge()
      self._windows.close(handle)

  def open_at(self, name: str, start: float) -> Handle:
    """Opens a window at an instant of the monotonic clock just past.

    For work of another process, which told when it began; `close_at` closes it.
    """
    self._sampler.nudge()
    handle = self._windows.open(name)
    handle.start = start
    return handle

  def close_at(self, handle: Handle, end: float) -> None:
    """Closes a window of `open_at` at an instant just past."""
    handle.end = end
    self._sampler.nudge()
    self._windows.close(handle)

  def drop(self, handle: Handle) -> None:
    """Lets go of an open window of `open_at`: another one takes its time."""
    self._windows.drop(handle)

  def look_for_children(self) -> None:
    """Has processes that were just started counted at once by a CPU model."""
    self._own_time.rescan()

  def measure_idle(self, seconds: float = 3.0, name: str = "idle") -> Window:
    """Measures `seconds` in which nothing is done; keeps the idle watts.

    Call it with the framework's context open and nothing queued.
    """
    with self.window(name) as handle:
      handle.at_rest = True
      time.sleep(seconds)
    window = handle.result()
    for energy in (*window.energies, *window.apart):
      if energy.joules is not None:
        self.idle_watts[energy.domain] = energy.joules / window.seconds
    for history in self._sampler.histories:
      history.idle_watts = self.idle_watts.get(history.domain.name)
    return window

  def windows(self) -> tuple[Window, ...]:
    """Returns all closed windows in the order they closed, each final."""
    return () if self._forked else self._windows.windows()

  def forget(self) -> None:
    """Drops closed windows and old readings, so that watching does not grow."""
    if not self._forked:
      self._windows.forget()

  def joules_so_far(self, name: str | None = None) -> float | None:
    """Returns the joules in the closed windows of a name, or since the start.

    Windows of one name may overlap or nest: each instant counts once. No
    waiting; after the end it is final. None when a domain is unknown.
    """
    if self._forked:
      return None
    if name is not None:
      return self._windows.joules_of(name)
    return self._windows.so_far(self._whole) if self._whole else None

  def timeline(self) -> Timeline:
    """Returns every raw reading: domain, monotonic seconds, joules, watts.

    It is read again, partly from disk, each time it is iterated.
    """
    if self._forked:
      return Timeline({}, threading.Lock())  # ours may be held for ever
    recordings = {h.domain.name: h.recording for h in self._sampler.histories}
    return Timeline(recordings, self._sampler.lock)

  def characterise(self) -> dict[str, dict[str, object]]:
    """Finds the sensors' rhythm anew, now; what each is like, by domain.

    Takes up to a second and a half.
    """
    if self._forked:
      return {}
    if self._sampler.alive:
      with self._sampler.lock:
        for channel in self._sampler.channels:
          channel.learn_again(time.monotonic())
      self._sampler.nudge()
      self._sampler.await_rhythm()
    return self._sensors()

  def _sensors(self) -> dict[str, dict[str, object]]:
    with self._sampler.lock:  # but for a moment: the work is done outside it
      histories = [history.excerpt() for history in self._sampler.histories]
    return {history.domain.name: characterise(history) for history in histories}

  def describe(self) -> dict[str, Any]:
    """Describes what was measured and how, ready for JSON."""
    sensors = {} if self._forked else self._sensors()
    domains = []
    for channel in self._sampler.channels:
      source = channel.source.describe()
      for domain in channel.source.domains:
        domains.append(
          {
            "domain": domain.name,
            "kind": domain.kind,
            "method": domain.method,
            "description": domain.description,
            "estimated": domain.estimated,
            "counted": domain.counted,
            "notes": list(domain.notes),
            "idle_watts": self.idle_watts.get(domain.name),
            "sensor": sensors.get(domain.name),
            **source,
          }
        )
    return {
      "meter": self.meter,
      "estimated": any(d.estimated for d in self.domains if d.counted),
      "domains": domains,
      "gpus": self._state_log.describe(),
      "failures": [record_line(failure) for failure in self.failures],
      "warnings": [*self.warnings, *([FORKED] if self._forked else [])],
    }


def _own_time(sources: Sequence[Source]) -> CpuTime:
  """Returns the clock of our CPU time: that of a CPU model, if there is one."""
  for source in sources:
    if isinstance(source, EstimateSource) and source.cpu_time is not None:
      return source.cpu_time
  return CpuTime(rescan_seconds=FAMILY_SECONDS)
