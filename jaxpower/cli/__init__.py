"""The command line: measure, doctor, watch; run and report of the scripts.

Ctrl-C is no fault: also before a command is called (`crash.guard`), while its
modules load, no trace is shown.
"""

import sys
from types import TracebackType


def _show_uncaught(
  kind: type[BaseException],
  error: BaseException,
  trace: TracebackType | None,
) -> None:
  if not issubclass(kind, KeyboardInterrupt):
    sys.__excepthook__(kind, error, trace)


_before = sys.excepthook
sys.excepthook = _show_uncaught


def give_back_hook() -> None:
  """Has errors shown as before this package was imported."""
  if sys.excepthook is _show_uncaught:
    sys.excepthook = _before
