"""A sweep checked and expanded into its trials.

What can be known from the config alone is checked here, before anything loads;
what depends on the data or the machine is checked by `jaxpower.requirements`.
"""

import copy
import dataclasses
import itertools
import random
from typing import Any

from jaxpower import checks, pretraining
from jaxpower.checks import _check_trial, _check_types, check
from jaxpower.config import Conditions, Sweep, Trial, get, with_seed


def expand(sweep: Sweep) -> list[Trial]:
  """The trials of a sweep, in the order they are to be run.

  Raises ConfigError on a bad sweep.
  """
  check(sweep)
  shared = {
    field.name: getattr(sweep, field.name)
    for field in dataclasses.fields(Conditions)
  }
  trials = []
  for values in itertools.product(*sweep.vary.values()):
    for seed in range(sweep.seeds):
      trial = Trial(**copy.deepcopy(shared), seed=seed)
      for path, value in zip(sweep.vary, values, strict=True):
        _set(trial, path, copy.deepcopy(value))
      _check_types(trial)
      trial = with_seed(trial, seed)
      checks.keep_own(trial)
      pretraining.check_chain(trial, _check_trial)
      trials.append(trial)
  return _in_order(trials, sweep.order_seed)


def _in_order(trials: list[Trial], order_seed: int) -> list[Trial]:
  """The trials in random order, frameworks taking turns.

  So a machine that warms up or slows down during the sweep favours no value.
  A framework's trials of one seed are run together, since it is a process of
  its own that compiles its own; the frameworks' order turns round from seed to
  seed (A B, B A), which cancels a steady drift and spares a change of process.
  """
  random.Random(order_seed).shuffle(trials)
  frameworks = list(dict.fromkeys(trial.framework for trial in trials))
  if len(frameworks) == 1:
    return trials

  def turn(trial: Trial) -> tuple[int, int]:
    place = frameworks.index(trial.framework)
    return trial.seed, place if trial.seed % 2 == 0 else -place

  return sorted(trials, key=turn)


def _set(config: Any, path: str, value: Any) -> None:
  *parents, name = path.split(".")
  setattr(get(config, ".".join(parents)) if parents else config, name, value)
