"""Which sets there are, what is known of one, and its arrays."""

import difflib
import os

from jaxpower.data import bundled
from jaxpower.data.facts import DataError, DataSet, Facts


def names() -> tuple[str, ...]:
  """The names of all sets known without looking at the disk."""
  return tuple(bundled.BUNDLED)


def describe(name: str, data_dir: str | os.PathLike | None = None) -> Facts:
  """The facts of a set, without reading its arrays."""
  if name in bundled.BUNDLED:
    return bundled.BUNDLED[name]
  near = difflib.get_close_matches(name, names(), 1)
  raise DataError(f"unknown data set {name!r}; nearest: {near}")


def load(name: str, data_dir: str | os.PathLike | None = None) -> DataSet:
  """Both splits of a set, in memory."""
  describe(name, data_dir)
  return bundled.load_bundled(name)
