"""The thread that reads the sensors, each when its channel says.

All sources are read by one thread, outside the lock, so that a driver that
hangs stops no window. Other chores of the meter are done by it too.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jaxpower.power.channel import Channel
from jaxpower.power.history import History
from jaxpower.power.reading import Source

# All chosen.
WAIT_SECONDS = 2.0  # that the caller waits for the rhythm
LONGEST_PAUSE = 1.0  # seconds the thread sleeps at most
POLL_SECONDS = 1e-3  # between two looks whether the rhythm is known
STOP_SECONDS = 2.0  # for a thread that hangs in a driver
# A chore waits for the next read, but for so long: each wake costs.
CHORE_PATIENCE = 0.5


@dataclass
class Chore:
  """Something the thread does every few seconds beside reading."""

  work: Callable[[], None]
  seconds: float
  due: float


class Sampler:
  """Serves the channels from one thread. A clock may be put in for tests.

  `lock` guards the histories; no source is read under it.
  """

  def __init__(
    self,
    sources: Sequence[Source],
    interval: float | None = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    self.clock = clock
    self.interval = interval or 0.0
    self.channels = tuple(Channel(s, interval, clock()) for s in sources)
    self.lock = threading.RLock()
    # Held while there is nothing to wake for: to wait is to try to take it.
    self._wake = threading.Lock()
    self._wake.acquire()
    self._stopping = False
    self._nudged = False
    self._edge = self._watched = -math.inf
    self._thread: threading.Thread | None = None
    self._chores: list[Chore] = []
    self._chores_due = math.inf

  @property
  def histories(self) -> tuple[History, ...]:
    """The histories of all channels, in their order, up to the last read."""
    self.catch_up()
    return tuple(h for channel in self.channels for h in channel.histories)

  def catch_up(self) -> None:
    """Notes in the histories all that was read."""
    with self.lock:
      for channel in self.channels:
        channel.catch_up()

  def add_chore(self, work: Callable[[], None], seconds: float) -> None:
    """Lets the thread do something else now and then, before it starts."""
    self._chores.append(Chore(work, seconds, self.clock() + seconds))
    self._chores_due = min(chore.due for chore in self._chores)

  def poll(self) -> float:
    """Reads what is due; returns the instant of the next read.

    Code after a pause is cold, so this is short where nothing is to be planned.
    """
    nudged, self._nudged = self._nudged, False
    edge = self._edge
    due = watched = math.inf
    for channel in self.channels:
      now, wanted = self.clock(), False
      channel.edge = edge
      if nudged:
        with self.lock:  # others may be noting what was read
          wanted = channel.nudged(now)
      if wanted or channel.due <= now:
        answer = channel.ask(now)  # outside the lock: it may be slow
        with self.lock:
          channel.take(answer, self.clock())
      if channel.due < due:
        due = channel.due
      if channel.watched < watched:
        watched = channel.watched
    self._watched = watched
    if self._chores_due <= self.clock():
      self._do_chores()
    return min(due, self._chores_due + CHORE_PATIENCE)

  def _do_chores(self) -> None:
    """Does what is due beside reading."""
    now = self.clock()
    for chore in self._chores:
      if chore.due <= now:
        chore.work()
        chore.due = now + chore.seconds
    self._chores_due = min(chore.due for chore in self._chores)

  def start(self) -> None:
    """Starts the thread."""
    self._thread = threading.Thread(
      target=self._run, name="jaxpower-sampler", daemon=True
    )
    self._thread.start()

  def _run(self) -> None:
    while not self._stopping:
      pause = min(self.poll() - self.clock(), LONGEST_PAUSE)
      if pause > 0:
        self._wake.acquire(timeout=pause)

  def await_rhythm(self) -> None:
    """Waits until every sensor's rhythm is known, or given up."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and not all(
      c.reads and not c.learning for c in self.channels
    ):
      time.sleep(POLL_SECONDS)

  def nudge(self) -> None:
    """Tells the thread that a window begins or ends now.

    It is not woken where that would change nothing.
    """
    self._edge = self.clock()
    if self._edge < self._watched and not self._stopping:
      return
    self._nudged = True
    with suppress(RuntimeError):  # it is awake already
      self._wake.release()

  def stop(self, timeout: float = STOP_SECONDS) -> bool:
    """Ends the thread and closes the sources; False when a read hangs."""
    self._stopping = True
    self.nudge()
    ended = True
    if self._thread is not None:
      self._thread.join(timeout)
      ended = not self._thread.is_alive()
    if ended:
      self.catch_up()
      for channel in self.channels:
        channel.source.close()
    return ended

  @property
  def alive(self) -> bool:
    """Whether the thread runs (it does not in a forked child)."""
    return self._thread is not None and self._thread.is_alive()
