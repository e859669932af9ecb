"""The windows of a monitor, and how long the sensors' words are kept for them.

  open      its start is known; a long one is measured lap by lap
  closed    its energy is computed when somebody asks, or
  settled   by the sampler's thread, once all that matters has been read

Whatever the sensors said before the first instant that an open or closed window
still needs is forgotten (`History.drop_before`) or moved to the disk
(`Recording.spill`): the memory of a run does not grow with its hours, only with
its windows. Settling is done in slices, in the sampler's thread, so that
neither training nor reading waits for it long.
"""

import math
import os
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from dataclasses import replace
from itertools import takewhile

from jaxpower.power.history import History
from jaxpower.power.laps import Span, add_to_union, join
from jaxpower.power.load import LoadLog
from jaxpower.power.sampler import Sampler
from jaxpower.power.sensor import step_period
from jaxpower.power.window import Handle, Window, total
from jaxpower.power.window_energy import await_ticks, measure_window

# All chosen.
LAP_SECONDS = 240.0
MARGIN_SECONDS = 60.0  # around what is needed: neighbours of an edge
CHUNK_SECONDS = 60.0  # forgotten or spilled at a time
FORGET_SECONDS = 20.0  # between two looks for it, at all windows that wait
# A closed window is settled so long after its end, and so many reads at a fixed
# pace: late, so that a short run settles at its end and not while it trains.
SETTLE_SECONDS, SETTLE_INTERVALS = 300.0, 3
# Of settling between two reads; as many times of it as there are so many
# windows that wait, so that none has to wait for ever.
SLICE_SECONDS, SLICE_WINDOWS = 5e-3, 100
RHYTHM_WINDOWS = 64  # at most so many windows show the rhythm of the work
# Shorter steps resonate with no sensor: half of the shortest averaging window
# of a known board, 10 ms (sensor.CANDIDATES).
SHORTEST_STEP = 5e-3
# The last power is carried on for so long after the last point, in periods of
# the sensor and in seconds, whichever is longer.
CARRY_PERIODS, CARRY_SECONDS = 3.0, 1.0
# At the end of a window whose sensor was waited for in vain, for at most this
# share of the window; and the sensor is given up for good so long after it.
CARRY_SHARE, GIVEN_UP_SECONDS = 0.1, 10.0
FORKED = "this process was forked: the meter stayed in its parent"


