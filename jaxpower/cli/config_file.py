"""Loads a config file: `PATH` or `PATH:ARGUMENTS`, Python that makes a Sweep.

A config is code, and runs with the rights of whoever names it. While it is
read, it may import what lies beside it (`from base import shared`) or beside
its folder (`from configs.base import shared`), as a script may; afterwards
neither the path nor these modules are left, so that another config has its
own.
"""

import contextlib
import difflib
import os
import pathlib
import runpy
import sys
import traceback
from collections.abc import Iterator

from jaxpower.cli.paths import path as path_of
from jaxpower.config import ConfigError, Sweep, article


def load_config(text: str) -> Sweep:
  """Makes the sweep of a config file: `PATH` or `PATH:ARGUMENTS`.

  Raises ConfigError where the file is missing, broken or gives no sweep.
  """
  path, arguments = _split(text)
  if not path.is_file():
    raise ConfigError(f"config file '{path}' is not there;{_suggestion(path)}")
  try:
    with _importable(path.resolve().parent):
      get_config = runpy.run_path(str(path)).get("get_config")
      if get_config is None:
        raise ConfigError(f"{path} defines no get_config(arguments)")
      sweep = get_config(arguments)
  except ConfigError:
    raise
  # Whatever the user's file raises, exit() too.
  except (Exception, SystemExit) as error:  # noqa: BLE001
    kind = type(error).__name__
    message = " ".join(f"{kind}: {str(error) or kind}".split())
    raise ConfigError(f"{_location(error, path)}: {message}") from None
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


@contextlib.contextmanager
def _importable(folder: pathlib.Path) -> Iterator[None]:
  """Lets modules of a folder be imported, and of the folder above it."""
  before, loaded = list(sys.path), set(sys.modules)
  sys.path[:] = [str(folder), *before, str(folder.parent)]
  try:
    yield
  finally:
    # First the modules: a package without a file asks the path where it lies.
    for name in set(sys.modules) - loaded:
      if _lies_in(sys.modules[name], folder):
        del sys.modules[name]
    sys.path[:] = before


def _lies_in(module: object, folder: pathlib.Path) -> bool:
  """Whether a module, or a package without a file, is of a folder."""
  places = [getattr(module, "__file__", None)]
  places += list(getattr(module, "__path__", ()))
  return any(place and folder in _and_above(place) for place in places)


def _and_above(place: str) -> list[pathlib.Path]:
  path = pathlib.Path(place).resolve()
  return [path, *path.parents]


def _location(error: BaseException, path: pathlib.Path) -> str:
  """Names the file and line of a user's config that raised."""
  if isinstance(error, SyntaxError):
    return f"{path}, line {error.lineno}"
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if os.path.basename(frame.filename) == path.name
  ]
  return f"{path}, line {lines[-1]}" if lines else str(path)


def _suggestion(path: pathlib.Path) -> str:
  """Suggests the config file with the nearest name, or lists those there."""
  folder = path.parent if path.parent.is_dir() else pathlib.Path("configs")
  names = sorted(str(p) for p in folder.glob("*.py"))
  near = difflib.get_close_matches(str(path), names, n=1, cutoff=0.5)
  if near:
    return f" did you mean {near[0]}?"
  return f" there are: {', '.join(names)}" if names else " check the path"
