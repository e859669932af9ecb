"""Counts the processes that the kernel has killed for want of memory.

A worker that dies by SIGKILL says nothing; the kernel counts whom it killed,
for the container (cgroup v2) or else for the whole machine.
"""

import contextlib
import pathlib

# The newest file that is there counts: of this container, then of the machine.
COUNTERS = ("/sys/fs/cgroup/memory.events", "/proc/vmstat")

KILLED = (
  "the kernel ended it for want of memory; take a smaller model or batch, or"
  " ask for more memory"
)


def processes_killed() -> int | None:
  """Returns how many were killed since the start; None if not known."""
  for path in map(pathlib.Path, COUNTERS):
    with contextlib.suppress(OSError, ValueError):
      for line in path.read_text().splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill":
          return int(number)
  return None


def killed_since(before: int | None) -> bool:
  """Whether any was killed since that count; False if not known."""
  now = processes_killed()
  return before is not None and now is not None and now > before
