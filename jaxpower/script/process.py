"""The process of a command: started, heard, asked to end, and never left.

Three things are heard from it, each with an instant on the monotonic clock:
what it says over a socket (`attach`), the lines of its output if somebody wants
them, and its end. Without a reader of lines its output goes straight to the
file, and costs nothing. `guard` stands between, for the worker that waits here
may be killed.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxpower.script.attach import ADDRESS

GUARD = pathlib.Path(__file__).with_name("guard.py")
OUTPUT = "output.txt"
READ_BYTES = 65_536
MOST_PENDING = 2**20  # bytes of a message or line that does not end; chosen


class StartError(Exception):
  """A command that cannot be started: one line."""


@dataclasses.dataclass(frozen=True)
class Spawned:
  """The command runs."""

  at: float
  pid: int


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of its output, seen at an instant."""

  at: float
  text: str


@dataclasses.dataclass(frozen=True)
class Message:
  """What it said over its socket; `client` is who said it."""

  facts: Mapping[str, Any]
  client: "Client"


@dataclasses.dataclass(frozen=True)
class Gone:
  """A client that closed its socket, as at the end of a script."""

  at: float
  client: "Client"


@dataclasses.dataclass(frozen=True)
class Ended:
  """The command has ended and left nothing; `status` is its wait status."""

  at: float
  status: int


Event = Spawned | Line | Message | Gone | Ended


class Client:
  """One script that attached."""

  def __init__(self, connection: socket.socket):
    self.connection = connection
    self.rank = 0
    self.pending = b""

  def answer(self, **facts: Any) -> None:
    """Answers its report; nothing where it is gone."""
    with contextlib.suppress(OSError):
      self.connection.sendall(json.dumps(facts).encode() + b"\n")


