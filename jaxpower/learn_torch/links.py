"""Other processes of a training as the first one sees them."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from multiprocessing import connection
from typing import Any

import jaxpower
from jaxpower.learn_torch.spec import device_of

CHILD = (
  "import sys; from jaxpower.learn_torch import peers; peers.main(sys.argv[1:])"
)
REAP_SECONDS = 30.0  # from being killed to being gone


class Link:
  """A process with its device, and the two pipes between it and this one.

  Args:
    rank: Of that process, from 1.
    size: How many processes train.

  Raises OSError where it cannot be started.
  """

  def __init__(self, rank: int, size: int):
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
        env=_environment(rank),
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


def _environment(rank: int) -> dict[str, str]:
  """That of this process, but one GPU to be seen, and this package."""
  package = pathlib.Path(jaxpower.__file__).parent.parent
  paths = filter(None, [str(package), os.environ.get("PYTHONPATH")])
  found = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
  if device_of().type == "cuda":
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpu = visible.split(",")[rank] if visible else str(rank)
    found["CUDA_VISIBLE_DEVICES"] = gpu
  return found
