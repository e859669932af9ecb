"""Fills in the checksums of what a config names and does not hold.

A trial's id is a hash of its config. A network in a file of the user's, or
arrays of the user's, are named in it and lie elsewhere; with their checksums in
the config, whoever edits them has another trial, and no two results under one
id come of different things. Trials that name no such thing stay as they are.
"""

import copy
import dataclasses
import pathlib
from typing import Any

from jaxpower import data, user_code
from jaxpower.config import (
  COMMAND,
  Conditions,
  ConfigError,
  Model,
  Sweep,
  Transfer,
  Trial,
  sources,
)
from jaxpower.script import template
from jaxpower.user_code import TWIN, UserCodeError, place_of

OWN_DATA = "own data"  # of a command that does not say which


def fill_in(trial: Trial) -> None:
  """Fills in the checksums of a trial and of its pretrainings, in place.

  Raises ConfigError or DataError where a file is missing or broken.
  """
  if trial.framework == COMMAND:
    _complete_command(trial)
    return
  for each in (trial, *sources(trial)):
    _of_model(each.model)
    _of_data(each)


def filled_in(sweep: Sweep) -> Sweep:
  """Returns a sweep with the checksums of its values that are whole parts.

  Those of a model, a transfer or a pretraining that is varied as one, so that
  it is the same value as in a recorded trial.
  """
  # What is of another type is refused later, with the sweep.
  if type(sweep.vary) is not dict:
    return sweep
  vary = {
    path: tuple(map(_part, values)) if type(values) in (list, tuple) else values
    for path, values in sweep.vary.items()
  }
  return dataclasses.replace(sweep, vary=vary)


def _part(value: Any) -> Any:
  if isinstance(value, Model | Transfer | Trial):
    value = copy.deepcopy(value)  # the caller's stays as it is
  match value:
    case Model():
      _of_model(value)
    case Trial():
      fill_in(value)
    case Transfer(init_from=Trial() as source):
      fill_in(source)
  return value


def _complete_command(trial: Trial) -> None:
  """Adds to a command the checksums of its files, in place.

  And leaves out a data set that it does not name and nobody chose.
  """
  if trial.data == Conditions.data and "data" not in template.names_of(trial):
    trial.data = OWN_DATA
  trial.command_files = template.checksums(trial, pathlib.Path.cwd())


def _of_model(model: Model) -> None:
  place = place_of(model.name) if isinstance(model.name, str) else None
  model.fingerprint = ""
  if place is None:
    return
  try:
    user_code.require(place, (f"{place.name}{TWIN}",))
    model.fingerprint = user_code.checksum(place.path)
  except UserCodeError as error:
    raise ConfigError(str(error), field="model.name") from None


def _of_data(trial: Trial) -> None:
  own = isinstance(trial.data, str) and data.is_own(trial.data)
  fingerprint = data.describe(trial.data).fingerprint if own else ""
  trial.data_fingerprint = fingerprint
