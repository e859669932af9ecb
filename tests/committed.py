"""Records that are committed, as tests of exports read them: real, and once."""

import functools
import pathlib

from jaxpower.folder import record_files
from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import Compared, compare_all

RUNS = pathlib.Path(__file__).parent.parent / "benchmarks" / "regimes_cpu"


@functools.cache
def records(name: str) -> tuple[TrialRecord, ...]:
  """Returns the newest record of each trial of a committed run folder."""
  return tuple(record_files.read(RUNS / name).newest.values())


@functools.cache
def compared(name: str) -> Compared:
  """Returns their comparison."""
  return compare_all(records(name))
