"""Curves of settings: the best median accuracy within so many joules.

And the accuracies of all trials of a setting after so many joules.
"""

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpower.records import TrialRecord
from jaxpower.report.compare.costs import ran

MOST_LOOKS = 200  # at the spread of a setting; chosen, a figure has 500 pixels


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


@dataclass(frozen=True)
class Spread:
  """The least and the most accuracy of several trials after so many joules."""

  joules: tuple[float, ...]
  low: tuple[float, ...]
  high: tuple[float, ...]


def spread(
  curves: Sequence[Sequence[tuple[float, float]]], log: bool = False
) -> Spread | None:
  """Finds between which accuracies the trials of a setting lie.

  From where all of them have been evaluated to the end of the longest: one that
  ended keeps its last accuracy. Between two evaluations the accuracy is taken
  to be on the line between them.

  Args:
    curves: Joules, rising, and accuracy of the evaluations of each trial.
    log: Whether that line is one over the logarithm of joules, as it is drawn;
      what cost nothing is left out then.

  Returns None for fewer than two trials, or where they never overlap.
  """
  scale = np.log if log else np.asarray
  known = [[p for p in c if p[0] > 0 or not log] for c in curves]
  known = [curve for curve in known if curve]
  if len(known) < 2:
    return None
  begin = max(curve[0][0] for curve in known)
  at = sorted({joules for c in known for joules, _ in c if joules >= begin})
  at = [*at[: -1 : math.ceil(len(at) / MOST_LOOKS)], at[-1]]
  if len(at) < 2:
    return None
  accuracies = [
    np.interp(scale(at), scale([x for x, _ in c]), [y for _, y in c])
    for c in known
  ]
  low, high = np.min(accuracies, axis=0), np.max(accuracies, axis=0)
  return Spread(tuple(at), tuple(low.tolist()), tuple(high.tolist()))
