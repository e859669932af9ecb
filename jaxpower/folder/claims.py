"""Claims a trial, so that of many processes on many nodes one runs it.

A claim is a file that only its first maker can make (O_CREAT | O_EXCL, which
NFS does too, open(2)): claims/<trial_id>.<n>. Locks will not do here, since
shared file systems often have none. A thread touches the file every few
seconds. One that was not touched for STALE_SECONDS is stale: whoever makes the
file of the next number then has the claim, and of two that try one succeeds.
No file of somebody else's is ever removed or renamed, so none can take what
another has just got; a holder that was asleep for so long sees the higher
number and ends.

Age is told by the clock of the file system, to which all nodes write, and not
by those of the nodes. On the node of the holder nobody waits: its process is
there or not.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import pathlib
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import Any

FOLDER = "claims"
BEAT_SECONDS = 10.0  # between two signs of life; chosen
# NFS may show an old time for up to 60 s (acregmax, nfs(5)), also to the holder
# who is writing; twice that, and some beats that came late. Chosen.
STALE_SECONDS = 180.0
MOST_TRIES = 100  # of making a file in a folder that others remove; chosen

BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")
PIDS = pathlib.Path("/proc/self/ns/pid")
START_FIELD = 19  # of /proc/<pid>/stat after the name: 22 of proc(5)


class TakenError(Exception):
  """Another process runs this trial: one line says which."""


@dataclasses.dataclass
class Claim:
  """A trial that this process alone may run.

  Attributes:
    path: The file.
    lost: Whether it was taken over, since no sign of life came for too long.
  """

  path: pathlib.Path
  lost: bool = False

  @property
  def folder(self) -> pathlib.Path:
    """The run folder."""
    return self.path.parent.parent

  def holds(self) -> bool:
    """Whether what lies at the folder's path is still what was claimed in."""
    return self.path.exists()


@contextlib.contextmanager
def claimed(
  folder: pathlib.Path, trial_id: str, *, locked: bool = False
) -> Iterator[Claim]:
  """Claims a trial of a run folder; a context manager.

  Raises TakenError, in one line, where a living process has it; OSError where
  the folder cannot be written to. Who has `locked` the folder goes on without a
  claim then: its disk may be full or away, and no trial is to be lost by that.
  """
  try:
    claim = Claim(_made(folder / FOLDER, trial_id))
  except OSError:
    if not locked:
      raise
    yield Claim(folder / FOLDER / f"{trial_id}.0")
    return
  over = threading.Event()
  thread = threading.Thread(
    target=_beat, args=(claim, over), name="jaxpower-claim", daemon=True
  )
  thread.start()
  try:
    yield claim
  finally:
    over.set()
    thread.join()
    if not claim.lost:
      _release(claim.path)


def living(folder: pathlib.Path) -> bool:
  """Whether any trial of a run folder is claimed by a living process."""
  newest = {_trial(path): path for path in _files(folder / FOLDER)}
  return any(not _is_over(path) for path in newest.values())


def _made(folder: pathlib.Path, trial_id: str) -> pathlib.Path:
  """Makes the file of a claim; raises TakenError where another's stands."""
  for _ in range(MOST_TRIES):
    folder.mkdir(parents=True, exist_ok=True)
    before = _files(folder, trial_id)
    token = before and _token(before[-1])
    if before and not _is_over(before[-1]):
      raise TakenError(_taken(before[-1], trial_id))
    path = folder / f"{trial_id}.{_number(before[-1]) + 1 if before else 1}"
    try:
      _write(path)
    except (FileExistsError, FileNotFoundError):
      continue  # another was first, or removed the empty folder: look again
    # What was judged must still be what stands there: a holder that was let go
    # and a new one of the same number would be two.
    now = _files(folder, trial_id)
    if now[-1:] == [path] and (not before or _token(before[-1]) == token):
      return path
    path.unlink(missing_ok=True)
  raise TakenError(f"{trial_id}: its claims in {folder} change all the time")


