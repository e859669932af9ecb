"""A process that trains beside this one: spawn, pipes, kill.

Both wings divide a trial over processes, each with one device: this process is
rank 0 and holds every other rank here. No framework is imported: loading one
takes seconds, and a child has to ask the kernel to die with its parent before
them (`enter`).

`subprocess` and not `multiprocessing`, whose parent can block on writing to a
child that has died. Ranks are killed and never asked to stop: they hold
nothing that rank 0 does not, and one that waits inside a collective reads no
pipe.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

from jaxpower import python_path
from jaxpower.workers import lifeline

VISIBLE = "CUDA_VISIBLE_DEVICES"

# From SIGKILL to the process being gone. Chosen, not fitted: it took 6 to 19 ms
# (eight kills, two idle cores), but a driver's call may not be interruptible.
REAP_SECONDS = 30.0


class RankProcess:
  """A spawned process of a rank, and the two pipes to it.

  Args:
    code: Of Python: where the process begins.
    rank: Its rank, from 1.
    world_size: Number of processes that train, rank 0 included.
    environment: Its environment variables.

  Attributes:
    name: Its rank in words, for errors.
    replies: The pipe that its replies come from.

  Raises OSError if it cannot be spawned.
  """

  def __init__(
    self, code: str, rank: int, world_size: int, environment: Mapping[str, str]
  ):
    self.name = f"rank {rank} of {world_size}"
    commands, self._commands = connection.Pipe(duplex=False)
    self.replies, replies = connection.Pipe(duplex=False)
    descriptors = commands.fileno(), replies.fileno()
    arguments = *descriptors, os.getpid(), rank, world_size
    # The rank's ends are closed here: held open, they would hide its death.
    with commands, replies, lifeline.held_back():
      self._process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        env=environment,
      )

  @property
  def pid(self) -> int:
    """The process id."""
    return self._process.pid

  @property
  def alive(self) -> bool:
    """Whether the process runs."""
    return self._process.poll() is None

  def send(self, command: Any) -> None:
    """Sends a command, or another small value.

    Below what a pipe buffers (64 KiB on Linux, man 7 pipe; a command takes
    about 2), so that this returns even where nobody reads.
    """
    self._commands.send(command)

  def receive(self) -> Any:
    """Receives the next reply. Raises EOFError if the process is dead."""
    return self.replies.recv()

  def error(self) -> str | None:
    """Returns the first error among unread replies; never waits."""
    with contextlib.suppress(EOFError, OSError):
      while self.replies.poll():
        if error := self.replies.recv():
          return f"{self.name}: {error}"
    return None

  def exit_reason(self) -> str | None:
    """Returns the signal or exit code of a death in one line.

    None while the process lives, and if it exited with code 0.
    """
    code = self._process.poll()
    if not code:
      return None
    if code < 0:
      name = signal.Signals(-code).name
      return f"{self.name} was killed by signal {-code} ({name})"
    return f"{self.name} exited with code {code}"

  def kill(self) -> None:
    """Kills the process and closes its pipes; does not wait."""
    self._process.kill()
    self._commands.close()
    self.replies.close()

  def wait_killed(self) -> None:
    """Waits until a killed process is gone, `REAP_SECONDS` at most."""
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(REAP_SECONDS)


def spawn(
  code: str, rank: int, world_size: int, gpu: str | None = None
) -> RankProcess:
  """Spawns a rank of this host, with this process's environment.

  Args:
    code: Of Python: where the process begins.
    rank: Its rank, from 1.
    world_size: Number of processes that train, rank 0 included.
    gpu: Its CUDA_VISIBLE_DEVICES; None: that of this process.

  Raises OSError if it cannot be spawned.
  """
  own = {} if gpu is None else {VISIBLE: gpu}
  return RankProcess(code, rank, world_size, environment(os.environ, own))


def gpu_of(variables: Mapping[str, str], place: int) -> str | None:
  """Returns CUDA_VISIBLE_DEVICES for one of the processes of a host.

  One GPU for each, so that none takes memory of another's by accident. The
  variable may hold indices or UUIDs, in any order.

  Args:
    variables: Of a process that sees the GPUs of all of them.
    place: Which of the processes, from 0.

  Returns None where so many are not named: the process is to keep what it has,
  as where a launcher gave each its own.
  """
  visible = variables.get(VISIBLE)
  if visible is None:
    return str(place)
  names = visible.split(",")
  return names[place] if place < len(names) else None


def enter() -> tuple[Connection, Connection, int, int]:
  """Begins a spawned process; returns its two pipes, rank and world size.

  The pipes are that of the commands and that of the replies. From here on the
  kernel kills this process with its parent.
  """
  lifeline.shield()
  commands, replies, parent, rank, world_size = map(int, sys.argv[1:])
  lifeline.die_with(parent)
  lifeline.keep_to_oneself((commands, replies))
  return (
    Connection(commands, writable=False),
    Connection(replies, readable=False),
    rank,
    world_size,
  )


def environment(
  variables: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
  """Returns an environment with this package and with `own` variables."""
  return {**variables, **python_path.of_child(variables), **own}
