"""Finds out early that a disk will not take all trials of a sweep.

What a trial takes is what those in its folder took on the mean: weights,
readings and record. Of a folder without trials nothing is known but that a
full disk takes none.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from jaxpower.folder import durable

# What each trial writes below the run folder: an entry for each, or two.
PARTS = ("checkpoints", "records", "timelines")
LEAST_FREE = 16 * 2**20  # bytes: chosen, above weights and readings of a CNN


def shortage(folder: pathlib.Path, trials: int) -> str:
  """Says in one line that so many more trials need more space than is free.

  Empty where they do not, or where nothing tells.
  """
  taken, free = bytes_a_trial(folder), durable.free_bytes(folder)
  if free is None:
    return ""
  if taken is None:
    if free >= LEAST_FREE:
      return ""
    return (
      f"{folder}: {free:,} bytes are free, a trial may take more; free some"
      " space, or name a folder on another disk with --out"
    )
  if free >= taken * trials:
    return ""
  return (
    f"{folder}: {free:,} bytes are free; {trials} more trials at"
    f" {taken:,} bytes each, as those recorded took, need {taken * trials:,};"
    " free some space, or name a folder on another disk with --out"
  )


def bytes_a_trial(folder: pathlib.Path) -> int | None:
  """Returns what a trial in a run folder took on the mean; None without one."""
  counts = [0]
  for part in PARTS:
    with contextlib.suppress(OSError):
      names = {name.partition(".")[0] for name in os.listdir(folder / part)}
      counts.append(len(names))
  if not (trials := max(counts)):
    return None
  return sum(_sizes(folder / part for part in PARTS)) // trials


def _sizes(folders: Iterator[pathlib.Path]) -> Iterator[int]:
  """Yields what each file below some folders takes on the disk."""
  for top in folders:
    for folder, _, names in os.walk(top):
      for name in names:
        with contextlib.suppress(OSError):
          yield os.lstat(os.path.join(folder, name)).st_blocks * 512