def _write(path: pathlib.Path) -> None:
  """Makes a file that says who holds the claim; FileExistsError if it is."""
  now = dt.datetime.now(dt.UTC)
  holder = {
    "host": socket.gethostname(),
    "machine": _machine(),
    "pid": os.getpid(),
    "started": _started(os.getpid()),
    "since": now.isoformat(timespec="seconds"),
    "token": secrets.token_hex(8),
  }
  flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
  descriptor = os.open(path, flags, 0o666)
  try:
    os.write(descriptor, json.dumps(holder).encode())
    os.fsync(descriptor)  # other nodes read it from the server
  finally:
    os.close(descriptor)


def _beat(claim: Claim, over: threading.Event) -> None:
  """Touches the file until the end, or until another has taken over.

  Where it cannot, the disk may be away for a while: that takes no claim away.
  """
  name, number = _trial(claim.path), _number(claim.path)
  while not over.wait(BEAT_SECONDS):
    with contextlib.suppress(OSError):
      os.utime(claim.path)
      newest = _files(claim.path.parent, name)[-1:]
      claim.lost = any(_number(path) > number for path in newest)
    if claim.lost:
      return


def _release(path: pathlib.Path) -> None:
  """Removes a claim, and those that it took over."""
  with contextlib.suppress(OSError):
    for older in _files(path.parent, _trial(path)):
      if _number(older) <= _number(path):
        older.unlink(missing_ok=True)
    path.parent.rmdir()  # where it was the last


def _files(
  folder: pathlib.Path, trial_id: str | None = None
) -> list[pathlib.Path]:
  """Lists the claims of a trial, or of all, by number; the last one counts."""
  try:
    names = os.listdir(folder)
  except FileNotFoundError:
    return []
  paths = [folder / name for name in names if name[-1:].isdecimal()]
  return sorted(
    (p for p in paths if trial_id in (None, _trial(p))), key=_number
  )


def _trial(path: pathlib.Path) -> str:
  return path.name.rpartition(".")[0]


def _number(path: pathlib.Path) -> int:
  return int(path.name.rpartition(".")[2])


def _is_over(path: pathlib.Path) -> bool:
  """Whether the process that made a claim is gone, as far as can be told."""
  holder = _holder(path)
  if holder.get("machine") == _machine():
    pid = holder.get("pid")
    return not isinstance(pid, int) or _started(pid) != holder.get("started")
  try:
    # Opened, not only looked at: NFS then asks the server.
    with path.open("rb") as file:
      touched = os.fstat(file.fileno()).st_mtime
    return _now(path.parent) - touched > STALE_SECONDS
  except FileNotFoundError:
    return True


def _now(folder: pathlib.Path) -> float:
  """Returns the time by the clock of the file system."""
  probe = folder / f".{secrets.token_hex(8)}.probe"
  with probe.open("xb") as file:
    file.write(b".")
    file.flush()
    now = os.fstat(file.fileno()).st_mtime
  probe.unlink(missing_ok=True)
  return now


def _holder(path: pathlib.Path) -> dict[str, Any]:
  """Reads who holds a claim; {} where it does not say, or not yet."""
  try:
    facts = json.loads(path.read_bytes())
  except (OSError, ValueError, RecursionError):
    return {}
  return facts if isinstance(facts, dict) else {}


def _token(path: pathlib.Path) -> Any:
  return _holder(path).get("token")


def _machine() -> str:
  """Names what a process id is unique in: a boot of a machine, a container."""
  try:
    return f"{BOOT.read_text().strip()} {os.readlink(PIDS)}"
  except OSError:
    return socket.gethostname()


def _started(pid: int) -> str:
  """Tells a process from a later one of the same number; "" if it is gone.

  By its start in the kernel's ticks; where that cannot be read it is there.
  """
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return ""
  except OSError:
    pass  # another user's
  try:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_bytes()
    state, *fields = stat.rpartition(b")")[2].split()
  except OSError:
    return "there"
  return "" if state == b"Z" else fields[START_FIELD - 1].decode()


def _taken(path: pathlib.Path, trial_id: str) -> str:
  """Says who runs a trial."""
  holder = _holder(path)
  if not {"host", "pid", "since"} <= holder.keys():
    return f"trial {trial_id} is run by another process; wait for its record"
  host = "".join(c if c.isprintable() else "?" for c in str(holder["host"]))
  return (
    f"trial {trial_id} is run by pid {holder['pid']} on {host}, since"
    f" {holder['since']}; wait for its record"
  )