class Process:
  """A command that runs; a context manager that kills it on leaving.

  Raises StartError on entering where it cannot be started.
  """

  def __init__(
    self,
    words: Sequence[str],
    folder: pathlib.Path,
    environ: Mapping[str, str],
    *,
    hear_lines: bool,
  ):
    """Args: the command, where it runs, its variables, whether to read it."""
    self._words = list(words)
    self._folder = folder
    self._environ = dict(environ)
    self._hear_lines = hear_lines
    self._open = contextlib.ExitStack()
    self._events: list[Event] = []
    self._ended = False
    self._pid = 0
    self._line = b""
    self._news = b""

  def __enter__(self) -> "Process":
    with contextlib.ExitStack() as opened:
      self._start(opened)
      self._open = opened.pop_all()
    return self

  def __exit__(self, *_: object) -> None:
    if not self._ended:
      self.kill()
      deadline = time.monotonic() + 10  # chosen; then it is the kernel's
      while not self._ended and time.monotonic() < deadline:
        list(self.hear(0.1))
    self._open.close()

  def _start(self, opened: contextlib.ExitStack) -> None:
    """Opens what is heard, and starts the guard with the command."""
    self._selector = opened.enter_context(selectors.DefaultSelector())
    place = tempfile.mkdtemp(prefix="jaxpower-")
    opened.callback(shutil.rmtree, place, ignore_errors=True)
    address = f"{place}/attach"
    server = opened.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(address)
    server.listen()
    self._hear(server, self._accept)
    control_end, self._control = os.pipe()
    news, news_end = os.pipe()
    opened.callback(self._close_control)
    opened.callback(os.close, news)
    self._hear(news, self._read_news)
    output = opened.enter_context((self._folder / OUTPUT).open("wb"))
    self._output = output
    if self._hear_lines:
      lines, sink = os.pipe()
      opened.callback(os.close, lines)
      self._hear(lines, self._read_output)
    else:
      sink = os.dup(output.fileno())
    try:
      self._guard = subprocess.Popen(
        [
          *(sys.executable, "-I", "-S", str(GUARD)),
          *(str(control_end), str(news_end), place, *self._words),
        ],
        cwd=self._folder,
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=sink,
        pass_fds=(control_end, news_end),
        env=self._environ | {ADDRESS: address},
      )
    finally:
      for descriptor in (control_end, news_end, sink):
        os.close(descriptor)
    opened.callback(self._guard.wait)
    # Without its pipe the guard ends, so it has to be closed before the wait.
    opened.callback(self._close_control)

  def _close_control(self) -> None:
    if self._control >= 0:
      os.close(self._control)
      self._control = -1

  def _hear(self, source: Any, read: Callable[[Any], None]) -> None:
    self._selector.register(source, selectors.EVENT_READ, read)

  def hear(self, seconds: float) -> Iterator[Event]:
    """Waits so long at most for news; yields what came, in order."""
    for key, _ in self._selector.select(seconds):
      key.data(key.fileobj)
    events, self._events = self._events, []
    yield from events

  def ask_to_end(self) -> None:
    """Sends SIGTERM to the command and all that came of it."""
    self._order(b"t")

  def kill(self) -> None:
    """Sends SIGKILL to the command and all that came of it."""
    self._order(b"k")

  def _order(self, order: bytes) -> None:
    with contextlib.suppress(OSError):
      os.write(self._control, order)

  def last_line(self) -> str:
    """Returns the last line of its output that is not blank; "" if none."""
    with contextlib.suppress(OSError):
      with (self._folder / OUTPUT).open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - READ_BYTES))
        text = file.read().decode(errors="replace")
      lines = [line.strip() for line in text.splitlines() if line.strip()]
      return lines[-1] if lines else ""
    return ""

  def _accept(self, server: socket.socket) -> None:
    connection, _ = server.accept()
    self._open.enter_context(connection)
    client = Client(connection)
    self._hear(connection, lambda _: self._read_client(client))

  def _read_client(self, client: Client) -> None:
    """Reads what a client said; it is gone where its socket is closed."""
    try:
      content = client.connection.recv(READ_BYTES)
    except OSError:
      content = b""
    *lines, client.pending = (client.pending + content).split(b"\n")
    for line in lines:
      try:
        facts = json.loads(line)
      except (ValueError, RecursionError):
        continue
      if isinstance(facts, dict):
        self._events.append(Message(facts, client))
    if not content or len(client.pending) > MOST_PENDING:
      self._selector.unregister(client.connection)
      client.connection.close()
      self._events.append(Gone(time.monotonic(), client))

  def _read_output(self, descriptor: int) -> None:
    """Keeps what the command printed, and notes its whole lines."""
    content, now = os.read(descriptor, READ_BYTES), time.monotonic()
    if not content:
      self._selector.unregister(descriptor)
      return
    with contextlib.suppress(OSError):  # a full disk does not end a training
      self._output.write(content)
      self._output.flush()
    # A progress bar ends its lines with a carriage return.
    pending = (self._line + content).replace(b"\r", b"\n")
    *lines, self._line = pending.split(b"\n")
    self._line = self._line[-MOST_PENDING:]
    self._events += [Line(now, line.decode(errors="replace")) for line in lines]

  def _read_news(self, descriptor: int) -> None:
    """Notes what the guard says; where it is gone the command is killed."""
    content, now = os.read(descriptor, READ_BYTES), time.monotonic()
    if not content:
      self._selector.unregister(descriptor)
      if not self._ended:
        if self._pid:
          with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)
        raise StartError("the process that guards it was killed")
      return
    *lines, self._news = (self._news + content).split(b"\n")
    for line in lines:
      word, _, rest = line.decode().partition(" ")
      if word == "failed":
        self._ended = True
        raise StartError(f"it cannot be started: {rest}")
      if word == "spawned":
        self._pid = int(rest)
        self._events.append(Spawned(now, self._pid))
      if word == "ended":
        self._ended = True
        self._drain()
        self._events.append(Ended(now, int(rest)))

  def _drain(self) -> None:
    """Reads what the command had printed by its end."""
    while self._hear_lines:
      ready = [
        key
        for key, _ in self._selector.select(0)
        if key.data == self._read_output
      ]
      if not ready:
        return
      self._read_output(ready[0].fd)
