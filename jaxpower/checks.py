"""What a sweep says of its tasks, checked and given to the trials they are of.

A sweep that sets one network for several tasks against a network for each
varies `tasks`; its targets and weights are named once, for all of them.
"""

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Iterable
from typing import Any

from jaxpower import pretraining
from jaxpower.architectures import MODELS, NETWORKS
from jaxpower.config import (
  AUGMENTATIONS,
  FRAMEWORKS,
  MATMUL_PRECISIONS,
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
)
from jaxpower.records import varied_value


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
  check_named_tasks(sweep)
  varied = [path for path in field_paths(Trial()) if path != "seed"]
  for path, values in sweep.vary.items():
    if path not in varied:
      raise ConfigError(f"vary: {unknown('field', path, varied)}")
    _require(len(values) > 0, f"vary.{path}: give at least one value")
    _require(
      len(set(map(repr, values))) == len(values),
      f"vary.{path}: a value is given twice in"
      f" {tuple(varied_value(value, values) for value in values)}",
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
  check_tasks(c)
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
  pretraining.check(trial)


def _check_together(trial: Trial) -> None:
  """Raises ConfigError on words that are good alone and not together."""
  t, name = trial, trial.model.name
  network, rule = NETWORKS[name], OPTIMIZERS[trial.optimizer.name]
  _require(
    t.framework in network.frameworks,
    f"model {name}: only in {', '.join(network.frameworks)}, not in"
    f" {t.framework}",
  )
  _require(
    t.framework in rule.frameworks,
    f"optimizer {t.optimizer.name}: only in {', '.join(rule.frameworks)}, not"
    f" in {t.framework}",
  )
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


def _require(holds: bool, message: str) -> None:
  if not holds:
    raise ConfigError(message)


def _at_least(path: str, value: float, least: float) -> None:
  _require(value >= least, f"{path} {value}: must be at least {least}")


def _above_zero(path: str, value: float) -> None:
  _require(value > 0, f"{path} {value}: must be above 0")


def keep_own(trial: Trial) -> None:
  """Drops what is said of tasks that only other trials of the sweep have.

  With one task there is nothing to weigh it against, and weights that are
  learned are not given.
  """
  weighs = len(trial.tasks) > 1 and trial.task_weighting == "fixed"
  weighed = trial.tasks if weighs else ()
  for own, kept in (
    (trial.targets, trial.tasks),
    (trial.task_weights, weighed),
  ):
    for task in own.keys() - set(kept):
      del own[task]


def check_tasks(conditions: Conditions) -> None:
  """Raises ConfigError on tasks, targets or weights that cannot be."""
  c = conditions
  if not c.tasks:
    raise ConfigError("tasks: name at least one label of the data")
  if len(set(c.tasks)) < len(c.tasks):
    raise ConfigError(f"tasks: one is named twice in {', '.join(c.tasks)}")
  for task, target in c.targets.items():
    if not 0 < target <= 1:
      raise ConfigError(
        f"targets.{task} {target}: must lie between 0 and 1 (0.8 means 80 %)"
      )
  for task, weight in c.task_weights.items():
    if weight <= 0:
      raise ConfigError(f"task_weights.{task} {weight}: must be above 0")


def check_named_tasks(sweep: Sweep) -> None:
  """Raises ConfigError on what would have no effect in any trial.

  That is a target of a task that none has, or a weight of one that is never
  weighed against another, or whose weight is learned.
  """
  asked = sweep.vary.get("tasks", (sweep.tasks,))
  if any(type(tasks) is not tuple for tasks in asked):
    return  # refused with the trial that has it
  weighed = {task for tasks in asked if len(tasks) > 1 for task in tasks}
  _check_keys(sweep, "targets", {task for tasks in asked for task in tasks})
  weightings = sweep.vary.get("task_weighting", (sweep.task_weighting,))
  weighs = any(sweep.vary.get("task_weights", (sweep.task_weights,)))
  if not weighed and weighs:
    raise ConfigError("task_weights: with one task there is nothing to weigh")
  if not weighed and "uncertainty" in weightings:
    raise ConfigError(
      "task_weighting uncertainty: with one task there is nothing to weigh"
    )
  if weighs and "fixed" not in weightings:
    raise ConfigError(
      "task_weights: task_weighting uncertainty learns them; leave them out"
    )
  _check_keys(sweep, "task_weights", weighed)


def check_labels(trial: Trial, labels: Iterable[str], kind: str) -> None:
  """Raises ConfigError unless the data has a label for every task.

  `kind` is that of the data, "text" where the label is the next token.
  """
  labels = tuple(labels)
  for task in trial.tasks:
    if task not in labels:
      raise ConfigError(unknown(f"task of {trial.data}", task, labels))
  if kind == "text" and len(trial.tasks) > 1:
    raise ConfigError(
      f"tasks {', '.join(trial.tasks)}: the label of {trial.data} is the next"
      " token at every position and is learned alone"
    )


def _check_keys(sweep: Sweep, field: str, known: set[str]) -> None:
  for value in sweep.vary.get(field, (getattr(sweep, field),)):
    for task in value if type(value) is dict else ():
      if task not in known:
        raise ConfigError(f"{field}: {unknown('task', task, known)}")
