"""When something happened, by the clock of the wall and by the monotonic one.

Energy is counted on the monotonic clock, which no correction moves. What other
instruments log (a power distribution unit, a cluster) is in wall-clock time. A
pair of both, read at one instant, joins them.
"""

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Instant:
  """One instant on both clocks.

  `utc_seconds` are seconds since 1970, of a clock that may be stepped;
  `monotonic_seconds` are of the clock that windows and readings are told in.
  """

  utc_seconds: float
  monotonic_seconds: float


def read_clocks() -> Instant:
  """Reads both clocks; the monotonic one as it was midway."""
  before = time.monotonic()
  utc = time.time()
  return Instant(utc, (before + time.monotonic()) / 2)


def utc_text(seconds: float) -> str:
  """Formats seconds since 1970 as "2026-11-26T23:47:52.125Z"."""
  milliseconds = round(seconds * 1e3)
  whole = time.gmtime(milliseconds // 1000)
  text = time.strftime("%Y-%m-%dT%H:%M:%S", whole)
  return f"{text}.{milliseconds % 1000:03}Z"


def span(started: Instant, ended: Instant) -> dict[str, Any]:
  """Returns what a record says of when it was made, under its keys.

  `monotonic_origin_seconds` is the monotonic clock at `started_utc`: what
  happened at t seconds of it was t - origin seconds after that.
  """
  return {
    "started_utc": utc_text(started.utc_seconds),
    "ended_utc": utc_text(ended.utc_seconds),
    "monotonic_origin_seconds": started.monotonic_seconds,
  }
