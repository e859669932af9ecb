"""Checks all that the config alone shows to be wrong.

A sweep may run for hours before it comes to the trial that cannot be trained,
and the worker takes seconds to load its framework. So everything that can be
known from the config is checked here, for every trial, before anything loads
or is written; what depends on data, machine or installed packages is checked
by `jaxpower.plan.requirements`. Both raise ConfigError, one line with the fix.
"""

import dataclasses
import math
import pathlib
import re
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Iterable
from typing import Any

from jaxpower.architectures import MODELS, NETWORKS, OWN, network_of
from jaxpower.config import (
  ATTENTIONS,
  AUGMENTATIONS,
  BATCH_NORMS,
  COMMAND,
  COMMAND_BUFFERS,
  COMPUTED,
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
  Execution,
  Model,
  Sweep,
  Trial,
  article,
  differences,
  field_hints,
  field_types,
  get,
  is_free,
  make_plain,
  plain_type,
  to_dict,
  unknown,
)
from jaxpower.records import detail_needed, varied_value
from jaxpower.script import metrics, template

SOURCE = "transfer.init_from"

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
# Rules whose update of a number depends on others of its layer.
WHOLE_LAYERS = ("lamb", "muon")
# Fields of a sweep: how long a worker is waited for, and saved after.
WAITING = (
  "patience_seconds",
  "start_seconds",
  "compile_seconds",
  "phase_seconds",
  "checkpoint_minutes",
  "timeout_seconds",
)
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
SWITCHES_OF_ALL = ("evaluation_chunk",)  # of `execution`, beside JAX's own
LARGEST = 10**300  # of a whole number that becomes a float; chosen
MOST_TRIALS = 1_000_000  # of a sweep; chosen: their plan takes minutes
# Of a sweep and so of its run folder; of 100 characters a folder can be made
# on every file system, with something added.
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
ABOVE_ZERO = ("model.width", "model.depth", "optimizer.learning_rate")
BELOW_ONE = (
  "optimizer.momentum",
  "dropout",
  "label_smoothing",
  "validation_share",
)


def check_sweep(sweep: Sweep) -> None:
  """Raises ConfigError where the fields of a sweep cannot be run.

  Checks the paths in `vary`, but not the values: these are checked with the
  trials that have them.
  """
  check_types(make_plain(sweep))
  if not NAME.fullmatch(sweep.name):
    raise ConfigError(
      "must be usable as a folder's name: letters of ASCII, digits, _, . and -,"
      " at most 100, the first a letter or digit",
      field="name",
      value=reprlib.repr(sweep.name),
    )
  _check_at_least(sweep, "seeds", 1)
  for limit in WAITING:
    _check_at_least(sweep, limit, 0)
  trials = sweep.seeds * math.prod(map(len, sweep.vary.values()))
  if trials > MOST_TRIALS:
    raise ConfigError(
      f"{trials} trials are more than {MOST_TRIALS}; vary less or take fewer"
      " seeds",
      field="seeds",
      value=str(sweep.seeds),
    )
  _check_ranges(sweep, varied=sweep.vary)
  _check_task_names(sweep)
  if COMMAND in sweep.vary.get("framework", (sweep.framework,)):
    _check_commands(sweep)
  paths = [path for path in field_types(Trial()) if path != "seed"]
  for path, values in sweep.vary.items():
    if path not in paths and not is_free(path):
      raise ConfigError(unknown("field", path, paths), field="vary")
    if path in COMPUTED:
      raise ConfigError(
        "is filled in from the file that is named; vary that", field=path
      )
    if not values:
      raise ConfigError("give at least one value", field=f"vary.{path}")
    if len(set(map(repr, values))) < len(values):
      detail = detail_needed(values)
      names = tuple(varied_value(value, detail) for value in values)
      raise ConfigError(
        f"a value is given twice in {names}", field=f"vary.{path}"
      )


