"""Checks each field alone: its type, its words, its range.

What fields may not be together is checked by `jaxpower.plan.checks`. Errors
are ConfigError, one line with the fix.
"""

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Collection
from typing import Any

from jaxpower.architectures import MODELS, OWN
from jaxpower.config import (
  ATTENTIONS,
  AUGMENTATIONS,
  BATCH_NORMS,
  COMMAND,
  COMMAND_BUFFERS,
  CROSSINGS,
  DATA_SHARDINGS,
  DECAYS,
  DRAWS,
  FEATURES,
  FRAMEWORKS,
  LAYOUTS,
  MATMUL_PRECISIONS,
  MUON_MATRICES,
  OPTIMIZERS,
  PRECISIONS,
  PROCESSES,
  PROGRAMS,
  SCALINGS,
  SCHEDULES,
  SHARDINGS,
  STREAMING,
  TASK_WEIGHTINGS,
  Conditions,
  ConfigError,
  article,
  field_hints,
  get,
  plain_type,
  unknown,
)

LARGEST = 10**300  # of a whole number that becomes a float; chosen
# Fields that hold one of several names.
CHOICES = {
  "model.name": MODELS,
  "optimizer.name": OPTIMIZERS,
  "optimizer.schedule": SCHEDULES,
  "optimizer.scaling": SCALINGS,
  "precision": PRECISIONS,
  "matmul_precision": MATMUL_PRECISIONS,
  "augmentation": AUGMENTATIONS,
  "program": PROGRAMS,
  "processes": PROCESSES,
  "streaming": STREAMING,
  "sharding": SHARDINGS,
  "data_sharding": DATA_SHARDINGS,
  "batch_norm": BATCH_NORMS,
  "framework": (*FRAMEWORKS, COMMAND),
  "task_weighting": TASK_WEIGHTINGS,
  "transfer.features": FEATURES,
  "crossing": CROSSINGS,
  "optimizer.decay": DECAYS,
  "optimizer.muon_matrices": MUON_MATRICES,
  "execution.attention": ATTENTIONS,
  "execution.draws": DRAWS,
  "execution.command_buffers": COMMAND_BUFFERS,
  "execution.layout": LAYOUTS,
}
AT_LEAST = {
  "cores": 0,
  "devices": 0,
  "idle_seconds": 0,
  "optimizer.weight_decay": 0,
  "optimizer.warmup_examples": 0,
  "optimizer.schedule_examples": 0,
  "optimizer.reference_batch_size": 1,
  "accumulation": 0,
  "patience": 0,
  "model.heads": 1,
  "execution.unroll": 1,
  "execution.autotune_level": -1,
  "execution.evaluation_chunk": 0,
  "execution.chunks_in_flight": 1,
  "power_limit_watts": 0,
  "sm_clock_mhz": 0,
}
# The largest values that are taken; chosen, far above all that can be trained,
# so that a slip of the keyboard is no trial that waits or computes for ever.
AT_MOST = {
  "accumulation": 2**31 - 1,
  "batch_size": 2**31 - 1,
  "budget_examples": 10**15,
  "cores": 10_000,
  "devices": 10_000,
  "evaluate_every_examples": 10**15,
  "execution.autotune_level": 5,
  "execution.chunks_in_flight": 2,
  "execution.evaluation_chunk": 2**31 - 1,
  "execution.unroll": 1_000,
  "idle_seconds": 86_400,  # a day
  "model.depth": 100,
  "model.heads": 10_000,
  "model.width": 1_000,
  "optimizer.learning_rate": 1e38,  # float32 ends at 3.4e38
  "optimizer.reference_batch_size": 2**31 - 1,
  "optimizer.schedule_examples": 10**15,
  "optimizer.warmup_examples": 10**15,
  "optimizer.weight_decay": 1e38,
  "patience": 10**15,
  "power_limit_watts": 10_000,
  "sm_clock_mhz": 10_000,
  "transfer.backbone_rate": 1e38,
}
ABOVE_ZERO = ("model.width", "model.depth", "optimizer.learning_rate")
BELOW_ONE = (
  "optimizer.momentum",
  "dropout",
  "label_smoothing",
  "validation_share",
)


def check_types(config: Any, prefix: str = "") -> None:
  """Raises ConfigError on a field that is not of its declared type.

  Whole numbers in fields of floats become floats, in place: `1` and `1.0` are
  the same config and must have the same trial id.
  """
  hints = field_hints(type(config))
  for field in dataclasses.fields(config):
    value, hint = getattr(config, field.name), hints[field.name]
    path, kind = prefix + field.name, plain_type(hint)
    if isinstance(hint, types.UnionType) and value is None:
      continue
    if type(value) is kind and dataclasses.is_dataclass(value):
      check_types(value, f"{path}.")
    elif kind is float and type(value) is int:
      if abs(value) >= LARGEST:
        raise _no_number(path, value)
      setattr(config, field.name, float(value))
    elif type(value) is not kind:
      raise ConfigError(
        f"must be {article(kind.__name__)}",
        field=path,
        value=f"= {reprlib.repr(value)}",
      )
    elif kind is float and not math.isfinite(value):
      raise _no_number(path, value)
    elif kind is dict:
      setattr(config, field.name, _typed_items(path, value, hint))
    elif kind is tuple and not all(type(item) is str for item in value):
      raise ConfigError(
        "must be a tuple of strings", field=path, value=f"= {value!r}"
      )


