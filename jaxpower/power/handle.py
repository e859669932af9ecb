"""One window between its opening and its settled energy."""

from typing import Protocol

from jaxpower.power.window import Window


class Settles(Protocol):
  """Who can tell the energy of a closed window: the monitor."""

  def settle(
    self, handle: "Handle", end: float, wait: bool
  ) -> tuple[Window, bool]:
    """The window, and whether it will not change any more."""
    ...


class Handle:
  """An open or closed window. `steps` may be set: equal steps inside it."""

  def __init__(
    self, owner: Settles, name: str, start: float, steps: int | None = None
  ):
    self.name = name
    self.start = start
    self.end: float | None = None
    self.steps = steps
    self.interrupted = ""
    self._owner = owner
    self._window: Window | None = None

  def result(self, *, wait: bool = True) -> Window:
    """The energy of the closed window; waits at most one tick for it.

    With `wait=False` the last power is carried on to the end, with a wider
    bound. Raises RuntimeError while the window is open.
    """
    if self.end is None:
      raise RuntimeError(f"window {self.name!r} is still open")
    if self._window is None:
      window, final = self._owner.settle(self, self.end, wait)
      if not final:
        return window
      self._window = window
    return self._window
