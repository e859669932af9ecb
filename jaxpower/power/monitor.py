"""The instrument: opens the meters, measures windows, leaves nothing behind.

Training must never fail or slow down because its measuring does. So all reads
happen in one daemon thread (`Sampler`), a window costs its caller two
timestamps, the energy is computed when it is asked for, and an error of the
meter becomes a warning. A forked child has no thread and must not wait for
locks that its parent held: it compares process ids and says that it has no
meter.
"""

import functools
import math
import os
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from jaxpower.power.board_state import StateLog
from jaxpower.power.cpu_time import CpuTime
from jaxpower.power.estimate import EstimateSource, Whose
from jaxpower.power.load import LoadLog
from jaxpower.power.reading import Domain, Problem, Source, record_line
from jaxpower.power.replay import Sample
from jaxpower.power.sampler import Sampler
from jaxpower.power.sensor import characterise, step_period
from jaxpower.power.sources import Meter, open_meter
from jaxpower.power.window import Handle, Window, total
from jaxpower.power.window_energy import await_ticks, measure_window

P = ParamSpec("P")
R = TypeVar("R")

STATE_SECONDS = 5.0  # chosen: between two looks at the GPUs' state
LOAD_SECONDS = 1.0  # chosen: between two readings of the load of the cores
# Chosen: between two looks for our children, where no CPU model looks for them
FAMILY_SECONDS = 5.0
RHYTHM_WINDOWS = 64  # at most so many windows show the rhythm of the work
# Shorter steps resonate with no sensor: half of the shortest averaging window
# of a known board, 10 ms (sensor.CANDIDATES).
SHORTEST_STEP = 5e-3
FORKED = "this process was forked: the meter stayed in its parent"