def _check_commands(sweep: Sweep) -> None:
  """Raises ConfigError where a sweep of commands varies what none of them has.

  Fields that only other frameworks of the sweep have may be varied.
  """
  if "framework" in sweep.vary:
    return
  for command in sweep.vary.get("command", (sweep.command,)):
    shared = Trial(command=command if type(command) is str else "")
    template.check_varied(shared, sweep.vary)


def check_trial(trial: Trial) -> None:
  """Raises ConfigError unless all fields of a trial can be run together."""
  check_types(trial)
  _check_ranges(trial)
  if trial.framework == COMMAND:
    _check_command(trial)
    return
  _check_together(trial)
  check_transfer(trial)


def check_with_sources(trial: Trial, check: Callable[[Trial], None]) -> None:
  """Runs a check on a trial and on every trial that it starts from.

  Raises ConfigError as `check` does; the field of a pretraining is named from
  the trial: `transfer.init_from.batch_size`.
  """
  source = trial.transfer.init_from
  if source is not None:
    try:
      check_with_sources(source, check)
    except ConfigError as error:
      raise error.inside(SOURCE) from None
  check(trial)


def check_cadence(trial: Trial) -> None:
  """Raises ConfigError where evaluation would fall between two updates."""
  if trial.framework == COMMAND:
    return
  every, batch = trial.evaluate_every_examples, trial.batch_size
  if every % batch:
    raise ConfigError(
      f"not a multiple of batch_size {batch}, so batch sizes would be evaluated"
      f" unequally; take {max(batch, every // batch * batch)}",
      field="evaluate_every_examples",
      value=str(every),
    )


# Types


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


# Fields alone


def _check_ranges(conditions: Conditions, varied: Collection[str] = ()) -> None:
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
  _check_at_least(conditions, "batch_size", 1)
  _check_at_least(conditions, "evaluate_every_examples", 1)
  every = conditions.evaluate_every_examples
  _check_at_least(conditions, "budget_examples", every)
  for path, least in AT_LEAST.items():
    _check_at_least(conditions, path, least)
  for path, most in AT_MOST.items():
    if get(conditions, path) > most:
      raise _field_error(conditions, path, f"must be at most {most:g}")
  for path in ABOVE_ZERO:
    if get(conditions, path) <= 0:
      raise _field_error(conditions, path, "must be above 0")
  for path in BELOW_ONE:
    if not 0 <= get(conditions, path) < 1:
      raise _field_error(conditions, path, "must lie in [0, 1)")
  if not 0 < conditions.data_share <= 1:
    reason = "must lie between 0 and 1 (0.1 means 10 %)"
    raise _field_error(conditions, "data_share", reason)


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
      raise _field_error(conditions, f"task_weights.{task}", "must be above 0")


def _check_accuracy(path: str, accuracy: float) -> None:
  if not 0 < accuracy <= 1:
    raise ConfigError(
      "must lie between 0 and 1 (0.8 means 80 %)",
      field=path,
      value=str(accuracy),
    )


def _check_at_least(conditions: Conditions, path: str, least: float) -> None:
  if get(conditions, path) < least:
    raise _field_error(conditions, path, f"must be at least {least}")


def _field_error(conditions: Conditions, path: str, reason: str) -> ConfigError:
  """Makes the error of a field whose value stands in its line."""
  return ConfigError(reason, field=path, value=str(get(conditions, path)))


# Fields together


