"""When a sensor's value steps: found from reads at known instants.

A counter moves in ticks, and a read does not say when: only that a tick fell
between the read before it and itself. Reads near the expected instant pin the
tick down, and so does the rhythm: ticks stray about it, but do not drift.

  reads     |           |                |     |          |
  value     7           7                7     8          8
  rhythm                               [---------]  from the last tick
  tick                                   [-----]    the rest: middle and error

So the tracker keeps three doubts: of each tick (half the interval left), of the
phase (how well the next tick is foreseen from the last one), and of the period,
which grows with every tick that is not read. A tick that falls where none was
due means that the rhythm has changed: it is learned anew.
"""

import itertools
from collections import deque
from dataclasses import dataclass

# Chosen, and checked by benchmarks/meter_accuracy.py on simulated counters of
# 20 and 100 ms that have no jitter of their own, and reads that come late.
LEARN_TICKS = 6  # from so many the period is known
MEMORY = 64  # ticks from which it is then kept
JITTER = 0.01  # of a period: how far a tick may stray from the rhythm
STEADY = 0.03  # of a period: how far a tick may stray and still be foreseen
LOST = 0.05  # of a period: its doubt when a tick came where none was due
PINNED = 0.15  # of a period: a tick known no better teaches no rhythm
# A tick that a read shows is no older than this share of a period: else the
# next one had come too, and the value would be another.
OLDEST = 1.05
# An interval at least this share of the rhythm's own: the reads said nothing.
UNNARROWED = 0.99
# Learning ends with a value that moved at more than this share of more than
# four reads: it has no ticks that reading could find.
ALWAYS_MOVES, FEWEST_READS = 0.7, 4

STAMP_JITTER = 2e-4  # seconds lost on the way from the wall clock
STAMP_EARLY = 1e-3  # seconds by which a stamp may precede the read before
# Stamps are the tick's own, not the call's, where they held as often as this,
# and this many times as often as they moved, while the value stayed.
TRUSTED_HOLDS, TRUSTED_RATIO = 3, 4


@dataclass(frozen=True, slots=True)
class Tick:
  """The value that appeared at `seconds`, give or take `error`."""

  seconds: float
  error: float
  value: float


class Tracker:
  """Follows the ticks of one value. Knows no clock: reads are handed in.

  `period` is None until it is learned. `continuous` says that the value moves
  at nearly every read, so that there are no ticks to follow.
  """

  def __init__(self) -> None:
    self.period: float | None = None
    self.continuous = False
    self.last: Tick | None = None
    self.reads = 0
    self.changes = 0
    self._previous: tuple[float, float, float] | None = None
    self._recent: deque[Tick] = deque(maxlen=MEMORY)
    self._period_error = 0.0
    self._phase_error = 0.0
    self._stamp: float | None = None
    self._stamp_holds = 0
    self._stamp_moves = 0

  def observe(
    self, begin: float, end: float, value: float, stamp: float | None = None
  ) -> Tick | None:
    """Takes a read made between two instants; returns the tick it shows.

    `stamp` is the sensor's own time of the value, where it gives one.
    """
    self.reads += 1
    previous, self._previous = self._previous, (begin, end, value)
    stamp_held = (
      stamp is not None
      and self._stamp is not None
      and abs(stamp - self._stamp) < STAMP_JITTER
    )
    self._stamp = stamp
    if previous is None:
      return None
    if value == previous[2]:
      if stamp is not None:
        self._stamp_holds += stamp_held
        self._stamp_moves += not stamp_held
      return None
    self.changes += 1
    # It fell after the read before had begun and before this one was done.
    tick = self._place(previous[0], end, value, stamp)
    # Jitter strays about the rhythm; it does not add up from tick to tick.
    # Where the tick is known by the rhythm alone, its error holds one jitter,
    # and `predict` will add the next: one of them goes.
    jitter = JITTER * (self.period or 0.0)
    expected = self.predict(end)
    if expected and tick.error >= UNNARROWED * expected[1]:
      self._phase_error = tick.error - jitter
    else:
      self._phase_error = tick.error
    self.last = tick
    if not self.period or tick.error < PINNED * self.period:
      self._recent.append(tick)
      self._learn()
    return tick

  def _place(
    self, lower: float, upper: float, value: float, stamp: float | None
  ) -> Tick:
    """Narrows the interval of a tick by its stamp or by the rhythm."""
    # A stamp that moves while the value stays is that of the call.
    trusted = self._stamp_holds >= max(
      TRUSTED_HOLDS, TRUSTED_RATIO * self._stamp_moves
    )
    if stamp is not None and trusted and lower - STAMP_EARLY <= stamp <= upper:
      return Tick(stamp, STAMP_JITTER / 2, value)
    if self.period and not self.continuous:
      lower = max(lower, upper - OLDEST * self.period)
      expected = self.predict(upper)
      if expected:
        low = max(lower, expected[0] - expected[1])
        high = min(upper, expected[0] + expected[1])
        if low < high:
          lower, upper = low, high
        else:  # the rhythm is not what it was
          self._recent.clear()
          self._period_error = LOST * self.period
    return Tick((lower + upper) / 2, (upper - lower) / 2, value)

  def predict(self, before: float) -> tuple[float, float] | None:
    """Foresees the last tick at or before an instant, and its error."""
    if self.last is None or not self.period:
      return None
    drift = self._period_error
    error = self._phase_error + JITTER * self.period + drift
    count = int((before + error - self.last.seconds) / self.period)
    count = max(count, 1)
    return (
      self.last.seconds + count * self.period,
      error + (count - 1) * drift,
    )

  def is_steady(self, seconds: float) -> bool:
    """Tells whether a tick that far ahead is foreseen well."""
    if not self.period or len(self._recent) < MEMORY // 2:
      return False
    if self._phase_error > 2 * STEADY * self.period:
      return False
    # The period's error, times the periods until then, within STEADY periods.
    return self._period_error * seconds < STEADY * self.period**2

  def next_tick(self, after: float) -> float | None:
    """Foresees the first tick after an instant."""
    if self.last is None or not self.period:
      return None
    count = int((after - self.last.seconds) / self.period) + 1
    return self.last.seconds + max(count, 1) * self.period

  def _learn(self) -> None:
    """Takes the period from the first and the last of the recent ticks."""
    if len(self._recent) < LEARN_TICKS:
      return
    ticks = list(self._recent)
    gaps = sorted(b.seconds - a.seconds for a, b in itertools.pairwise(ticks))
    # Once known, the period counts ticks that were left out on purpose.
    typical = self.period or gaps[len(gaps) // 2]
    if typical <= 0:
      return
    count = sum(max(1, round(gap / typical)) for gap in gaps)
    self.period = (ticks[-1].seconds - ticks[0].seconds) / count
    self._period_error = (ticks[0].error + ticks[-1].error) / count

  def forget(self) -> None:
    """Drops the rhythm, to learn it anew."""
    self.period, self.continuous = None, False
    self.reads = self.changes = 0
    self._recent.clear()

  def end_learning(self) -> None:
    """Judges whether the value moves at nearly every read."""
    moves = self.changes > ALWAYS_MOVES * self.reads
    self.continuous = self.reads > FEWEST_READS and moves
