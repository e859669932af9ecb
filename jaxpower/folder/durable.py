"""Writes a file so that it is there whole or not at all, and says why not.

The content goes to a file beside it, which is synced and then renamed: a
rename replaces a file in one step, on NFS too, so a reader, a kill or a full
disk never leaves half of one. The folder is synced as well, or a power cut
could undo the rename.
"""

import contextlib
import errno
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator

UNFINISHED = ".unfinished"  # how the names of files end that are being written


def replace(path: pathlib.Path, content: bytes) -> None:
  """Writes a file, or replaces it, whole and on the disk; its folder exists.

  Raises OSError, named by the path; what was at it is then still there.
  """
  with named(path):
    _replace(path, content)


@contextlib.contextmanager
def named(path: pathlib.Path) -> Iterator[None]:
  """Gives an OSError that names no file, or one half-written, a path."""
  try:
    yield
  except OSError as error:
    raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: pathlib.Path, content: bytes) -> None:
  name = f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{UNFINISHED}"
  unfinished = path.with_name(name)
  try:
    with unfinished.open("xb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    unfinished.replace(path)
  except BaseException:
    with contextlib.suppress(OSError):
      unfinished.unlink()
    raise
  sync_folder(path.parent)


def sync_folder(folder: pathlib.Path) -> None:
  """Waits until the names in a folder are on the disk, where it can."""
  with contextlib.suppress(OSError):  # some file systems sync no folders
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
      os.fsync(descriptor)
    finally:
      os.close(descriptor)


def remove_unfinished(folder: pathlib.Path) -> None:
  """Removes what a kill left half-written; only while no one writes there."""
  for path in folder.glob(f".*{UNFINISHED}"):
    with contextlib.suppress(OSError):
      path.unlink()


def free_bytes(path: pathlib.Path) -> int | None:
  """Returns what is free where a path lies or will lie; None if unknown."""
  for there in (path, *path.absolute().parents):
    with contextlib.suppress(OSError):
      return shutil.disk_usage(there).free
  return None


def why_not(path: pathlib.Path, error: OSError) -> str:
  """Says in one line why a path could not be written, and the fix."""
  reason = f"cannot write {path}: {error.strerror or error}"
  if error.errno in (errno.ENOSPC, errno.EDQUOT):
    free = free_bytes(path)
    known = "" if free is None else f" ({free:,} bytes free)"
    return f"{reason}{known}; free some space"
  if error.errno == errno.EROFS:
    return f"{reason}; mount it writable"
  if error.errno in (errno.ENOENT, errno.ESTALE, errno.ENOTCONN):
    return f"{reason}; is its disk still mounted, its folder still there?"
  return f"{reason}; look at its disk"
