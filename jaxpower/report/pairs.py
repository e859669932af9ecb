"""One network for several tasks beside a network for each, seed by seed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.records import TrialRecord
from jaxpower.report.costs import TRAIN, Counting, costs
from jaxpower.report.ground import (
  devices,
  flat,
  machine,
  target_of,
  tasks_of,
)
from jaxpower.report.statistics import Cost

# What one network and a network each differ in by nature.
_OF_TASKS = ("tasks", "targets", "task_weights", "task_weighting")


@dataclass(frozen=True)
class Pairing:
  """The trials of one network, and of a network for each of its tasks.

  `together` and each of `alone` hold the same `seeds`, in their order. `unlike`
  are the fields of the config in which this pairing differs from others.
  """

  tasks: tuple[str, ...]
  targets: tuple[float, ...]
  seeds: tuple[int, ...]
  together: tuple[TrialRecord, ...]
  alone: tuple[tuple[TrialRecord, ...], ...]
  config: dict[str, Any]
  left_out: tuple[int, ...] = ()

  @property
  def trials(self) -> tuple[TrialRecord, ...]:
    """All of them."""
    return (*self.together, *(r for part in self.alone for r in part))

  def costs(
    self, counting: Counting = TRAIN
  ) -> tuple[tuple[Cost, Cost], ...] | None:
    """Of each seed the cost together and the sum alone; None if unknown.

    A sum in which a trial missed its target is itself a lower bound.
    """
    together = costs(self.together, counting)
    alone = [costs(part, counting) for part in self.alone]
    known = [part for part in alone if part is not None]
    if together is None or len(known) < len(alone):
      return None
    sums = [
      Cost(
        sum(cost.value for cost in each),
        censored=any(cost.censored for cost in each),
      )
      for each in zip(*known, strict=True)
    ]
    return tuple(zip(together, sums, strict=True))


def pairings(records: Iterable[TrialRecord]) -> tuple[Pairing, ...]:
  """Every network for several tasks that has a network for each beside it.

  Beside it are trials of one of its tasks, to the same target, that are equal
  in all else: data, model, rates, machine, meter. A failed trial has no
  partner, and its seed is left out.
  """
  groups: dict[str, list[TrialRecord]] = {}
  for record in records:
    if record.status != "failed":
      groups.setdefault(_conditions(record), []).append(record)
  found = []
  for group in groups.values():
    several: dict[str, list[TrialRecord]] = {}
    for record in group:
      if len(tasks_of(record)) > 1:
        several.setdefault(_learning(record), []).append(record)
    found += [_pair(together, group) for together in several.values()]
  return tuple(pairing for pairing in found if pairing)


def end_accuracies(
  records: Sequence[TrialRecord], task: str
) -> tuple[float, ...] | None:
  """The accuracy of a task when training ended; None if a trial lacks it."""
  found = []
  for record in records:
    if len(tasks_of(record)) == 1:
      accuracy = record.final_accuracy
    else:
      last = record.curve[-1].accuracies if record.curve else {}
      accuracy = last.get(task)
    if accuracy is None:
      return None
    found.append(accuracy)
  return tuple(found)


def _pair(
  together: Sequence[TrialRecord], group: Sequence[TrialRecord]
) -> Pairing | None:
  first = together[0]
  tasks = tasks_of(first)
  targets = tuple(target_of(first, task) for task in tasks)
  alone = [
    [r for r in group if tasks_of(r) == (task,) and r.target_accuracy == target]
    for task, target in zip(tasks, targets, strict=True)
  ]
  by_seed = [{r.seed: r for r in part} for part in (together, *alone)]
  asked = set.union(*map(set, by_seed))
  seeds = sorted(set.intersection(*map(set, by_seed)))
  if not seeds:
    return None
  networks = [tuple(part[seed] for seed in seeds) for part in by_seed]
  return Pairing(
    tasks=tasks,
    targets=targets,
    seeds=tuple(seeds),
    together=networks[0],
    alone=tuple(networks[1:]),
    config=flat(first.config),
    left_out=tuple(sorted(asked - set(seeds))),
  )


def _conditions(record: TrialRecord) -> str:
  """All that a trial was done under but for its tasks, target and seed.

  Measured and estimated joules, or those of other domains, are no pair.
  """
  left = {
    key: value
    for key, value in record.config.items()
    if key not in (*_OF_TASKS, "target_accuracy", "seed")
  }
  domains = sorted(record.joules_by_domain)
  seen = [machine(record), devices(record), domains, record.estimated]
  return json.dumps([left, seen], sort_keys=True)


def _learning(record: TrialRecord) -> str:
  """What a network for several tasks learns, and how they are weighed."""
  kept = {key: record.config.get(key) for key in _OF_TASKS}
  return json.dumps([kept, record.config["target_accuracy"]], sort_keys=True)
