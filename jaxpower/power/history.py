"""All that one domain has said so far, and the ticks found in it.

Readings come as they come; what energy is computed from are points: a tick of
the counter, or an update of the power reading, at the instant when the value
appeared. Here it is also judged whether a counter can be believed from one
point to the next. A counter that fell back, jumped or stood still breaks the
line there: no energy is told across a break, so that a window is unknown or
taken from the power, and never wrong in silence.
"""

import copy
import math
import statistics
from array import array
from bisect import bisect_left
from dataclasses import dataclass, replace

from jaxpower.power.doubts import implausible
from jaxpower.power.lag import fresh, lag_behind
from jaxpower.power.reading import Domain, Reading
from jaxpower.power.recording import Recording
from jaxpower.power.ticks import Tick, Tracker

# All numbers here are chosen.
CONTINUOUS_SECONDS = 5e-3  # a counter moving this often needs no tick hunting
CONTINUOUS_ERROR = CONTINUOUS_SECONDS / 10  # of a point of such a counter
LONGEST_GAP = 1.0  # seconds without power that a straight line may bridge
# Power that stays is noted as a point after so many of its periods, or, where
# its period is not known, of so many seconds.
STAYING_PERIODS, UNKNOWN_PERIOD = 1.5, 0.1
# A counter that with one value in reads so many periods apart stood still.
STUCK_PERIODS = 6
# One that is always fresh has, after so many seconds and updates.
STILL_SECONDS, STILL_UPDATES = 0.2, 50
UPDATE_KNOWN = 0.25  # of its period
# Power is lively where so many readings differ by this share of the highest.
LATEST, SWINGS = 8, 0.25
FEWEST_POINTS = 8  # of a power that may be said never to have moved
OVERDUE_PERIODS = 2.5  # without a tick: the next one is not merely to come
# Power that averages longer comes too late to be waited for beside a counter.
LONGEST_AWAITED = 0.25
JUMP_SLACK = 0.1  # of a period, by which a tick may come early
# A fall of at most so many typical steps, of the last sixteen, is noise. Three
# steps at least tell what is typical.
NOISE_STEPS, TYPICAL_OF, FEWEST_STEPS = 2, 16, 3
# A tick's mean power is the power reading where they differ by no more than the
# jitter and so much. This share of so many ticks shows a part-time counter.
SAME_POWER, SAME_SHARE, FEWEST_COMPARED = 0.005, 0.8, 5
# Points that stay however old they are: what is typical of them is asked.
FEWEST_KEPT = 128
EXCERPT = 512  # points from which a sensor's nature is told
PAUSE_PERIODS = 1.5  # without a read, beyond `longest_gap`: the meter stood


@dataclass
class Gap:
  """A stretch in which every read failed, or in which there was none."""

  begin: float
  end: float
  reason: str