def _check_together(trial: Trial) -> None:
  """Raises ConfigError on values that are right alone and not together."""
  name, network = trial.model.name, network_of(trial.model.name)
  rule = OPTIMIZERS[trial.optimizer.name]
  for path, having in (
    ("model.name", network.frameworks),
    ("optimizer.name", rule.frameworks),
  ):
    if trial.framework not in having:
      reason = f"only in {', '.join(having)}, not in {trial.framework}"
      raise _field_error(trial, path, f"{reason}; change it or framework")
  if trial.dropout != 0 and not network.dropout:
    models = ", ".join(n for n in MODELS if NETWORKS[n].dropout)
    reason = f"{name} has no dropout; models that have: {models}"
    raise _field_error(trial, "dropout", reason)
  check_options(trial)
  layers = network.layers * trial.model.depth
  if layers < 1 or not layers.is_integer():
    raise ConfigError(
      f"{name} cannot be so deep; take a multiple of {1 / network.layers:g}",
      field="model.depth",
      value=f"{trial.model.depth:g}",
    )
  if trial.augmentation != "none" and "image" not in network.reads:
    raise _field_error(trial, "augmentation", f"{name} reads no images")
  _check_execution(trial)
  if trial.batch_size % (trial.accumulation or 1):
    reason = f"must divide batch_size {trial.batch_size}"
    raise _field_error(trial, "accumulation", reason)
  if trial.framework != "jax" and trial.processes == "one":
    reason = "PyTorch has a process for each device; take auto"
    raise _field_error(trial, "processes", reason)
  _check_sharding(trial)
  schedule = trial.optimizer.schedule
  if schedule in ("one_cycle", "warm_up") and trial.optimizer.warmup_examples:
    raise ConfigError(
      f"{schedule} has its own warm-up; leave it at 0",
      field="optimizer.warmup_examples",
    )


def _check_command(trial: Trial) -> None:
  """Raises ConfigError on a command that cannot be started or understood."""
  transfer = trial.transfer
  if transfer.init_from is not None or transfer.weights:
    raise ConfigError(
      "a command starts from what it likes; name it in the command",
      field="transfer",
    )
  for path in ("power_limit_watts", "sm_clock_mhz"):
    if get(trial, path):
      reason = "not for commands; take 0, and set it before the sweep"
      raise _field_error(trial, path, reason)
  template.check(trial, pathlib.Path.cwd())
  metrics.check(trial)


def _check_execution(trial: Trial) -> None:
  """Raises ConfigError on a switch that the trial's framework has not."""
  if trial.framework == "jax":
    return
  usual = dataclasses.asdict(Execution())
  for name, value in dataclasses.asdict(trial.execution).items():
    if value != usual[name] and name not in SWITCHES_OF_ALL:
      reason = f"only in jax, not in {trial.framework}; change it or framework"
      raise _field_error(trial, f"execution.{name}", reason)


def check_options(trial: Trial) -> None:
  """Raises ConfigError where a network is given sizes that it has not.

  The package's networks have width, depth and heads; a user's has the options
  that its class takes.
  """
  model, plain = trial.model, Model()
  if OWN not in model.name:
    if model.options:
      raise ConfigError(
        f"{model.name} takes no options; it has model.width, model.depth and"
        " model.heads",
        field="model.options",
        value=", ".join(model.options),
      )
    return
  for field in ("width", "depth", "heads"):
    if (value := getattr(model, field)) != getattr(plain, field):
      raise ConfigError(
        f"{model.name} has its sizes from model.options; write"
        f" model.options.{field}",
        field=f"model.{field}",
        value=f"{value:g}",
      )
  if trial.optimizer.muon_matrices == "hidden":
    raise ConfigError(
      f"which layer of {model.name} is the first is not known; take all",
      field="optimizer.muon_matrices",
      value="hidden",
    )


def _check_sharding(trial: Trial) -> None:
  """Raises ConfigError where arrays cannot lie on the devices as asked for."""
  name, divided = trial.framework, trial.data_sharding == "divided"
  jax_alone = f"not in {name}; take {{}}, or framework jax"
  if name == "torch_compile" and trial.sharding == "fsdp":
    # What gathers the weights is in no graph of one piece.
    reason = "not in torch_compile; take replicated, or framework torch or jax"
    raise _field_error(trial, "sharding", reason)
  rule = trial.optimizer.name
  if name == "torch" and trial.sharding == "fsdp" and rule in WHOLE_LAYERS:
    reason = f"{rule} needs whole layers, which no process of torch has then"
    reason += "; take replicated, another rule, or framework jax"
    raise _field_error(trial, "sharding", reason)
  if name != "jax" and divided:
    raise _field_error(trial, "data_sharding", jax_alone.format("replicated"))
  if divided and trial.streaming == "always":
    reason = "streaming always leaves the set on the host; take one of them"
    raise _field_error(trial, "data_sharding", reason)
  if divided and trial.transfer.features == "once":
    reason = "features are kept whole on each device; take auto"
    raise _field_error(trial, "data_sharding", reason)
  normed = network_of(trial.model.name).batch_norm
  if name == "torch_compile" and normed and trial.batch_norm == "global":
    # What its batch norms send is in no graph of one piece.
    reason = "not in torch_compile; take device, or framework torch or jax"
    raise _field_error(trial, "batch_norm", reason)


