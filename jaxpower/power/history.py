"""All that one domain has said so far, and the ticks found in it."""

import math
import statistics
from array import array
from dataclasses import dataclass

from jaxpower.power.reading import Domain, Reading
from jaxpower.power.ticks import Tick, Tracker

FINE_SECONDS = 5e-3  # a counter that moves this often needs no tick hunting


@dataclass
class Gap:
  """A stretch in which every read failed."""

  begin: float
  end: float
  reason: str


class History:
  """Raw readings, points of the cumulative energy, points of the power.

  A point is (seconds, error of the seconds, value). `broken[i]` marks that
  energy cannot be told between points i-1 and i, `breaks[i]` why.
  """

  def __init__(self, domain: Domain):
    self.domain = domain
    self.counter = Tracker()
    self.power = Tracker()
    self.seconds = array("d")
    self.joules = array("d")
    self.watts = array("d")
    self.latency_total = 0.0
    self.latency_highest = 0.0
    self.points = array("d")
    self.errors = array("d")
    self.energies = array("d")
    self.breaks: dict[int, str] = {}
    self.power_points = array("d")
    self.power_watts = array("d")
    self.gaps: list[Gap] = []
    self.noise = 0.0
    self.longest_gap = 1.0  # seconds without power that may be bridged
    self._unmoved = 0
    self._failing = False
    update = domain.update_seconds
    self.continuous = update is not None and update <= FINE_SECONDS

  def add(self, reading: Reading) -> None:
    """Takes a reading in, and finds out whether it shows a tick."""
    middle = (reading.begin + reading.end) / 2
    latency = reading.end - reading.begin
    self.latency_total += latency
    self.latency_highest = max(self.latency_highest, latency)
    self.seconds.append(middle)
    self.joules.append(math.nan if reading.joules is None else reading.joules)
    self.watts.append(math.nan if reading.watts is None else reading.watts)
    if reading.failure is not None:
      self._fail(middle, reading.failure)
      return
    self._failing = False
    if reading.watts is not None:
      self._add_power(reading, middle, reading.watts)
    if reading.joules is not None:
      self._add_energy(reading, reading.joules)

  def _fail(self, now: float, reason: str) -> None:
    if not self._failing:
      begin = self.seconds[-2] if len(self.seconds) > 1 else now
      self.gaps.append(Gap(begin, now, reason))
    self.gaps[-1].end = now
    self._failing = True

  def _add_power(self, reading: Reading, now: float, watts: float) -> None:
    """A point at each update, and now and then where the power stays."""
    tick = self.power.observe(reading.begin, reading.end, watts)
    shift = self.domain.power_window_seconds / 2
    if tick is not None:
      seconds = tick.seconds - shift
    else:
      seconds = now - shift
      stays = 1.5 * (self.power.period or 0.05)
      if self.power_points and seconds - self.power_points[-1] < stays:
        return
    self.power_points.append(seconds)
    self.power_watts.append(watts)

  def _add_energy(self, reading: Reading, joules: float) -> None:
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
      why = self._break(tick)
      if why:
        self.breaks[len(self.points)] = why
    self.points.append(tick.seconds)
    self.errors.append(tick.error)
    self.energies.append(tick.value)

  def _break(self, tick: Tick) -> str:
    """Why the step to a new point cannot be energy, or nothing."""
    step = tick.value - self.energies[-1]
    seconds = tick.seconds - self.points[-1]
    limit = self.domain.max_watts
    if step < 0 and -step <= self._believable_noise():
      self.noise = max(self.noise, -step)
      return ""
    if step < 0:
      return "the counter fell back (reset)"
    if limit and step > limit * (seconds + (self.counter.period or 0.0)):
      return f"the counter jumped by {step:.3g} J in {seconds:.3g} s"
    period = self.counter.period
    if period and self._unmoved > 8 and seconds > 8 * period:
      return f"the counter stood still for {seconds:.2g} s"
    return ""

  def _believable_noise(self) -> float:
    """How far a counter may fall and only be noisy: one typical step."""
    if len(self.energies) < 4:
      return 0.0
    steps = sorted(
      abs(self.energies[i] - self.energies[i - 1])
      for i in range(max(1, len(self.energies) - 16), len(self.energies))
    )
    return 2 * steps[len(steps) // 2]

  def settle(self) -> None:
    """Ends the learning: a counter that moved at every read is continuous."""
    if self.continuous:
      return
    self.counter.judge()
    if not self.counter.fine:
      return
    self.continuous = True
    self.points, self.errors = array("d"), array("d")
    self.energies, self.breaks = array("d"), {}
    for seconds, joules in zip(self.seconds, self.joules, strict=True):
      if not math.isnan(joules):
        self._add_point(Tick(seconds, FINE_SECONDS / 10, joules))
    if self.noise:  # it may hide a coarse staircase: take all as doubt
      self.noise = max(self.noise, _roughness(self.points, self.energies))

  @property
  def has_counter(self) -> bool:
    """Whether the counter has moved at all."""
    return len(self.points) > 1

  def covers(self, instant: float) -> bool:
    """Whether the energy at an instant lies between two points."""
    if self.has_counter:
      return self.points[-1] >= instant
    return bool(self.power_points) and self.power_points[-1] >= instant


def _roughness(seconds: array, joules: array) -> float:
  """Joules by which a counter strays from a straight line, root mean square."""
  slope, level = statistics.linear_regression(seconds, joules)
  squares = [
    (j - level - slope * s) ** 2 for s, j in zip(seconds, joules, strict=True)
  ]
  return math.sqrt(statistics.fmean(squares))
