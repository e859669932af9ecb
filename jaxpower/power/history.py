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
from dataclasses import dataclass

from jaxpower.power.reading import Domain, Reading
from jaxpower.power.recording import Recording
from jaxpower.power.ticks import Tick, Tracker

# All numbers here are chosen.
CONTINUOUS_SECONDS = 5e-3  # a counter moving this often needs no tick hunting
CONTINUOUS_ERROR = CONTINUOUS_SECONDS / 10  # of a point of such a counter
LONGEST_GAP = 1.0  # seconds without power that a straight line may bridge
# Power that stays is noted as a point after so many of its periods, or, where
# its period is not known, of so many seconds.
STAYING_PERIODS, UNKNOWN_PERIOD = 1.5, 0.05
# A counter that still shows the same after so many reads and periods, and then
# moves, has stood still.
STUCK_READS, STUCK_PERIODS = 8, 8
# A fall of at most so many typical steps, of the last sixteen, is noise. Three
# steps at least tell what is typical.
NOISE_STEPS, TYPICAL_OF, FEWEST_STEPS = 2, 16, 3
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
  the process was stopped. Old readings, points and gaps can be dropped.
  """

  def __init__(self, domain: Domain):
    self.domain = domain
    self.counter = Tracker()
    self.power = Tracker()
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
    self._unmoved = 0
    self._failing = False
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
    if reading.watts is not None:
      self._add_power(reading, middle, reading.watts)
    if reading.joules is not None:
      self._add_energy(reading, reading.joules)

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
    tick = self.power.observe(reading.begin, reading.end, watts)
    # A mean over a window stands for the middle of that window.
    shift = self.domain.power_window_seconds / 2
    if tick is not None:
      seconds = tick.seconds - shift
    else:
      seconds = now - shift
      stays = STAYING_PERIODS * (self.power.period or UNKNOWN_PERIOD)
      if self.power_points and seconds - self.power_points[-1] < stays:
        return
    self.power_points.append(seconds)
    self.power_watts.append(watts)

  def _add_energy(self, reading: Reading, joules: float) -> None:
    """Adds a point at each tick, or at each read of a continuous counter."""
    tick = self.counter.observe(
      reading.begin, reading.end, joules, reading.stamp_seconds
    )
    if self.continuous:
      half = (reading.end - reading.begin) / 2
      error = half + (self.domain.update_seconds or 0.0)
      self._add_point(Tick(reading.begin + half, error, joules))
    elif tick is not None:
      self._add_point(tick)
      self._unmoved = 0
    else:
      self._unmoved += 1

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
    # A period is allowed on top, because the points' instants have errors.
    if limit and step > limit * (seconds + (self.counter.period or 0.0)):
      return f"the counter jumped by {step:.3g} J in {seconds:.3g} s"
    period = self.counter.period
    if period and (
      self._unmoved > STUCK_READS and seconds > STUCK_PERIODS * period
    ):
      return f"the counter stood still for {seconds:.2g} s"
    return ""

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
      if not math.isnan(joules):
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

  def covers(self, instant: float) -> bool:
    """Tells whether the energy at an instant lies between two points."""
    if self.has_counter:
      return self.points[-1] >= instant
    return bool(self.power_points) and self.power_points[-1] >= instant


def _roughness(seconds: array, joules: array) -> float:
  """Returns the root mean square joules off the best straight line."""
  slope, level = statistics.linear_regression(seconds, joules)
  squares = [
    (j - level - slope * s) ** 2 for s, j in zip(seconds, joules, strict=True)
  ]
  return math.sqrt(statistics.fmean(squares))
