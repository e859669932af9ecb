"""What an error is of: the shares of a bound's square.

Sensors that look at one power share some of what they err by, and not the rest:

  own      when the ticks were: each sensor's own
  edges    power inside the ticks around the edges of a window (overlap.py)
  unseen   power between two readings of a part of the time (overlap.py)
  common   the rest: lateness, smoothing, floors and doubts, all alike
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shares:
  """Shares of the square of a bound, from 0 to 1; what is left is `common`."""

  own: float = 0.0
  edges: float = 0.0
  unseen: float = 0.0

  @property
  def common(self) -> float:
    """What all sensors of one power err by alike."""
    return max(0.0, 1.0 - self.own - self.edges - self.unseen)


COMMON = Shares()


def shares_of(
  variance: float, own: float = 0.0, edges: float = 0.0, unseen: float = 0.0
) -> Shares:
  """Returns the shares that parts of a variance have in it."""
  if variance <= 0:
    return COMMON
  return Shares(own / variance, edges / variance, unseen / variance)


def widened(shares: Shares, bound: float, wide: float) -> Shares:
  """Returns the shares of a bound that was made wider: the rest is common."""
  part = (bound / wide) ** 2 if wide > bound else 1.0
  return Shares(shares.own * part, shares.edges * part, shares.unseen * part)


def added(first: Shares, bound: float, second: Shares, other: float) -> Shares:
  """Returns the shares of two bounds whose squares are added."""
  square = bound**2 + other**2
  if not square:
    return COMMON
  a, b = bound**2 / square, other**2 / square
  return Shares(
    a * first.own + b * second.own,
    a * first.edges + b * second.edges,
    a * first.unseen + b * second.unseen,
  )