def _typed_items(path: str, items: dict[str, Any], hint: Any) -> dict[str, Any]:
  """Checks the items of a dict field; whole numbers become floats."""
  kind = plain_type(typing.get_args(hint)[1])
  if kind is float:
    items = {
      k: float(v) if type(v) is int and abs(v) < LARGEST else v
      for k, v in items.items()
    }
    for key, value in items.items():
      if type(value) is not float or not math.isfinite(value):
        raise _no_number(f"{path}.{key}", value)
  elif kind is Any:
    for key, value in items.items():
      _check_option(f"{path}.{key}", key, value)
  elif not all(type(value) is kind for value in items.values()):
    raise ConfigError("every value must be a tuple of values", field=path)
  return items


def _check_option(path: str, name: Any, value: Any) -> None:
  """Raises ConfigError unless an option can be passed on, and told as JSON."""
  if type(name) is not str or not name.isidentifier():
    raise ConfigError("must be a name as Python has them", field=path)
  values = value if type(value) is tuple else (value,)
  for each in values:
    if type(each) is float and not math.isfinite(each):
      raise _no_number(path, value)
    if each is not None and type(each) not in (bool, int, float, str):
      raise ConfigError(
        "must be a number, a word, true, false, None or a tuple of these",
        field=path,
        value=f"= {reprlib.repr(value)}",
      )


def _no_number(path: str, value: Any) -> ConfigError:
  return ConfigError(
    "must be a finite number", field=path, value=f"= {reprlib.repr(value)}"
  )


def check_ranges(conditions: Conditions, varied: Collection[str] = ()) -> None:
  """Checks each field alone; names in varied fields come with the trials."""
  for path, names in CHOICES.items():
    name = get(conditions, path)
    if path in varied or (path == "model.name" and OWN in name):
      continue
    if name not in names:
      what = path.removesuffix(".name").replace(".", " ")
      raise ConfigError(unknown(what, name, names))
  _check_accuracy("target_accuracy", conditions.target_accuracy)
  _check_tasks(conditions)
  check_at_least(conditions, "batch_size", 1)
  check_at_least(conditions, "evaluate_every_examples", 1)
  every = conditions.evaluate_every_examples
  check_at_least(conditions, "budget_examples", every)
  for path, least in AT_LEAST.items():
    check_at_least(conditions, path, least)
  for path, most in AT_MOST.items():
    if get(conditions, path) > most:
      raise field_error(conditions, path, f"must be at most {most:g}")
  for path in ABOVE_ZERO:
    if get(conditions, path) <= 0:
      raise field_error(conditions, path, "must be above 0")
  for path in BELOW_ONE:
    if not 0 <= get(conditions, path) < 1:
      raise field_error(conditions, path, "must lie in [0, 1)")
  if not 0 < conditions.data_share <= 1:
    reason = "must lie between 0 and 1 (0.1 means 10 %)"
    raise field_error(conditions, "data_share", reason)


def _check_tasks(conditions: Conditions) -> None:
  """Checks the names of the tasks, and their targets and weights as numbers."""
  tasks = conditions.tasks
  if not tasks:
    raise ConfigError("name at least one label of the data", field="tasks")
  if len(set(tasks)) < len(tasks):
    raise ConfigError(
      f"one is named twice in {', '.join(tasks)}", field="tasks"
    )
  for task, target in conditions.targets.items():
    _check_accuracy(f"targets.{task}", target)
  for task, weight in conditions.task_weights.items():
    if weight <= 0:
      raise field_error(conditions, f"task_weights.{task}", "must be above 0")


def _check_accuracy(path: str, accuracy: float) -> None:
  if not 0 < accuracy <= 1:
    raise ConfigError(
      "must lie between 0 and 1 (0.8 means 80 %)",
      field=path,
      value=str(accuracy),
    )


def check_at_least(conditions: Conditions, path: str, least: float) -> None:
  """Raises ConfigError where a field is less than it may be."""
  if get(conditions, path) < least:
    raise field_error(conditions, path, f"must be at least {least}")


def field_error(conditions: Conditions, path: str, reason: str) -> ConfigError:
  """Makes the error of a field whose value stands in its line."""
  return ConfigError(reason, field=path, value=str(get(conditions, path)))
