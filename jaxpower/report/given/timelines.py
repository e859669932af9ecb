"""Reads the power of a trial over time from its Parquet files, in few numbers.

A timeline of days has millions of readings; a figure has some hundred pixels.
So readings are taken together over equal stretches of time, a group of rows in
memory at a time: the mean power of a stretch is the joules that its domain
counted in it over its length, or the mean of the watts read where no joules
are counted.
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FOLDER = "timelines"
WINDOWS = ".windows.parquet"
MOST_STRETCHES = 400  # of a figure 700 pixels wide; chosen


class TimelineError(Exception):
  """A timeline that cannot be read: one line that says why."""


@dataclass(frozen=True)
class Timeline:
  """Power and phases of a trial, in seconds since its first window.

  Attributes:
    edges: The ends of equal stretches of time, one more than there are.
    watts: The mean power in each stretch by domain, NaN where it is not known.
    windows: Each window's phase, start and end.
  """

  edges: tuple[float, ...]
  watts: Mapping[str, tuple[float, ...]]
  windows: tuple[tuple[str, float, float], ...]


def find(folders: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
  """Finds the timelines of run folders: the file of readings of each trial.

  A trial that several folders have is left out: which one is meant is open.
  """
  found: dict[str, pathlib.Path] = {}
  several = set()
  for folder in folders:
    for path in sorted((folder / FOLDER).glob(f"*{WINDOWS}")):
      trial = path.name.removesuffix(WINDOWS)
      if trial in found:
        several.add(trial)
      found[trial] = path.with_name(f"{trial}.parquet")
  return {trial: found[trial] for trial in found if trial not in several}


def read(path: pathlib.Path, stretches: int = MOST_STRETCHES) -> Timeline:
  """Reads a timeline, its readings taken together over so many stretches.

  Raises TimelineError where a file is not there, damaged or of another form.
  """
  import pyarrow as pa  # here, since loading it costs a command a second
  import pyarrow.parquet as pq

  beside = path.with_name(f"{path.stem}{WINDOWS}")
  try:
    windows = _windows(pq.read_table(beside).to_pydict())
    if not windows:
      raise TimelineError(f"{beside}: no window in it")
    origin = windows[0][1]
    end = max(end for _, _, end in windows)
    edges = np.linspace(origin, max(end, origin + 1e-9), stretches + 1)
    with pq.ParquetFile(path) as file:
      batches = (batch.to_pydict() for batch in file.iter_batches())
      watts = mean_watts(batches, edges)
  except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
    raise TimelineError(f"{path}: {error}") from None
  return Timeline(
    tuple(edges - origin),
    watts,
    tuple(
      (name, start - origin, stop - origin) for name, start, stop in windows
    ),
  )


def _windows(columns: Mapping[str, Sequence]) -> list[tuple[str, float, float]]:
  return sorted(
    (
      (str(phase), float(start), float(start) + float(seconds))
      for phase, start, seconds in zip(
        columns["phase"],
        columns["start_seconds"],
        columns["seconds"],
        strict=True,
      )
    ),
    key=lambda window: window[1],
  )


def mean_watts(
  batches: Iterable[Mapping[str, Sequence]], edges: np.ndarray
) -> dict[str, tuple[float, ...]]:
  """Takes readings together: the mean watts of each stretch by domain.

  Args:
    batches: Columns domain, seconds, joules and watts, in order of time within
      a domain; None is unknown. Joules add up from some beginning.
    edges: The ends of the stretches, (stretches + 1,), in seconds.
  """
  of_domains: dict[str, _Sums] = {}
  for batch in batches:
    domains = np.asarray(batch["domain"], object)
    numbers = {
      name: np.asarray(batch[name], float)  # None becomes NaN
      for name in ("seconds", "joules", "watts")
    }
    for domain in dict.fromkeys(batch["domain"]):
      rows = domains == domain
      sums = of_domains.setdefault(str(domain), _Sums(edges))
      sums.add(**{name: column[rows] for name, column in numbers.items()})
  return {name: sums.watts() for name, sums in of_domains.items()}


class _Sums:
  """Adds up readings of one domain, as they come."""

  def __init__(self, edges: np.ndarray):
    self.edges = edges
    # Joules at the edges, by interpolation between two readings around each.
    self.joules = np.full(len(edges), np.nan)
    self.sums = np.zeros(len(edges) - 1)
    self.counts = np.zeros(len(edges) - 1)
    self.last: tuple[float, float] | None = None

  def add(
    self, seconds: np.ndarray, joules: np.ndarray, watts: np.ndarray
  ) -> None:
    """Adds readings that come after those before."""
    read = np.isfinite(watts) & np.isfinite(seconds)
    places = np.searchsorted(self.edges, seconds[read], side="right") - 1
    within = (places >= 0) & (places < len(self.sums))
    np.add.at(self.sums, places[within], watts[read][within])
    np.add.at(self.counts, places[within], 1)
    counted = np.isfinite(joules) & np.isfinite(seconds)
    x, y = seconds[counted], joules[counted]
    if self.last is not None:
      x, y = np.append(self.last[0], x), np.append(self.last[1], y)
    if len(x):
      here = (self.edges >= x[0]) & (self.edges <= x[-1])
      self.joules[here] = np.interp(self.edges[here], x, y)
      self.last = float(x[-1]), float(y[-1])

  def watts(self) -> tuple[float, ...]:
    """Returns the mean watts of each stretch, NaN where nothing is known."""
    counted = np.diff(self.joules) / np.diff(self.edges)
    with np.errstate(invalid="ignore"):
      seen = self.sums / self.counts
    # A counter counts all; watts are read now and then.
    return tuple(np.where(np.isfinite(counted), counted, seen).tolist())