def check_transfer(trial: Trial) -> None:
  """Raises ConfigError on a backbone that has no one source or does not fit."""
  transfer, source = trial.transfer, trial.transfer.init_from
  if source is not None and transfer.weights:
    raise ConfigError(
      "init_from and weights are both given; leave one of them",
      field="transfer",
    )
  if source is None and not transfer.weights and transfer.freeze:
    raise ConfigError(
      "without init_from or weights the backbone would stay random; give one"
      " of them",
      field="transfer.freeze",
    )
  reason = ""
  if transfer.backbone_rate <= 0:
    reason = "must be above 0; to train the head alone set freeze"
  elif transfer.freeze and transfer.backbone_rate != 1:
    reason = "a frozen backbone has no rate; leave it at 1"
  if reason:
    raise ConfigError(
      reason,
      field="transfer.backbone_rate",
      value=f"{transfer.backbone_rate:g}",
    )
  if transfer.features == "once":
    _check_features(trial)
  if source is None:
    return
  for name in ("model", "framework"):
    here, there = ({name: to_dict(t)[name]} for t in (trial, source))
    if lines := differences(there, here):
      raise ConfigError(
        f"its backbone does not fit the trial's ({'; '.join(lines)}); both"
        " must be the same",
        field=SOURCE,
      )


def _check_features(trial: Trial) -> None:
  """Raises ConfigError where an example's features change between updates."""
  reason = ""
  if not trial.transfer.freeze:
    reason = "only a frozen backbone's features stay; set transfer.freeze"
  elif trial.augmentation != "none":
    reason = "augmentation moves images; take none"
  elif trial.dropout:
    reason = "dropout draws anew in each update; take 0"
  elif trial.streaming == "always":
    reason = "they are kept on the devices; take streaming auto or never"
  if reason:
    raise ConfigError(reason, field="transfer.features", value="once")


# Tasks of all trials together


def _check_task_names(sweep: Sweep) -> None:
  """Raises ConfigError on a target or weight without effect in any trial.

  A sweep that sets one network for several tasks against a network for each
  varies `tasks`; its targets and weights are named once, for all of them. A
  target of a task that no trial has, or a weight of a task that is never
  weighed against another one or whose weight is learned, is a mistake.
  """
  choices = sweep.vary.get("tasks", (sweep.tasks,))
  if any(type(tasks) is not tuple for tasks in choices):
    return  # refused with the trial that has it
  weighed = {task for tasks in choices if len(tasks) > 1 for task in tasks}
  _check_keys(sweep, "targets", {task for tasks in choices for task in tasks})
  weightings = sweep.vary.get("task_weighting", (sweep.task_weighting,))
  has_weights = any(sweep.vary.get("task_weights", (sweep.task_weights,)))
  if not weighed and has_weights:
    raise ConfigError(
      "with one task there is nothing to weigh", field="task_weights"
    )
  if not weighed and "uncertainty" in weightings:
    raise ConfigError(
      "with one task there is nothing to weigh",
      field="task_weighting",
      value="uncertainty",
    )
  if has_weights and "fixed" not in weightings:
    raise ConfigError(
      "task_weighting uncertainty learns them; leave them out",
      field="task_weights",
    )
  _check_keys(sweep, "task_weights", weighed)


def _check_keys(sweep: Sweep, field: str, tasks: Iterable[str]) -> None:
  """Checks that a dict field, or each of its varied values, names tasks."""
  for value in sweep.vary.get(field, (getattr(sweep, field),)):
    for task in value if type(value) is dict else ():
      if task not in tasks:
        raise ConfigError(unknown("task", task, tasks), field=field)
