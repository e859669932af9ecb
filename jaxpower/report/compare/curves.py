"""Curves of settings: the best median accuracy within so many joules."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpower.records import TrialRecord
from jaxpower.report.compare.costs import ran


@dataclass(frozen=True, order=True)
class Point:
  """Joules, the accuracy or seconds they gave, and the setting's index."""

  joules: float
  other: float
  group: int


def best_accuracy_so_far(
  records: Iterable[TrialRecord],
) -> tuple[tuple[float, float], ...]:
  """Traces joules and best median accuracy of a setting, at each step up.

  A trial counts with the best accuracy it has shown within the joules, zero
  before it has shown any, and keeps its last one after it has ended: more
  training could have raised it, so an accuracy is never too high here. Empty
  where a trial that ran has no joules along its curve.
  """
  curves = list(map(_evaluations, ran(records)))
  if not curves or not all(curves):
    return ()
  joules = np.array([x for curve in curves for x, _ in curve])
  accuracies = np.array([y for curve in curves for _, y in curve])
  trials = np.repeat(np.arange(len(curves)), list(map(len, curves)))
  order = np.argsort(joules, kind="stable")
  joules = joules[order]
  best = np.zeros((len(joules), len(curves)))
  best[np.arange(len(joules)), trials[order]] = accuracies[order]
  np.maximum.accumulate(best, axis=0, out=best)
  # Of looks at the same joules the last has seen all.
  last = np.append(joules[1:] != joules[:-1], True)
  joules, best = joules[last], np.sort(best[last], axis=1)
  low, high = (len(curves) - 1) // 2, len(curves) // 2
  medians = (best[:, low] + best[:, high]) / 2
  medians[best[:, low] == 0] = 0  # half of one of two is nobody's accuracy
  risen = medians > np.maximum.accumulate(np.append(0.0, medians[:-1]))
  return tuple(
    zip(joules[risen].tolist(), medians[risen].tolist(), strict=True)
  )


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


def best_of_any(
  curves: Sequence[Sequence[tuple[float, float]]],
) -> tuple[Point, ...]:
  """Finds the best accuracy of any setting within so many joules.

  Takes the steps of each setting (`best_accuracy_so_far`).
  """
  points = [
    Point(joules, accuracy, index)
    for index, steps in enumerate(curves)
    for joules, accuracy in steps
  ]
  return front(points, sign=-1)


def front(points: Iterable[Point], sign: int) -> tuple[Point, ...]:
  """Picks the points that no other beats; `sign` -1 where `other` is a gain."""
  front: list[Point] = []
  for point in sorted(points, key=lambda p: (p.joules, sign * p.other)):
    if not front or sign * point.other < sign * front[-1].other:
      front.append(point)
    elif (point.joules, point.other) == (front[-1].joules, front[-1].other):
      front.append(point)  # equal in both: neither beats the other
  return tuple(front)
