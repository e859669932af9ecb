"""The thread that reads the sensors, near their ticks and seldom otherwise.

A read costs: a wake of the thread took 105 us of CPU on the machine this was
built on, a read with its bookkeeping 60 us, and on a real board it takes driver
locks. A read every 2 ms would pin every tick down and cost 8 % of a core. So
the rhythm is learned first, in such quick reads, and then:

  calm    one read every 0.2 s, in the middle between two ticks, where there is
          no doubt which tick it saw; every fifth looks at the phase instead
  alert   for six ticks after a window's edge every tick is read, because only
          the ticks around the edges enter the window's energy

  ticks   |       |       |       |       |       |
  calm        r                               r           r  a read
  alert  r r       r       r     r r       r       r      each a guard off

A read right at an expected tick cannot tell whether it saw that tick or the one
before: a first version that read there lost the phase unnoticed and was ten
times worse. Hence the guard on both sides, and a nudge too near a tick waits
until after it. A counter of 20 ms costs 7 reads a second inside a long window
and 65 under windows of 50 ms; one of 100 ms 7 and 14.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jaxpower.power.history import LONGEST_GAP, History
from jaxpower.power.reading import Reading, Source
from jaxpower.power.ticks import Tracker

# Chosen, and held against benchmarks/meter_accuracy.py (error) and
# benchmarks/meter_overhead.py (under 0.5 % of a core for each GPU).
LEARN_SECONDS = 1.5  # given up after: a slow tick of 100 ms comes 15 times
LEARN_INTERVAL = 2e-3
LEARN_CHANGES = 8
CONTINUOUS_INTERVAL = 0.1  # between reads of a counter that is always fresh
BLIND_INTERVAL = 0.05  # where no rhythm was found
QUICK = 0.15  # a counter quicker than this is not followed tick by tick
CALM_INTERVAL = 0.2  # between its reads, except
ALERT_TICKS = 6  # for these many ticks after the edge of a window
CHECK_EVERY = 5  # calm reads between two looks at the phase
PROBE_EVERY = 3  # ticks between reads that look whether one came early
# A tick is looked for this share of a period, or so many seconds, from where it
# is expected. To that share a steady rhythm is known (ticks.STEADY).
GUARD_SHARE, GUARD_SECONDS = 0.03, 8e-4
NUDGE_GUARDS = 2  # a nudge nearer to a tick than so many guards waits
# Parts of a period after which to look again for a tick that is late: a power
# reading, soon; a counter, long overdue.
LATE_POWER, LATE_COUNTER = 1 / 8, 1 / 4
GAP_INTERVALS = 3  # reads at a fixed pace that may be missing

LEARN_GRACE = 0.5  # seconds the caller waits beyond LEARN_SECONDS
LONGEST_PAUSE = 1.0  # seconds the thread sleeps at most
POLL_SECONDS = 1e-3  # between two looks whether the rhythm is known
STOP_SECONDS = 2.0  # for a thread that hangs in a driver


class Channel:
  """One source, what it said, and when to ask it next.

  `learning` lasts until the rhythm is known or given up. With an `interval` the
  source is read at that pace and nothing is learned.
  """

  def __init__(
    self, source: Source, interval: float | None = None, start: float = 0.0
  ):
    self.source = source
    self.histories = tuple(History(domain) for domain in source.domains)
    self.interval = interval
    for history in self.histories:
      history.longest_gap = max(LONGEST_GAP, GAP_INTERVALS * (interval or 0.0))
    self.start = start
    self.due = start
    self.reads = 0
    self.learning = any(d.update_seconds is None for d in source.domains) and (
      interval is None
    )
    self._target: float | None = None  # the expected tick that is looked for
    self._ticks = 0  # planned so far, by which some are checked or probed
    self._probe = False  # whether the next read looks at the phase
    self._alert = -math.inf  # until when every tick is read

  def ask(self, now: float) -> Sequence[Reading]:
    """Reads the source. A source that breaks its promise is a failed read."""
    try:
      return self.source.read()
    except Exception as error:  # noqa: BLE001 - never raise into training
      failure = f"{type(error).__name__}: {error}"
      names = [history.domain.name for history in self.histories]
      return [Reading(name, now, now, failure=failure) for name in names]

  def take(self, readings: Sequence[Reading], now: float) -> None:
    """Notes the readings and plans the next read."""
    self.reads += 1
    for history, reading in zip(self.histories, readings, strict=False):
      history.add(reading)
    self.due = self._next(readings[-1].end if readings else now)

  @property
  def continuous(self) -> bool:
    """Whether every domain is fresh at every read."""
    return all(history.continuous for history in self.histories)

  def learn_again(self, now: float) -> None:
    """Looks for the rhythm anew, as at the start."""
    if self.interval is None and not self.continuous:
      self.learning, self.start, self.due = True, now, now
      for history in self.histories:
        history.counter.forget()
        history.power.forget()

  def nudged(self, now: float) -> bool:
    """Takes note of a window's edge; whether a read is due at once for it."""
    if self.learning or self.interval is not None:
      return False
    if self.continuous:
      return True
    period = self._tracker().period
    if not period or period >= QUICK:
      return False  # every tick is read anyway
    calm = now > self._alert
    self._alert = now + ALERT_TICKS * period
    if not calm:
      return False
    self._target, self._probe = None, False
    tick = self._tracker().next_tick(now) or now
    margin = NUDGE_GUARDS * _guard(period)
    if margin < tick - now < period - margin:
      return True
    # Too near a tick to know which one would be seen: look after it.
    self.due = (tick if tick - now <= margin else now) + margin
    return False

  def _tracker(self) -> Tracker:
    """Returns the rhythm to follow: the counter's, else the power's."""
    history = self.histories[0]
    return history.counter if history.counter.changes else history.power

  def _next(self, now: float) -> float:
    """Plans the instant of the next read."""
    if self.learning:
      return self._learn(now)
    if self.interval is not None:
      return now + self.interval
    if self.continuous:
      return now + CONTINUOUS_INTERVAL
    period = self._tracker().period
    if not period:
      return now + BLIND_INTERVAL
    return self._near_tick(now, period)

  def _learn(self, now: float) -> float:
    """Plans quick reads until enough ticks are seen, then ends learning."""
    changes = min(
      max(h.counter.changes, h.power.changes) for h in self.histories
    )
    counters = [h for h in self.histories if h.domain.method == "counter"]
    if counters:
      changes = min(h.counter.changes for h in counters)
    if changes < LEARN_CHANGES and now - self.start < LEARN_SECONDS:
      return now + LEARN_INTERVAL
    self.learning = False
    for history in self.histories:
      history.end_learning()
    return self._next(now)

  def _near_tick(self, now: float, period: float) -> float:
    """Plans a read just after an expected tick, now and then before it too."""
    tracker, guard = self._tracker(), _guard(period)
    last = tracker.last.seconds if tracker.last else now
    target = self._target
    # Is the tick looked for still to come (the last one seen is before it)?
    if target is not None and last <= target - period / 2 < now + period:
      if now < target + guard:
        return target + guard
      # It is late: look closely. Power may also have stayed what it was.
      counting = tracker is self.histories[0].counter
      if now < target + period / 2:
        return now + (guard if counting else LATE_POWER * period)
      if counting and now < target + period:
        return now + min(LATE_COUNTER * period, BLIND_INTERVAL)
    self._ticks += 1
    quick = period < QUICK and self.histories[0].has_counter
    calm = quick and now > self._alert
    if calm and tracker.is_steady(CALM_INTERVAL) and not self._probe:
      # Between two ticks there is no doubt which of them is seen.
      self._target = None
      self._probe = self._ticks % CHECK_EVERY == 0
      ahead = tracker.next_tick(now + CALM_INTERVAL - period)
      return (ahead or now + CALM_INTERVAL) + period / 2
    target = tracker.next_tick(max(last + period / 2, now - period / 2))
    assert target is not None
    if target + guard < now:  # too late for this one
      target += period
    self._target = target
    probing = self._probe or self._ticks % PROBE_EVERY == 0
    self._probe = False
    if probing and target - guard > now + guard / 2:
      return target - guard
    return target + guard


