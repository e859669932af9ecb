"""Whether a set is to lie on the devices or to be streamed to them."""

import os
import pathlib

from jaxpower.data.facts import DataSet

SHARE = 0.5  # of a device's memory; weights and activations need the rest
LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")  # of a container


def is_streamed(streaming: str, sets: DataSet, room: int | None) -> bool:
  """Whether the examples of a trial come to its devices as they are needed.

  "auto" asks whether both splits would take more than a share of `room`, the
  bytes that a framework has on each device; None: it does not tell. What it
  has, and not what is free at the moment: else trials of one sweep could be
  decided differently. "always" and "never" say it themselves.
  """
  if streaming != "auto":
    return streaming == "always"
  needed = sum(
    part[name].nbytes
    for part in (sets.train, sets.test)
    for name in ("input", "label")
  )
  return room is not None and needed > SHARE * room


def host_bytes() -> int:
  """The memory of this machine, or what its container allows."""
  installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  try:
    return min(installed, int(LIMIT.read_text()))
  except (OSError, ValueError):  # no container, or "max": it has no limit
    return installed
