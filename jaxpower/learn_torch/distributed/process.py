"""Processes that train under the first one: their start, pipes and death.

Knows no PyTorch, which takes seconds to load: from before that on, a process
dies with the one that started it.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

import jaxpower

CHILD = "from jaxpower.learn_torch.distributed import process; process.begin()"

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux

REAP_SECONDS = 30.0  # from being killed to being gone


class Link:
  """A process with its device, and the two pipes between it and this one.

  Args:
    rank: Of that process, from 1.
    size: How many processes train.
    gpu: The one that it is to see, in CUDA_VISIBLE_DEVICES' words; None: as
      this process.

  Raises OSError where it cannot be started.
  """

  def __init__(self, rank: int, size: int, gpu: str | None = None):
    self.name = f"process {rank + 1} of the {size} that train"
    inbox, self._to = connection.Pipe(duplex=False)
    self.answers, outbox = connection.Pipe(duplex=False)
    ends = inbox.fileno(), outbox.fileno()
    numbers = *ends, os.getpid(), rank, size
    with inbox, outbox:  # else the death of the other end would not be seen
      self._process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, numbers)],
        stdin=subprocess.DEVNULL,
        pass_fds=ends,
        env=_environment(gpu),
      )

  @property
  def pid(self) -> int:
    """The process's id."""
    return self._process.pid

  @property
  def alive(self) -> bool:
    """Whether the process runs."""
    return self._process.poll() is None

  def tell(self, order: Any) -> None:
    """Sends something small, so that nobody has to be reading."""
    self._to.send(order)

  def hear(self) -> str | None:
    """The next answer: None, or why an order was not obeyed.

    Raises EOFError where the process is dead.
    """
    return self.answers.recv()

  def last_words(self) -> str | None:
    """Why it failed, of what was not heard yet; never waits."""
    with contextlib.suppress(EOFError, OSError):
      while self.answers.poll():
        if words := self.answers.recv():
          return f"{self.name}: {words}"
    return None

  def death(self) -> str | None:
    """How it died; None while it lives, or where it ended by itself."""
    code = self._process.poll()
    if not code:
      return None
    if code < 0:
      how = f"was ended by signal {-code} ({signal.Signals(-code).name})"
    else:
      how = f"ended with exit code {code}"
    return f"{self.name} {how}"

  def cut(self) -> None:
    """Kills the process.

    It holds nothing that is not here too, and one that waits for another would
    listen to nothing else.
    """
    self._process.kill()
    self._to.close()
    self.answers.close()

  def bury(self) -> None:
    """Waits for a killed process to be gone."""
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(REAP_SECONDS)


def begin() -> None:
  """What such a process does first, then `distributed.worker`.

  Its arguments are the file descriptors of its inbox and its outbox, the id of
  the process that started it, its rank, and how many processes there are.
  """
  # An interrupt from the terminal reaches the sweep, which decides.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  first, second, parent, rank, size = map(int, sys.argv[1:])
  _die_with(parent)
  for descriptor in (first, second):
    os.set_inheritable(descriptor, False)  # an end held open hides a death
  from jaxpower.learn_torch.distributed import worker

  inbox = Connection(first, writable=False)
  worker.follow(inbox, Connection(second, readable=False), rank, size)


def _die_with(parent: int) -> None:
  """Lets the kernel end this process with its parent, however that ends.

  With the thread that started it, to be exact: it must be one that stays.
  Elsewhere than on Linux it ends when it next looks at its pipe.
  """
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, int(signal.SIGKILL))
  if os.getppid() != parent:
    os._exit(0)


def _environment(gpu: str | None) -> dict[str, str]:
  """That of this process, but for one GPU to be seen, and this package."""
  package = pathlib.Path(jaxpower.__file__).parent.parent
  paths = filter(None, [str(package), os.environ.get("PYTHONPATH")])
  found = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
  return found if gpu is None else found | {"CUDA_VISIBLE_DEVICES": gpu}
