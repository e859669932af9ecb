"""What makes a power reading doubtful: pure functions.

A reading of 0 W, a reading far below what the board takes when idle, and a
reading that stands still although the power moved before: sensors that fail say
such things and no error. A reading of that kind is never integrated as if it
were known.
"""

from collections.abc import Sequence

# All numbers here are chosen.
SHARE_OF_IDLE = 0.1  # a reading below this share of the idle power has failed
# Power that moved as often as this stands still where it repeats for so long,
# and so many times as long as it does at most when it moves. This many points
# around a window tell.
STILL_SECONDS, STILL_TIMES, FEWEST_CHANGES, AROUND = 1.0, 4.0, 10, 64
USUAL = 0.75  # of the time is spent in runs of usual length
COARSEST = 10.0  # watts: no step of a reading is taken for coarser
MILLIWATT = 1e-3  # the finest step that a driver tells


def implausible(watts: float, idle_watts: float | None) -> str:
  """Says why a power reading cannot be one, or nothing.

  `idle_watts` is what the board takes when idle, None where not measured.
  """
  if watts <= 0:
    return f"the power reading was {watts:.3g} W"
  if idle_watts is not None and watts < SHARE_OF_IDLE * idle_watts:
    return (
      f"the power reading was {watts:.3g} W, below a tenth of the idle"
      f" {idle_watts:.3g} W"
    )
  return ""


def unseen_joules(
  seconds: Sequence[float], watts: Sequence[float], start: float, end: float
) -> tuple[float, float]:
  """Bounds what a reading that stood still may have missed in a window.

  Args:
    seconds: Of the readings around the window, in order.
    watts: Of the same.
    start: Of the window.
    end: Of the window.

  Returns its longest stretch of standing still, in seconds, and the joules by
  which the power may have differed meanwhile, had it moved as it did before.
  """
  runs = _runs(watts)
  if len(runs) <= FEWEST_CHANGES:
    return 0.0, 0.0
  # A run lasts up to the next one, the last up to its own last reading.
  ends = [seconds[first] for first, _ in runs[1:]] + [seconds[-1]]
  begins = [seconds[first] for first, _ in runs]
  lengths = [b - a for a, b in zip(begins, ends, strict=True)]
  limit = max(STILL_SECONDS, STILL_TIMES * _usual(lengths))
  low, high = min(watts), max(watts)
  longest = joules = 0.0
  for (_, shown), begin, stop, length in zip(
    runs, begins, ends, lengths, strict=True
  ):
    inside = min(stop, end) - max(begin, start)
    if length > limit and inside > 0:
      longest = max(longest, length)
      joules += inside * max(high - shown, shown - low)
  return longest, joules


def _usual(lengths: Sequence[float]) -> float:
  """Returns the length of run up to which USUAL of the time is spent.

  The longest is left out, as it may be the one to judge. Most runs may be short
  ones, between one level and the next, and yet take little of the time.
  """
  *others, _ = sorted(lengths)
  passed, wanted = 0.0, USUAL * sum(others)
  for length in others:
    passed += length
    if passed >= wanted:
      return length
  return 0.0


def _runs(watts: Sequence[float]) -> list[tuple[int, float]]:
  """Lists where each run of equal readings begins, and what it shows."""
  return [
    (i, shown)
    for i, shown in enumerate(watts)
    if i == 0 or shown != watts[i - 1]
  ]


def quantum(watts: float) -> float:
  """Returns the coarsest decimal step that a reading is a multiple of.

  A reading that never moves may hide as much as that.
  """
  count = round(watts / MILLIWATT)
  step = MILLIWATT
  while step < COARSEST and count and count % 10 == 0:
    count, step = count // 10, step * 10
  return step