class WindowLog:
  """Opens, closes and computes windows; may be used from several threads.

  In a forked child no lock is taken: the parent's other threads, which may have
  held it, are not there to give it back.
  """

  def __init__(self, sampler: Sampler, load: LoadLog):
    self._sampler = sampler
    self._load = load
    self._pid = os.getpid()
    self._lock = threading.Lock()
    self._handles: list[Handle] = []  # closed, in their order
    self._open: set[Handle] = set()
    self._pending: dict[Handle, None] = {}  # closed, not settled
    self._spans: dict[str, Span] = {}  # of counted windows, by name
    self._uncounted: defaultdict[str, dict[Handle, None]] = defaultdict(dict)
    self._forget_at = -math.inf  # when old readings are next dropped
    self._counting = threading.Lock()  # spans are made by one thread at a time
    # Starts of windows by name, and of all under None: sorted, for the rhythm.
    self._starts: defaultdict[str | None, list[float]] = defaultdict(list)

  def open(self, name: str, steps: int | None = None) -> Handle:
    """Opens a window now. It keeps what the sensors say from here on."""
    handle = Handle(self.compute, name, self._sampler.clock(), steps)
    if os.getpid() == self._pid:
      with self._lock:
        self._open.add(handle)
    return handle

  def close(self, handle: Handle) -> None:
    """Closes a window at its end, which is set; it is told among the others."""
    if os.getpid() != self._pid:
      return
    with self._lock:
      self._open.discard(handle)
      self._handles.append(handle)
      self._pending[handle] = None
      self._uncounted[handle.name][handle] = None
      insort(self._starts[None], handle.start)
      insort(self._starts[handle.name], handle.start)

  def drop(self, handle: Handle) -> None:
    """Lets go of an open window, which is never told."""
    with self._lock:
      self._open.discard(handle)

  def windows(self) -> tuple[Window, ...]:
    """Returns all closed windows in the order they closed, each final."""
    with self._lock:
      handles = tuple(self._handles)
    return tuple(handle.result() for handle in handles)

  def so_far(self, handle: Handle) -> float | None:
    """Returns the joules of a window that may be open still. No waiting."""
    if handle.end is not None:
      return handle.result(wait=False).joules
    now = self._sampler.clock()
    return self.compute(handle, now, wait=False)[0].joules

  def end(self, handle: Handle) -> None:
    """Ends a window for good, now, which is not told among the others."""
    handle.end = self._sampler.clock()
    handle.settle(self.compute(handle, handle.end, wait=False)[0])
    with self._lock:
      self._open.discard(handle)

  def forget(self) -> None:
    """Drops the closed windows, and the readings that are on disk."""
    with self._lock:
      self._handles.clear()
      self._pending.clear()
      self._spans.clear()
      self._uncounted.clear()
      self._starts.clear()
    for history in self._sampler.histories:
      history.recording.forget(self._sampler.lock)

  def joules_of(self, name: str) -> float | None:
    """Returns the joules of all instants in closed windows of a name.

    No waiting; None when a domain is unknown.
    """
    with self._counting:
      self._count(name, compute=True)
      with self._lock:
        last, rest = self._spans.get(name), tuple(self._uncounted[name])
      for handle in rest:
        last = self._joined(last, handle, handle.result(wait=False))
    return last.joules if last else 0.0

  def _count(self, name: str, *, compute: bool) -> None:
    """Adds windows to their name's spans, up to the first that is not final.

    With `compute` those are computed that can be.
    """
    with self._lock:
      last, handles = self._spans.get(name), tuple(self._uncounted[name])
    for handle in handles:
      if not (handle.is_final or compute):
        return
      window = handle.result(wait=False)
      if not handle.is_final:
        return
      last = self._joined(last, handle, window)
      with self._lock:
        if handle in self._uncounted[name]:  # it was not forgotten meanwhile
          del self._uncounted[name][handle]
          self._spans[name] = last

  def _joined(self, last: Span | None, handle: Handle, window: Window) -> Span:
    def measure(start: float, end: float) -> float | None:
      carry_on = not handle.is_final and self._may_carry_on(end)
      part = self._measure(handle.name, start, end, extrapolate=carry_on)
      return part.joules

    return add_to_union(
      last, handle.start, _end(handle), window.joules, measure
    )

  def compute(
    self, handle: Handle, end: float, wait: bool
  ) -> tuple[Window, bool]:
    """Computes a window's energy up to an end; the flag says it is final."""
    if os.getpid() != self._pid:
      return total(handle.name, handle.start, end, (), (), (FORKED,)), True
    if wait:
      await_ticks(self._sampler, end)
    covered = all(h.covers(end) for h in self._sampler.histories)
    share = CARRY_SHARE * (end - handle.start) if wait else math.inf
    carry_on = not covered and self._may_carry_on(end, share)
    # One that is not covered is looked at again when more has been seen.
    given_up = self._sampler.clock() - end > GIVEN_UP_SECONDS
    final = covered or (wait and given_up)
    return self._measure_rest(handle, end, carry_on), final

  def _may_carry_on(self, end: float, longest: float = math.inf) -> bool:
    """Whether what is not seen yet is like what was: no sensor fell silent."""
    histories = self._sampler.histories
    return all(
      h.covers(end) or _carries_on(h, end, longest)
      for h in histories
      if h.domain.counted
    )

  def _measure_rest(
    self, handle: Handle, end: float, carry_on: bool = False
  ) -> Window:
    """Measures a window up to an end: its last lap, and what was before."""
    with self._lock:
      laps, begin = handle.laps, handle.laps_end
    window = self._measure(
      handle.name,
      begin,
      end,
      extrapolate=carry_on,
      step_seconds=self.rhythm(handle, end),
      at_rest=handle.at_rest,
    )
    if laps is not None:
      window = join(laps, window)
    if handle.interrupted:
      reasons = (handle.interrupted, *window.reasons)
      window = replace(window, reasons=reasons)
    return window

  def _measure(
    self,
    name: str,
    start: float,
    end: float,
    *,
    extrapolate: bool = False,
    step_seconds: float | None = None,
    at_rest: bool = False,
  ) -> Window:
    window = measure_window(
      self._sampler,
      name,
      start,
      end,
      extrapolate=extrapolate,
      step_seconds=step_seconds,
      at_rest=at_rest,
    )
    return replace(window, load=self._load.between(start, end))

  def rhythm(self, handle: Handle, end: float) -> float | None:
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

  def tidy(self) -> None:
    """Settles what can be, then forgets what no window needs any more.

    For the sampler's thread, every second or so.
    """
    now = self._sampler.clock()
    with self._lock:
      handles = tuple(self._open)
    for handle in handles:
      if now - handle.laps_end > 2 * LAP_SECONDS:
        self._add_lap(handle)
    self._settle(now)
    if now >= self._forget_at:
      self._forget_at = now + FORGET_SECONDS
      self._forget_before(now)

  def _add_lap(self, handle: Handle) -> None:
    """Measures the next lap of an open window."""
    start, end = handle.laps_end, handle.laps_end + LAP_SECONDS
    # Of `steps` the length is not known before the end.
    step = None if handle.steps else self.rhythm(handle, end)
    lap = self._measure(
      handle.name, start, end, step_seconds=step, at_rest=handle.at_rest
    )
    with self._lock:
      handle.laps = lap if handle.laps is None else join(handle.laps, lap)

  def _settle(self, now: float) -> None:
    """Computes closed windows for good, for a slice of time."""
    patience = SETTLE_SECONDS + SETTLE_INTERVALS * self._sampler.interval
    with self._lock:
      # In the order they closed, which is nearly that of their ends.
      due = list(takewhile(lambda h: now - _end(h) > patience, self._pending))
    slices = 1 + len(due) // SLICE_WINDOWS
    stop = time.monotonic() + slices * SLICE_SECONDS
    for handle in sorted(due, key=_end):
      if not handle.is_final:
        handle.settle(self._measure_rest(handle, _end(handle)))
      # Not waited for: whoever counts may be waiting for the next read.
      if self._counting.acquire(blocking=False):
        try:
          self._count(handle.name, compute=False)
        finally:
          self._counting.release()
      with self._lock:
        if handle not in self._uncounted[handle.name]:
          self._pending.pop(handle, None)
      if time.monotonic() > stop:
        break
      time.sleep(0)  # the training's thread may have waited for its turn

  def _forget_before(self, now: float) -> None:
    """Drops or spills what the sensors said before any instant needed."""
    with self._lock:
      needed = [h.laps_end for h in (*self._open, *self._pending)]
    keep = min([now, *needed]) - MARGIN_SECONDS
    for history in self._sampler.histories:
      if history.seconds and history.seconds[0] < keep - CHUNK_SECONDS:
        history.recording.spill(keep, self._sampler.lock)
        with self._sampler.lock:
          history.drop_before(keep)
    self._load.drop_before(keep)


def _end(handle: Handle) -> float:
  return math.inf if handle.end is None else handle.end


def _carries_on(history: History, instant: float, longest: float) -> bool:
  """Tells whether the last power may be taken for that up to an instant.

  `longest` is for how many seconds, unless that is within the sensor's rhythm.
  """
  points = history.points if history.has_counter else history.power_points
  if not points or not history.seconds:
    return False
  failing = bool(history.gaps) and history.gaps[-1].end >= history.seconds[-1]
  period = history.counter.period or history.power.period or 0.0
  limit = max(CARRY_SECONDS, history.longest_gap)
  limit = max(min(limit, longest), CARRY_PERIODS * period)
  return not failing and instant - points[-1] <= limit
