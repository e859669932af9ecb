"""Builds a network of the user's, an `nn.Module` in a file: `nets.py:WideNet`.

Of a file that holds both, JAX takes `WideNet` and PyTorch `WideNetTorch`, or
`WideNet` where that is none of Flax's. It is built with `classes` and the
options of the config, and with `input_shape`, `vocabulary` and `dropout` where
it takes them. It is given inputs as the data set has them, channels last.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jaxpower import user_code
from jaxpower.config import ConfigError, Model, Trial
from jaxpower.data import Facts
from jaxpower.user_code import (
  EXAMPLES,
  HEAD,
  TWIN,
  UserCodeError,
  place_of,
)


def build(
  model: Model,
  classes: int,
  vocabulary: int | None,
  input_shape: Sequence[int],
  dropout: float,
) -> nn.Module:
  """Builds the network, with first weights of its own.

  Raises UserCodeError where the file, the class or an option is wrong.
  """
  place = place_of(model.name)
  assert place is not None
  names = user_code.load(model.name, model.fingerprint)
  name = f"{place.name}{TWIN}"
  found = names.get(name)
  if found is None:
    name, found = place.name, names.get(place.name)
  if not (inspect.isclass(found) and issubclass(found, nn.Module)):
    raise UserCodeError(
      f"{place.path} has no {place.name}{TWIN}, and {place.name} is no"
      " torch.nn.Module; PyTorch needs one"
    )
  given = user_code.arguments(
    f"{place.path}:{name}",
    found,
    {"classes": classes},
    {
      "input_shape": tuple(input_shape),
      "vocabulary": vocabulary,
      "dropout": dropout,
    },
    model.options,
  )
  return found(**given)


# What the trainer asks of a network


def check(trial: Trial, facts: Facts, classes: int, text: bool) -> None:
  """Raises ConfigError unless the trainer can use a trial's own network.

  It is called on zeros, on the CPU.

  Args:
    trial: What would be trained.
    facts: Of its data set.
    classes: The outputs of the head, those of all tasks.
    text: Whether the labels are the next tokens, at every place.
  """
  try:
    _check(trial, facts, classes, text)
  except UserCodeError as error:
    raise ConfigError(str(error), field="model.name") from None


@torch.no_grad()
def _check(trial: Trial, facts: Facts, classes: int, text: bool) -> None:
  name, shape = trial.model.name, facts.input_shape
  network: Any = user_code.called(
    name,
    lambda: build(trial.model, classes, facts.vocabulary, shape, trial.dropout),
  )
  layers = dict(network.named_children())
  if not isinstance(layers.get(HEAD), nn.Linear):
    raise UserCodeError(
      f"{name} has no nn.Linear named 'head'; its layers are"
      f" {', '.join(layers) or 'none'}; give the last one that name"
    )
  kinds = {n: p.dtype for n, p in network.named_parameters()}
  for parameter, kind in kinds.items():
    if kind != torch.float32:
      raise UserCodeError(
        f"{name}: weights are float32, whatever the precision of the"
        f" arithmetic; {parameter} is {kind}"
      )
  parameters = inspect.signature(type(network).__init__).parameters
  if trial.dropout and "dropout" not in parameters:
    raise UserCodeError(
      f"{name} takes no argument dropout; take it, or leave dropout at 0"
    )
  once = trial.transfer.features == "once"
  if once and not hasattr(network, "features"):
    raise UserCodeError(
      f"{name} has no method features, which transfer.features once calls"
    )
  kind = torch.float32 if facts.vocabulary is None else torch.int32
  inputs = torch.zeros((EXAMPLES, *shape), dtype=kind)
  outputs: Any = user_code.called(name, lambda: network.train()(inputs))
  places = shape if text else ()
  expected = (EXAMPLES, *places, classes)
  found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs)
  if found != expected:
    raise UserCodeError(
      f"{name} maps inputs {(EXAMPLES, *shape)} to {found}, not to logits"
      f" {expected}"
    )
