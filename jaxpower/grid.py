"""Expands a sweep into its trials and puts them in order."""

import copy
import dataclasses
import itertools
import random

from jaxpower import checks
from jaxpower.config import Conditions, Sweep, Trial, put, with_seed


def expand(sweep: Sweep) -> list[Trial]:
  """Makes the trials of a sweep, in the order in which they are to be run.

  Raises ConfigError where the sweep or one of its trials cannot be run.
  """
  checks.check_sweep(sweep)
  shared = {
    field.name: getattr(sweep, field.name)
    for field in dataclasses.fields(Conditions)
  }
  trials = []
  for values in itertools.product(*sweep.vary.values()):
    for seed in range(sweep.seeds):
      trial = Trial(**copy.deepcopy(shared), seed=seed)
      for path, value in zip(sweep.vary, values, strict=True):
        put(trial, path, copy.deepcopy(value))
      checks.check_types(trial)
      trial = with_seed(trial, seed)
      _drop_other_tasks(trial)
      checks.check_with_sources(trial, checks.check_trial)
      trials.append(trial)
  return _in_order(trials, sweep.order_seed)


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


def _in_order(trials: list[Trial], order_seed: int) -> list[Trial]:
  """Shuffles the trials; several frameworks take turns.

  In random order a machine that warms up or slows down during the sweep
  favours no value. Each framework has a process of its own, and two processes
  would share the card's memory and its idle watts; so the trials of one seed
  and one framework run together, and one process ends before the next begins.
  The order of the frameworks is reversed from seed to seed (A B, B A): a
  steady drift cancels, and the process changes only once a seed.
  """
  random.Random(order_seed).shuffle(trials)
  frameworks = list(dict.fromkeys(trial.framework for trial in trials))
  if len(frameworks) == 1:
    return trials

  def turn(trial: Trial) -> tuple[int, int]:
    place = frameworks.index(trial.framework)
    return trial.seed, place if trial.seed % 2 == 0 else -place

  return sorted(trials, key=turn)
