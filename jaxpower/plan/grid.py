"""Expands a sweep into its trials and puts them in order."""

import copy
import dataclasses
import itertools
import random
from collections.abc import Mapping
from typing import Any

from jaxpower.config import (
  Conditions,
  Sweep,
  Trial,
  put,
  seeded,
  sources,
)
from jaxpower.plan import checks, identity
from jaxpower.plan.field_values import check_types


def expand(sweep: Sweep) -> list[Trial]:
  """Makes the trials of a sweep, in the order in which they are to be run.

  Raises ConfigError where the sweep or one of its trials cannot be run.
  """
  return [trial for _, trial in _named(sweep)]


def expand_by_id(sweep: Sweep) -> dict[str, Trial]:
  """Makes the trials of a sweep as `expand`, by their ids.

  Of two that have all fields alike the first.
  """
  trials: dict[str, Trial] = {}
  for name, trial in _named(sweep):
    trials.setdefault(name, trial)
  return trials


def _named(sweep: Sweep) -> list[tuple[str, Trial]]:
  """Makes the trials of a sweep in their order, each after its id."""
  checks.check_sweep(sweep)
  trials = []
  for values in itertools.product(*sweep.vary.values()):
    varied = dict(zip(sweep.vary, values, strict=True))
    setting = trial_of(sweep, varied, seed=0)
    checks.check_with_sources(setting, checks.check_trial)
    trials += seeded(setting, range(sweep.seeds))
  return _in_order(trials, sweep.order_seed)


def trial_of(sweep: Sweep, values: Mapping[str, Any], seed: int) -> Trial:
  """Makes one trial of a sweep: its conditions with these values and seed.

  Raises ConfigError where a value is not of its field's type, ConfigError or
  DataError where a file of the user's that it names cannot be used.
  """
  shared = {
    field.name: getattr(sweep, field.name)
    for field in dataclasses.fields(Conditions)
  }
  trial = Trial(**copy.deepcopy(shared), seed=seed)
  for path, value in values.items():
    put(trial, path, copy.deepcopy(value))
  check_types(trial)
  for source in sources(trial):
    source.seed = seed
  _drop_other_tasks(trial)
  identity.fill_in(trial)
  return trial


def _drop_other_tasks(trial: Trial) -> None:
  """Drops targets and weights of tasks that only other trials have, in place.

  A sweep names them once for all its trials. What has no effect must go, so
  that a trial has the same id in every sweep that contains it: with one task
  there is nothing to weigh, and weights that are learned are not given.
  """
  weighs = len(trial.tasks) > 1 and trial.task_weighting == "fixed"
  for values, tasks in (
    (trial.targets, trial.tasks),
    (trial.task_weights, trial.tasks if weighs else ()),
  ):
    for task in values.keys() - set(tasks):
      del values[task]


def _in_order(
  trials: list[tuple[str, Trial]], order_seed: int
) -> list[tuple[str, Trial]]:
  """Puts trials in complete blocks: all settings of a seed, then the next seed.

  Takes and returns each trial after its id.

  A machine that warms up or slows down during the sweep moves a block as a
  whole, so that the drift goes out with the seed where trials are compared
  seed by seed, and a sweep cut short has as many seeds of each setting. In a
  block settings stand in random order, drawn for each seed apart: none is
  always first, and a seed's order does not depend on how many there are.

  Each framework has a process of its own, and two processes would share the
  card's memory and its idle watts; so the trials of one seed and one framework
  run together, and one process ends before the next begins. The order of the
  frameworks is reversed from seed to seed (A B, B A): a steady drift cancels,
  and the process changes only once a seed.
  """
  frameworks = list(dict.fromkeys(trial.framework for _, trial in trials))
  random.Random(f"frameworks of {order_seed}").shuffle(frameworks)
  blocks: dict[int, list[tuple[str, Trial]]] = {}
  for name, trial in trials:
    blocks.setdefault(trial.seed, []).append((name, trial))
  ordered = []
  for seed, block in sorted(blocks.items()):
    random.Random(f"seed {seed} of {order_seed}").shuffle(block)
    turns = frameworks if seed % 2 == 0 else frameworks[::-1]
    ordered += sorted(block, key=lambda named: turns.index(named[1].framework))
  return ordered
