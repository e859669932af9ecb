"""Where a running sweep is shown: a terminal, a notebook's cell, or a log.

On a terminal the last lines are drawn again and again, by a thread of its own,
so that news costs nothing; in a cell they are replaced when there is news; in a
log (a file, CI) there are none, since they would fill it.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from jaxpower.cli.live import ALL
from jaxpower.wording import printable

# A second, of a terminal; chosen: a redraw takes 0.2 ms of CPU time, at any
# number of trials, and nobody reads faster.
REDRAWS = 4
CELL_SECONDS = 0.5  # between two updates of a cell; chosen
CELL_COLUMNS, CELL_ROWS = 100, 40  # of a notebook's cell; chosen

Draw = Callable[[int, int], Sequence[str]]  # from columns and rows to lines


class Surface(Protocol):
  """A place where lines are said, and others stand below them for a while.

  `columns` is how wide a line may be.
  """

  columns: int

  def start(self, draw: Draw) -> None:
    """Begins to show the lines that a function makes."""
    ...

  def stop(self) -> None:
    """Ends it; what was said stays."""
    ...

  def say(self, text: str) -> None:
    """Says a line, which stays."""
    ...

  def refresh(self, *, at_once: bool = False) -> None:
    """Takes note of news."""
    ...


def surface_on(console: Console) -> Surface:
  """Chooses where to show a sweep that a console was made for."""
  if in_notebook():
    return Cell()
  return Terminal(console) if console.is_terminal else Log(console)


def in_notebook() -> bool:
  """Whether this process runs the cells of a notebook."""
  ipython = sys.modules.get("IPython")
  shell = ipython.get_ipython() if ipython else None
  return hasattr(shell, "kernel")


class Log:
  """A file or a pipe: whole lines, and none that change."""

  columns = ALL

  def __init__(self, console: Console):
    self._console = console

  def start(self, draw: Draw) -> None:
    """Shows none of these."""

  def stop(self) -> None:
    """Has nothing to end."""

  def say(self, text: str) -> None:
    """Prints a line, uncut."""
    self._console.print(
      printable(text), highlight=False, markup=False, soft_wrap=True
    )

  def refresh(self, *, at_once: bool = False) -> None:
    """Shows no news but what is said."""


class Terminal(Log):
  """A terminal, whose last lines are drawn anew by a thread of their own."""

  def __init__(self, console: Console):
    super().__init__(console)
    self._draw: Draw = lambda columns, rows: ()
    self._live = Live(
      console=console,
      transient=True,
      refresh_per_second=REDRAWS,
      get_renderable=self._frame,
    )

  @property
  def columns(self) -> int:  # type: ignore[override]
    """How wide the terminal is now."""
    return self._console.width

  def say(self, text: str) -> None:
    """Prints a line above those that are live, broken between words."""
    self._console.print(Text(printable(text)))

  def start(self, draw: Draw) -> None:
    """Starts the thread that draws, unless the terminal is gone."""
    self._draw = draw
    with contextlib.suppress(OSError):
      self._live.start()

  def stop(self) -> None:
    """Takes the lines away."""
    with contextlib.suppress(OSError):
      self._live.stop()

  def refresh(self, *, at_once: bool = False) -> None:
    """Draws now where that is asked for; else the thread will."""
    if at_once:
      self._live.refresh()

  def _frame(self) -> Group:
    width, height = self._console.size
    lines = self._draw(width, height)
    texts = (printable(line.replace("\n", " ")) for line in lines)
    return Group(*(Text(t, no_wrap=True, overflow="crop") for t in texts))


class Cell:
  """The output of a notebook's cell, replaced as a whole."""

  columns = CELL_COLUMNS

  def __init__(self) -> None:
    self._said: list[str] = []
    self._draw: Draw = lambda columns, rows: ()
    self._handle: Any = None
    self._last = 0.0

  def start(self, draw: Draw) -> None:
    """Begins an output."""
    self._draw = draw
    self.refresh(at_once=True)

  def stop(self) -> None:
    """Leaves what was said."""
    self._draw = lambda columns, rows: ()
    self.refresh(at_once=True)

  def say(self, text: str) -> None:
    """Adds a line."""
    self._said.append(printable(text))
    self.refresh(at_once=True)

  def refresh(self, *, at_once: bool = False) -> None:
    """Replaces the output, unless that was done a moment ago."""
    now = time.monotonic()
    if not at_once and now - self._last < CELL_SECONDS:
      return
    from IPython.display import display  # type: ignore[import-not-found]

    self._last = now
    drawn = self._draw(CELL_COLUMNS, CELL_ROWS)
    live = (printable(line) for line in drawn)
    bundle = {"text/plain": "\n".join((*self._said, *live))}
    if self._handle is None:
      self._handle = display(bundle, raw=True, display_id=True)
    else:
      self._handle.update(bundle, raw=True)
