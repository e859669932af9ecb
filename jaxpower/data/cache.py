"""Arrays kept in one file that is either whole or not taken."""

import logging
import os
import pathlib
import secrets
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
    # numpy leaves a file open that it opened and cannot read.
    with file.open("rb") as opened, np.load(opened) as archive:
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
  part = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
  try:
    try:
      with part.open("xb") as handle:
        np.savez(handle, allow_pickle=False, **{_KEY: np.array(key)}, **arrays)
        handle.flush()
        os.fsync(handle.fileno())
      part.replace(file)
    finally:
      part.unlink(missing_ok=True)
  except OSError as error:
    logging.getLogger(__name__).warning(
      "%s was not written (%s); the set is decoded each time", file, error
    )
