"""Trials of the same training: repeats, which are no seeds of their own.

Two records of one setting and one seed, from two folders or from a folder that
was run again, are the same training measured twice. They say nothing new about
the setting, whose spread is that of seeds, but how far the machine and its
meter repeat: on the same board their joules differ by noise alone.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report.compare.costs import (
  TRAIN,
  Counting,
  all_known,
  mean_cost,
  ran,
  trial_cost,
)
from jaxpower.report.compare.statistics import Observation
from jaxpower.report.compare.system import blocks, board_of

# What repeats of a seed that ended differently count as: the worst of them.
WORST_FIRST = ("diverged", "missed", "reached")


@dataclass(frozen=True, kw_only=True)
class RepeatNoise:
  """How far the joules of one and the same training differ on one board.

  Attributes:
    variation: The coefficient of variation of a single trial, a share of one.
    degrees_of_freedom: Behind it: repeats beyond the first of each trial.
    trials: How many trials were repeated.
    fewest: The least number of times that one of them was measured.
    most: The largest.
  """

  variation: float
  degrees_of_freedom: int
  trials: int
  fewest: int
  most: int


def by_setting_and_seed(
  records: Iterable[TrialRecord],
) -> dict[tuple[str, int, str], tuple[TrialRecord, ...]]:
  """Puts repeats together, by setting (as JSON), seed and board.

  Of one comparison, in whose records `varied` names all that differs.
  """
  repeats: dict[tuple[str, int, str], list[TrialRecord]] = {}
  for record in records:
    setting = json.dumps(record.varied, sort_keys=True)
    key = setting, record.seed, board_of(record)
    repeats.setdefault(key, []).append(record)
  return {key: tuple(trials) for key, trials in repeats.items()}


# The trials of a setting that ran, by seed and block of boards.
Repeats = Mapping[tuple[int, str], Sequence[TrialRecord]]


def repeats_of(
  settings: Iterable[Iterable[TrialRecord]],
) -> tuple[Repeats, ...]:
  """Puts the trials of each setting that ran together by seed and board.

  Settings are given together since which boards are one block depends on all
  of their trials.
  """
  trained = [tuple(ran(trials)) for trials in settings]
  labels = iter(blocks([record for trials in trained for record in trials]))
  found: list[Repeats] = []
  for trials in trained:
    repeats: dict[tuple[int, str], list[TrialRecord]] = {}
    for record in trials:
      repeats.setdefault((record.seed, next(labels)), []).append(record)
    found.append(repeats)
  return tuple(found)


def observations(
  settings: Iterable[Iterable[TrialRecord]], counting: Counting = TRAIN
) -> tuple[tuple[Observation, ...] | None, ...]:
  """Returns what each seed cost on each board, for each setting.

  None for a setting of which a cost is not known.
  """
  return tuple(averaged(repeats, counting) for repeats in repeats_of(settings))


def averaged(
  repeats: Repeats, counting: Counting
) -> tuple[Observation, ...] | None:
  """Averages what repeats of each seed cost; None where one is not known."""
  found = []
  for (seed, board), same in repeats.items():
    costs = all_known(trial_cost(record, counting) for record in same)
    if costs is None:
      return None
    found.append(
      Observation(
        cost=mean_cost(costs), seed=seed, board=board, repeats=len(same)
      )
    )
  return tuple(found)


def status_by_seed(records: Iterable[TrialRecord]) -> dict[int, str]:
  """Returns how each seed ended.

  A seed reached its target only if every repeat of it did, since its cost is a
  lower bound otherwise; it failed only if all of them did.
  """
  statuses: dict[int, set[str]] = {}
  for record in records:
    statuses.setdefault(record.seed, set()).add(record.status)
  return {
    seed: next((s for s in WORST_FIRST if s in several), "failed")
    for seed, several in statuses.items()
  }


def repeat_noise(records: Iterable[TrialRecord]) -> RepeatNoise | None:
  """Finds how far joules to the target repeat; None where nothing was repeated.

  The variance of log joules within trials, pooled over them by their degrees
  of freedom; the coefficient of variation of a log-normal of this variance is
  sqrt(exp(variance) - 1) (Aitchison and Brown 1957). Of trials that reached
  their target in every repeat, each on one board, and looked at it equally
  often: another look more is learning, not noise.
  """
  logs = [
    [math.log(joules) for joules in repeats]
    for trials in by_setting_and_seed(records).values()
    if (repeats := _repeated(trials))
  ]
  if not logs:
    return None
  squares = math.fsum(
    (log - math.fsum(repeats) / len(repeats)) ** 2
    for repeats in logs
    for log in repeats
  )
  degrees = sum(len(repeats) - 1 for repeats in logs)
  return RepeatNoise(
    variation=math.sqrt(math.expm1(squares / degrees)),
    degrees_of_freedom=degrees,
    trials=len(logs),
    fewest=min(map(len, logs)),
    most=max(map(len, logs)),
  )


def _repeated(trials: Iterable[TrialRecord]) -> list[float]:
  """Returns the joules of comparable repeats; none unless there are two."""
  reached = [
    (joules, record.examples)
    for record in ran(trials)
    if (joules := record.joules_to_accuracy) is not None and joules > 0
  ]
  looks = [examples for _, examples in reached]
  usual = max(set(looks), key=looks.count, default=None)
  joules = [spent for spent, examples in reached if examples == usual]
  return joules if len(joules) > 1 else []
