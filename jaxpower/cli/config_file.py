"""Loads a config file: `PATH` or `PATH:ARGUMENTS`, Python that makes a Sweep.

A config is code, and runs with the rights of whoever names it. While it is
read, it may import what lies beside it (`from base import shared`) or beside
its folder (`from configs.base import shared`), as a script may; afterwards
neither the path nor these modules are left, so that another config has its
own.
"""

import difflib
import pathlib
import runpy

from jaxpower.cli.paths import path as path_of
from jaxpower.config import ConfigError, Sweep, article
from jaxpower.user_code import importable, raised


def load_config(text: str) -> Sweep:
  """Makes the sweep of a config file: `PATH` or `PATH:ARGUMENTS`.

  Raises ConfigError where the file is missing, broken or gives no sweep.
  """
  path, arguments = _split(text)
  if not path.is_file():
    raise ConfigError(f"config file '{path}' is not there;{_suggestion(path)}")
  try:
    with importable(path.resolve().parent):
      get_config = runpy.run_path(str(path)).get("get_config")
      if get_config is None:
        raise ConfigError(f"{path} defines no get_config(arguments)")
      sweep = get_config(arguments)
  except ConfigError:
    raise
  # Whatever the user's file raises, exit() too.
  except (Exception, SystemExit) as error:  # noqa: BLE001
    raise ConfigError(raised(error, path)) from None
  if not isinstance(sweep, Sweep):
    raise ConfigError(
      f"{path}: get_config() returned {article(type(sweep).__name__)}; it must"
      " return a jaxpower.Sweep"
    )
  return sweep


def _split(text: str) -> tuple[pathlib.Path, str]:
  """Splits a path from its arguments; folders too may have a colon."""
  colons = [place for place, sign in enumerate(text) if sign == ":"]
  for place in [*colons, len(text)]:
    if text[:place] and (path := path_of(text[:place])).is_file():
      return path, text[place + 1 :]
  name, python, arguments = text.partition(".py:")
  if not python:
    name, _, arguments = text.partition(":")
  return path_of(name + python.removesuffix(":")), arguments


def _suggestion(path: pathlib.Path) -> str:
  """Suggests the config file with the nearest name, or lists those there."""
  folder = path.parent if path.parent.is_dir() else pathlib.Path("configs")
  names = sorted(str(p) for p in folder.glob("*.py"))
  near = difflib.get_close_matches(str(path), names, n=1, cutoff=0.5)
  if near:
    return f" did you mean {near[0]}?"
  return f" there are: {', '.join(names)}" if names else " check the path"
