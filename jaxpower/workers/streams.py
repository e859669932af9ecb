"""Gives a process the three standard streams that it was started without.

Cron, a daemon or `<&-` may start a program with descriptor 0, 1 or 2 closed.
The next file or pipe that it opens gets that number, and whoever then reads
from stdin or prints to stderr meets a stranger's file.
"""

import os
import sys

STANDARD = (0, 1, 2)


def open_missing() -> None:
  """Opens /dev/null in place of each standard stream that is closed.

  Called once, before a program opens anything that it keeps.
  """
  while (number := os.open(os.devnull, os.O_RDWR)) <= max(STANDARD):
    os.set_inheritable(number, True)  # as standard streams are
  os.close(number)
  # Python has None for a stream that was closed when it started.
  for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, for good
