"""Prints so that a stream that is closed, full or broken ends nothing.

What a program shows is a copy: the results are in files, and the exit code
says how the work went. A stream that fails is replaced by /dev/null, since
Python would try it again when it exits, and change the exit code.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console


class PlainConsole(Console):
  """A console that raises BrokenPipeError, and changes no other stream."""

  def on_broken_pipe(self) -> None:
    """Raises the error that is being handled."""
    self.quiet = True
    raise  # noqa: PLE0704, called by rich where it handles one


def say(line: str) -> None:
  """Prints a line on stderr, if it can be."""
  attempt(sys.stderr, print, line, file=sys.stderr)


def attempt(
  stream: TextIO, show: Callable[..., Any], *given: Any, **named: Any
) -> str:
  """Shows something on a stream; returns what went wrong, "" if nothing."""
  try:
    show(*given, **named)
    stream.flush()
  except (OSError, ValueError) as error:  # ValueError: Python closed it
    give_up(stream)
    return getattr(error, "strerror", None) or str(error)
  return ""


def give_up(stream: TextIO) -> None:
  """Sends to nowhere what a stream still holds, and all that it is given."""
  with contextlib.suppress(OSError, ValueError):
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    stream.flush()
