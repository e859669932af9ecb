"""What a rank above 0 does: waits for meetings, and has a process go to each.

A process of its own for each meeting, since no framework leaves a group that it
has joined.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable

from jaxpower.hosts import meeting
from jaxpower.hosts.meeting import Meeting
from jaxpower.hosts.part import Part
from jaxpower.workers import rank_process
from jaxpower.workers.rank_process import VISIBLE, RankProcess, gpu_of

CODE = "from jaxpower.hosts import rank; rank.main()"

# How long rank 0 may not be there, or not beat. Chosen: it beats every 5 s, but
# has to load and check the config first, and a shared file system may be slow.
LOST_SECONDS = 300.0
# How long a file may say that the run is over before it is believed to be of
# this run, and not of one before it in the same folder. Chosen: rank 0, which
# writes otherwise at its start, may be started so much later than this rank.
OVER_SECONDS = 60.0
LOOK_SECONDS = 1.0  # between two looks for a meeting; chosen


def follow(
  part: Part,
  folder: pathlib.Path,
  stop: Callable[[], bool] = lambda: False,
) -> str:
  """Follows rank 0 until its run is over; returns "" or why it was given up.

  Args:
    part: Of this process.
    folder: Where ranks meet, below the run folder.
    stop: Asked every second.
  """
  before = meeting.read(folder, meeting.BEAT)  # perhaps of an older run
  beat, silent_since, begun = before, time.monotonic(), False
  process: RankProcess | None = None
  token = meeting.read(folder, meeting.MEETING).get("token")
  try:
    while not stop():
      now = meeting.read(folder, meeting.BEAT)
      if now and now != beat:
        beat, silent_since, begun = now, time.monotonic(), True
      silent = time.monotonic() - silent_since
      if beat.get("over") and (begun or silent > OVER_SECONDS):
        return ""
      if silent > LOST_SECONDS:
        return f"rank 0 gave no sign of life in {folder} for {LOST_SECONDS:g} s"
      facts = meeting.read(folder, meeting.MEETING)
      if begun and facts and facts.get("token") != token:
        token = facts["token"]
        process = _replaced(process, part, Meeting(**facts))
      time.sleep(LOOK_SECONDS)
  finally:
    if process is not None:
      process.kill()
      process.wait_killed()
  return ""


def _replaced(
  old: RankProcess | None, part: Part, called: Meeting
) -> RankProcess | None:
  """Ends the process of an older meeting; sends one to a new meeting.

  None where this rank is not of it.
  """
  if old is not None:
    old.kill()
    old.wait_killed()
  if part.rank >= called.world_size:
    return None
  gpu = gpu_of(os.environ, part.local_rank)
  own = {} if gpu is None else {VISIBLE: gpu}
  environment = rank_process.environment(os.environ, own)
  process = RankProcess(CODE, part.rank, called.world_size, environment)
  process.send((dataclasses.asdict(called), part.host))
  return process
