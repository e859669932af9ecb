"""The period of ticks, fitted to the intervals in which they must lie.

A read shows a new value: a tick fell after the read before had begun and before
this one was done. On a busy machine such an interval may be longer than the
period, and the middles of the intervals say nothing. But every pair of changes
says between which lengths its distance lies, and that distance is a whole
number of periods; and a value that stayed for a while says that the period is
no shorter. The period is the longest that agrees with all of it.

  reads    |    |    |        |                  |    |
  value    1    1    2        2                  3    3
  changes       [----]                 [---------]
  distance of the two            at least ... and at most
  held               [--------]   no tick was inside
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

# Chosen: pairs of changes so far apart are compared. Where jitter adds up, only
# the first ones tell something.
LAGS, NEAR_LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32), (1, 2, 3, 4)
GRID_STEP = 0.01  # chosen: candidates are so much apart; least squares refine
SHORTEST_PERIOD = 2e-3  # seconds; chosen: the pace of the quick reads
# Jitter allows a pair to be nearer, and a value to stay longer, than a period.
SLACK = 1.3  # chosen
# Misfits (in periods, squared, mean) that differ by less than this share and so
# much say nothing; the longer period is then taken, if the others are parts.
SAME_SHARE, SAME_MISFIT = 0.3, 0.0004  # chosen
WORST_MISFIT = 0.02  # chosen: above it no period fits
ALIKE = 0.06  # chosen: of a period, what least squares can refine
# A pair tells something if its distance is known to this part of a period; so
# many pairs are needed.
TELLING, FEWEST_PAIRS = 0.7, 6  # chosen
NARROW, FEWEST_NARROW = 0.65, 5  # chosen: of a period; wider teaches no line
# Jitter that would explain any misfit explains none.
WORST_JITTER = 0.25  # of a period; chosen
JITTER_SDS = 1.8  # standard deviations to the edge; a uniform's is 1.73
# Strays from a line are sqrt(1/2) of those from the tick before, where the
# jitter is about a rhythm, and grow beyond where it adds up.
WANDERING, FEWEST_TO_TELL = 1.0, 16  # chosen
# A counter that was never seen to stay for this share of a period has none.
HELD = 0.2  # chosen
JITTERY = 0.04  # chosen: of a period; less is not worth telling apart


@dataclass(frozen=True, slots=True)
class Change:
  """A tick fell between `low` and `high`; the value before stayed `held`."""

  low: float
  high: float
  held: float = 0.0

  @property
  def middle(self) -> float:
    """The middle of the interval."""
    return (self.low + self.high) / 2

  @property
  def width(self) -> float:
    """The seconds of the interval."""
    return self.high - self.low


@dataclass(frozen=True, slots=True)
class Rhythm:
  """Ticks come every `period`, give or take `error`.

  `instant` is that of the line through the ticks at the last one, `doubt` how
  well it is known. A tick strays from it by up to `jitter`; with `wanders`
  from the tick before.
  """

  period: float
  error: float
  instant: float
  doubt: float
  jitter: float
  wanders: bool
  ticks: int


def longest_period(changes: Sequence[Change]) -> float:
  """Returns the seconds that no period exceeds, as ticks came as often."""
  return min(
    ((high / lag) for lag, _, high in _pairs(changes, NEAR_LAGS)),
    default=math.inf,
  )


def _pairs(
  changes: Sequence[Change], lags: Sequence[int]
) -> list[tuple[int, float, float]]:
  """Returns how far changes are apart: lag, least and most seconds."""
  return [
    (lag, b.low - a.high, b.high - a.low)
    for lag in lags
    for a, b in zip(changes, changes[lag:], strict=False)
  ]


def find_period(
  changes: Sequence[Change], *, repeats: bool = False
) -> float | None:
  """Finds the one period that agrees with all changes; None: not yet one.

  With `repeats` a tick may show the same value again.
  """
  held = max((change.held for change in changes), default=0.0)
  lowest = max(SHORTEST_PERIOD, held / SLACK)
  highest = SLACK * longest_period(changes)
  if not lowest < highest < math.inf:
    return None
  count = int(math.log(highest / lowest) / GRID_STEP) + 2
  ratio = (highest / lowest) ** (1 / (count - 1))
  candidates = [lowest * ratio**i for i in range(count)]
  holds = [change.held for change in changes]
  # The near pairs leave few candidates for all to judge.
  near = _pairs(changes, NEAR_LAGS)
  misfits = [_misfit(period, near, holds) for period in candidates]
  best = min(misfits)
  if best > WORST_MISFIT:
    return None
  left = [
    period
    for period, misfit in zip(candidates, misfits, strict=True)
    if misfit <= best + WORST_MISFIT
  ]
  pairs = _pairs(changes, LAGS)
  closer = [_misfit(period, pairs, holds) for period in left]
  if min(closer) < WORST_MISFIT:
    found = _only_one(left, closer)
  else:
    found = _only_one(candidates, misfits)
  if found is not None and held < HELD * found and not repeats:
    return None  # reads as slow as this would fit any ticks
  return found


def _only_one(
  candidates: Sequence[float], misfits: Sequence[float]
) -> float | None:
  """Returns the longest good candidate, if all others are parts of it."""
  best = min(misfits)
  good = [
    period
    for period, misfit in zip(candidates, misfits, strict=True)
    if misfit <= (1 + SAME_SHARE) * best + SAME_MISFIT
  ]
  group = [period for period in good if period >= (1 - 2 * ALIKE) * good[-1]]
  middle = (group[0] + group[-1]) / 2
  for period in good:
    parts = round(middle / period)
    if abs(middle / parts - period) > ALIKE * period:
      return None
  return middle


def _misfit(
  period: float,
  pairs: Sequence[tuple[int, float, float]],
  holds: Sequence[float],
) -> float:
  """Returns the mean square distance to agreement, in periods."""
  squares, telling = 0.0, 0
  for _, low, high in pairs:
    if high - low > 2 * TELLING * period:
      continue
    telling += 1
    above = max(1, math.ceil(low / period)) * period
    if above > high:
      away = above - high
      if above > 1.5 * period:
        away = min(away, low - above + period)
      squares += away * away
  if telling < FEWEST_PAIRS:
    return math.inf
  for held in holds:
    if held > period:
      squares += (held - period) ** 2
  return squares / telling / period**2


def fit(
  changes: Sequence[Change],
  period: float | None = None,
  wanders: bool | None = None,
  *,
  repeats: bool = False,
) -> Rhythm | None:
  """Fits the line of the ticks to their intervals; None: no rhythm shows.

  What is known of the period, and whether jitter adds up, need not be found.
  """
  rough = period or find_period(changes, repeats=repeats)
  if rough is None:
    return None
  pinned = [c for c in changes if c.width < NARROW * rough]
  if len(pinned) < FEWEST_NARROW:
    return None
  if not wanders:
    rhythm = _fit_line(pinned, rough)
    if wanders is False or (rhythm is not None and not rhythm.wanders):
      return rhythm
  return _fit_walk(pinned, rough)


def _number(pinned: Sequence[Change], rough: float) -> list[int]:
  """Counts the ticks from change to change, the period growing surer."""
  numbers, period, origin = [0], rough, pinned[0].middle
  for i, change in enumerate(pinned[1:], 1):
    number = numbers[-1] + max(
      1, round((change.middle - origin) / period) - numbers[-1]
    )
    numbers.append(number)
    # The origin is a mean, so that one wide interval does not shift it all.
    origin += (change.middle - number * period - origin) / (i + 1)
    if number >= 8:
      whole = (change.middle - pinned[0].middle) / number
      whole = min(max(whole, 0.9 * rough), 1.1 * rough)
      mean = sum(numbers) / (i + 1)
      origin += (period - whole) * mean
      period = whole
  return numbers


def _line(
  numbers: Sequence[int], seconds: Sequence[float]
) -> tuple[float, float]:
  """Returns slope and level (at the last number) of the least squares."""
  n, last, origin = len(numbers), numbers[-1], seconds[-1]
  mean_x = sum(numbers) / n
  mean_y = sum(s - origin for s in seconds) / n
  over = sum(
    (x - mean_x) * (s - origin - mean_y)
    for x, s in zip(numbers, seconds, strict=True)
  )
  slope = over / sum((x - mean_x) ** 2 for x in numbers)
  return slope, origin + mean_y + slope * (last - mean_x)


def _fit_line(pinned: Sequence[Change], rough: float) -> Rhythm | None:
  """Fits ticks that stray about a line. Tells too whether they wander."""
  numbers = _number(pinned, rough)
  period, level = _line(numbers, [c.middle for c in pinned])
  if not abs(period - rough) < 2 * ALIKE * rough:
    return None
  n, last = len(pinned), numbers[-1]
  off = [
    c.middle - level - (number - last) * period
    for c, number in zip(pinned, numbers, strict=True)
  ]
  blur = [c.width**2 / 12 for c in pinned]
  jitter = _jitter([o * o for o in off], blur)
  steps = sum((b - a) ** 2 for a, b in itertools.pairwise(off))
  wanders = (
    n >= FEWEST_TO_TELL
    and jitter > JITTERY * period
    and sum(o * o for o in off) > WANDERING * steps
  )
  if jitter > WORST_JITTER * period and not wanders:
    return None
  # Of the line: chance, and that a width may hide the same way each time.
  width = sum(c.width for c in pinned) / n / 2
  doubt = 2 * (width + jitter) / math.sqrt(n)
  error = 3.5 * (width + jitter) / math.sqrt(n) / last
  return Rhythm(period, error, level, doubt, jitter, wanders, n)


def _fit_walk(pinned: Sequence[Change], rough: float) -> Rhythm | None:
  """Fits ticks that stray each from the one before."""
  seconds, squares, blur, ticks = 0.0, [], [], 0
  gaps = []
  for a, b in itertools.pairwise(pinned):
    gap = b.middle - a.middle
    number = max(1, round(gap / rough))
    if number <= NEAR_LAGS[-1]:
      gaps.append((gap, number, (a.width**2 + b.width**2) / 12))
      seconds, ticks = seconds + gap, ticks + number
  if len(gaps) < FEWEST_NARROW:
    return None
  period = seconds / ticks
  for gap, number, variance in gaps:
    squares.append((gap - number * period) ** 2 / number)
    blur.append(variance / number)
  jitter = _jitter(squares, blur)
  if jitter > WORST_JITTER * period or abs(period - rough) > ALIKE * rough:
    return None
  last = pinned[-1]
  jitter = max(jitter, JITTERY / 2 * period)
  width = sum(c.width for c in pinned) / len(pinned) / 2
  error = (jitter + width) / math.sqrt(ticks)
  return Rhythm(
    period, error, last.middle, last.width / 2, jitter, True, len(gaps)
  )


def _jitter(squares: Sequence[float], blur: Sequence[float]) -> float:
  """Returns the jitter that the widths of the intervals do not explain."""
  n = len(squares)
  explained = sum(blur) / n * (1 + math.sqrt(2 / n))
  return JITTER_SDS * math.sqrt(max(0.0, sum(squares) / n - explained))
