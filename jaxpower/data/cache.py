"""Caches arrays in one file that is either whole or not taken.

Decoding the 60,000 images of Fashion-MNIST takes 4.5 s, reading their array 0.2
s. The file is an npz whose members are stored, not compressed, so that each can
be mapped where it lies in the file. A process may be killed while it writes,
and disks lose bits: so a file appears by renaming, the zip format's checksum of
every member is checked, and what is damaged is made again, as the log says.
"""

import logging
import os
import pathlib
import secrets
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

_KEY = "key"
_DAMAGE = (
  OSError,
  EOFError,
  KeyError,
  ValueError,
  RuntimeError,  # a flag says that a member is encrypted
  NotImplementedError,
  struct.error,
  zipfile.BadZipFile,
  zlib.error,
)


def read(file: pathlib.Path, key: str) -> dict[str, np.ndarray] | None:
  """Reads the arrays written under `key`; None if absent, stale or damaged."""
  try:
    # numpy leaves a file open that it opened and cannot read.
    with file.open("rb") as opened, np.load(opened) as archive:
      if str(archive[_KEY]) != key:
        return None
      _require_whole(archive.zip)
      return {name: archive[name] for name in archive.files if name != _KEY}
  except FileNotFoundError:
    return None
  except _DAMAGE as error:
    _log_damage(file, error)
    return None


def _require_whole(archive: zipfile.ZipFile) -> None:
  """Raises one of `_DAMAGE` where the checksum of a member is wrong.

  Reading an array ends where the array does: of a member that claims to be
  longer its checksum would not be compared.
  """
  if damaged := archive.testzip():
    raise ValueError(f"the checksum of {damaged} is wrong")


def map_arrays(file: pathlib.Path, key: str) -> dict[str, np.ndarray] | None:
  """Maps the arrays of `read` from disk, so that they are read when used.

  All of the file is read once to check it, but not kept.
  """
  try:
    with file.open("rb") as opened, zipfile.ZipFile(opened) as archive:
      _require_whole(archive)
      arrays = {
        info.filename.removesuffix(".npy"): _map_member(archive, info, opened)
        for info in archive.infolist()
      }
      return arrays if str(arrays.pop(_KEY)) == key else None
  except FileNotFoundError:
    return None
  except _DAMAGE as error:
    _log_damage(file, error)
    return None


def _map_member(
  archive: zipfile.ZipFile, info: zipfile.ZipInfo, opened: BinaryIO
) -> np.ndarray:
  with archive.open(info) as member:
    version = np.lib.format.read_magic(member)
    read_header = {
      (1, 0): np.lib.format.read_array_header_1_0,
      (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(member)
    skipped = member.tell()
  # PKWARE's APPNOTE, 4.3.7: the name and the extra field follow 30 bytes, and
  # their lengths here may differ from those in the directory.
  opened.seek(info.header_offset + 26)
  lengths = struct.unpack("<HH", opened.read(4))
  start = info.header_offset + 30 + sum(lengths) + skipped
  return np.memmap(opened, dtype, "r", start, shape)


def _log_damage(file: pathlib.Path, error: Exception) -> None:
  logging.getLogger(__name__).warning(
    "%s is damaged (%s) and will be made again", file, error
  )


def write(
  file: pathlib.Path, key: str, arrays: Mapping[str, np.ndarray]
) -> None:
  """Writes the arrays beside `file`, then renames: readers see all or nothing.

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
