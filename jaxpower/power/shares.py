"""What an error is of: the shares of a bound's square.

Sensors that look at one power share some of what they err by, and not the rest:

  own      when the ticks were: each sensor's own, unless they fall together
  edges    power inside the ticks around the edges of a window (overlap.py)
  unseen   power between two readings of a part of the time (overlap.py)
  late     by how much the power at both edges differs, times a lateness that
           is one for all: of a sign that is known
  common   the rest: smoothing, floors and doubts, alike where the power is
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shares:
  """Shares of the square of a bound, from 0 to 1; what is left is `common`.

  `late` is the root of its share, and below 0 where power rose.
  """

  own: float = 0.0
  edges: float = 0.0
  unseen: float = 0.0
  late: float = 0.0

  @property
  def common(self) -> float:
    """What all sensors of one power err by alike."""
    told = self.own + self.edges + self.unseen + self.late**2
    return max(0.0, 1.0 - told)


COMMON = Shares()


def shares_of(
  variance: float,
  *,
  own: float = 0.0,
  edges: float = 0.0,
  unseen: float = 0.0,
  late: float = 0.0,
) -> Shares:
  """Returns the shares of parts of a variance, and of joules by lateness."""
  if variance <= 0:
    return COMMON
  root = late / math.sqrt(variance)
  return Shares(own / variance, edges / variance, unseen / variance, root)


def widened(shares: Shares, bound: float, wide: float) -> Shares:
  """Returns the shares of a bound that was made wider: the rest is common."""
  return _times(shares, (bound / wide) ** 2 if wide > bound else 1.0)


def added(first: Shares, bound: float, second: Shares, other: float) -> Shares:
  """Returns the shares of two bounds whose squares are added."""
  square = bound**2 + other**2
  if not square:
    return COMMON
  a, b = _times(first, bound**2 / square), _times(second, other**2 / square)
  late = math.copysign(math.hypot(a.late, b.late), a.late + b.late)
  return Shares(a.own + b.own, a.edges + b.edges, a.unseen + b.unseen, late)


def _times(shares: Shares, part: float) -> Shares:
  """Returns the shares in a square of which the old one is a part."""
  return Shares(
    part * shares.own,
    part * shares.edges,
    part * shares.unseen,
    math.sqrt(part) * shares.late,
  )
