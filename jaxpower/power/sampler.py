"""The thread that reads the sensors, near their ticks and seldom otherwise.

A read costs: a wake of the thread took 105 us of CPU on the machine this was
built on, a read with its bookkeeping 60 us, and on a real board it takes driver
locks. A read every 2 ms would pin every tick down and cost 8 % of a core. So
the rhythm is learned first, in such quick reads, and then:

  calm    one read every 0.2 s, in the middle between two ticks, where there is
          no doubt which tick it saw; every fifth looks at the phase instead
  alert   for four ticks after a window's edge every tick is read, because only
          the ticks around the edges enter the window's energy

  ticks   |       |       |       |       |       |
  calm        r                               r           r  a read
  alert  r r       r       r     r r       r       r      each a guard off

A read right at an expected tick cannot tell whether it saw that tick or the one
before: a first version that read there lost the phase unnoticed and was ten
times worse. Hence the guard on both sides, as wide as the tick is foreseen, and
a nudge too near a tick waits until after it. A tick that strays further than
the guard is closed in on by some reads.

Reads are paid from a purse that fills at READS_PER_SECOND, so that neither many
edges nor a rhythm that is not found can cost more; a window's edge is always
worth one. A machine that is busy at the start may hide the rhythm: learning
goes on, at a slower pace, until the reads come in time, and again later.
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
LEARN_SECONDS = 2.0  # after which a quiet machine has shown what it can
LEARN_LONGER = 10.0  # given up after, on a machine that lets reads come late
LEARN_INTERVAL = 2e-3
LEARN_CHANGES, SLOW_CHANGES, SLOW_SECONDS = 8, 6, 1.0  # six after a second
JITTERY, JITTERY_CHANGES = 0.03, 24  # a jitter above takes so many changes
POWER_CHANGES, POWER_SECONDS = 5, 0.6  # the power's rhythm, if it shows by then
HINDERED = 5e-3  # seconds by which a read comes late on a busy machine
# Learned again so long after it was given up or lost, later four times that.
LEARN_AGAIN_SECONDS, SELDOM_SECONDS = 4.0, 240.0
AGAIN_SECONDS = 1.2  # for which it is then looked for
CONTINUOUS_INTERVAL = 0.1  # between reads of a counter that is always fresh
# Where no rhythm was found; after a window's edge so many reads come sooner.
BLIND_INTERVAL, BLIND_READS = 0.1, 4
QUICK = 0.15  # a counter quicker than this is not followed tick by tick
CALM_INTERVAL, CALM_SPREAD = (
  0.2,
  0.25,
)  # between its reads, give or take, except
GOLDEN = 0.618  # multiples of it, less whole ones, are spread evenly
# For these many ticks after the edge of a window; fewer where each costs many
# reads.
ALERT_TICKS, UNSURE_TICKS = 4.5, 2.0
CHECK_EVERY = 5  # calm reads between two looks at the phase
POWER_INTERVAL = 0.09  # at least, between reads where only power is read
SLOWEST_POWER = 0.3  # seconds: power that changed more seldom had stayed
# A tick is looked for this share of a period, or so many seconds, from where it
# is expected, or as far as it is unsure. Further off, the reads close in on it
# in so many steps, of so many seconds at least.
GUARD_SHARE, GUARD_SECONDS = 0.03, 8e-4
STEPS, SHORTEST_STEP = 6, 1.5e-3
NUDGE_GUARDS = 2  # a nudge nearer to a tick than so many guards waits
READS_PER_SECOND = 15.0  # that the purse is filled by
PURSE = 120.0  # reads that it holds
GAP_INTERVALS = 3  # reads at a fixed pace that may be missing

WAIT_SECONDS = 2.0  # that the caller waits for the rhythm
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
    self.is_reading = False  # whether a read is under way
    self.learning = any(d.update_seconds is None for d in source.domains) and (
      interval is None
    )
    self._until = start + LEARN_LONGER  # learning is given up
    self._hindered = -math.inf  # when a quick read last came late
    self._again = math.inf  # when the rhythm is looked for again
    self._pause = LEARN_AGAIN_SECONDS  # before the next such look
    self._probe: float | None = None  # the tick that is being closed in on
    self._calm_reads = 0
    self._turn = 0.0  # by which calm reads are spread
    self._edge = -math.inf  # of the last window
    self._purse, self._paid = PURSE, start
    self._free = False  # the next read is a window's edge's own

  def ask(self, now: float) -> Sequence[Reading]:
    """Reads the source. A source that breaks its promise is a failed read."""
    self.is_reading = True
    try:
      return self.source.read()
    except Exception as error:  # noqa: BLE001 - never raise into training
      failure = f"{type(error).__name__}: {error}"
      names = [history.domain.name for history in self.histories]
      return [Reading(name, now, now, failure=failure) for name in names]
    finally:
      self.is_reading = False

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
      self._learn_for(now, LEARN_LONGER)
      self.due = now

  def _learn_for(self, now: float, seconds: float) -> None:
    """Forgets the rhythm and looks for it for some seconds at most."""
    self.learning, self.start, self._until = True, now, now + seconds
    self._probe = None
    for history in self.histories:
      history.counter.forget()
      history.power.forget()

  def nudged(self, now: float) -> bool:
    """Takes note of a window's edge; whether a read is due at once for it."""
    if self.learning or self.interval is not None:
      return False
    if self.continuous:
      return True
    tracker = self._tracker()
    period = tracker.period
    self._edge = now
    if not period:
      self._free = True
      return True
    guard = self._guard(tracker, period)
    if self._probe is not None and guard > _guard(period):
      return False  # it is being closed in on
    self._probe, self._free = None, True
    tick = tracker.next_tick(now) or now
    margin = NUDGE_GUARDS * guard
    if margin < tick - now < period - margin or 2 * margin >= period:
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
    tracker = self._tracker()
    if tracker.astray:
      self._again = min(self._again, now + self._pause)
    if now >= self._again:
      self._again = math.inf
      self._pause = min(4 * self._pause, SELDOM_SECONDS)
      self._learn_for(now, AGAIN_SECONDS)
      return now + LEARN_INTERVAL
    earned = (now - self._paid) * READS_PER_SECOND
    self._purse, self._paid = min(PURSE, self._purse + earned), now
    self._purse -= not self._free
    self._free = False
    period = tracker.period
    if not period:
      # Its ticks cannot be told apart, but come as often as this.
      often = max(LEARN_INTERVAL, tracker.longest / 2)
      if now < self._edge + BLIND_READS * often and self._purse > 0:
        return now + often
      return now + BLIND_INTERVAL
    if self._purse < 0:
      self._probe = None
      return self._between(tracker, now + self._calm(), period)
    return self._near_tick(now, tracker, period)

  def _learn(self, now: float) -> float:
    """Plans quick reads until the rhythm is known, then ends learning."""
    seconds = now - self.start
    known = all(self._is_known(history, seconds) for history in self.histories)
    if now > self.due + HINDERED:
      self._hindered = now
    idle = now - max(self.start, self._hindered)
    if not known and idle < LEARN_SECONDS and now < self._until:
      return now + LEARN_INTERVAL
    self.learning = False
    for history in self.histories:
      history.end_learning()
    if not known and not self.continuous:
      self._again = now + self._pause
    return self._next(now)

  def _is_known(self, history: History, seconds: float) -> bool:
    """Tells whether the ticks of a history are foreseen well."""
    counter, power = history.counter, history.power
    if history.domain.method == "counter":
      if seconds < POWER_SECONDS and power.changes < POWER_CHANGES:
        return False
      tracker = counter
    else:
      tracker = counter if counter.changes else power
    needed = LEARN_CHANGES if seconds < SLOW_SECONDS else SLOW_CHANGES
    if not tracker.period or tracker.changes < needed:
      return False
    jittery = tracker.jitter > JITTERY * tracker.period
    few = jittery and tracker.changes < JITTERY_CHANGES
    return tracker.pinned and not (few and seconds < LEARN_SECONDS)

  def _guard(self, tracker: Tracker, period: float) -> float:
    """Returns how far from an expected tick a read must keep to be sure."""
    return max(_guard(period), tracker.reach())

  def _calm(self) -> float:
    """Returns the seconds to the next calm read.

    They differ, so that the reads of power keep in step with no work.
    """
    self._turn = (self._turn + GOLDEN) % 1.0
    return CALM_INTERVAL * (1 + CALM_SPREAD * (2 * self._turn - 1))

  def _between(self, tracker: Tracker, after: float, period: float) -> float:
    """Returns an instant in the middle between two ticks."""
    ahead = tracker.next_tick(after - period)
    return max((ahead or after) + period / 2, after - period / 2)

  def _near_tick(self, now: float, tracker: Tracker, period: float) -> float:
    """Plans a read just after an expected tick, or in the calm between."""
    counting = tracker is self.histories[0].counter
    last = tracker.last.seconds if tracker.last else now
    guard = _guard(period)
    # A tick that is closed in on: has it been seen?
    if self._probe is not None and last < self._probe - period / 2:
      reach = tracker.reach()
      step = max(SHORTEST_STEP, 2 * guard, reach / STEPS)
      if now < self._probe + max(reach, period / 2):
        soonest = self._probe - reach if reach > guard else self._probe + guard
        return max(now + step, min(soonest, self._probe + guard))
    probed, self._probe = self._probe is not None, None
    sure = tracker.reach() <= guard
    ticks = ALERT_TICKS if sure else UNSURE_TICKS
    alert = now < self._edge + ticks * period and period < QUICK
    slow = counting and period >= QUICK
    steady = tracker.is_steady(CALM_INTERVAL)
    if not counting:
      return self._after_power(now, tracker, period)
    self._calm_reads += not probed
    # A line that wanders is lost in the calm, whatever is read.
    pace = 1 + probed
    if steady or tracker.wanders:
      pace = CHECK_EVERY if steady else 2 * CHECK_EVERY
    if not alert and not slow and self._calm_reads % pace:
      # Between two ticks there is no doubt which of them is seen.
      return self._between(tracker, now + self._calm(), period)
    target = tracker.next_tick(max(last + period / 2, now))
    assert target is not None
    reach = tracker.reach()
    self._probe = target
    self._calm_reads += 1
    if reach > guard:
      return max(now + SHORTEST_STEP, target - reach)
    if alert or slow:
      return max(target + guard, now + SHORTEST_STEP)
    return max(target - guard, now + SHORTEST_STEP)

  def _after_power(self, now: float, tracker: Tracker, period: float) -> float:
    """Plans a read in the middle of an update of power, one each if slow."""
    self._calm_reads += 1
    if period > SLOWEST_POWER:  # it may as well have stayed
      return now + POWER_INTERVAL
    after = now + max(POWER_INTERVAL, period / 2)
    if self._calm_reads % (2 * CHECK_EVERY):
      return self._between(tracker, after, period)
    target = tracker.next_tick(after - period / 2)
    assert target is not None
    return max(target - _guard(period), now + SHORTEST_STEP)


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
    deadline = time.monotonic() + WAIT_SECONDS
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
