"""Reads arrays of the user's: a function, a file .npz or a folder of .npy.

  sets.py:load   a function that takes nothing and returns the splits
  arrays.npz     arrays named train_input, train_label, test_input, ...
  ./arrays       a folder of files train_input.npy, ..., mapped from disk

A function is anybody's code and may load anything. So that the process that
plans a sweep opens no GPU and holds no arrays, the function is called in a
child of it that has no GPU and answers with facts alone; a worker calls it once
itself. The hash of the arrays is part of every trial's config, and a worker
whose arrays hash to another one refuses them: a function that draws a new split
each time would compare trials on unlike data.
"""

import dataclasses
import difflib
import functools
import json
import os
import pathlib
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxpower import python_path, user_code
from jaxpower.data import checked_arrays
from jaxpower.data.checked_arrays import SPLITS
from jaxpower.data.facts import DataError, DataSet, Facts
from jaxpower.user_code import UserCodeError, place_of

ARCHIVE = ".npz"
PATHS = ("./", "../", "/", "~")  # how the name of a folder begins
WORKER = "JAXPOWER_WORKER"  # in the environment of a process that trains
COMMAND = "from jaxpower.data import own; own.main()"
NO_GPU = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
MOST_SAID = 2_000  # characters; a pipe holds 65,536 bytes until it is read
KEPT = 2  # sets in memory between trials; chosen: one to train on, one before
# What a file that is no archive of arrays raises.
_DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def is_own(name: str) -> bool:
  """Whether a name is that of arrays of the user's, as data sets have none."""
  return (
    place_of(name) is not None
    or name.endswith((ARCHIVE, ".py", "/"))
    or name.startswith(PATHS)
  )


def describe(name: str) -> Facts:
  """Describes the user's arrays, after all checks. Raises DataError."""
  if place_of(name) is None or WORKER in os.environ:
    return _loaded(name, _stamp(name)).facts
  return _described(name, _stamp(name))


def load(name: str) -> DataSet:
  """Loads the user's arrays, after all checks. Raises DataError."""
  return _loaded(name, _stamp(name))


def forget() -> None:
  """Forgets all facts, since a function may read files that have changed."""
  _described.cache_clear()
  _loaded.cache_clear()


@functools.lru_cache
def _described(name: str, stamp: str) -> Facts:
  """Has a child process call a function and tell the facts of its arrays."""
  del stamp
  reading, writing = os.pipe()
  own = python_path.of_child(os.environ) | NO_GPU
  with open(reading, encoding="utf-8") as answers:
    try:
      done = subprocess.run(
        [sys.executable, "-P", "-c", COMMAND, name, str(writing)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        env=os.environ | own,
        errors="replace",
      )
    finally:
      os.close(writing)
    answer = answers.read()
  if not answer:
    last = (done.stderr.strip().splitlines() or ["no word"])[-1]
    raise DataError(f"{name} ended its process ({done.returncode}): {last}")
  facts = json.loads(answer)
  if "error" in facts:
    raise DataError(facts["error"])
  tuples = ("input_shape", "cautions")
  return Facts(**facts | {field: tuple(facts[field]) for field in tuples})


def main() -> None:
  """Writes the facts of a set, or what is wrong with it, as JSON to a pipe."""
  name, writing = sys.argv[1:]
  os.environ[WORKER] = "1"
  try:
    answer = dataclasses.asdict(describe(name))
  except DataError as error:
    answer = {"error": str(error)[:MOST_SAID]}
  with open(int(writing), "w", encoding="utf-8") as pipe:
    json.dump(answer, pipe)


@functools.lru_cache(maxsize=KEPT)
def _loaded(name: str, stamp: str) -> DataSet:
  del stamp
  return checked_arrays.make(name, _arrays(name))


def _stamp(name: str) -> str:
  """Says which state of its files a name has; raises DataError if none."""
  place, path = place_of(name), pathlib.Path(name).expanduser()
  try:
    if place is not None:
      user_code.require(place)
      return user_code.checksum(place.path)
    if name.endswith(".py"):
      raise DataError(f"{name}: which function of it? write {name}:load")
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    return repr(
      [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    )
  except UserCodeError as error:
    raise DataError(f"data: {error}") from None
  except OSError as error:
    raise DataError(f"data: {path}: {error.strerror}{_nearest(path)}") from None


def _nearest(path: pathlib.Path) -> str:
  names = sorted(each.name for each in path.parent.glob(f"*{path.suffix}"))
  near = difflib.get_close_matches(path.name, names, 1, cutoff=0.5)
  return f"; did you mean {path.with_name(near[0])}?" if near else ""


def _arrays(name: str) -> Mapping[str, Any]:
  """Returns the splits by name, and what else was given with them."""
  place, path = place_of(name), pathlib.Path(name).expanduser()
  if place is not None:
    return _called(name)
  try:
    if path.is_dir():
      found = {
        file.stem: np.load(file, mmap_mode="r") for file in path.glob("*.npy")
      }
    else:
      with path.open("rb") as opened, np.load(opened) as archive:
        found = {each: archive[each] for each in archive.files}
  except _DAMAGE as error:
    raise DataError(f"{name} cannot be read: {error}") from None
  return _by_split(name, found)


def _called(name: str) -> Mapping[str, Any]:
  """Calls a function for its splits."""
  place = place_of(name)
  assert place is not None
  try:
    function = user_code.load(name)[place.name]
    returned = function()
  except UserCodeError as error:
    raise DataError(f"data: {error}") from None
  except Exception as error:  # noqa: BLE001, it is anybody's code
    raise DataError(f"data: {user_code.raised(error, place.path)}") from None
  if not isinstance(returned, Mapping):
    raise DataError(
      f"{name} returned {_article(returned)}; return a dict of splits, as"
      ' {"train": {"input": x, "label": y}, "test": ...}'
    )
  return {
    key: _named(name, key, value) if key in SPLITS else value
    for key, value in returned.items()
  }


def _named(name: str, split: str, value: Any) -> Mapping[str, Any]:
  """Returns the arrays of a split by name; a pair is an input and a label."""
  if isinstance(value, tuple | list) and len(value) == 2:
    return {"input": value[0], "label": value[1]}
  if isinstance(value, Mapping):
    return value
  raise DataError(
    f'{name}: {split} is {_article(value)}; give {{"input": x, "label": y}} or'
    " (x, y)"
  )


def _by_split(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
  """Sorts arrays named train_input, test_label, ... by their split."""
  found: dict[str, Any] = {}
  for key, array in arrays.items():
    split, _, part = key.partition("_")
    if split in SPLITS and part:
      found.setdefault(split, {})[part] = array
    elif array.ndim == 0:
      found[key] = array.item()
    else:
      raise DataError(
        f"{name}: what is {key}? arrays are named train_input, train_label,"
        " test_input, ..., validation_input, ..."
      )
  return found


def _article(value: Any) -> str:
  kind = type(value).__name__
  return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"
