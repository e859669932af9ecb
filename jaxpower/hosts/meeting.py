"""How ranks of several hosts find each other: a file, then connections.

The worker of rank 0 listens on a port of its own and writes address and key
into the run folder. Whoever cannot read that file cannot take part: the key is
asked for before anything is unpickled (`multiprocessing.connection`).
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import threading
import time
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

# How long ranks may take to come to a meeting. Chosen: they look for it every
# second, start a framework, and a shared file system may show a new file late
# (NFS by default keeps what it knows of a folder for up to 60 s).
GATHER_SECONDS = 180.0
BEAT_SECONDS = 5.0  # between two beats of rank 0; chosen
KEY_BYTES = 32

MEETING = "meeting.json"
BEAT = "beat.json"


@dataclasses.dataclass(frozen=True)
class Meeting:
  """Where the ranks of a worker meet, and for what.

  `token` tells two meetings apart, `key` is known to whoever may come.
  """

  token: str
  address: str
  port: int
  key: str
  world_size: int
  framework: str
  meter: str


@dataclasses.dataclass(frozen=True)
class Hello:
  """What a rank says first: who it is, and what the meter calls its GPU."""

  rank: int
  host: str
  gpu: str | None


class NotMetError(RuntimeError):
  """A rank did not come to a meeting: one line says which."""


class RemoteRank:
  """A rank on another host, or started by a launcher, and the connection to it.

  Of the shape of `workers.rank_process.RankProcess`: its process is another's
  to end, and ends where its connection is closed.
  """

  pid = None

  def __init__(self, hello: Hello, replies: Connection, world_size: int):
    self.name = f"rank {hello.rank} of {world_size} ({hello.host})"
    self.hello = hello
    self.replies = replies
    self.alive = True

  def send(self, command: Any) -> None:
    """Sends a command, or another small value."""
    self.replies.send(command)

  def receive(self) -> Any:
    """Receives the next reply. Raises EOFError if the rank is gone."""
    try:
      return self.replies.recv()
    except (EOFError, OSError):
      self.alive = False
      raise

  def error(self) -> str | None:
    """Returns the first error among unread replies; never waits."""
    with contextlib.suppress(EOFError, OSError):
      while self.replies.poll():
        if error := self.replies.recv():
          return f"{self.name}: {error}"
    return None

  def exit_reason(self) -> str | None:
    """Returns that it is lost, once it is; nobody here sees how it ended."""
    return None if self.alive else f"{self.name} was lost"

  def kill(self) -> None:
    """Closes the connection, which ends the rank."""
    self.alive = False
    self.replies.close()

  def wait_killed(self) -> None:
    """Does not wait: the rank is on its own host."""


def read(folder: pathlib.Path, name: str) -> dict[str, Any]:
  """Reads a file by which ranks meet; {} where it is not there or not whole."""
  try:
    facts = json.loads((folder / name).read_text())
  except (OSError, ValueError):
    return {}
  return facts if isinstance(facts, dict) else {}


def write(folder: pathlib.Path, name: str, facts: dict[str, Any]) -> None:
  """Writes such a file at once, for this user alone."""
  folder.mkdir(parents=True, exist_ok=True)
  unfinished = folder / f".{name}.{os.getpid()}"
  with open(unfinished, "w", opener=_private) as file:
    json.dump(facts, file)
    file.flush()
    os.fsync(file.fileno())
  unfinished.replace(folder / name)


def _private(path: str, flags: int) -> int:
  return os.open(path, flags, 0o600)


def gather(
  folder: pathlib.Path,
  address: str,
  world_size: int,
  framework: str,
  meter: str,
) -> list[RemoteRank]:
  """Calls all ranks but this one, rank 0, and waits until they are here.

  Returns them in order. Raises NotMetError where one does not come.
  """
  key = secrets.token_bytes(KEY_BYTES)
  came: dict[int, RemoteRank] = {}
  some = threading.Condition()

  def take_in(listener: Listener) -> None:
    while True:
      try:
        connection = listener.accept()
        hello = connection.recv()
      except AuthenticationError:
        continue
      except (OSError, EOFError):
        return  # closed: the meeting is over
      with some:
        came[hello.rank] = RemoteRank(hello, connection, world_size)
        some.notify()

  with Listener(("", 0), backlog=world_size, authkey=key) as listener:
    threading.Thread(target=take_in, args=(listener,), daemon=True).start()
    _, port = listener.address
    meeting = Meeting(
      token=secrets.token_hex(8),
      address=address,
      port=int(port),
      key=key.hex(),
      world_size=world_size,
      framework=framework,
      meter=meter,
    )
    write(folder, MEETING, dataclasses.asdict(meeting))
    wanted = set(range(1, world_size))
    with some:
      all_came = some.wait_for(lambda: wanted <= came.keys(), GATHER_SECONDS)
  (folder / MEETING).unlink(missing_ok=True)
  if not all_came:
    missing = ", ".join(str(rank) for rank in sorted(wanted - came.keys()))
    raise NotMetError(
      f"rank {missing} of {world_size} did not come within"
      f" {GATHER_SECONDS:.0f} s; does every host see {folder}, and reach"
      f" {address} (JAXPOWER_ADDRESS names another)?"
    )
  return [came[rank] for rank in sorted(wanted)]


def join(meeting: Meeting, hello: Hello) -> Connection:
  """Comes to a meeting; returns the connection to rank 0."""
  connection = Client(
    (meeting.address, meeting.port), authkey=bytes.fromhex(meeting.key)
  )
  connection.send(hello)
  return connection  # type: ignore[return-value]


@contextlib.contextmanager
def beating(folder: pathlib.Path) -> Iterator[None]:
  """Beats while the body runs, so that who follows knows that it does."""
  over = threading.Event()

  def beat() -> None:
    while not over.wait(BEAT_SECONDS):
      with contextlib.suppress(OSError):
        write(folder, BEAT, {"beat": time.time(), "over": False})

  write(folder, BEAT, {"beat": time.time(), "over": False})
  thread = threading.Thread(target=beat, name="ranks-beat", daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()
    with contextlib.suppress(OSError):
      write(folder, BEAT, {"beat": time.time(), "over": True})
