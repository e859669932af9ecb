"""A worker's replies, and the signs of life between them.

Light: it gives the first sign before JAX is imported, which takes long where
many processes start at once.
"""

import contextlib
import os
import threading
import time
from multiprocessing.connection import Connection

from jaxpower.learn.distributed.calls import Alive, Done, Failed, Said

ALIVE_SECONDS = 2.0  # between two signs of life; chosen


class Replies:
  """Sends to the coordinator, from several threads; ends with its pipe.

  A thread of its own gives signs of life, and ends the process where nobody is
  there to see them: the main thread may hang.
  """

  def __init__(self, pipe: Connection):
    self._pipe = pipe
    self._lock = threading.Lock()
    threading.Thread(target=self._live, name="alive", daemon=True).start()

  def send(self, message: Done | Failed | Said | Alive) -> None:
    """Sends a message; raises OSError where the coordinator is gone."""
    with self._lock:
      self._pipe.send(message)

  def _live(self) -> None:
    with contextlib.suppress(OSError):
      while True:
        self.send(Alive())
        time.sleep(ALIVE_SECONDS)
    os._exit(0)
