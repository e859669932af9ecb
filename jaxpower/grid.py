"""A sweep checked and expanded into its trials.

What can be known from the config alone is checked here, before anything loads;
what depends on the data or the machine is checked by `jaxpower.needs`.
"""

import copy
import dataclasses
import itertools
import math
import random
import reprlib
import types
import typing
from collections.abc import Iterable
from typing import Any

from jaxpower import lineage, tasks
from jaxpower.config import (
  AUGMENTATIONS,
  FRAMEWORKS,
  MATMUL_PRECISIONS,
  MODELS,
  NETWORKS,
  OPTIMIZERS,
  PRECISIONS,
  PROGRAMS,
  SCALINGS,
  SCHEDULES,
  STREAMING,
  TASK_WEIGHTINGS,
  Conditions,
  ConfigError,
  Sweep,
  Trial,
  article,
  field_paths,
  get,
  unknown,
  with_seed,
)
from jaxpower.words import word


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
      tasks.keep_own(trial)
      lineage.check_chain(trial, _check_trial)
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


def check_cadence(trial: Trial) -> None:
  """Raises ConfigError where evaluation would fall between two updates."""
  every, batch = trial.evaluate_every_examples, trial.batch_size
  _require(
    every % batch == 0,
    f"evaluate_every_examples {every}: not a multiple of batch_size {batch},"
    " so batch sizes would be evaluated unequally; take"
    f" {max(batch, every // batch * batch)}",
  )


def check(sweep: Sweep) -> None:
  """Raises ConfigError unless every field of the sweep can be run."""
  _check_types(sweep)
  _require(
    sweep.name != "" and "/" not in sweep.name,
    f"name '{sweep.name}': must be usable as a folder's name",
  )
  _at_least("seeds", sweep.seeds, 1)
  _check_conditions(sweep, varied=sweep.vary)
  tasks.check_named(sweep)
  varied = [path for path in field_paths(Trial()) if path != "seed"]
  for path, values in sweep.vary.items():
    if path not in varied:
      raise ConfigError(f"vary: {unknown('field', path, varied)}")
    _require(len(values) > 0, f"vary.{path}: give at least one value")
    _require(
      len(set(map(repr, values))) == len(values),
      f"vary.{path}: a value is given twice in"
      f" {tuple(word(value, values) for value in values)}",
    )


def _check_conditions(
  conditions: Conditions, varied: Iterable[str] = ()
) -> None:
  """Checks ranges and words; fields in `varied` get their values later."""
  c, skip = conditions, frozenset(varied)
  _check_types(c)
  for path, known in (
    ("model.name", MODELS),
    ("optimizer.name", OPTIMIZERS),
    ("optimizer.schedule", SCHEDULES),
    ("optimizer.scaling", SCALINGS),
    ("precision", PRECISIONS),
    ("matmul_precision", MATMUL_PRECISIONS),
    ("augmentation", AUGMENTATIONS),
    ("program", PROGRAMS),
    ("streaming", STREAMING),
    ("framework", FRAMEWORKS),
    ("task_weighting", TASK_WEIGHTINGS),
  ):
    value = get(c, path)
    if value not in known and path not in skip:
      what = path.removesuffix(".name").replace(".", " ")
      raise ConfigError(unknown(what, value, known))
  _require(
    0 < c.target_accuracy <= 1,
    f"target_accuracy {c.target_accuracy}: must lie between 0 and 1"
    " (0.8 means 80 %)",
  )
  tasks.check(c)
  _at_least("batch_size", c.batch_size, 1)
  _at_least("evaluate_every_examples", c.evaluate_every_examples, 1)
  _at_least("budget_examples", c.budget_examples, c.evaluate_every_examples)
  _at_least("devices", c.devices, 0)
  _at_least("idle_seconds", c.idle_seconds, 0)
  _at_least("optimizer.weight_decay", c.optimizer.weight_decay, 0)
  _at_least("optimizer.warmup_examples", c.optimizer.warmup_examples, 0)
  _at_least("optimizer.schedule_examples", c.optimizer.schedule_examples, 0)
  _at_least(
    "optimizer.reference_batch_size", c.optimizer.reference_batch_size, 1
  )
  _at_least("accumulation", c.accumulation, 0)
  _at_least("patience", c.patience, 0)
  _above_zero("model.width", c.model.width)
  _above_zero("model.depth", c.model.depth)
  _at_least("model.heads", c.model.heads, 1)
  _above_zero("optimizer.learning_rate", c.optimizer.learning_rate)
  for path in ("optimizer.momentum", "dropout", "label_smoothing"):
    value = get(c, path)
    _require(0 <= value < 1, f"{path} {value}: must lie in [0, 1)")
  _require(
    0 < c.data_share <= 1,
    f"data_share {c.data_share}: must lie between 0 and 1 (0.1 means 10 %)",
  )