def _guard(period: float) -> float:
  """Returns the seconds from an expected tick at which it is looked for."""
  return max(GUARD_SECONDS, GUARD_SHARE * period)


@dataclass
class Chore:
  """Something the thread does every few seconds beside reading."""

  work: Callable[[], None]
  seconds: float
  due: float


class Sampler:
  """Serves the channels from one thread. A clock may be put in for tests.

  `lock` guards the histories; no source is read under it.
  """

  def __init__(
    self,
    sources: Sequence[Source],
    interval: float | None = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    self.clock = clock
    self.interval = interval or 0.0
    self.channels = tuple(Channel(s, interval, clock()) for s in sources)
    self.lock = threading.Lock()
    # Held while there is nothing to wake for: to wait is to try to take it.
    self._wake = threading.Lock()
    self._wake.acquire()
    self._stopping = False
    self._nudged = False
    self._thread: threading.Thread | None = None
    self._chores: list[Chore] = []

  @property
  def histories(self) -> tuple[History, ...]:
    """The histories of all channels, in their order."""
    return tuple(h for channel in self.channels for h in channel.histories)

  def add_chore(self, work: Callable[[], None], seconds: float) -> None:
    """Lets the thread do something else now and then, before it starts."""
    self._chores.append(Chore(work, seconds, self.clock() + seconds))

  def poll(self) -> float:
    """Reads what is due; returns the instant of the next read."""
    nudged, self._nudged = self._nudged, False
    for channel in self.channels:
      now = self.clock()
      if (nudged and channel.nudged(now)) or channel.due <= now:
        readings = channel.ask(now)  # outside the lock: it may be slow
        with self.lock:
          channel.take(readings, now)
    for chore in self._chores:
      if chore.due <= self.clock():
        chore.work()
        chore.due = self.clock() + chore.seconds
    return min(
      (c.due for c in (*self.channels, *self._chores)), default=math.inf
    )

  def start(self) -> None:
    """Starts the thread."""
    self._thread = threading.Thread(
      target=self._run, name="jaxpower-sampler", daemon=True
    )
    self._thread.start()

  def _run(self) -> None:
    while not self._stopping:
      pause = min(self.poll() - self.clock(), LONGEST_PAUSE)
      if pause > 0:
        self._wake.acquire(timeout=pause)

  def await_rhythm(self) -> None:
    """Waits until every sensor's rhythm is known, or given up."""
    deadline = time.monotonic() + LEARN_SECONDS + LEARN_GRACE
    while time.monotonic() < deadline and not all(
      c.reads and not c.learning for c in self.channels
    ):
      time.sleep(POLL_SECONDS)

  def nudge(self) -> None:
    """Tells the thread that a window begins or ends now."""
    self._nudged = True
    with suppress(RuntimeError):  # it is awake already
      self._wake.release()

  def stop(self, timeout: float = STOP_SECONDS) -> bool:
    """Ends the thread and closes the sources; False when a read hangs."""
    self._stopping = True
    self.nudge()
    ended = True
    if self._thread is not None:
      self._thread.join(timeout)
      ended = not self._thread.is_alive()
    if ended:
      for channel in self.channels:
        channel.source.close()
    return ended

  @property
  def alive(self) -> bool:
    """Whether the thread runs (it does not in a forked child)."""
    return self._thread is not None and self._thread.is_alive()
