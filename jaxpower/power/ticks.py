"""When a sensor's value steps: found from reads at known instants.

A counter moves in ticks, and a read does not say when: only that a tick fell
after the read before it had begun and before itself was done. Reads near the
expected instant pin the tick down, and so does the rhythm (rhythm.py):

  reads     |           |                |     |          |
  value     7           7                7     8          8
  rhythm                               [---------]  from the ticks before
  tick                                   [-----]    the rest: middle and error

The rhythm is a line: an instant, known to `doubt`, and a period. A tick strays
from the line by up to the jitter that the last ticks showed. Where the jitter
adds up from tick to tick, the line goes on from each tick anew. A read that
takes long may show a value as old as its begin; where it cannot be told which
of two ticks a read saw, both stay possible. Ticks that fall where none was due,
too often, mean that the rhythm is not what it was: `astray`.
"""

import math
from collections import deque
from dataclasses import dataclass

from jaxpower.power.rhythm import (
  Change,
  Rhythm,
  fit,
  longest_period,
)

# Chosen, and checked by benchmarks/meter_accuracy.py.
LEARN_TICKS = 6  # from so many the period is looked for
MEMORY = 64  # pinned ticks from which the rhythm is then kept
REFIT = 8  # pinned ticks between two fits
REFIT_SECONDS = 2.0  # and so many where the rhythm holds in all of the memory
LOOK_AT, LOOK_SHARE = 40, 4  # changes looked at, each time a quarter new
JITTER = 0.01  # of a period: how far a tick may stray, at least
MARGIN = 1.15  # times the strays seen: rarer ones were not
STEADY = 0.05  # of a period: how far the line may be off, to be called steady
PINNED = 0.15  # of a period: a tick known no better teaches no rhythm
COUNTED = 0.25  # of a period: so far off, ticks between can be counted
LOST = 0.05  # of a period: the doubt of the period after a tick not due
ASTRAY, OF_LAST = 4, 16  # ticks where none was due, of the last: learn anew
# A tick that a read shows is no older than this share of a period: else the
# next one had come too, and the value would be another.
OLDEST = 1.05
# A value is always fresh where it moved in more than this share of the reads
# that came within so many seconds, of so many such reads at least.
ALWAYS_MOVES, CLOSE_SECONDS, FEWEST_CLOSE = 0.7, 5e-3, 20

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
  at nearly every read, however close, so that there are no ticks to follow.
  `jitter` is in seconds, as is `longest`, which no period exceeds. With
  `repeats` a tick may show the value before again, as power does.
  """

  def __init__(self, *, repeats: bool = False) -> None:
    self._repeats = repeats
    self.period: float | None = None
    self.continuous = False
    self.jitter = 0.0
    self.wanders = False
    self.last: Tick | None = None
    self.earlier: Tick | None = None
    self.reads = 0
    self.changes = 0
    self._close = 0  # reads that came soon after the one before
    self._close_moves = 0
    self._previous: tuple[float, float, float] | None = None
    self._first_end = math.nan  # of the first read that showed the value
    self._recent: deque[Change] = deque(maxlen=MEMORY)
    self._since_fit, self._fitted = 0, -math.inf
    self._misfits = 0
    self.longest = math.inf  # seconds that no period exceeds
    self._line = 0.0  # the line's instant at the last tick
    self._doubt = 0.0  # of it, in seconds
    self._period_error = 0.0
    self._lost: deque[bool] = deque(maxlen=OF_LAST)
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
    held = (
      stamp is not None
      and self._stamp is not None
      and abs(stamp - self._stamp) < STAMP_JITTER
    )
    self._stamp = stamp
    if previous is None:
      return None
    moved = value != previous[2]
    if end - previous[0] < CLOSE_SECONDS:
      self._close += 1
      self._close_moves += moved
    if not moved:
      if stamp is not None:
        self._stamp_holds += held
        self._stamp_moves += not held
      return None
    self.changes += 1
    stayed = previous[0] - self._first_end
    self._first_end = end
    if self._repeats or not stayed > 0:
      stayed = 0.0
    change = Change(previous[0], end, stayed)
    tick = self._stamped(change, value, stamp)
    if tick is None:
      tick = self._place(change, begin, value)
    self.earlier = self._look_back(tick)
    self.last = tick
    self._remember(change)
    return tick

  def _stamped(
    self, change: Change, value: float, stamp: float | None
  ) -> Tick | None:
    """Places a tick by its stamp, if that can be trusted."""
    # A stamp that moves while the value stays is that of the call.
    trusted = self._stamp_holds >= max(
      TRUSTED_HOLDS, TRUSTED_RATIO * self._stamp_moves
    )
    if stamp is None or not trusted:
      return None
    if not change.low - STAMP_EARLY <= stamp <= change.high:
      return None
    self._line, self._doubt = stamp, STAMP_JITTER / 2
    return Tick(stamp, STAMP_JITTER / 2, value)

  def _place(self, change: Change, begin: float, value: float) -> Tick:
    """Narrows the interval of a tick by the rhythm, as far as that is sure."""
    low, high = change.low, change.high
    stray = 0.0 if self.wanders else self.jitter
    oldest = OLDEST * (self.period or self.longest) + 2 * stray
    low = max(low, begin - oldest)
    if not self.period or self.continuous or self.last is None:
      self._line, self._doubt = (low + high) / 2, (high - low) / 2 + stray
      return Tick((low + high) / 2, (high - low) / 2, value)
    period = self.period
    most = max(1, int((high - self._line) / period) + 1)
    off = self._off(most)
    reach = off + stray
    # The ticks that may be the last before the value was taken, and were not
    # before the read before.
    latest = math.floor((high + reach - self._line) / period)
    soonest = math.ceil((low - reach - self._line) / period)
    soonest = max(
      1, soonest, math.ceil((begin - reach - self._line) / period) - 1
    )
    self._lost.append(soonest > latest)
    if soonest > latest:  # the rhythm is not what it was
      self._period_error = max(self._period_error, LOST * period)
      self._line, self._doubt = (low + high) / 2, (high - low) / 2 + stray
      return Tick((low + high) / 2, (high - low) / 2, value)
    first = self._line + soonest * period
    final = self._line + latest * period
    # The line, by this tick and by what was known of it.
    line_low = max(low - stray, first - off)
    line_high = min(high + stray, final + off)
    low, high = max(low, first - reach), min(high, final + reach)
    if low > high:
      low, high = high, low
    if self.wanders:
      line_low, line_high = low, high
    self._line = (line_low + line_high) / 2
    self._doubt = (line_high - line_low) / 2
    if line_low > line_high:  # ticks stray further than was known
      self._doubt = (line_low - line_high) / 2 + stray
      self._lost[-1] = True
    return Tick((low + high) / 2, (high - low) / 2, value)

  def _look_back(self, tick: Tick) -> Tick | None:
    """Returns the tick before, better known now that this one is."""
    last = self.last
    if last is None or not self.period or self.continuous:
      return None
    apart, unsure = tick.seconds - last.seconds, tick.error + last.error
    stray = self.jitter
    most = math.floor((apart + unsure + stray) / self.period)
    count = max(1, math.ceil((apart - unsure - stray) / self.period))
    if count != most:  # how many ticks lie between is not sure
      return None
    stray *= math.sqrt(count) if self.wanders else 1.0
    reach = self._doubt + count * self._period_error + stray
    middle = self._line - count * self.period
    low = max(last.seconds - last.error, middle - reach)
    high = min(last.seconds + last.error, middle + reach)
    if not low < high or high - low > 1.9 * last.error:
      return None
    return Tick((low + high) / 2, (high - low) / 2, last.value)

  def _off(self, count: int) -> float:
    """Returns by how much the line may be off so many ticks ahead."""
    wandered = self.jitter * math.sqrt(count) if self.wanders else 0.0
    return self._doubt + count * self._period_error + wandered

  def predict(self, before: float) -> tuple[float, float] | None:
    """Foresees the last tick at or before an instant, and its error."""
    if self.last is None or not self.period:
      return None
    count = max(1, int((before - self._line) / self.period))
    return self._line + count * self.period, self.reach(count)

  def reach(self, count: int = 1) -> float:
    """Returns the error of the tick foreseen so many ticks ahead."""
    return self._off(count) + (0.0 if self.wanders else self.jitter)

  def is_steady(self, seconds: float) -> bool:
    """Tells whether the line that far ahead is foreseen well."""
    if not self.period or not self._recent:
      return False
    count = max(1, int(seconds / self.period))
    return self._off(count) < STEADY * self.period + (
      0.0 if self.wanders else 2 * self.jitter
    )

  def next_tick(self, after: float) -> float | None:
    """Foresees the first tick after an instant."""
    if self.last is None or not self.period:
      return None
    count = int((after - self._line) / self.period) + 1
    return self._line + max(count, 1) * self.period

  @property
  def period_error(self) -> float:
    """How far the period may be off, in seconds."""
    return self._period_error

  @property
  def pinned(self) -> bool:
    """Whether the next tick is foreseen to PINNED of a period, or jitter."""
    if not self.period:
      return False
    return self._doubt < PINNED * self.period + 2 * self.jitter

  @property
  def astray(self) -> bool:
    """Whether ticks keep falling where none was due."""
    return sum(self._lost) >= ASTRAY or self._misfits > 1

  def _remember(self, change: Change) -> None:
    """Keeps what teaches the rhythm, and fits it now and then."""
    known = self.period
    if known and change.width > 2 * PINNED * known:
      return  # it teaches nothing that the rhythm has not told itself
    if known and self._recent:
      gap = change.low - self._recent[-1].high
      if gap * self._period_error > COUNTED * known**2:
        self._recent.clear()  # how many ticks were between is not sure
    self._recent.append(change)
    self._since_fit += 1
    if self.continuous or len(self._recent) < LEARN_TICKS:
      return
    look = max(2, min(len(self._recent), LOOK_AT) // LOOK_SHARE)
    if self._since_fit < (REFIT if known else look):
      return
    settled = known and len(self._recent) == MEMORY and not self._misfits
    if settled and change.high < self._fitted + REFIT_SECONDS:
      return
    self._since_fit, self._fitted = 0, change.high
    recent = list(self._recent)
    if not known:
      self.longest = longest_period(recent[-LOOK_AT:])
      rhythm = fit(recent[-LOOK_AT:], repeats=self._repeats)
    else:
      rhythm = fit(recent, known, self.wanders)
      self._misfits = 0 if rhythm else self._misfits + 1
    if rhythm is not None:
      self._follow(rhythm, new=not known)

  def _follow(self, rhythm: Rhythm, new: bool) -> None:
    """Takes over a fitted rhythm."""
    self.period, self._period_error = rhythm.period, rhythm.error
    self.wanders = rhythm.wanders
    self.jitter = JITTER * rhythm.period + MARGIN * rhythm.jitter
    if new:
      self._line = rhythm.instant
      self._doubt = rhythm.doubt + JITTER * rhythm.period
      self._lost.clear()
      self._misfits = 0

  def forget(self) -> None:
    """Drops the rhythm, to learn it anew."""
    self.period, self.continuous = None, False
    self.reads = self.changes = self._close = self._close_moves = 0
    self._recent.clear()
    self._lost.clear()
    self._since_fit, self.longest = 0, math.inf

  def end_learning(self) -> None:
    """Judges whether the value moves at nearly every read, however close."""
    moves = self._close_moves > ALWAYS_MOVES * self._close
    self.continuous = self._close >= FEWEST_CLOSE and moves
