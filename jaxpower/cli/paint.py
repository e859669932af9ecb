"""Where the terminal's colours come from; none into a file or with NO_COLOR."""

from typing import IO

from rich.console import Console


def console(file: IO[str]) -> Console:
  """A console that prints text as it is, with styles on a terminal only."""
  return Console(
    file=file,
    highlight=False,
    markup=False,
    emoji=False,
    soft_wrap=True,
  )
