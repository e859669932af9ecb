"""Answers the signals by which a terminal or a cluster ends a run.

INT is Ctrl-C, HUP a terminal that closes, TERM what schedulers send some time
before they kill, USR1 what Slurm's `--signal` is mostly set to. All are
answered alike: the first asks for a stop at the next look of the running
trial, the second ends at once. The exit code is that of a program that died of
the first: 128 + its number (INT 130, TERM 143, HUP 129, USR1 138 on Linux).
"""

import contextlib
import os
import signal
from types import FrameType, TracebackType
from typing import Any

ANSWERED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class EndedAtOnceError(KeyboardInterrupt):
  """A second signal came: nothing is waited for."""


class Signals:
  """Answers signals of this process; a context manager for its main thread.

  A signal that whoever started the program had ignored, as `nohup` does with
  HUP, stays so.

  Attributes:
    first: The first signal that came; None before.
  """

  def __init__(self) -> None:
    self.first: signal.Signals | None = None
    self._before: dict[int, Any] = {}

  def __enter__(self) -> "Signals":
    for number in ANSWERED:
      if signal.getsignal(number) != signal.SIG_IGN:
        self._before[number] = signal.signal(number, self._answer)
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def stop(self) -> bool:
    """Whether a signal has asked for a stop."""
    return self.first is not None

  @property
  def name(self) -> str:
    """The name of the first signal."""
    return "nothing" if self.first is None else self.first.name

  @property
  def exit_code(self) -> int:
    """The exit code of a program that the first signal ended."""
    return 128 + (self.first or 0)

  def _answer(self, number: int, frame: FrameType | None) -> None:
    if self.first is not None:
      raise EndedAtOnceError
    self.first = signal.Signals(number)
    line = (
      f"\n{self.first.name}: stops at the next look of the running trial, which"
      " may take as long as from one evaluation to the next; once more ends it"
      " at once\n"
    )
    # Not `print`: this may have come in the middle of one.
    with contextlib.suppress(OSError):
      os.write(2, line.encode())
