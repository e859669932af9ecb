"""Arrays kept in one file that is either whole or not taken."""

import logging
import os
import pathlib
import tempfile
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

_KEY = "key"


def read(file: pathlib.Path, key: str) -> dict[str, np.ndarray] | None:
  """The arrays written under `key`; None where absent, stale or damaged.

  The zip format keeps a checksum of every member, and it is checked here.
  """
  try:
    with np.load(file, allow_pickle=False) as archive:
      if str(archive[_KEY]) != key:
        return None
      return {name: archive[name] for name in archive.files if name != _KEY}
  except FileNotFoundError:
    return None
  except (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    logging.getLogger(__name__).warning(
      "%s is damaged (%s) and will be made again", file, error
    )
    return None


def write(
  file: pathlib.Path, key: str, arrays: Mapping[str, np.ndarray]
) -> None:
  """Writes beside `file`, then renames: a reader sees all of it or nothing.

  A cache that cannot be written costs time, not the run: it is only logged.
  """
  try:
    with tempfile.NamedTemporaryFile(
      dir=file.parent, prefix=file.name, delete=False
    ) as part:
      try:
        np.savez(part, allow_pickle=False, **{_KEY: np.array(key)}, **arrays)
        part.flush()
        os.fsync(part.fileno())
        os.replace(part.name, file)
      except BaseException:
        os.unlink(part.name)
        raise
  except OSError as error:
    logging.getLogger(__name__).warning(
      "%s was not written (%s); the set is decoded each time", file, error
    )
