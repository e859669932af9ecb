"""Cuts the windows of a command out of the meter's own timeline.

The instants are the command's, on the machine's monotonic clock, which all
processes share; the readings are the meter's. So a window is as exact as one
around a call of this process.
"""

import time

from jaxpower.power import Handle, Monitor
from jaxpower.power.window_energy import SHORTEST


class Phases:
  """The phase that a command is in, and the windows of those that are over.

  Attributes:
    name: The present one; "" before the first.
    trained: How many windows of training have closed.
    train_seconds: How long they were together.
    evaluated: How many of evaluation have begun.
  """

  def __init__(self, monitor: Monitor):
    self._monitor = monitor
    self._handle: Handle | None = None
    self._edge = 0.0
    self.name = ""
    self.trained = 0
    self.train_seconds = 0.0
    self.evaluated = 0
    self._looked = 0  # `evaluated` at the report before

  def to(self, name: str, at: float) -> None:
    """Ends the present phase, and begins another one unless it is the same."""
    if name != self.name:
      self._cut(name, at)

  def report(self, at: float) -> None:
    """Ends training for a report, unless an evaluation has ended it.

    What an accuracy is of was trained before its evaluation began.
    """
    if self.evaluated == self._looked and self.name == "train":
      self._cut("train", at)
    self._looked = self.evaluated

  def end(self, at: float) -> None:
    """Ends the last phase."""
    self._cut("", at)

  def _cut(self, name: str, at: float) -> None:
    """Closes the present window at an instant and opens the next there.

    A window that is too short to be measured gives its time to the next one.
    An instant that is told too late, or lies ahead, is moved between the edge
    before it and now.
    """
    self._edge = at = min(max(at, self._edge), time.monotonic())
    if (handle := self._handle) is not None:
      if at - handle.start < SHORTEST:
        self._monitor.drop(handle)  # between two calls: the next takes it
        at = handle.start
        self.evaluated -= self.name == "eval"
      else:
        self._monitor.close_at(handle, at)
        if self.name == "train":
          self.trained += 1
          self.train_seconds += at - handle.start
      self._handle = None
    self.name = name
    if name:
      self._handle = self._monitor.open_at(name, at)
      self.evaluated += name == "eval"
