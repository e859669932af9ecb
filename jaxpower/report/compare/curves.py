"""Curves of settings: the best median accuracy within so many joules.

And the accuracies of all trials of a setting after so many joules.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpower.records import TrialRecord
from jaxpower.report.compare.costs import ran

MOST_LOOKS = 200  # at the spread of a setting; chosen, a figure has 500 pixels
AT_ONCE = 4_096  # looks of all trials; chosen, so that memory is bounded


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
  medians = np.concatenate(
    list(_medians_so_far(trials[order], accuracies[order], len(curves)))
  )
  # Of looks at the same joules the last has seen all.
  last = np.append(joules[1:] != joules[:-1], True)
  joules, medians = joules[last], medians[last]
  risen = medians > np.maximum.accumulate(np.append(0.0, medians[:-1]))
  return tuple(
    zip(joules[risen].tolist(), medians[risen].tolist(), strict=True)
  )


def _medians_so_far(
  trials: np.ndarray, accuracies: np.ndarray, count: int
) -> Iterator[np.ndarray]:
  """Yields the median over trials of the best accuracy, after each look.

  Args:
    trials: The number of the trial of each look, (looks,).
    accuracies: What it showed, (looks,).
    count: How many trials there are.
  """
  best_before = np.zeros(count)
  low, high = (count - 1) // 2, count // 2
  for first in range(0, len(trials), AT_ONCE):
    here = slice(first, first + AT_ONCE)
    best = np.zeros((len(trials[here]), count))
    best[np.arange(len(best)), trials[here]] = accuracies[here]
    np.maximum(best[0], best_before, out=best[0])
    np.maximum.accumulate(best, axis=0, out=best)
    best_before = best[-1].copy()
    best.sort(axis=1)
    medians = (best[:, low] + best[:, high]) / 2
    medians[best[:, low] == 0] = 0  # half of one of two is nobody's accuracy
    yield medians


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
