"""When a sensor's value steps: found from reads at known instants.

A counter moves in ticks. A read tells only whether a tick fell since the last
one. Reads near the expected instant pin it down; the tracker keeps the
interval in which each tick must lie, from the reads and from the rhythm.
"""

import itertools
from collections import deque
from dataclasses import dataclass

LEARN_TICKS = 6
JITTER = 0.01  # of a period, from tick to tick
MEMORY = 64
LOST = 0.05  # of a period: its doubt when a tick came where none was due
STEADY = 0.03  # of a period: how far a tick may stray and still be foreseen
STAMP_JITTER = 2e-4  # seconds lost on the way from the wall clock


@dataclass(frozen=True, slots=True)
class Tick:
  """The value that appeared at `seconds`, give or take `error`."""

  seconds: float
  error: float
  value: float


class Tracker:
  """Follows the ticks of one value. Knows no clock: reads are handed in."""

  def __init__(self) -> None:
    self.period: float | None = None
    self.fine = False
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
    """Takes a read made between two instants; returns the tick it shows."""
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
    tick = self._place(previous[0], end, value, stamp)
    # Jitter strays about the rhythm; it does not add up from tick to tick.
    jitter = JITTER * (self.period or 0.0)
    foreseen = self.predict(end)
    if foreseen and tick.error >= 0.99 * foreseen[1]:
      self._phase_error = tick.error - jitter
    else:
      self._phase_error = tick.error
    self.last = tick
    if not self.period or tick.error < 0.15 * self.period:
      self._recent.append(tick)
      self._learn()
    return tick

  def _place(
    self, lower: float, upper: float, value: float, stamp: float | None
  ) -> Tick:
    # A stamp that moves while the value stays is that of the call.
    trusted = self._stamp_holds >= max(3, 4 * self._stamp_moves)
    if stamp is not None and trusted and lower - 1e-3 <= stamp <= upper:
      return Tick(stamp, STAMP_JITTER / 2, value)
    if self.period and not self.fine:
      lower = max(lower, upper - 1.05 * self.period)
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
    """The last expected tick at or before an instant, and how far it may be."""
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

  def steady(self, seconds: float) -> bool:
    """Whether a tick that far ahead is foreseen well."""
    if not self.period or len(self._recent) < MEMORY // 2:
      return False
    if self._phase_error > 2 * STEADY * self.period:
      return False
    return self._period_error * seconds < STEADY * self.period**2

  def next_tick(self, after: float) -> float | None:
    """The first expected tick after an instant."""
    if self.last is None or not self.period:
      return None
    count = int((after - self.last.seconds) / self.period) + 1
    return self.last.seconds + max(count, 1) * self.period

  def _learn(self) -> None:
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
    self.period, self.fine = None, False
    self.reads = self.changes = 0
    self._recent.clear()

  def judge(self) -> None:
    """Ends the learning: a value that moved at most reads is a fine one."""
    self.fine = self.reads > 4 and self.changes > 0.7 * self.reads
