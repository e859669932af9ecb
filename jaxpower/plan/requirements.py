"""Checks what a trial needs beside its config: a framework, data, a machine.

`jaxpower.plan.checks` needs the config alone; the checks here also read the
facts of a dataset (no array of it), a folder of weights, the installed
packages or what a worker says of its devices. All raise ConfigError before
anything is trained or written.
"""

import collections
import functools
import importlib.util
import pathlib
from collections.abc import Iterable, Mapping

from jaxpower import data, weights
from jaxpower.architectures import MODELS, NETWORKS, network_of
from jaxpower.config import (
  COMMAND,
  ConfigError,
  Trial,
  sources,
  to_dict,
  trial_id,
  unknown,
)
from jaxpower.messages import Ready
from jaxpower.plan.checks import SOURCE, check_with_sources
from jaxpower.power import board_settings
from jaxpower.power.board_settings import BoardSettings
from jaxpower.power.cpu_time import usable_cores


def check_installed(trial: Trial) -> None:
  """Raises ConfigError where a trial's framework is not installed."""
  if trial.framework in ("jax", COMMAND) or importlib.util.find_spec("torch"):
    return
  raise ConfigError(
    "PyTorch is not installed; run `pip install torch`, or install jaxpower"
    " with its extra: pip install 'jaxpower[torch]'",
    field="framework",
    value=trial.framework,
  )


def check_data(trial: Trial) -> None:
  """Raises ConfigError where a dataset lacks what the trial needs of it.

  That is a label for each task, inputs that the model reads, and as many
  training examples as a batch has.
  """
  if trial.framework == COMMAND:
    return  # its data is its own
  facts = data.describe(trial.data)
  # Labels that are the next tokens are as many as the tokens.
  next_tokens = (
    facts.kind == "tokens"
    and "label" in trial.tasks
    and facts.labels.get("label") == facts.vocabulary
  )
  kind = "text" if next_tokens else facts.kind
  check_labels(trial, facts.labels, kind)
  check_kind(trial, kind)
  examples = max(1, round(trial.data_share * _train_examples(trial, facts)))
  if trial.batch_size > examples:
    share = "" if trial.data_share == 1 else f", {trial.data_share:g} of it"
    if trial.validation_share:
      share = f" without its validation set{share}"
    raise ConfigError(
      f"larger than the training set of {trial.data}{share} ({examples}"
      " examples)",
      field="batch_size",
      value=str(trial.batch_size),
    )


def check_labels(trial: Trial, labels: Iterable[str], kind: str) -> None:
  """Raises ConfigError unless the dataset has a label for every task.

  `kind` is that of the dataset, "text" where the label is the next token.
  """
  labels = tuple(labels)
  for task in trial.tasks:
    if task not in labels:
      raise ConfigError(unknown(f"task of {trial.data}", task, labels))
  if kind == "text" and len(trial.tasks) > 1:
    raise ConfigError(
      f"the label of {trial.data} is the next token at every position and is"
      " learned alone",
      field="tasks",
      value=", ".join(trial.tasks),
    )


def check_kind(trial: Trial, kind: str) -> None:
  """Raises ConfigError unless the model can be trained on such data.

  `kind` is "image", "window", "tokens" or "text": tokens with the next ones
  as labels.
  """
  name = trial.model.name
  readers = [n for n in MODELS if kind in NETWORKS[n].reads]
  if kind not in network_of(name).reads:
    raise ConfigError(
      f"does not read {trial.data} ({kind}); models that do:"
      f" {', '.join(readers)}",
      field="model",
      value=name,
    )
  if kind != "image" and trial.augmentation != "none":
    raise ConfigError(
      f"for images only, {trial.data} is {kind}",
      field="augmentation",
      value=trial.augmentation,
    )


def _train_examples(trial: Trial, facts: data.Facts) -> int:
  """Counts the examples to train on that have a label of a task of the trial.

  In a mixture of datasets an example has the label of its own dataset only.
  """
  mixed = "+" in trial.data
  described = map(data.describe, trial.tasks) if mixed else [facts]
  share = trial.validation_share
  return sum(data.left_examples(each, share) for each in described)


def check_weights(trial: Trial) -> None:
  """Raises ConfigError where a backbone cannot be restored into a trial.

  Checks that imported weights are whole, of the trial's framework and of its
  number of heads, and that a pretraining's inputs have the form of the
  trial's.
  """
  if trial.transfer.weights:
    _check_imported(trial)
  for source in sources(trial):
    here, there = _inputs(trial.data), _inputs(source.data)
    if here != there:
      raise ConfigError(
        f"its inputs are {there}, those of {trial.data} are {here}; a backbone"
        " takes inputs of one form",
        field=f"{SOURCE}.data",
        value=source.data,
      )


