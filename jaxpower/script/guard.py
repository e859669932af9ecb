"""Stands between a worker and a command, so that nothing is ever left behind.

  python guard.py CONTROL STATUS SOCKET_FOLDER COMMAND...

It starts the command as a group of its own, with the signals that a worker
ignores set back. CONTROL is a pipe from the worker: "t" asks the group to end,
"k" kills it, and when the pipe closes, which it does when the worker dies
however it dies, all is killed at once. Orphans of the command become children
of this process (PR_SET_CHILD_SUBREAPER), so that each is found, and the CPU
time of each counts. STATUS, a pipe to the worker, gets "spawned PID" or "failed
REASON", and "ended STATUS" once nothing of the command is left.

It is run as a file and imports nothing but Python's own, for it starts with
every trial.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>; man 2 prctl
# Chosen: so long after the command its own children may take to end.
LINGER_SECONDS = 2.0
LOOK_SECONDS = 0.02  # chosen: between two looks for those


def main(arguments: list[str]) -> None:
  """Runs the command to its end, or to the worker's."""
  control, status = int(arguments[0]), int(arguments[1])
  socket_folder, *command = arguments[2:]
  for descriptor in (control, status):
    os.set_inheritable(descriptor, False)
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
  awake, wake = os.pipe()
  os.set_blocking(wake, False)
  signal.set_wakeup_fd(wake)
  signal.signal(signal.SIGCHLD, lambda *_: None)
  try:
    pid = os.posix_spawnp(
      command[0],
      command,
      os.environ,
      setpgroup=0,
      setsigdef=ignored(),
      setsigmask=(),
    )
  except OSError as error:
    say(status, f"failed {error.strerror}")
    return
  say(status, f"spawned {pid}")
  try:
    ended = watch(pid, control, awake)
  finally:
    shutil.rmtree(socket_folder, ignore_errors=True)
  say(status, f"ended {ended}")


def ignored() -> list[int]:
  """Lists what is ignored here: by a worker (`workers.lifeline`), by Python."""
  every = signal.valid_signals()
  return [n for n in every if signal.getsignal(n) == signal.SIG_IGN]


def say(status: int, text: str) -> None:
  """Writes a line to the worker; nothing where that is gone."""
  with contextlib.suppress(OSError):
    os.write(status, f"{text}\n".encode())


def watch(pid: int, control: int, awake: int) -> int:
  """Does what the worker asks until the command has ended and is gone.

  Returns the command's wait status.
  """
  ended: int | None = None
  listening, deadline = [control, awake], float("inf")
  while True:
    for child, status in reaped():
      if child == pid:
        ended, deadline = status, time.monotonic() + LINGER_SECONDS
    if ended is not None and not descendants():
      return ended
    if late := time.monotonic() > deadline:
      kill_all(pid, signal.SIGKILL)
    waiting = late or ended is not None
    ready, _, _ = select.select(
      listening, [], [], LOOK_SECONDS if waiting else None
    )
    if awake in ready:
      os.read(awake, 4096)
    if control in ready:
      order = os.read(control, 1)
      kill_all(pid, signal.SIGTERM if order == b"t" else signal.SIGKILL)
      if not order:  # the worker is gone
        listening, deadline = [awake], 0.0


def reaped() -> list[tuple[int, int]]:
  """Reaps the children that have ended: process id and wait status."""
  found = []
  with contextlib.suppress(ChildProcessError):
    while (ended := os.waitpid(-1, os.WNOHANG))[0]:
      found.append(ended)
  return found


def kill_all(pid: int, number: int) -> None:
  """Sends a signal to the command's group and to all that came of it."""
  with contextlib.suppress(OSError):
    os.killpg(pid, number)
  for other in descendants():
    with contextlib.suppress(OSError):
      if os.getpgid(other) != pid:
        os.kill(other, number)


def descendants() -> list[int]:
  """Lists the process ids of all that came of the command and lives."""
  found: list[int] = []
  waiting = [os.getpid()]
  while waiting:
    folder = f"/proc/{waiting.pop()}/task"
    with contextlib.suppress(OSError):
      for thread in os.listdir(folder):
        with open(f"{folder}/{thread}/children") as file:
          children = [int(child) for child in file.read().split()]
        found += children
        waiting += children
  return found


if __name__ == "__main__":
  main(sys.argv[1:])
