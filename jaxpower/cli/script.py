"""Flags of a script, by absl: help, or one line on what is wrong."""

import functools
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags, logging

from jaxpower.cli import crash
from jaxpower.wording import on_one_line

LONGEST_FLAG = 150  # characters; of a field with a task's name in it; chosen
SHOWN = 40  # characters of one that is longer; chosen


def run(main: Callable[[list[str]], int | None], help_text: str) -> None:
  """Runs `main` on the arguments that are no flags; exits with its code.

  A wrong flag is one line and exit code 2. What libraries log for information
  is not shown: of an import, Orbax would write 60 lines.
  """
  logging.set_verbosity(logging.ERROR)
  name = pathlib.Path(sys.argv[0]).stem
  app.run(
    functools.partial(crash.guard, name, main),
    flags_parser=functools.partial(_parse, help_text),
  )


def refuse(reason: str) -> NoReturn:
  """Ends the script with exit code 2 and one line."""
  name = pathlib.Path(sys.argv[0]).stem
  print(f"{name}: {on_one_line(reason)}", file=sys.stderr)
  sys.exit(2)


def too_long(words: Sequence[str]) -> str:
  """Says which flag has a name longer than any; "" if none has.

  absl would compare it with all names it knows, for seconds and by recursion.
  """
  for word in words:
    name = word.partition("=")[0]
    if word.startswith("-") and len(name) > LONGEST_FLAG:
      return f"unknown flag '{name[:SHOWN]}...'; see --help"
  return ""


def _parse(help_text: str, arguments: Sequence[str]) -> list[str]:
  if {"-h", "-help", "--help"} & set(arguments):
    print(help_text.strip())
    sys.exit(0)
  if reason := too_long(arguments):
    refuse(reason)
  try:
    return flags.FLAGS(arguments)
  except (flags.Error, OSError, ValueError) as error:
    refuse(f"{(str(error).splitlines() or ['wrong flags'])[0]}; see --help")
