"""Pareto fronts: the settings that no other setting beats.

There are two, both of medians over seeds: joules against accuracy, along the
curves of training, and joules against seconds to the target.
"""

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import ran
from jaxpower.report.compare.cpu_time import only_cpu_time

FEWEST_SETTINGS = 3  # of two, each is mostly on a front: nothing to learn


@dataclass(frozen=True, order=True)
class Point:
  """Joules, the accuracy or seconds they gave, and the setting's index."""

  joules: float
  other: float
  group: int


def with_fronts(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
  """Picks the comparisons that have settings enough and a front."""
  return tuple(
    comparison
    for comparison in comparisons
    if len(comparison.groups) >= FEWEST_SETTINGS
    and (accuracy_front(comparison) or seconds_front(comparison))
  )


def accuracy_front(comparison: Comparison) -> tuple[Point, ...]:
  """Finds the best median accuracy of any setting within so many joules.

  In rising joules and accuracy; a setting is on the front where no other one
  is as accurate for as few joules.
  """
  points = [
    Point(joules, accuracy, index)
    for index, group in enumerate(comparison.groups)
    for joules, accuracy in best_accuracy_so_far(group)
  ]
  return _front(points, sign=-1)


def seconds_front(comparison: Comparison) -> tuple[Point, ...]:
  """Finds the settings that none beats in both joules and seconds to target.

  In rising joules and falling seconds. None where all joules are modelled from
  CPU time: there both costs are nearly one number, and the front is the
  cheapest setting.
  """
  if only_cpu_time(comparison):
    return ()
  return _front(known_costs(comparison), sign=1)


def known_costs(comparison: Comparison) -> tuple[Point, ...]:
  """Lists joules and seconds to the target of settings that have both."""
  return tuple(
    Point(group.joules.value, group.seconds.value, index)
    for index, group in enumerate(comparison.groups)
    if group.joules and group.seconds
  )


def best_accuracy_so_far(group: Group) -> tuple[tuple[float, float], ...]:
  """Traces joules and best median accuracy of a setting, at each step up.

  A trial counts with the best accuracy it has shown within the joules, zero
  before it has shown any, and keeps its last one after it has ended: more
  training could have raised it, so an accuracy is never too high here. Empty
  where a trial that ran has no joules along its curve.
  """
  curves = list(map(_evaluations, ran(group.records)))
  if not curves or not all(curves):
    return ()
  looks = sorted(
    (joules, trial, accuracy)
    for trial, curve in enumerate(curves)
    for joules, accuracy in curve
  )
  best = [0.0] * len(curves)
  ranked = best.copy()  # in order, so that a median is two of them
  steps: list[tuple[float, float]] = []
  for joules, at_once in itertools.groupby(looks, key=lambda look: look[0]):
    for _, trial, accuracy in at_once:
      if accuracy > best[trial]:
        del ranked[bisect.bisect_left(ranked, best[trial])]
        bisect.insort(ranked, accuracy)
        best[trial] = accuracy
    if not ranked[(len(ranked) - 1) // 2]:
      continue  # half of a median of two would be nobody's accuracy
    middle = ranked[(len(ranked) - 1) // 2 : len(ranked) // 2 + 1]
    accuracy = sum(middle) / len(middle)
    if accuracy > (steps[-1][1] if steps else 0.0):
      steps.append((joules, accuracy))
  return tuple(steps)


def settings_on(front: Iterable[Point]) -> tuple[int, ...]:
  """Lists the settings on a front in its order, each once, by index."""
  return tuple(dict.fromkeys(point.group for point in front))


def _evaluations(record: TrialRecord) -> tuple[tuple[float, float], ...]:
  """Returns joules and accuracy of each evaluation that has both.

  Without the one before training: what cost nothing is no choice to make. An
  accuracy that was not finite is null in the file.
  """
  return tuple(
    (evaluation.train_joules, evaluation.accuracy)
    for evaluation in record.curve
    if evaluation.train_joules
    and evaluation.accuracy is not None
    and math.isfinite(evaluation.accuracy)
  )


def _front(points: Iterable[Point], sign: int) -> tuple[Point, ...]:
  """Picks the points that no other beats; `sign` -1 where `other` is a gain."""
  front: list[Point] = []
  for point in sorted(points, key=lambda p: (p.joules, sign * p.other)):
    if not front or sign * point.other < sign * front[-1].other:
      front.append(point)
    elif (point.joules, point.other) == (front[-1].joules, front[-1].other):
      front.append(point)  # equal in both: neither beats the other
  return tuple(front)
