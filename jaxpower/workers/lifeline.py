"""Ties the life of a child process to its parent's, and to nothing else.

A worker holds a GPU and trains; left behind it would do so for an hour until
it looked at its pipe. So the kernel is asked to kill it with its parent
(`die_with`). And the signals of a terminal or of a cluster, which go to every
process of a group or a job, are the sweep's to answer: it decides when its
workers end (`shield`).
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Iterator

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; man 2 prctl

# What a terminal sends to its group (INT, HUP), and Slurm, systemd or Docker
# to all processes of a job (TERM; USR1 or USR2 by `sbatch --signal`).
SHIELDED = (
  *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
  *(signal.SIGUSR1, signal.SIGUSR2),
)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
  """Holds SHIELDED back while a child is spawned; a context manager.

  The child inherits that, so that none of them ends it before it ignores them.
  """
  before = signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def shield() -> None:
  """Ignores SHIELDED in this process, and in those that it will start."""
  for number in SHIELDED:
    signal.signal(number, signal.SIG_IGN)
  signal.pthread_sigmask(signal.SIG_UNBLOCK, SHIELDED)


def die_with(parent: int) -> None:
  """Lets the kernel kill this process when its parent dies, however it dies.

  The kernel does so when the *thread* that spawned this process ends (man 2
  prctl), so that has to be one that stays. On other systems than Linux the
  process has to see that a pipe from its parent is closed.
  """
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
  # The parent may have died before the call: then no signal will come.
  if os.getppid() != parent:
    os._exit(0)


def keep_to_oneself(descriptors: Iterable[int]) -> None:
  """Lets no child inherit these: one that held a pipe open would hide a death.

  Nor would a lock be free that a child still holds.
  """
  for descriptor in descriptors:
    os.set_inheritable(descriptor, False)