class Monitor:
  """Measures the energy of named windows, from entering to leaving it.

  `meter` is auto, nvml, rapl, estimate, or sources. `wait` makes the arrays
  in a value ready (`jax.block_until_ready`). `gpus` are the job's GPUs by
  UUID; by default those visible to this process. `interval_seconds` reads at
  a fixed pace instead of near the sensors' ticks. `estimate_of` says whose
  CPU time a CPU model counts, of this "process" or of the "machine".

  Raises MeterError when a meter asked for by name cannot be read.
  """

  def __init__(
    self,
    meter: str | Sequence[Source] = "auto",
    *,
    wait: Callable[[Any], Any] | None = None,
    gpus: Sequence[str] | None = None,
    interval_seconds: float | None = None,
    estimate_of: Whose = "process",
  ):
    if interval_seconds is not None and not 0 < interval_seconds < math.inf:
      raise ValueError(f"interval_seconds must be above 0: {interval_seconds}")
    if isinstance(meter, str):
      self._opened = open_meter(meter, gpus, estimate_of=estimate_of)
      self.meter = meter
    else:
      self._opened = Meter(list(meter))
      self.meter = "given"
    self.idle_watts: dict[str, float] = {}
    self._wait = wait
    self._pid = os.getpid()
    self._handles: list[Handle] = []
    # Starts of windows by name, and of all under None: sorted, for the rhythm.
    self._starts: defaultdict[str | None, list[float]] = defaultdict(list)
    self._lock = threading.Lock()
    self._warnings = list(self._opened.warnings)
    self._state_log = StateLog(self._opened.boards)
    self._load_log = LoadLog(_own_time(self._opened.sources))
    self._sampler = Sampler(self._opened.sources, interval_seconds)
    self._sampler.add_chore(self._update_state, STATE_SECONDS)
    self._sampler.add_chore(self._update_load, LOAD_SECONDS)
    self._start: float | None = None

  @property
  def domains(self) -> tuple[Domain, ...]:
    """What is measured: the job's domains first, then GPUs apart."""
    domains = (history.domain for history in self._sampler.histories)
    return tuple(sorted(domains, key=lambda domain: not domain.counted))

  @property
  def failures(self) -> tuple[Problem, ...]:
    """What could not be read, each with its fix."""
    return tuple(self._opened.failures)

  @property
  def cautions(self) -> tuple[Problem, ...]:
    """What a person should know about these numbers, each with its fix."""
    return tuple(dict.fromkeys([*self._warnings, *self._state_log.warnings]))

  @property
  def warnings(self) -> tuple[str, ...]:
    """The cautions as lines, as records hold them."""
    return tuple(record_line(caution) for caution in self.cautions)

  def __enter__(self) -> "Monitor":
    """Starts the sampler and waits until the sensors' rhythm is known."""
    self._update_state()
    self._update_load()
    self._sampler.start()
    self._sampler.await_rhythm()
    self._start = time.monotonic()
    return self

  def __exit__(self, *_: object) -> None:
    """Computes the last windows, stops the sampler, closes the sources."""
    if os.getpid() != self._pid:
      return
    try:
      self.windows()
      self._update_state()
    except Exception as error:  # noqa: BLE001 - never raise into training
      self._warn(f"the meter failed at its end: {error!r}")
    if not self._sampler.stop():
      self._warn("a sensor hangs: its thread was left behind")

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

  def _warn(self, reason: str) -> None:
    self._warnings.append(Problem(reason))

  def measure(
    self, phase: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
  ) -> R:
    """Calls `fn` in a window of its own, between two barriers.

    Every array in the arguments is ready before the window opens, every array
    in the result before it closes. Returns the result at once.
    """
    return self.measured(phase)(fn)(*args, **kwargs)

  def measured(
    self, phase: str, *, steps: int | None = None
  ) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns the decorator form of `measure`.

    `steps` says how many equal steps are done in a call, as in `window`.
    """

    def decorate(fn: Callable[P, R]) -> Callable[P, R]:
      @functools.wraps(fn)
      def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if self._wait is not None:
          self._wait((args, kwargs))
        with self.window(phase, steps=steps):
          result = fn(*args, **kwargs)
          if self._wait is not None:
            self._wait(result)
        return result

      return wrapper

    return decorate

  @contextmanager
  def window(self, name: str, *, steps: int | None = None) -> Iterator[Handle]:
    """Opens a window; windows may nest and overlap, in several threads.

    `steps` says how many equal steps are done inside, so that their rhythm
    can be held against the sensor's.
    """
    # The sampler reads closely near the edges only, so it is told of both.
    self._sampler.nudge()
    handle = Handle(self._compute, name, time.monotonic(), steps)
    try:
      yield handle
    except BaseException as error:
      handle.interrupted = f"ended by {type(error).__name__}"
      raise
    finally:
      handle.end = time.monotonic()
      self._sampler.nudge()
      if os.getpid() == self._pid:
        with self._lock:
          self._handles.append(handle)
          insort(self._starts[None], handle.start)
          insort(self._starts[name], handle.start)

  def measure_idle(self, seconds: float = 3.0, name: str = "idle") -> Window:
    """Measures `seconds` in which nothing is done; keeps the idle watts.

    Call it with the framework's context open and nothing queued.
    """
    with self.window(name) as handle:
      time.sleep(seconds)
    window = handle.result()
    for energy in (*window.energies, *window.apart):
      if energy.joules is not None:
        self.idle_watts[energy.domain] = energy.joules / window.seconds
    return window

  def windows(self) -> tuple[Window, ...]:
    """Returns all closed windows in the order they closed, each final."""
    if os.getpid() != self._pid:
      return ()
    with self._lock:
      handles = tuple(self._handles)
    return tuple(handle.result() for handle in handles)

  def forget(self) -> None:
    """Drops the closed windows, so that watching does not grow."""
    with self._lock:
      self._handles.clear()
      self._starts.clear()
    self._load_log.forget()

  def joules_so_far(self, name: str | None = None) -> float | None:
    """Sums the closed windows of a name, or all since the start. No waiting.

    None when a domain is unknown.
    """
    if os.getpid() != self._pid:
      return None
    now = time.monotonic()
    if name is None:
      start = now if self._start is None else self._start
      return measure_window(
        self._sampler, "so far", start, now, extrapolate=True
      ).joules
    with self._lock:
      handles = [h for h in self._handles if h.name == name]
    joules = [handle.result(wait=False).joules for handle in handles]
    return None if None in joules else math.fsum(j for j in joules if j)

  def _compute(
    self, handle: Handle, end: float, wait: bool
  ) -> tuple[Window, bool]:
    """Computes a closed window's energy; the flag says that it is final."""
    if os.getpid() != self._pid:
      return total(handle.name, handle.start, end, (), (), (FORKED,)), True
    if wait:
      await_ticks(self._sampler, end)
    covered = all(h.covers(end) for h in self._sampler.histories)
    window = measure_window(
      self._sampler,
      handle.name,
      handle.start,
      end,
      extrapolate=not (covered or wait),
      step_seconds=self._rhythm(handle, end),
      reasons=(handle.interrupted,) if handle.interrupted else (),
    )
    load = self._load_log.between(handle.start, end)
    return replace(window, load=load), wait or covered

  def _rhythm(self, handle: Handle, end: float) -> float | None:
    """Returns seconds from step to step: `steps`, else the windows' rhythm.

    Windows inside this one are its steps; without those, the windows of the
    same name before it are steps like this one.
    """
    if handle.steps:
      step = (end - handle.start) / handle.steps
      return step if step >= SHORTEST_STEP else None
    with self._lock:
      every, same_name = self._starts[None], self._starts[handle.name]
      first = bisect_right(every, handle.start)
      last = min(bisect_left(every, end), first + RHYTHM_WINDOWS)
      here = bisect_right(same_name, handle.start)
      inside = every[first:last]
      before = same_name[max(0, here - RHYTHM_WINDOWS) : here]
    return step_period(inside) or step_period(before)

  def timeline(self) -> tuple[Sample, ...]:
    """Returns every raw reading: domain, monotonic seconds, joules, watts."""
    with self._sampler.lock:
      return tuple(
        Sample(
          history.domain.name,
          seconds,
          None if math.isnan(joules) else joules,
          None if math.isnan(watts) else watts,
        )
        for history in self._sampler.histories
        for seconds, joules, watts in zip(
          history.seconds, history.joules, history.watts, strict=True
        )
      )

  def characterise(self) -> dict[str, dict[str, object]]:
    """Finds the sensors' rhythm anew, now; what each is like, by domain.

    Takes up to a second and a half.
    """
    if self._sampler.alive:
      with self._sampler.lock:
        for channel in self._sampler.channels:
          channel.learn_again(time.monotonic())
      self._sampler.nudge()
      self._sampler.await_rhythm()
    return self._sensors()

  def _sensors(self) -> dict[str, dict[str, object]]:
    with self._sampler.lock:
      return {h.domain.name: characterise(h) for h in self._sampler.histories}

  def describe(self) -> dict[str, Any]:
    """Describes what was measured and how, ready for JSON."""
    sensors = self._sensors()
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
            "sensor": sensors[domain.name],
            **source,
          }
        )
    return {
      "meter": self.meter,
      "estimated": any(d.estimated for d in self.domains if d.counted),
      "domains": domains,
      "gpus": self._state_log.describe(),
      "failures": [record_line(failure) for failure in self.failures],
      "warnings": list(self.warnings),
    }


def _own_time(sources: Sequence[Source]) -> CpuTime:
  """Returns the clock of our CPU time: that of a CPU model, if there is one."""
  for source in sources:
    if isinstance(source, EstimateSource) and source.cpu_time is not None:
      return source.cpu_time
  return CpuTime(rescan_seconds=FAMILY_SECONDS)
