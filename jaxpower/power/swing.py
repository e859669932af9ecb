"""How much power moves inside a tick, told by what can be seen.

A counter shows the energy of whole ticks. How far power strays inside one
cannot be seen, but its kind can:

  white     power that moves by chance, faster than the ticks. Mean powers of
            ticks then differ by chance too, and a change up is followed by one
            down: the changes have a correlation of -1/2. What strays inside is
            as much as what strays from tick to tick.
  slow      power that moves over many ticks: a change is followed by one like
            it. Inside a tick power strays by a small part of the changes.
  between   steps near the length of a tick may hide in the ticks. Readings of
            instant power, where there are some, show them.

So the changes are weighed by how white they are. Four views of them enter, as
power comes in kinds: to the tick's own neighbours, the median, the root mean
square, and the spread of the readings about their ticks.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

MEDIAN_TO_SD = 1.48  # standard deviations in a normal's median deviation

# Weights of how slow power moves inside a tick. Calibrated by
# benchmarks/meter_accuracy.py on seeds below 1000, and 7000.
LOCAL = 0.11  # of the largest change to a neighbouring tick
TYPICAL = 0.145  # of the median change from tick to tick
RARE = 0.08  # of the root mean square change
INNER = 0.095  # of the spread of power readings within their tick
# White power strays inside a tick by sqrt(1/2) of its changes, and by about
# half the spread of readings that average a quarter of a tick; a little less,
# as few powers are altogether white.
WHITE, WHITE_INNER = 0.45, 0.22
# Of a correlation of -1/2; what few changes pretend.
FEWEST_FOR_KIND = 3

# Variance of a tick's instant over its error's square: a third if it lay
# anywhere in the interval alike, one if at its ends. Set in the same
# calibration.
TICK_VARIANCE = 0.38

# The rest is chosen.
NEIGHBOURS = 12  # ticks on each side of an edge from which the swing is judged
# A stretch longer than this many of the tick at the edge (ticks between were
# not read) averages too much to say anything about one tick.
COMPARABLE = 1.6
BADLY = 0.3  # of a tick: its points' errors leave nothing of its mean power
FEWEST_READINGS = 3  # power readings that say something
# A reading up to this share of a tick after a tick's end counts to that tick: a
# sensor that updates both at once shows the power of before.
READING_LATENESS = 0.05


class Ticks:
  """Mean watts of each tick, and how they swing around a window's edges.

  Tick i ends at point i. `white` is 1 where power moves by chance inside the
  ticks, 0 where it moves slowly.
  """

  def __init__(
    self,
    seconds: Sequence[float],
    errors: Sequence[float],
    joules: Sequence[float],
    breaks: Mapping[int, str],
    first: int,
    last: int,
    power: tuple[Sequence[float], Sequence[float]],
  ):
    self._seconds, self._joules, self._breaks = seconds, joules, breaks
    self._errors = errors
    changes, pairs = self._changes(sorted({first, last}))
    # Instants that are not well known make changes of their own.
    true = sum(change * change - noise for change, noise in changes)
    all_ = sum(change * change for change, _ in changes)
    self._real = max(0.0, true) / all_ if all_ else 1.0
    self.rms = math.sqrt(all_ * self._real / len(changes)) if changes else 0.0
    sizes = sorted(abs(change) for change, _ in changes)
    self.typical = sizes[len(sizes) // 2] * MEDIAN_TO_SD if sizes else 0.0
    self.typical *= math.sqrt(self._real)
    noise = sum(noise for _, noise in changes) / max(1, len(changes))
    self.white = whiteness(pairs, noise)
    self.inner = self._inner(sorted({first, last}), *power)

  def _changes(
    self, edges: Sequence[int]
  ) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Returns changes from tick to tick around edges, and pairs in a row.

    Each change has the variance that its ticks' errors give it.
    """
    changes, pairs, done = [], [], -1
    for edge in edges:
      longest = COMPARABLE * self.span(edge)
      before = previous = None
      for i in range(max(edge - NEIGHBOURS, done + 1), edge + NEIGHBOURS + 1):
        here = self.known_watts(i, longest)
        change = None if here is None or before is None else here - before
        if change is not None:
          changes.append((change, self._noise(i)))
          if previous is not None:
            pairs.append((previous, change))
        before, previous, done = here, change, i
    return changes, pairs

  def _noise(self, i: int) -> float:
    """Returns the variance of the change to tick i by its points' errors."""
    a, b, c = self._errors[i - 2], self._errors[i - 1], self._errors[i]
    part = self.watts(i) / self.span(i)
    return TICK_VARIANCE * part * part * (a * a + 4 * b * b + c * c)

  def _inner(
    self, edges: Sequence[int], seconds: Sequence[float], watts: Sequence[float]
  ) -> float:
    """Returns the spread of power readings about the mean of their tick."""
    squares, count = 0.0, 0
    for edge in edges:
      tick = self.span(edge)
      low = max(0, edge - NEIGHBOURS)
      high = min(len(self._seconds) - 1, edge + NEIGHBOURS)
      for j in range(
        bisect_right(seconds, self._seconds[low]),
        bisect_right(seconds, self._seconds[high]),
      ):
        i = bisect_left(self._seconds, seconds[j] - READING_LATENESS * tick)
        mean = self.known_watts(i, COMPARABLE * tick)
        if mean is not None:
          squares, count = squares + (watts[j] - mean) ** 2, count + 1
    return math.sqrt(squares / count) if count >= FEWEST_READINGS else 0.0

  def watts(self, i: int) -> float:
    """Returns the mean watts of tick i, from point i-1 to point i."""
    span = self._seconds[i] - self._seconds[i - 1]
    return (self._joules[i] - self._joules[i - 1]) / span

  def known_watts(self, i: int, longest: float = math.inf) -> float | None:
    """Returns the same, or None where it is unknown or the tick too long."""
    if not 0 < i < len(self._seconds) or i in self._breaks:
      return None
    if not 0.0 < self._seconds[i] - self._seconds[i - 1] <= longest:
      return None
    return self.watts(i)

  def neighbours(self, i: int) -> tuple[float | None, float | None]:
    """Returns the mean watts of the ticks before and after tick i."""
    longest = COMPARABLE * self.span(i)
    return self.known_watts(i - 1, longest), self.known_watts(i + 1, longest)

  def is_long(self, i: int) -> bool:
    """Tells whether tick i is so many ticks beside its neighbours."""
    longest = max(self.span(i - 1), self.span(i + 1))
    return self.span(i) > COMPARABLE * longest

  def joined(self, low: int, high: int) -> bool:
    """Tells whether the ticks from point to point are known, and alike."""
    longest = COMPARABLE * self.span(low + 1 if low >= 0 else high)
    return low >= 0 and all(
      self.known_watts(i, longest) is not None for i in range(low + 1, high + 1)
    )

  def scale(self, low: int, high: int, power: float) -> float:
    """Returns the watts that an error of an instant is worth.

    Between points that are known badly the mean power means nothing; that of
    the ticks beside them counts then, if it is more.
    """
    unsure = self._errors[low] + self._errors[high]
    if unsure < BADLY * (self._seconds[high] - self._seconds[low]):
      return power
    beside = (self.known_watts(low), self.known_watts(high + 1))
    return max([power, *(watts for watts in beside if watts is not None)])

  def is_noise(self, i: int, change: float) -> bool:
    """Tells whether a change over tick i may be its points' errors alone."""
    error = self._errors[i - 1] + self._errors[i]
    return abs(change) < self.watts(i) * error / self.span(i)

  def span(self, i: int) -> float:
    """Returns the seconds of tick i, or of the nearest tick there is."""
    i = min(max(i, 1), len(self._seconds) - 1)
    return self._seconds[i] - self._seconds[i - 1]

  def swing(self, i: int) -> float:
    """Returns the watts by which power may swing inside tick i."""
    here = self.watts(i)
    around = [watts for watts in self.neighbours(i) if watts is not None]
    local = max((abs(watts - here) for watts in around), default=0.0)
    slow = (
      (LOCAL * local) ** 2 * self._real
      + (TYPICAL * self.typical) ** 2
      + (RARE * self.rms) ** 2
      + (INNER * self.inner) ** 2
    )
    white = max(WHITE * self.rms**2, WHITE_INNER * self.inner**2)
    return math.sqrt((1 - self.white) * slow + self.white * max(white, slow))


def whiteness(
  pairs: Sequence[tuple[float, float]], noise: float = 0.0
) -> float:
  """Returns 1 for changes as of white power, 0 for those of slow power.

  `noise` is the variance that errors of the ticks' instants gave each change;
  they are second differences, with a correlation of -2/3.
  """
  noise *= len(pairs)
  squares = sum(a * a + b * b for a, b in pairs) / 2 - noise
  if len(pairs) < FEWEST_FOR_KIND or squares <= 0:
    return 0.5  # not known
  together = sum(a * b for a, b in pairs) + noise * 2 / 3
  return min(1.0, max(0.0, -2 * together / squares))
