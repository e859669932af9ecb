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
    self._stamp: float | None = None
    self._stamp_holds = 0
    self._stamp_lies = False

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
        self._stamp_lies |= not stamp_held
      return None
    self.changes += 1
    tick = self._place(previous[0], end, value, stamp)
    self.last = tick
    self._recent.append(tick)
    self._learn()
    return tick

  def _place(
    self, lower: float, upper: float, value: float, stamp: float | None
  ) -> Tick:
    trusted = self._stamp_holds >= 3 and not self._stamp_lies
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
    return Tick((lower + upper) / 2, (upper - lower) / 2, value)

  def predict(self, before: float) -> tuple[float, float] | None:
    """The last expected tick at or before an instant, and how far it may be."""
    if self.last is None or not self.period:
      return None
    drift = JITTER * self.period / 4 + self._period_error
    error = self.last.error + JITTER * self.period + self._period_error
    count = int((before + error - self.last.seconds) / self.period)
    count = max(count, 1)
    return (
      self.last.seconds + count * self.period,
      error + (count - 1) * drift,
    )

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
    typical = gaps[len(gaps) // 2]
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
