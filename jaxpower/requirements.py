"""What a trial needs beside its config: a framework, fitting data, devices."""

import importlib.util

from jaxpower import data
from jaxpower.architectures import MODELS, NETWORKS
from jaxpower.checks import check_labels
from jaxpower.config import ConfigError, Trial
from jaxpower.messages import Ready


def check_installed(trial: Trial) -> None:
  """Raises ConfigError where a trial's framework is not installed."""
  if trial.framework == "jax" or importlib.util.find_spec("torch"):
    return
  raise ConfigError(
    f"framework {trial.framework}: PyTorch is not installed; run"
    " `pip install torch`, or install jaxpower with its extra: pip install"
    " 'jaxpower[torch]'"
  )


def check_data(trial: Trial) -> None:
  """Raises ConfigError where a trial does not go with its data."""
  facts = data.describe(trial.data)
  # Labels that are the next tokens are as many as the tokens.
  follows = (
    facts.kind == "tokens"
    and "label" in trial.tasks
    and facts.labels.get("label") == facts.vocabulary
  )
  kind = "text" if follows else facts.kind
  check_labels(trial, facts.labels, kind)
  check_kind(trial, kind)
  examples = max(1, round(trial.data_share * _train_examples(trial, facts)))
  if trial.batch_size > examples:
    share = "" if trial.data_share == 1 else f", {trial.data_share:g} of it"
    raise ConfigError(
      f"batch_size {trial.batch_size}: larger than the training set of"
      f" {trial.data}{share} ({examples} examples)"
    )


def check_kind(trial: Trial, kind: str) -> None:
  """Raises ConfigError unless the model can be trained on such data.

  `kind` is "image", "window", "tokens" or "text": tokens with the next ones
  as labels.
  """
  name = trial.model.name
  fitting = [n for n in MODELS if kind in NETWORKS[n].reads]
  if name not in fitting:
    raise ConfigError(
      f"model {name}: does not read {trial.data} ({kind}); models that do:"
      f" {', '.join(fitting)}"
    )
  if kind != "image" and trial.augmentation != "none":
    raise ConfigError(
      f"augmentation {trial.augmentation}: for images only, {trial.data} is"
      f" {kind}"
    )


def check_devices(trials: tuple[Trial, ...], ready: Ready) -> None:
  """Raises ConfigError where a trial asks for what the machine has not."""
  for trial in trials:
    devices = trial.devices or ready.devices
    if devices > ready.devices:
      raise ConfigError(
        f"devices {devices}: this machine has {ready.devices}"
        f" ({ready.device_kind})"
      )
    asked = trial.accumulation or 1
    if trial.batch_size % (devices * asked):
      parts = "" if asked == 1 else f"{asked} times "
      raise ConfigError(
        f"batch_size {trial.batch_size}: not a multiple of {parts}the"
        f" {devices} devices it is divided over; change it or set devices"
      )


def _train_examples(trial: Trial, facts: data.Facts) -> int:
  """Those with a label that is asked for; of mixed sets perhaps not all."""
  if "+" not in trial.data:
    return facts.train_examples
  return sum(data.describe(task).train_examples for task in trial.tasks)
