"""Pareto fronts: which settings give most for their joules.

Two of them: joules against accuracy, along the curves of training, and joules
against seconds to the target. Both are of medians over seeds.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Comparison, Group


@dataclass(frozen=True, order=True)
class Point:
  """Joules, what they gave or took, and the index of the setting."""

  joules: float
  other: float
  group: int


def accuracy_front(comparison: Comparison) -> tuple[Point, ...]:
  """The best median accuracy of any setting within so many joules.

  In rising joules and accuracy; a setting is on the front where no other one
  is as accurate for as few joules.
  """
  points = [
    Point(joules, accuracy, index)
    for index, group in enumerate(comparison.groups)
    for joules, accuracy in staircase(group)
  ]
  return _front(points, sign=-1)


def seconds_front(comparison: Comparison) -> tuple[Point, ...]:
  """Settings that no other one beats in both joules and seconds to target.

  Only of settings whose medians are known, not only bounded; in rising joules
  and falling seconds.
  """
  return _front(costs_known(comparison), sign=1)


def costs_known(comparison: Comparison) -> tuple[Point, ...]:
  """Median joules and seconds to the target of settings that know both."""
  return tuple(
    Point(group.joules.value, group.seconds.value, index)
    for index, group in enumerate(comparison.groups)
    if group.joules and group.seconds
    if not group.joules.at_least and not group.seconds.at_least
  )


def staircase(group: Group) -> tuple[tuple[float, float], ...]:
  """Joules and median accuracy of a setting, at each step upwards.

  A trial counts with the best accuracy it has shown within the joules, zero
  before it has shown any, and keeps its last one after it has ended: more
  training could have raised it, so an accuracy is never told too high. Empty
  where a trial that ran has no joules along its curve.
  """
  curves = [
    _looks(record) for record in group.records if record.status != "failed"
  ]
  if not curves or not all(curves):
    return ()
  steps: list[tuple[float, float]] = []
  for joules in sorted({joules for curve in curves for joules, _ in curve}):
    shown = [_within(curve, joules) for curve in curves]
    if not statistics.median_low(shown):
      continue  # half of a median of two would be nobody's accuracy
    accuracy = statistics.median(shown)
    if accuracy > (steps[-1][1] if steps else 0.0):
      steps.append((joules, accuracy))
  return tuple(steps)


def members(front: Iterable[Point]) -> tuple[int, ...]:
  """The settings on a front, in its order, each once."""
  return tuple(dict.fromkeys(point.group for point in front))


def _looks(record: TrialRecord) -> tuple[tuple[float, float], ...]:
  """Joules and accuracy of each evaluation that has both.

  Without the look before training: what cost nothing is no choice to make.
  """
  # What was not finite in training is null in the file.
  return tuple(
    (look.train_joules, look.accuracy)
    for look in record.curve
    if look.train_joules
    and look.accuracy is not None
    and math.isfinite(look.accuracy)
  )


def _within(curve: Sequence[tuple[float, float]], joules: float) -> float:
  return max((seen for spent, seen in curve if spent <= joules), default=0.0)


def _front(points: Iterable[Point], sign: int) -> tuple[Point, ...]:
  """Points none of which another beats; `sign` -1 where `other` is a gain."""
  found: list[Point] = []
  for point in sorted(points, key=lambda p: (p.joules, sign * p.other)):
    if not found or sign * point.other < sign * found[-1].other:
      found.append(point)
    elif (point.joules, point.other) == (found[-1].joules, found[-1].other):
      found.append(point)  # equal in both: neither beats the other
  return tuple(found)


FEWEST_SETTINGS = 3  # settings that make a front worth a picture
