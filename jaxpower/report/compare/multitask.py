"""One network for several tasks against a network for each: energy, accuracy.

A network for each of the tasks costs the sum of their trainings. All networks
are fitted together (`compare.model`), seeds and boards as blocks, and what the
one network costs is divided by the sum in each draw of the posterior; the
interval is that of these ratios. Only trials that are equal in all but their
tasks are paired: data, model, rates, machine and meter.

A saving may cost accuracy, so the final accuracy of every task is compared too,
seed by seed.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import (
  conditions,
  flat,
  target_of,
  tasks_of,
)
from jaxpower.report.compare.costs import (
  COUNTINGS,
  all_known,
  by_seed,
  costs,
  missed_within,
  ran,
)
from jaxpower.report.compare.fitted_settings import fit_settings
from jaxpower.report.compare.model import MOST_MISSED, Fit
from jaxpower.report.compare.repeats import status_by_seed
from jaxpower.report.compare.statistics import (
  CONFIDENCE,
  Estimate,
  mean,
)

# In these fields one network and single-task networks always differ.
TASK_FIELDS = ("tasks", "targets", "task_weights", "task_weighting")
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Pairing:
  """The trials of one network, and of a network for each of its tasks.

  `together` and each of `alone`, one a task, hold all trials that ran, each in
  the seeds that it has; `config` is the flat one of the network for several
  tasks.
  """

  tasks: tuple[str, ...]
  targets: tuple[float, ...]
  together: tuple[TrialRecord, ...]
  alone: tuple[tuple[TrialRecord, ...], ...]
  config: dict[str, Any]

  @property
  def networks(self) -> tuple[tuple[TrialRecord, ...], ...]:
    """Lists the trials of each network, that for several tasks first."""
    return (self.together, *self.alone)

  @property
  def trials(self) -> tuple[TrialRecord, ...]:
    """Lists all trials of the pairing."""
    return tuple(r for trials in self.networks for r in trials)

  @property
  def seeds(self) -> tuple[int, ...]:
    """The seeds that trained in every network."""
    return tuple(sorted(set.intersection(*self._seeds())))

  @property
  def unpaired(self) -> tuple[int, ...]:
    """The seeds that some network lacks."""
    return tuple(sorted(set.union(*self._seeds()) - set(self.seeds)))

  def _seeds(self) -> list[set[int]]:
    return [{record.seed for record in trials} for trials in self.networks]

  @property
  def stopped_at_target(self) -> bool:
    """Whether some trial trained no further than to its target."""
    return any(trial.config.get("stop_at_target") for trial in self.trials)


@dataclass(frozen=True, kw_only=True)
class TaskResult:
  """One task of a pairing: what it cost alone, and where it ended.

  The ends are accuracies when training ended, means over the seeds that every
  network has; `gain` is what the task gained in the one network, a share of
  one, the mean over these seeds. None where a trial does not know its accuracy.
  """

  task: str
  target: float
  joules_alone: Estimate | None
  end_together: float | None
  end_alone: float | None
  gain: Estimate | None

  @property
  def surely_lost(self) -> bool:
    """Whether the whole interval of the gain lies below zero."""
    high = self.gain.high if self.gain else None
    return high is not None and high < 0

  @property
  def surely_gained(self) -> bool:
    """Whether the whole interval of the gain lies above zero."""
    low = self.gain.low if self.gain else None
    return low is not None and low > 0


@dataclass(frozen=True, kw_only=True)
class Misses:
  """A network that missed a target in too many of its seeds for an estimate.

  `within` is how many joules each of these trials had spent at least; None
  where that is unknown.
  """

  tasks: tuple[str, ...]
  missed: int
  seeds: int
  within: float | None


@dataclass(frozen=True, kw_only=True)
class Saving:
  """The energy of one network against that of single-task networks.

  Attributes:
    pairing: The trials.
    unlike: The fields in which this pairing differs from the others.
    joules_together: Of the typical seed; None where unknown, or where more than
      half of the seeds missed a target.
    joules_alone: The sum over tasks of those of the typical seed; None as
      before.
    ratio: The one network over the sum; None where either is.
    ratios_otherwise: The same by the other ways to count, by their names in
      `COUNTINGS`, as far as known.
    misses: The networks that missed too often.
    unknown: Why joules are unknown, as a record says; empty where none does.
    results: One for each task.
  """

  pairing: Pairing
  unlike: dict[str, Any]
  joules_together: Estimate | None
  joules_alone: Estimate | None
  ratio: Estimate | None
  ratios_otherwise: dict[str, Estimate]
  misses: tuple[Misses, ...]
  unknown: str
  results: tuple[TaskResult, ...]

  @property
  def surely_saved(self) -> bool:
    """Whether the whole interval of the ratio lies below one."""
    high = self.ratio.high if self.ratio else None
    return high is not None and high < 1

  @property
  def surely_cost_more(self) -> bool:
    """Whether the whole interval of the ratio lies above one."""
    low = self.ratio.low if self.ratio else None
    return low is not None and low > 1


# Which trials are paired


def pairings(records: Iterable[TrialRecord]) -> tuple[Pairing, ...]:
  """Pairs every network for several tasks that has a network for each.

  Those are trials of one of its tasks, to the same target, that are equal in
  all else: data, model, rates, machine, meter. A failed trial is in none.
  """
  trials = ran(records)
  if all(len(tasks_of(record)) == 1 for record in trials):
    return ()  # most sweeps: keys of 10,000 trials take a second
  alike: dict[str, list[TrialRecord]] = {}
  for record in trials:
    alike.setdefault(_conditions_key(record), []).append(record)
  pairs = []
  for same in alike.values():
    several_tasks: dict[str, list[TrialRecord]] = {}
    for record in same:
      if len(tasks_of(record)) > 1:
        several_tasks.setdefault(_tasks_key(record), []).append(record)
    pairs += [_pair(together, same) for together in several_tasks.values()]
  return tuple(pairing for pairing in pairs if pairing)


def _conditions_key(record: TrialRecord) -> str:
  """Keys the conditions of a trial, but for its tasks, target and seed.

  Measured and estimated joules, or those of other domains, are no pair.
  """
  config = {
    key: value
    for key, value in record.config.items()
    if key not in (*TASK_FIELDS, "target_accuracy", "seed")
  }
  measurement = conditions(record).measurement
  return json.dumps([config, measurement], sort_keys=True)


def _tasks_key(record: TrialRecord) -> str:
  """Keys the tasks of a network, their targets and their weights."""
  fields = {key: record.config.get(key) for key in TASK_FIELDS}
  return json.dumps([fields, record.config["target_accuracy"]], sort_keys=True)


def _pair(
  together: Sequence[TrialRecord], alike: Sequence[TrialRecord]
) -> Pairing | None:
  first = together[0]
  tasks = tasks_of(first)
  targets = tuple(target_of(first, task) for task in tasks)
  alone = tuple(
    tuple(
      r for r in alike if tasks_of(r) == (task,) and r.target_accuracy == target
    )
    for task, target in zip(tasks, targets, strict=True)
  )
  if not all(alone):
    return None
  return Pairing(
    tasks=tasks,
    targets=targets,
    together=tuple(together),
    alone=alone,
    config=flat(first.config),
  )


# Costs


def savings(records: Iterable[TrialRecord]) -> tuple[Saving, ...]:
  """Finds what each network for several tasks saved; empty for none.

  Pairings of the same data on the same system are fitted together: one variance
  of their noise is known better than many.
  """
  pairs = pairings(records)
  paths = dict.fromkeys(path for pairing in pairs for path in pairing.config)
  unlike = [
    path
    for path in paths
    if path not in ("seed", "target_accuracy")
    and len({json.dumps(pairing.config.get(path)) for pairing in pairs}) > 1
  ]
  fitted: dict[tuple, list[Pairing]] = {}
  for pairing in pairs:
    place = conditions(pairing.together[0])
    fitted.setdefault((place.data, place.measurement), []).append(pairing)
  return tuple(
    _saving(pairing, unlike, networks)
    for pairings in fitted.values()
    for networks in [_Networks(pairings)]
    for pairing in pairings
  )


class _Networks:
  """The networks of several pairings, fitted together by each way to count."""

  def __init__(self, pairings: Iterable[Pairing]) -> None:
    """Fits them; a network in several pairings is fitted once."""
    networks = {
      _ids(trials): trials
      for pairing in pairings
      for trials in pairing.networks
    }
    self._places = {ids: index for index, ids in enumerate(networks)}
    self.fits: Mapping[str, Fit] = {
      name: fit_settings(networks.values(), counting)
      for name, counting in COUNTINGS.items()
    }

  def places(self, pairing: Pairing) -> list[int]:
    """Returns the index of each network of a pairing in the fits."""
    return [self._places[_ids(trials)] for trials in pairing.networks]


def _ids(trials: Iterable[TrialRecord]) -> tuple[int, ...]:
  # Records hold dicts and have no hash, and no two of them are one object.
  return tuple(map(id, trials))


def _saving(
  pairing: Pairing, unlike: Sequence[str], networks: _Networks
) -> Saving:
  fit = networks.fits["train"]
  together, *alone = places = networks.places(pairing)
  ratios = {
    name: ratio
    for name, fitted in networks.fits.items()
    if (ratio := _ratio_to_sum(fitted, together, alone))
  }
  known = all(costs(trials) for trials in pairing.networks)
  reasons = (reason for trial in pairing.trials for reason in trial.reasons)
  return Saving(
    pairing=pairing,
    unlike={
      path: pairing.config[path] for path in unlike if path in pairing.config
    },
    joules_together=fit.cost(together),
    joules_alone=_sum(fit, alone),
    ratio=ratios.pop("train", None),
    ratios_otherwise=ratios,
    misses=tuple(
      Misses(tasks=tasks, missed=missed, seeds=seeds, within=within)
      for tasks, trials in zip(
        (pairing.tasks, *((task,) for task in pairing.tasks)),
        pairing.networks,
        strict=True,
      )
      for missed, seeds, within in [_missed(trials)]
      if missed > MOST_MISSED * seeds
    ),
    unknown="" if known else next(reasons, ""),
    results=tuple(
      _result(pairing, task, fit.cost(place))
      for task, place in zip(pairing.tasks, places[1:], strict=True)
    ),
  )


def _missed(trials: Sequence[TrialRecord]) -> tuple[int, int, float | None]:
  statuses = list(status_by_seed(trials).values())
  missed = len(statuses) - statuses.count("reached")
  return missed, len(statuses), missed_within(trials)


def _sum(fit: Fit, settings: Sequence[int]) -> Estimate | None:
  """Adds up typical costs; None where one of them has no estimate."""
  known = all_known(map(fit.cost, settings))
  if known is None:
    return None
  draws = all_known(map(fit.costs, settings))
  value = sum(cost.value for cost in known)
  return _with_interval(value, None if draws is None else np.sum(draws, axis=0))


def _ratio_to_sum(
  fit: Fit, above: int, below: Sequence[int]
) -> Estimate | None:
  """Divides a typical cost by a sum of them, draw by draw."""
  cost, total = fit.cost(above), _sum(fit, below)
  if cost is None or total is None:
    return None
  dividend = fit.costs(above)
  divisors = all_known(map(fit.costs, below))
  draws = None
  if dividend is not None and divisors is not None:
    draws = dividend / np.sum(divisors, axis=0)
  return _with_interval(cost.value / total.value, draws)


def _with_interval(value: float, draws: np.ndarray | None) -> Estimate:
  if draws is None:
    return Estimate(value)
  low, high = np.quantile(draws, TAILS)
  return Estimate(value, low=float(low), high=float(high))


# Accuracies


def _result(
  pairing: Pairing, task: str, joules_alone: Estimate | None
) -> TaskResult:
  place = pairing.tasks.index(task)
  together = _end_accuracies(pairing.together, task, pairing.seeds)
  alone = _end_accuracies(pairing.alone[place], task, pairing.seeds)
  gain = None
  if together and alone:
    gain = mean(np.subtract(together, alone).tolist())
  return TaskResult(
    task=task,
    target=pairing.targets[place],
    joules_alone=joules_alone,
    end_together=statistics.fmean(together) if together else None,
    end_alone=statistics.fmean(alone) if alone else None,
    gain=gain,
  )


def _end_accuracies(
  records: Iterable[TrialRecord], task: str, seeds: Iterable[int]
) -> tuple[float, ...] | None:
  """Returns the final accuracy of a task in each of these seeds.

  The mean of a seed's repeats; None if a trial lacks it.
  """
  trials = by_seed(records)
  return all_known(
    statistics.fmean(ends) if ends else None
    for seed in seeds
    for ends in [all_known(_end_accuracy(r, task) for r in trials[seed])]
  )


def _end_accuracy(record: TrialRecord, task: str) -> float | None:
  if len(tasks_of(record)) == 1:
    return record.final_accuracy
  return record.curve[-1].accuracies.get(task) if record.curve else None
