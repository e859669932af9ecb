"""Finds a data set by its name: bundled, prepared, one's own, or some mixed."""

import dataclasses
import difflib
import os
import pathlib
import shlex

from jaxpower.data import bundled, mixed, own, prepared
from jaxpower.data.facts import DataError, DataSet, Facts
from jaxpower.data.validation import hold_back


def names() -> tuple[str, ...]:
  """Lists the sets known by name: the bundled ones, then some of TFDS."""
  return (*bundled.BUNDLED, *prepared.KNOWN)


def is_own(name: str) -> bool:
  """Whether a set, or one that is mixed in it, is arrays of the user's."""
  return any(own.is_own(part) for part in mixed.set_names(name))


def describe(name: str, data_dir: str | os.PathLike | None = None) -> Facts:
  """Describes a set at once: no array is read, nothing is fetched.

  But arrays of the user's, of which nothing is written down, are read.

  `data_dir` is where prepared sets lie: by default $TFDS_DATA_DIR, else
  ~/tensorflow_datasets. 'a+b' is the sets a and b mixed, with a label under
  the name of each. Raises DataError with the fix.
  """
  if mixed.JOIN in name:
    return mixed.describe_mixed(name, lambda part: describe(part, data_dir))
  if name in bundled.BUNDLED:
    return bundled.BUNDLED[name]
  if own.is_own(name):
    return own.describe(name)
  return _prepared(name, data_dir).facts


def load(
  name: str,
  data_dir: str | os.PathLike | None = None,
  *,
  mapped: bool = False,
  validation_share: float = 0.0,
) -> DataSet:
  """Loads the splits of a set. Raises DataError as `describe` does.

  A prepared set is decoded once; its arrays are then kept beside it. Texts are
  cut or padded to 256 bytes and photos of many sizes to 128 x 128 pixels,
  unless the name says otherwise: 'imdb_reviews@512'. If `mapped` the arrays of
  a prepared set are left on disk, for `stream`; the bundled ones are small,
  and mixed sets are always in memory. With a `validation_share` the set has a
  validation set: its own, or that share of its training set.
  """
  if mixed.JOIN in name:
    facts = describe(name, data_dir)
    return mixed.load_mixed(
      facts,
      lambda part: load(part, data_dir, validation_share=validation_share),
    )
  if name in bundled.BUNDLED:
    whole = bundled.load_bundled(name)
  elif own.is_own(name):
    whole = own.load(name)
    if not validation_share:
      whole = dataclasses.replace(whole, validation=None)
  else:
    whole = prepared.load_prepared(
      _prepared(name, data_dir), mapped, with_validation=validation_share > 0
    )
  return hold_back(whole, validation_share)


def _prepared(
  name: str, data_dir: str | os.PathLike | None
) -> prepared.Prepared:
  folder = prepared.default_data_dir(data_dir)
  newest = prepared.find(name, folder)
  if newest:
    return newest
  path, version, _ = prepared.split_name(name)
  if path in bundled.BUNDLED:
    raise DataError(
      f"data set {path!r} comes with jaxpower in one form; name it {path!r}, "
      f"not {name!r}"
    )
  others = prepared.versions(path, folder)
  if others:
    raise DataError(
      f"data set {path!r} is not prepared in version {version} in {folder}; "
      f"there is {', '.join(others)}"
    )
  if path in prepared.KNOWN:
    raise DataError(
      f"data set {name!r} is not prepared in {folder}; "
      f"fix: {prepare_command(name, data_dir)}"
    )
  raise _unknown(path, folder)


def prepare_command(
  name: str, data_dir: str | os.PathLike | None = None
) -> str:
  """Returns the command that prepares a set where `load` will look for it."""
  command = ["python", "scripts/prepare_data.py", f"--data={name}"]
  if data_dir:
    command.append(f"--data_dir={os.fspath(data_dir)}")
  return shlex.join(command)


def _unknown(name: str, data_dir: pathlib.Path) -> DataError:
  if os.path.isdir(name):
    return DataError(
      f"there is no data set {name!r}; to read the folder of that name write"
      f" ./{name}"
    )
  existing = sorted({*names(), *prepared.prepared_names(data_dir)})
  near = difflib.get_close_matches(name, existing, 1)
  listed = f"there are {', '.join(existing)}"
  if near:
    return DataError(
      f"there is no data set {name!r}; did you mean {near[0]!r}? {listed}"
    )
  return DataError(
    f"there is no data set {name!r}; {listed}; if tensorflow-datasets has it: "
    f"{prepare_command(name)}"
  )
