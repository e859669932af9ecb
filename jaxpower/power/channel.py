"""When a sensor is read: near its ticks around a window's edge, else seldom.

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

After a pause all code is cold, and costs three times what it does in a row. So
where the rhythm is sure, some reads are planned `ahead`, and what they said is
noted in the histories together, by `catch_up`: when the plan ends, or somebody
asks. An edge in a tick that was read already needs the next tick's read alone.

Reads are paid from a purse that fills at READS_PER_SECOND, so that neither many
edges nor a rhythm that is not found can cost more; a window's edge is always
worth one. A machine that is busy at the start may hide the rhythm: learning
goes on, at a slower pace, until the reads come in time, and again later.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from jaxpower.power.history import LONGEST_GAP, History
from jaxpower.power.reading import Reading, Source
from jaxpower.power.ticks import Tracker

Answer = Callable[[], Sequence[Reading]]  # what was read, to be digested once

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
# Once the power moves, it is looked at closely for so long, to learn how late
# the counter is; again later where that did not show.
LOOK_SECONDS, LOOK_INTERVAL = 3.5, 0.015
LOOK_AGAIN_SECONDS = 4.0
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
CHECK_SECONDS = 0.5  # between two looks near edges
POWER_INTERVAL = 0.09  # at least, between reads where only power is read
SLOWEST_POWER = 0.3  # seconds: power that changed more seldom had stayed
# A tick is looked for this share of a period, or so many seconds, from where it
# is expected, or as far as it is unsure. Further off, the reads close in on it
# in so many steps, of so many seconds at least.
GUARD_SHARE, GUARD_SECONDS = 0.03, 8e-4
STEPS, SHORTEST_STEP = 6, 1.5e-3
# Reads are planned ahead where a tick so far ahead is known to this share of a
# period. One of them looks at the phase, nearer to the tick than the guard.
FORESEEN, SURE, NEAREST = 5, 0.08, 0.1
WATCHED_SECONDS = 1.0  # after an edge it is worth to find out that none is due
SURELY = 0.9  # of a guard after a tick, its value is there
NUDGE_GUARDS = 1.3  # a nudge nearer to a tick than so many guards waits
READS_PER_SECOND = 10.0  # that the purse is filled by
PURSE = 60.0  # reads that it holds
DEBT = 10.0  # reads that may be spent before, to keep the phase
MOST_AHEAD = 16  # reads that are planned, and noted together, at most
GAP_INTERVALS = 3  # reads at a fixed pace that may be missing


class Channel:
  """One source, what it said, and when to ask it next.

  `learning` lasts until the rhythm is known or given up. With an `interval` the
  source is read at that pace and nothing is learned. `edge` is when the last
  window began or ended. An edge before `watched` needs no read of its own: the
  value there was read, and the next one will be. The histories are as of the
  last `catch_up`.
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
    self._checked = -math.inf  # when the phase was last looked at near an edge
    self._turn = 0.0  # by which calm reads are spread
    self.edge = -math.inf
    self.watched = -math.inf
    self._last = -math.inf  # end of the last read
    self._sure = False  # whether ticks are foreseen to a guard
    self._ask = _asking(source)
    self._untold: list[Answer] = []
    # Instants of reads after the next, and what `watched` is until each.
    self._ahead: deque[tuple[float, float]] = deque()
    self._purse, self._paid = PURSE, start
    self._look_end: float | None = None  # of a close look at moving power
    self._look_again = start  # when the next may begin
    self._look_pause = LOOK_AGAIN_SECONDS
    self._free = False  # the next read is a window's edge's own

  def ask(self, now: float) -> Answer:
    """Reads the source. A source that breaks its promise is a failed read."""
    self.is_reading = True
    try:
      return self._ask()
    except Exception as error:  # noqa: BLE001 - never raise into training
      return partial(self._failed, now, error)
    finally:
      self.is_reading = False

  def _failed(self, now: float, error: Exception) -> list[Reading]:
    """Makes failed readings of what a source raised."""
    failure = f"{type(error).__name__}: {error}"
    names = [history.domain.name for history in self.histories]
    return [Reading(name, now, now, failure=failure) for name in names]

  def take(self, answer: Answer, now: float) -> None:
    """Keeps what was read until now, and plans the next read."""
    self.reads += 1
    self._untold.append(answer)
    self._last = now
    if self._ahead:  # the usual case: few lines, since all of them are cold
      due, self.watched = self._ahead.popleft()
      self.due = max(due, now + SHORTEST_STEP)
      return
    self._pay(now)
    if self._is_foreseen(now):
      self.due = self._after_edge(now)
    else:
      self.catch_up()
      self.due = self._next(now)
    if not self._ahead:
      (self.watched,) = self._watches(now, (self.due,))

  def _plan(self, now: float, instants: Sequence[float]) -> float:
    """Plans reads, paid at once except the last; returns when the first is."""
    self.watched, *later = self._watches(now, instants)
    self._ahead.extend(zip(instants[1:], later, strict=True))
    if self._ahead:
      self._purse -= len(self._ahead) - self._free
      self._free = False
    return max(instants[0], now + SHORTEST_STEP)

  def _drop_plan(self) -> None:
    """Gives up the reads after the next one."""
    self._purse += len(self._ahead)
    self._ahead.clear()

  def _is_foreseen(self, now: float) -> bool:
    """Tells whether the next read can be planned before the last are noted."""
    period = self.histories[0].counter.period
    if not self._sure or not period or self._probe is not None:
      return False
    if len(self._untold) >= MOST_AHEAD:
      return False
    return self._is_alert(now, period)

  def _is_alert(self, now: float, period: float) -> bool:
    """Tells whether an edge is so near that every tick counts."""
    ticks = ALERT_TICKS if self._sure else UNSURE_TICKS
    return now < self.edge + ticks * period and period < QUICK

  def _after_edge(self, now: float) -> float:
    """Plans reads after the ticks that follow an edge, as far as is paid."""
    self._drop_plan()
    tracker = self.histories[0].counter
    period = tracker.period or 0.0
    # One that was planned for later is not yet done.
    check = not now - CHECK_SECONDS < self._checked <= now
    if self._purse < 0 and not check:
      return self._between(tracker, now + self._calm(), period)
    guard = self._guard(tracker, period)
    tick = tracker.next_tick(now) or now
    instants = []
    if check:  # its phase is looked at too
      instants.append(tick - self._nearer() * guard)
      self._checked = now
    instants.append(tick + guard)
    tick += period
    stop = self.edge + ALERT_TICKS * period
    most = min(MOST_AHEAD, self._purse)
    while tick <= stop and len(instants) < most:
      instants.append(tick + guard)
      tick += period
    return self._plan(now, instants)

  def catch_up(self) -> None:
    """Notes in the histories what was read since the last time."""
    untold, self._untold = self._untold, []
    for answer in untold:
      try:
        readings = answer()
      except Exception as error:  # noqa: BLE001 - never raise into training
        readings = self._failed(self._last, error)
      for history, reading in zip(self.histories, readings, strict=False):
        history.add(reading)

  def _pay(self, now: float) -> None:
    """Takes a read from the purse, unless it was a window's edge's own."""
    earned = (now - self._paid) * READS_PER_SECOND
    self._purse, self._paid = min(PURSE, self._purse + earned), now
    if not (self._free or self._is_close):
      self._purse = max(self._purse - 1, -DEBT)
    self._free = False

  def _watches(self, last: float, upcoming: Sequence[float]) -> list[float]:
    """Finds until when an edge needs no read of its own.

    After a last read, and after each that is planned but the last of them.
    """
    if self._is_close or self.interval is not None:
      return [math.inf] * len(upcoming)
    if not self._sure or last > self.edge + WATCHED_SECONDS:
      return [-math.inf] * len(upcoming)
    tracker = self._tracker()
    period = tracker.period or 0.0
    guard = self._guard(tracker, period)
    margin, found = NUDGE_GUARDS * guard, []
    for i, read in enumerate((last, *upcoming[:-1])):
      tick = tracker.next_tick(read) or math.inf
      seen = _has_seen(tick, period, guard, read)
      good = seen and _will_see(tick, margin, upcoming[i:])
      found.append(tick - margin if good else -math.inf)
    return found

  @property
  def _is_close(self) -> bool:
    """Whether reads come closely anyhow, to learn something."""
    return self.learning or self._look_end is not None

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
    self._probe, self._sure = None, False
    self._drop_plan()
    for history in self.histories:
      history.counter.forget()
      history.power.forget()

  def nudged(self, now: float) -> bool:
    """Takes note of a window's edge; whether a read is due at once for it."""
    if self._is_close or self.interval is not None:
      return False
    if self.continuous:
      return True
    tracker = self._tracker()
    period = tracker.period
    if not period:
      self._free = True
      return True
    guard = self._guard(tracker, period)
    probed = self._probe is not None and self._probe < now + period
    if probed and guard > _guard(period):
      return False  # it is being closed in on
    self._probe, self._free = None, True
    tick = tracker.next_tick(now) or now
    margin = NUDGE_GUARDS * guard
    if 2 * margin >= period:
      self._drop_plan()
      return True
    if margin < tick - now < period - margin:
      if not (self._sure and _has_seen(tick, period, guard, self._last)):
        self._drop_plan()
        return True
      upcoming = (self.due, *(at for at, _ in self._ahead))
      if _will_see(tick, margin, upcoming):
        self.watched, *_ = self._watches(self._last, upcoming)
      else:
        self.due = self._after_edge(now)
      return False
    # Too near a tick to know which one would be seen: look after it.
    self._drop_plan()
    self.due = (tick if tick - now <= margin else now) + margin
    return False

  def _tracker(self) -> Tracker:
    """Returns the rhythm to follow: the counter's, else the power's."""
    history = self.histories[0]
    counts = history.counter.changes and not history.still_seconds
    return history.counter if counts else history.power

  def _next(self, now: float) -> float:
    """Plans the instant of the next read."""
    if self.learning:
      return self._learn(now)
    if self.interval is not None:
      return now + self.interval
    if self._looks(now):
      return now + LOOK_INTERVAL
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
    period = tracker.period
    if not period:
      # Its ticks cannot be told apart, but come as often as this.
      often = max(LEARN_INTERVAL, min(tracker.longest / 2, BLIND_INTERVAL))
      if now < self.edge + BLIND_READS * often and self._purse > 0:
        return now + often
      return now + BLIND_INTERVAL
    checked = now < self._checked + CHECK_SECONDS
    if self._purse < 0 and self._probe is None and checked:
      return self._between(tracker, now + self._calm(), period)
    return self._near_tick(now, tracker, period)

  def _looks(self, now: float) -> bool:
    """Begins, goes on with or ends a close look at moving power."""
    if self._look_end is None:
      wanted = now >= self._look_again and any(
        history.lag is None and history.is_lively for history in self.histories
      )
      if wanted:
        self._look_end = now + LOOK_SECONDS
        self._sure, self._probe = False, None
      return wanted
    if now < self._look_end:
      return True
    begin, self._look_end = self._look_end - LOOK_SECONDS, None
    for history in self.histories:
      history.learn_lag(begin)
    self._look_again = now + self._look_pause
    self._look_pause = min(4 * self._look_pause, SELDOM_SECONDS)
    return False

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

    They differ, so that the reads of power do not keep in step with work.
    """
    self._turn = (self._turn + GOLDEN) % 1.0
    return CALM_INTERVAL * (1 + CALM_SPREAD * (2 * self._turn - 1))

  def _nearer(self) -> float:
    """Returns how many guards before a tick its phase is looked at.

    It differs, so that what is not known of the tick is cut each time.
    """
    self._turn = (self._turn + GOLDEN) % 1.0
    return NEAREST + (1 - NEAREST) * self._turn

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
    self._sure = (
      counting
      and not tracker.wanders
      and tracker.reach(FORESEEN) <= SURE * period
    )
    alert = self._is_alert(now, period)
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
      soon = self._between(tracker, now + self._calm(), period)
      if steady and self._sure:
        return self._plan_calm(now, soon, tracker, period)
      return soon
    if alert and self._sure:
      return self._after_edge(now)
    target = tracker.next_tick(max(last + period / 2, now))
    assert target is not None
    reach = tracker.reach()
    self._probe, self._checked = target, now
    self._calm_reads += 1
    if reach > guard:
      return max(now + SHORTEST_STEP, target - reach)
    if alert or slow:
      return max(target + guard, now + SHORTEST_STEP)
    return max(target - guard, now + SHORTEST_STEP)

  def _plan_calm(
    self, now: float, soon: float, tracker: Tracker, period: float
  ) -> float:
    """Plans calm reads up to the next look at the phase, that included."""
    guard, instants = self._guard(tracker, period), [soon]
    while (self._calm_reads + 1) % CHECK_EVERY:
      self._calm_reads += 1
      soon = self._between(tracker, soon + self._calm(), period)
      instants.append(soon)
    # The read before it is in the tick before: which one is seen is sure.
    tick = tracker.next_tick(soon) or soon
    instants += (tick - self._nearer() * guard, tick + guard)
    self._calm_reads += 2
    self._probe, self._checked = tick, tick
    return self._plan(now, instants)

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


def _has_seen(tick: float, period: float, guard: float, last: float) -> bool:
  """Tells whether a last read has surely seen the value before a tick."""
  return last > tick - period + SURELY * guard


def _will_see(tick: float, margin: float, upcoming: Sequence[float]) -> bool:
  """Tells whether a read is planned soon after a tick."""
  first = next((at for at in upcoming if at > tick), math.inf)
  return first <= tick + margin


def _asking(source: Source) -> Callable[[], Answer]:
  """Returns what reads a source and leaves its answer to be digested later."""
  ask = getattr(source, "ask", None)
  if ask is not None:
    return ask

  def read() -> Answer:
    readings = source.read()
    return lambda: readings

  return read
