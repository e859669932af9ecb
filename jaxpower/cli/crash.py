"""Ends a command in one line when something failed that nobody foresaw.

Whatever is wrong with the input is said where it is read, with exit code 2.
What comes as far as this is a fault of the program itself, or of the stream it
prints to: the trace goes to a file that can be sent on, and not over a
terminal of a run that took days.
"""

import errno
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence

from jaxpower.cli.output import give_up, say
from jaxpower.wording import on_one_line
from jaxpower.workers import streams

INTERNAL_ERROR = 70  # EX_SOFTWARE of <sysexits.h>
CANNOT_WRITE = 74  # EX_IOERR
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
MOST_SHOWN = 300  # characters of an error's text; chosen


def guard(name: str, function: Callable[..., int | None], *args: object) -> int:
  """Calls a command; returns its exit code.

  70: it failed by a fault of its own, told in one line; 74: what it printed
  cannot be written; 130: Ctrl-C; 141: nobody reads what it prints any more
  (`| head`).
  """
  streams.open_missing()  # before anything is opened that is kept
  try:
    code = function(*args) or 0
  except BrokenPipeError:
    give_up(sys.stdout)
    return 128 + signal.SIGPIPE
  except KeyboardInterrupt:
    return _say(name, "interrupted", 128 + signal.SIGINT)
  except Exception as error:  # noqa: BLE001, the last place to tell of any
    code = _tell(name, error)
  try:
    sys.stdout.flush()
  except OSError as error:
    give_up(sys.stdout)
    if isinstance(error, BrokenPipeError):
      return 128 + signal.SIGPIPE
    return _say(name, f"cannot print: {error.strerror}", CANNOT_WRITE)
  return code


def _tell(name: str, error: Exception) -> int:
  if isinstance(error, OSError) and error.errno in FULL:
    where = f" {error.filename}" if error.filename else ""
    return _say(name, f"cannot write{where}: {error.strerror}", CANNOT_WRITE)
  text = f"{type(error).__name__}: {error}"
  if len(text) > MOST_SHOWN:
    text = f"{text[: MOST_SHOWN - 3]}..."
  file = _write_trace(error)
  where = f"; the trace is in {file}, please report it" if file else ""
  return _say(name, f"internal error: {text}{where}", INTERNAL_ERROR)


def _say(name: str, line: str, code: int) -> int:
  say(f"{name}: {on_one_line(line)}")
  return code


def _write_trace(error: Exception) -> pathlib.Path | None:
  """Writes the trace to a file of the user's own, under the temporary folder.

  None where that cannot be written.
  """
  lines: Sequence[str] = traceback.format_exception(error)
  began = time.strftime("%Y%m%d-%H%M%S")
  try:
    handle, path = tempfile.mkstemp(".txt", f"jaxpower-{began}-", text=True)
    with os.fdopen(handle, "w", errors="backslashreplace") as file:
      file.writelines(lines)
  except OSError:
    return None
  return pathlib.Path(path)
