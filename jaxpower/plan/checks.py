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
from collections.abc import Callable, Iterable

from jaxpower.architectures import MODELS, NETWORKS, OWN, network_of
from jaxpower.config import (
  COMMAND,
  COMPUTED,
  OPTIMIZERS,
  ConfigError,
  Execution,
  Model,
  Sweep,
  Trial,
  differences,
  field_types,
  get,
  is_free,
  make_plain,
  to_dict,
  unknown,
)
from jaxpower.plan.field_values import (
  check_at_least,
  check_ranges,
  check_types,
  field_error,
)
from jaxpower.records import detail_needed, varied_value
from jaxpower.script import metrics, template

SOURCE = "transfer.init_from"

# Fields of a sweep: how long a worker is waited for, and saved after.
WAITING = (
  "patience_seconds",
  "start_seconds",
  "compile_seconds",
  "phase_seconds",
  "checkpoint_minutes",
  "timeout_seconds",
)
SWITCHES_OF_ALL = ("evaluation_chunk",)  # of `execution`, beside JAX's own
MOST_TRIALS = 1_000_000  # of a sweep; chosen: their plan takes minutes
# Of a sweep and so of its run folder; of 100 characters a folder can be made
# on every file system, with something added.
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)


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
  check_at_least(sweep, "seeds", 1)
  for limit in WAITING:
    check_at_least(sweep, limit, 0)
  trials = sweep.seeds * math.prod(map(len, sweep.vary.values()))
  if trials > MOST_TRIALS:
    raise ConfigError(
      f"{trials} trials are more than {MOST_TRIALS}; vary less or take fewer"
      " seeds",
      field="seeds",
      value=str(sweep.seeds),
    )
  check_ranges(sweep, varied=sweep.vary)
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
  check_ranges(trial)
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
      raise field_error(trial, path, f"{reason}; change it or framework")
  if trial.dropout != 0 and not network.dropout:
    models = ", ".join(n for n in MODELS if NETWORKS[n].dropout)
    reason = f"{name} has no dropout; models that have: {models}"
    raise field_error(trial, "dropout", reason)
  check_options(trial)
  layers = network.layers * trial.model.depth
  if layers < 1 or not layers.is_integer():
    raise ConfigError(
      f"{name} cannot be so deep; take a multiple of {1 / network.layers:g}",
      field="model.depth",
      value=f"{trial.model.depth:g}",
    )
  if trial.augmentation != "none" and "image" not in network.reads:
    raise field_error(trial, "augmentation", f"{name} reads no images")
  _check_execution(trial)
  if trial.batch_size % (trial.accumulation or 1):
    reason = f"must divide batch_size {trial.batch_size}"
    raise field_error(trial, "accumulation", reason)
  if trial.framework != "jax" and trial.processes == "one":
    reason = "PyTorch has a process for each device; take auto"
    raise field_error(trial, "processes", reason)
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
      raise field_error(trial, path, reason)
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
      raise field_error(trial, f"execution.{name}", reason)


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
  if name != "jax" and divided:
    raise field_error(trial, "data_sharding", jax_alone.format("replicated"))
  if divided and trial.streaming == "always":
    reason = "streaming always leaves the set on the host; take one of them"
    raise field_error(trial, "data_sharding", reason)
  if divided and trial.transfer.features == "once":
    reason = "features are kept whole on each device; take auto"
    raise field_error(trial, "data_sharding", reason)


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