def _check_trial(trial: Trial) -> None:
  _check_conditions(trial)
  _check_together(trial)
  lineage.check(trial)


def _check_together(trial: Trial) -> None:
  """Raises ConfigError on words that are good alone and not together."""
  t, name = trial, trial.model.name
  network = NETWORKS[name]
  _require(
    t.dropout == 0 or network.dropout,
    f"dropout {t.dropout}: {name} has no dropout; models that have:"
    f" {', '.join(n for n in MODELS if NETWORKS[n].dropout)}",
  )
  layers = network.layers * t.model.depth
  _require(
    layers >= 1 and layers.is_integer(),
    f"model.depth {t.model.depth:g}: {name} cannot be so deep; take a multiple"
    f" of {1 / network.layers:g}",
  )
  _require(
    t.augmentation == "none" or "image" in network.reads,
    f"augmentation {t.augmentation}: {name} reads no images",
  )
  _require(
    t.batch_size % (t.accumulation or 1) == 0,
    f"accumulation {t.accumulation}: must divide batch_size {t.batch_size}",
  )
  schedule = t.optimizer.schedule
  _require(
    schedule not in ("one_cycle", "warm_up") or not t.optimizer.warmup_examples,
    f"optimizer.warmup_examples: {schedule} has its own rise; leave it at 0",
  )


def _check_types(config: Any, prefix: str = "") -> None:
  hints = typing.get_type_hints(type(config))
  for field in dataclasses.fields(config):
    value, hint = getattr(config, field.name), hints[field.name]
    path = prefix + field.name
    kind: Any = typing.get_origin(hint) or hint
    if kind is types.UnionType:
      if value is None:
        continue
      kind = typing.get_args(hint)[0]
    if type(value) is kind and dataclasses.is_dataclass(value):
      _check_types(value, f"{path}.")
      continue
    if kind is float and type(value) is int:
      setattr(config, field.name, float(value))
    elif type(value) is not kind:
      told = reprlib.repr(value)
      raise ConfigError(f"{path} = {told}: must be {article(kind.__name__)}")
    elif kind is float and not math.isfinite(value):
      raise ConfigError(f"{path} = {value}: must be a finite number")
    elif kind is dict:
      setattr(config, field.name, _typed_items(path, value, hint))
    elif kind is tuple and not all(type(v) is str for v in value):
      raise ConfigError(f"{path} = {value!r}: must be a tuple of words")


def _typed_items(path: str, items: dict[str, Any], hint: Any) -> dict[str, Any]:
  """The items of a field, whole numbers as floats where floats are asked."""
  _, kind = typing.get_args(hint)
  if kind is float:
    items = {k: float(v) if type(v) is int else v for k, v in items.items()}
    for key, value in items.items():
      _require(
        type(value) is float and math.isfinite(value),
        f"{path}.{key} = {value!r}: must be a finite number",
      )
    return items
  _require(
    all(type(value) is tuple for value in items.values()),
    f"{path}: every value must be a tuple of values",
  )
  return items


def _set(config: Any, path: str, value: Any) -> None:
  *parents, name = path.split(".")
  setattr(get(config, ".".join(parents)) if parents else config, name, value)


def _require(holds: bool, message: str) -> None:
  if not holds:
    raise ConfigError(message)


def _at_least(path: str, value: float, least: float) -> None:
  _require(value >= least, f"{path} {value}: must be at least {least}")


def _above_zero(path: str, value: float) -> None:
  _require(value > 0, f"{path} {value}: must be above 0")
