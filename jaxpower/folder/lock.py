"""Locks a run folder, so that one run at a time writes to it.

Two runs in one folder would train the same trials and measure each other's
energy. The lock is `flock` on a file in the folder, opened for writing: NFS
keeps a lock of a folder, or of a file opened for reading, to the one node, but
turns this into a lock that all nodes see (flock(2), "NFS details"; Linux
fs/nfs/file.c). The kernel drops it when the last process that holds it ends,
however it ends, so it is never stale; only the words in the file are, which
say who wrote last.

A lock belongs to the open file, not to the process: a child that inherits
`descriptor` holds it too, and the folder is free when both are gone. So it is
only ever closed: LOCK_UN by one process would take it from the other.
"""

import contextlib
import dataclasses
import datetime as dt
import errno
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator

from jaxpower.config import ConfigError

LOCK = "run.lock"
MOST_WORDS = 4096  # bytes read of a lock file, which a stranger may have made
# What file systems answer that have no locks: NFS without its lock daemon,
# Lustre mounted without `flock`, FUSE.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
# A lock file may vanish as often as other runs are refused in that instant.
MOST_OPENED = 100  # chosen


@dataclasses.dataclass(frozen=True)
class FolderLock:
  """A run folder that this process has locked.

  Attributes:
    folder: The run folder.
    descriptor: Of the lock file, not inherited by itself. Pass it to a child
      (`pass_fds`) to let the child hold the lock too; never unlock it.
  """

  folder: pathlib.Path
  descriptor: int

  def holds(self) -> bool:
    """Whether the folder at this path is still the one that was locked.

    It is not once the folder was deleted or moved, or its file system
    unmounted: what lies at its path then is another folder, on another disk.
    """
    return _is_at(self.descriptor, self.folder / LOCK)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[FolderLock]:
  """Locks a run folder, which is made where there is none; a context manager.

  A folder into which nothing was written is removed again, with those above
  it that were made for it.

  Raises ConfigError, in one line, where another run has the lock (which one),
  or where the folder cannot be written to; nothing is left behind then.
  """
  made = _missing(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    new, descriptor = _locked_file(folder)
  except OSError as error:
    _remove_empty(made)
    raise ConfigError(_cannot_write(folder, error)) from None
  except ConfigError:
    _remove_empty(made)
    raise
  lock = FolderLock(folder, descriptor)
  try:
    yield lock
  finally:
    if new and lock.holds() and os.listdir(folder) == [LOCK]:
      (folder / LOCK).unlink()
      _remove_empty(made)
    os.close(descriptor)


def _locked_file(folder: pathlib.Path) -> tuple[bool, int]:
  """Opens and locks the lock file; returns whether it is new, its descriptor.

  Raises ConfigError where another process has it, or OSError.
  """
  path = folder / LOCK
  for _ in range(MOST_OPENED):
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      if _is_at(descriptor, path):
        _write_holder(descriptor)
        return new, descriptor
      os.close(descriptor)  # it was removed before it was locked: once more
    except BlockingIOError:
      words = _holder(descriptor)
      os.close(descriptor)
      raise ConfigError(
        f"{words} is writing to {folder}; wait for it or name another folder"
        " with --out"
      ) from None
    except BaseException:
      os.close(descriptor)
      if new:
        path.unlink()
      raise
  raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
  """Whether an open file is still the one at a path."""
  try:
    there, opened = os.stat(path), os.fstat(descriptor)
  except OSError:
    return False
  return (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)


def _write_holder(descriptor: int) -> None:
  """Writes who holds the lock, for whoever is refused; raises OSError."""
  now = dt.datetime.now(dt.UTC)
  holder = {
    "host": socket.gethostname(),
    "pid": os.getpid(),
    "since": now.isoformat(timespec="seconds"),
  }
  content = json.dumps(holder).encode() + b"\n"
  os.ftruncate(descriptor, 0)
  os.pwrite(descriptor, content, 0)
  os.fsync(descriptor)  # other nodes read it from the server


def _holder(descriptor: int) -> str:
  """Names the run that holds a lock; "another run" where it does not say."""
  try:
    facts = json.loads(os.pread(descriptor, MOST_WORDS, 0))
    since = dt.datetime.fromisoformat(facts["since"])
    host, pid = str(facts["host"]), int(facts["pid"])
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return "another run"
  shown = "".join(c if c.isprintable() else "?" for c in host)
  return f"the run on {shown}, pid {pid}, since {since:%Y-%m-%d %H:%M} UTC,"


def _cannot_write(folder: pathlib.Path, error: OSError) -> str:
  """Says why a folder cannot be locked, and the fix."""
  if error.errno in NO_LOCKS:
    return (
      f"{folder} is on a file system without file locks ({error.strerror});"
      " mount it with them, or name a folder on another one with --out"
    )
  return (
    f"cannot write to {folder} ({error.strerror}); name another folder with"
    " --out"
  )


def _missing(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists a folder and those above it that are not there, the lowest first."""
  return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_empty(folders: list[pathlib.Path]) -> None:
  """Removes folders, the lowest first, as far as they are empty."""
  with contextlib.suppress(OSError):
    for path in folders:
      path.rmdir()