class History:
  """Raw readings, points of the cumulative energy, points of the power.

  A point of the energy is seconds, error of the seconds, joules; one of the
  power is seconds, watts. `breaks[i]` says why energy cannot be told between
  points i-1 and i. `continuous` counters have a point at every read. `noise` is
  the counter's own, in joules. `pauses` are stretches without a read, as when
  the process was stopped, or with a power that cannot be one, as 0 W, for which
  `idle_watts` helps where it was measured. `lag` is the seconds by which the
  counter is late, None where that is not known. Old readings, points and gaps
  can be dropped.
  """

  def __init__(self, domain: Domain):
    self.domain = domain
    self.counter = Tracker()
    self.power = Tracker(repeats=True)
    self.recording = Recording()
    self.seconds = self.recording.seconds  # of the last minutes, as the points
    self.joules = self.recording.joules
    self.watts = self.recording.watts
    self.latency_total = 0.0
    self.latency_highest = 0.0
    self.points = array("d")
    self.errors = array("d")
    self.energies = array("d")
    self.breaks: dict[int, str] = {}
    self.power_points = array("d")
    self.power_watts = array("d")
    self.gaps: list[Gap] = []
    self.pauses: list[Gap] = []
    self.noise = 0.0
    self.longest_gap = LONGEST_GAP
    self.idle_watts: float | None = None
    self.lag: float | None = None
    self._shown: tuple[float, float] | None = None  # power: when, watts
    self._mean: float | None = None  # watts of the last tick
    self._compared = self._same = 0  # ticks, and those that read the same
    self._unmoved = 0
    self._since = math.inf  # end of the read that first showed the value
    self._stayed = 0.0  # seconds for which it was then seen to stay
    self._failing = False
    self._powered = False  # whether the last reading had a power
    update = domain.update_seconds
    self.continuous = update is not None and update <= CONTINUOUS_SECONDS

  def add(self, reading: Reading) -> None:
    """Takes a reading in, and finds out whether it shows a tick."""
    middle = (reading.begin + reading.end) / 2
    latency = reading.end - reading.begin
    self.latency_total += latency
    self.latency_highest = max(self.latency_highest, latency)
    self._note_pause(reading.end)
    self.recording.add(middle, reading.joules, reading.watts)
    if reading.failure is not None:
      self._fail(middle, reading.failure)
      return
    self._failing = False
    reading = self._believable(reading, middle)
    if reading.failure is not None:
      self._fail(middle, reading.failure)
      return
    self._powered = reading.watts is not None
    if reading.watts is not None:
      self._add_power(reading, middle, reading.watts)
    if reading.joules is not None:
      self._add_energy(reading, reading.joules)

  def _believable(self, reading: Reading, now: float) -> Reading:
    """Takes away a power that cannot be one; with nothing left it failed."""
    if reading.watts is None or self.domain.estimated:
      return reading
    doubt = implausible(reading.watts, self.idle_watts)
    if not doubt:
      return reading
    if reading.joules is None:
      return replace(reading, watts=None, failure=doubt)
    if self._powered or not self.pauses:
      self.pauses.append(Gap(now, now, doubt))
    self.pauses[-1].end = now
    return replace(reading, watts=None)

  def _note_pause(self, now: float) -> None:
    """Notes that there was no read for longer than it takes by itself."""
    if not self.seconds:
      return
    last = self.seconds[-1]
    period = self.counter.period or self.power.period or 0.0
    if now - last > self.longest_gap + PAUSE_PERIODS * period:
      reason = f"the meter did not run for {now - last:.2g} s"
      self.pauses.append(Gap(last, now, reason))

  def _fail(self, now: float, reason: str) -> None:
    """Begins a gap at the last good read, or makes the open one longer."""
    if not self._failing:
      begin = self.seconds[-2] if len(self.seconds) > 1 else now
      self.gaps.append(Gap(begin, now, reason))
    self.gaps[-1].end = now
    self._failing = True

  def _add_power(self, reading: Reading, now: float, watts: float) -> None:
    """Adds a point at each update, and now and then where the power stays."""
    shown = self._shown
    self._shown = (reading.begin, watts)
    tick = self.power.observe(reading.begin, reading.end, watts)
    # A mean over a window stands for the middle of that window.
    shift = self.domain.power_window_seconds / 2
    stays = STAYING_PERIODS * (self.power.period or UNKNOWN_PERIOD)
    if tick is not None:
      if shown and self.power_points:
        # A value that stayed was an update too, at the tick before.
        period = self.power.period or UNKNOWN_PERIOD
        held = min(tick.seconds - period, shown[0]) - shift
        if self.power_points[-1] < held - period / 2:
          self.power_points.append(held)
          self.power_watts.append(shown[1])
      seconds = tick.seconds - shift
      if self.power_points and seconds <= self.power_points[-1]:
        return
    else:
      seconds = self._last_update(now) - shift
      if self.power_points and seconds - self.power_points[-1] < stays:
        return
    self.power_points.append(seconds)
    self.power_watts.append(watts)

  def _last_update(self, now: float) -> float:
    """Returns when a power that stayed was last updated, where that is known.

    All points then lie at one part of an update, so that steps in rhythm with
    it show.
    """
    update = self.power.predict(now)
    if update is None or update[1] > UPDATE_KNOWN * (self.power.period or 0.0):
      return now
    return update[0]

  def _add_energy(self, reading: Reading, joules: float) -> None:
    """Adds a point at each tick, or at each read of a continuous counter."""
    tick = self.counter.observe(
      reading.begin, reading.end, joules, reading.stamp_seconds
    )
    if self.continuous:
      # One that stays is doubted: it shows nothing until it moves again.
      if not self.energies or joules != self.energies[-1]:
        half = (reading.end - reading.begin) / 2
        error = half + (self.domain.update_seconds or 0.0)
        self._add_point(Tick(reading.begin + half, error, joules))
        self._unmoved = 0
      else:
        self._unmoved += 1
    elif tick is not None:
      earlier = self.counter.earlier
      if earlier is not None and self.points:
        self.points[-1], self.errors[-1] = earlier.seconds, earlier.error
      self._compare(tick, reading.watts)
      self._add_point(tick)
      self._unmoved, self._stayed, self._since = 0, 0.0, reading.end
    else:
      self._unmoved += 1
      self._stayed = reading.begin - self._since

  def _compare(self, tick: Tick, watts: float | None) -> None:
    """Counts how often a tick's mean power is just the power reading."""
    before, self._mean = self._mean, None
    if not self.points or not watts:
      return
    period = self.counter.period
    if not period or round((tick.seconds - self.points[-1]) / period) != 1:
      return
    slack = SAME_POWER + self.counter.jitter / period
    self._mean = mean = (tick.value - self.energies[-1]) / period
    # Power that stays says nothing.
    if before is not None and abs(mean - before) > 3 * slack * abs(mean):
      self._compared += 1
      self._same += abs(mean - watts) <= slack * watts

  @property
  def is_lively(self) -> bool:
    """Whether power moves enough just now to show how late the counter is."""
    watts = self.power_watts[-LATEST:]
    if not self._powered or len(watts) < LATEST:
      return False
    if not self.counter.period or self.noise:  # nothing to place it by
      return False
    late = self.domain.power_window_seconds > LONGEST_AWAITED
    return not late and max(watts) - min(watts) > SWINGS * max(watts)

  def learn_lag(self, begin: float) -> None:
    """Finds out by the reads from an instant on how late the counter is."""
    first = bisect_left(self.points, begin)
    early = bisect_left(self.seconds, begin)
    updates = fresh(self.seconds[early:], self.watts[early:])
    lag = lag_behind(self.points[first:], self.energies[first:], *updates)
    if lag is not None:
      self.lag = lag

  @property
  def part_time(self) -> bool:
    """Whether the counter sums readings that see a part of the time only.

    Then each tick's energy is the power reading times the period.
    """
    return self._compared >= FEWEST_COMPARED and (
      self._same >= SAME_SHARE * self._compared
    )

  def _add_point(self, tick: Tick) -> None:
    if self.points:
      reason = self._break(tick)
      if reason:
        self.breaks[len(self.points)] = reason
    self.points.append(tick.seconds)
    self.errors.append(tick.error)
    self.energies.append(tick.value)

  def _break(self, tick: Tick) -> str:
    """Says why the step to a new point cannot be energy, or nothing."""
    step = tick.value - self.energies[-1]
    seconds = tick.seconds - self.points[-1]
    limit = self.domain.max_watts
    if step < 0 and -step <= self._believable_noise():
      self.noise = max(self.noise, -step)
      return ""
    if step < 0:
      return "the counter fell back (reset)"
    # The points' instants have errors.
    slack = self.errors[-1] + tick.error
    slack += JUMP_SLACK * (self.counter.period or 0.0)
    if limit and step > limit * (seconds + slack):
      return f"the counter jumped by {step:.3g} J in {seconds:.3g} s"
    if self._stood_still(seconds):
      return f"the counter stood still for {seconds:.2g} s"
    return ""

  def _stood_still(self, seconds: float) -> bool:
    """Tells whether it was read often enough in that time, and stayed."""
    if self.continuous:
      updates = STILL_UPDATES * (self.domain.update_seconds or 0.0)
      return self._unmoved > 0 and seconds > max(STILL_SECONDS, updates)
    period = self.counter.period
    return bool(period) and self._stayed > STUCK_PERIODS * period

  @property
  def still_seconds(self) -> float | None:
    """Since when the counter stands still, in seconds; None where it moves."""
    if not self.has_counter:
      return None
    seconds = self.seconds[-1] - self.points[-1]
    return seconds if self._stood_still(seconds) else None

  @property
  def is_overdue(self) -> bool:
    """Whether a tick should have been seen that was not."""
    if not self.has_counter or not self._unmoved:
      return False
    period = self.counter.period
    limit = OVERDUE_PERIODS * period if period else STILL_SECONDS
    if self.continuous:
      limit = STILL_SECONDS
    return self.seconds[-1] - self.points[-1] > limit

  def _believable_noise(self) -> float:
    """Returns the joules a counter may fall and only be noisy."""
    if len(self.energies) <= FEWEST_STEPS:
      return 0.0
    first = max(1, len(self.energies) - TYPICAL_OF)
    steps = sorted(
      abs(self.energies[i] - self.energies[i - 1])
      for i in range(first, len(self.energies))
    )
    return NOISE_STEPS * steps[len(steps) // 2]

  def end_learning(self) -> None:
    """Ends the learning: a counter that moved at every read is continuous."""
    if self.continuous:
      return
    self.counter.end_learning()
    if not self.counter.continuous:
      return
    self.continuous = True
    # Every reading so far is a point of its own, not a tick.
    self.points, self.errors = array("d"), array("d")
    self.energies, self.breaks = array("d"), {}
    for seconds, joules in zip(self.seconds, self.joules, strict=True):
      shown = self.energies[-1] if self.energies else math.nan
      if not math.isnan(joules) and joules != shown:
        self._add_point(Tick(seconds, CONTINUOUS_ERROR, joules))
    if self.noise:  # it may hide a coarse staircase: take all as doubt
      self.noise = max(self.noise, _roughness(self.points, self.energies))

  def excerpt(self) -> "History":
    """Returns a copy with the last points alone, to work on without a lock."""
    short = copy.copy(self)
    short.points = self.points[-EXCERPT:]
    short.energies = self.energies[-EXCERPT:]
    short.power_points = self.power_points[-EXCERPT:]
    short.power_watts = self.power_watts[-EXCERPT:]
    return short

  def drop_before(self, instant: float) -> None:
    """Forgets points and gaps of before an instant; the last ones stay."""
    old = min(bisect_left(self.points, instant), len(self.points) - FEWEST_KEPT)
    if old > 0:
      del self.points[:old], self.errors[:old], self.energies[:old]
      self.breaks = {i - old: why for i, why in self.breaks.items() if i > old}
    old = bisect_left(self.power_points, instant)
    old = min(old, len(self.power_points) - FEWEST_KEPT)
    if old > 0:
      del self.power_points[:old], self.power_watts[:old]
    *ended, last = self.gaps or [None]
    kept = [gap for gap in ended if gap and gap.end >= instant]
    self.gaps = [*kept, last] if last else []
    self.pauses = [gap for gap in self.pauses if gap.end >= instant]

  @property
  def has_counter(self) -> bool:
    """Whether the counter has moved at all."""
    return len(self.points) > 1

  @property
  def is_silent(self) -> bool:
    """Whether neither counter nor power has moved in many reads."""
    watts = self.power_watts
    if self.has_counter or len(watts) < FEWEST_POINTS:
      return False
    return min(watts) == max(watts)

  @property
  def is_checked(self) -> bool:
    """Whether there is a power soon enough to hold a counter against it."""
    late = self.domain.power_window_seconds > LONGEST_AWAITED
    return self._powered and not late and len(self.power_points) > 1

  def covers(self, instant: float) -> bool:
    """Tells whether the energy at an instant lies between two points.

    Those of the counter, and those of the power that it is held against.
    """
    powered = bool(self.power_points) and self.power_points[-1] >= instant
    if not self.has_counter:
      return powered
    return self.points[-1] >= instant and (powered or not self.is_checked)


def _roughness(seconds: array, joules: array) -> float:
  """Returns the root mean square joules off the best straight line."""
  slope, level = statistics.linear_regression(seconds, joules)
  squares = [
    (j - level - slope * s) ** 2 for s, j in zip(seconds, joules, strict=True)
  ]
  return math.sqrt(statistics.fmean(squares))