def _check_imported(trial: Trial) -> None:
  path = trial.transfer.weights
  folder = pathlib.Path(path)
  if problem := weights.problem(folder):
    raise ConfigError(problem, field="transfer.weights")
  if trial.framework == "jax" and weights.by_torch(folder):
    raise ConfigError(
      f"{path} was written by PyTorch; take framework torch or torch_compile,"
      " or weights that JAX wrote",
      field="transfer.weights",
    )
  try:
    heads = weights.facts(folder).heads
  except weights.WeightsError as error:
    raise ConfigError(str(error), field="transfer.weights") from None
  if heads and heads != trial.model.heads:
    # With another number of heads the arrays would fit and mean something else.
    raise ConfigError(
      f"the weights in {path} are of a network with {heads}",
      field="model.heads",
      value=str(trial.model.heads),
    )


def _inputs(name: str) -> str:
  """Describes the inputs of a dataset as far as a backbone depends on them."""
  facts = data.describe(name)
  shape = " x ".join(map(str, facts.input_shape))
  tokens = f" of {facts.vocabulary}" if facts.vocabulary else ""
  return f"{facts.kind} {shape}{tokens}"


def check_board_settings(trials: Iterable[Trial]) -> None:
  """Raises ConfigError where trials set GPUs as they cannot be, by us."""
  wanted = {(t.power_limit_watts, t.sm_clock_mhz) for t in trials}
  for watts, clock in sorted(wanted - {(0.0, 0)}):
    try:
      board_settings.check(BoardSettings(watts, clock))
    except board_settings.SettingsError as error:
      raise ConfigError(str(error)) from None


def unfit(trials: Iterable[Trial], ready: Ready) -> dict[str, ConfigError]:
  """Says of each trial that this machine cannot run why, by trial id.

  `ready` is the answer of the worker that is to run the trials.
  """
  found = {}
  for trial in trials:
    try:
      check_with_sources(trial, functools.partial(check_devices, ready=ready))
    except ConfigError as error:
      found[trial_id(trial)] = error
  return found


def left_out(unfit: Mapping[str, ConfigError]) -> list[str]:
  """Says in a line for each reason how many trials are left out for it."""
  counts = collections.Counter(map(str, unfit.values()))
  return [
    f"{reason} ({count} {'trial is' if count == 1 else 'trials are'} left out)"
    for reason, count in counts.items()
  ]


def check_devices(trial: Trial, ready: Ready) -> None:
  """Raises ConfigError where a trial needs devices that the worker has not."""
  if trial.framework == COMMAND:
    return
  if trial.cores > (usable := usable_cores()):
    raise ConfigError(
      f"of the {usable} that this process may use",
      field="cores",
      value=str(trial.cores),
    )
  devices = trial.devices or ready.devices
  # A CPU gives as many processes a device as are asked for.
  bounded = ready.platform != "cpu" or trial.processes != "device"
  if bounded and devices > ready.devices:
    raise ConfigError(
      f"this machine has {ready.devices} ({ready.device_kind})",
      field="devices",
      value=str(devices),
    )
  micro_batches = trial.accumulation or 1
  parts = devices * micro_batches
  if trial.batch_size % parts:
    times = "" if micro_batches == 1 else f"{micro_batches} times "
    near = _near(trial.batch_size, parts, trial.evaluate_every_examples)
    raise ConfigError(
      f"not a multiple of {times}the {devices} devices it is divided over;"
      f" take {near}, or other devices",
      field="batch_size",
      value=str(trial.batch_size),
    )


MOST_TRIED = 10_000  # multiples looked at for a better batch size; chosen


def _near(batch: int, parts: int, every: int) -> str:
  """Names the batch sizes next to one that can be divided into equal parts.

  If there are such, they divide the examples between two evaluations, too.
  """
  below = range(batch // parts * parts, 0, -parts)[:MOST_TRIED]
  above = range(batch // parts * parts + parts, every + 1, parts)[:MOST_TRIED]
  sides = [next((n for n in s if every % n == 0), 0) for s in (below, above)]
  if not any(sides):
    sides = [batch // parts * parts, batch // parts * parts + parts]
  return " or ".join(str(size) for size in sides if size)


def with_own_networks(
  trials: Iterable[Trial],
) -> list[tuple[Trial, data.Facts]]:
  """Picks trials with a network of the user's, one of each that differs.

  Seeds, rates and batch sizes make no other network. Each comes with the facts
  of its data.
  """
  picked: dict[str, Trial] = {}
  for trial in trials:
    if trial.framework != COMMAND and network_of(trial.model.name).own:
      facts = (
        to_dict(trial.model),
        *(trial.data, trial.data_fingerprint, trial.tasks, trial.precision),
        *(trial.dropout, trial.transfer.features),
      )
      picked.setdefault(repr(facts), trial)
  return [(trial, data.describe(trial.data)) for trial in picked.values()]
