"""Reads logs of common trackers as references: CodeCarbon and Zeus.

CodeCarbon's emissions.csv (columns as of 2.2 to 3.3: seconds and kWh) and the
window log of Zeus (`ZeusMonitor(log_file=...)` up to 0.16: seconds and J).
Neither knows model, data or target.

Each log is easily misread. CodeCarbon's rows are sums from the start of a run,
so a run that flushed has several and only the longest counts; with a PUE every
number includes the building's share. Zeus writes 0 J for a window that was
shorter than the counter's period: unknown, not zero. Its windows add up only
where they do not overlap.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from jaxpower.report.given.carbon import JOULES_PER_KWH
from jaxpower.report.given.references import (
  LARGEST,
  BadReferenceError,
  Reference,
  printable,
)

WINDOW = "window"  # what the command may say beside the fields of a reference

# The columns that tell a log from any other CSV.
CODECARBON = {"project_name", "duration", "emissions"}
ZEUS = ["start_time", "window_name", "elapsed_time"]

# The column of CodeCarbon that holds the kWh of each part of the machine.
ENERGY_COLUMNS = {
  "gpu": "gpu_energy",
  "cpu": "cpu_energy",
  "dram": "ram_energy",
}
# CodeCarbon to 3.2 may leave out this cell and others after it, where place or
# GPU are unknown (mlco2/codecarbon issues 1092 and 1304), and none before it.
FIRST_LEFT_OUT = "country_name"
# CodeCarbon always models RAM, and the CPU where RAPL could not be read: the
# log does not say which.
MODELLED = ("cpu", "dram")
# Seconds; chosen, so that no rounding of a start or a length makes windows that
# follow one another overlap.
OVERLAP_TOLERANCE = 1e-3


def read(file: str, text: str, window: str = "") -> Iterator[Reference] | None:
  """Reads the references of a tracker's log; None where the text is not one.

  `window` picks one window of a Zeus log. Raises BadReferenceError.
  """
  heading = text.partition("\n")[0].strip().split(",")
  if heading[:3] == ZEUS:
    return _zeus(file, text, window)
  if {name.strip('"') for name in heading} >= CODECARBON:
    return _codecarbon(text)
  return None


def table(text: str) -> Iterator[tuple[int, list[str]]]:
  """Reads a CSV: its rows with their numbers, without empty ones and comments.

  Raises BadReferenceError where it is not a CSV.
  """
  number = 0
  try:
    for number, row in enumerate(
      csv.reader(io.StringIO(text, newline=""), strict=True), start=1
    ):
      cells = [cell.strip() for cell in row]
      if any(cells) and not cells[0].startswith("# "):
        yield number, cells
  except csv.Error as error:
    raise BadReferenceError(f"row {number + 1}: not a CSV: {error}") from None


def _codecarbon(text: str) -> Iterator[Reference]:
  """Reads one reference a run, or a task of it.

  A run that flushes has several rows, each with the sums from its start on:
  the one of the longest duration holds them all.
  """
  rows = table(text)
  _, columns = next(rows)
  _check_columns(columns)
  longest: dict[tuple[str, ...], tuple[float, int, dict[str, str]]] = {}
  for number, cells in rows:
    if cells == columns:  # of another log, joined by cat
      continue
    row = _codecarbon_row(number, columns, cells)
    run = row.get("run_id") or str(number)
    key = (run, row.get("task_name", ""))
    seconds = _number(number, "duration", row)
    if key not in longest or seconds >= longest[key][0]:
      longest[key] = (seconds, number, row)
  for seconds, number, row in longest.values():
    yield _codecarbon_run(number, row, seconds)


def _check_columns(columns: Sequence[str]) -> None:
  """Raises BadReferenceError where a version wrote no energies to trust."""
  if "energy_consumed" not in columns or "cpu_energy" not in columns:
    raise BadReferenceError(
      "row 1: a log of CodeCarbon before 2, whose energies were wrong by 100 to"
      " 1000 times; record again with CodeCarbon 2 or later"
    )
  for column in columns:
    if columns.count(column) > 1:
      raise BadReferenceError(
        f"row 1: column {printable(column)} appears twice"
      )


def _codecarbon_row(
  number: int, columns: Sequence[str], cells: Sequence[str]
) -> dict[str, str]:
  """Reads the cells of a row by their columns.

  CodeCarbon to 3.2 left empty cells out when it appended to a log: of a row
  that is short, the cells before the first that it leaves out stand in their
  place, and these have all energies.
  """
  if len(cells) == len(columns):
    row = dict(zip(columns, cells, strict=True))
  else:
    sure = _sure_cells(columns)
    if not 0 < sure < len(cells) < len(columns):
      raise BadReferenceError(
        f"row {number}: {len(cells)} cells under {len(columns)} columns"
      )
    row = dict(zip(columns[:sure], cells[:sure], strict=True))
  if re.match(r"[01]\.", row.get("codecarbon_version", "")):
    raise BadReferenceError(
      f"row {number}: by CodeCarbon {printable(row['codecarbon_version'])},"
      " whose energies were wrong by 100 to 1000 times; record again with"
      " CodeCarbon 2 or later"
    )
  return row


def _sure_cells(columns: Sequence[str]) -> int:
  """Counts the cells that stand in their place in a row that is short.

  0 where not all energies are among them.
  """
  if FIRST_LEFT_OUT not in columns:
    return 0
  sure = columns[: columns.index(FIRST_LEFT_OUT)]
  needed = {"duration", "energy_consumed", *ENERGY_COLUMNS.values()}
  return len(sure) if needed <= set(sure) else 0


def _codecarbon_run(
  number: int, row: Mapping[str, str], seconds: float
) -> Reference:
  total, *by_part = (
    JOULES_PER_KWH * _number(number, column, row)
    for column in ("energy_consumed", *ENERGY_COLUMNS.values())
  )
  joules_by_part = {
    part: joules
    for part, joules in zip(ENERGY_COLUMNS, by_part, strict=True)
    if joules
  }
  # With a PUE above 1 every energy in the row has the building's share in it.
  overhead = _number(number, "pue", row) not in (0.0, 1.0)
  names = [row.get(name, "") for name in ("project_name", "task_name")]
  gpu, cpu = (row.get(name, "") for name in ("gpu_model", "cpu_model"))
  version, run = row.get("codecarbon_version", ""), row.get("run_id", "")
  return Reference(
    name=printable(" ".join(filter(None, names)) or "CodeCarbon"),
    source=printable(" ".join(filter(None, ("CodeCarbon", version, run[:8])))),
    hardware=printable(gpu if "gpu" in joules_by_part else cpu),
    joules=total or None,
    seconds=seconds or None,
    boundary=(*joules_by_part, *(("overhead",) if overhead else ())),
    estimated=bool(set(MODELLED) & set(joules_by_part))
    if joules_by_part
    else None,
    date=row.get("timestamp", "")[:10],
    joules_by_part={} if overhead else joules_by_part,
    modelled=MODELLED,
  )


def _zeus(file: str, text: str, window: str) -> Iterator[Reference]:
  """Reads one reference a window's name, over all windows that bear it.

  Zeus does not quote names, so a name may hold commas.
  """
  heading, *lines = text.split("\n")
  gpus = [name.strip() for name in heading.split(",")[3:]]
  if not all(re.fullmatch(r"gpu\d+_energy", gpu) for gpu in gpus) or not gpus:
    raise BadReferenceError(
      "row 1: no column such as gpu0_energy: Zeus saw no GPU, and writes no"
      " other energy to its log"
    )
  windows: dict[str, list[tuple[int, dict[str, str]]]] = {}
  for number, line in enumerate(lines, start=2):
    cells = line.split(",")
    if not line.strip():
      continue
    if len(cells) < 3 + len(gpus):
      raise BadReferenceError(
        f"row {number}: {len(cells)} cells under {3 + len(gpus)} columns"
      )
    start, *name, elapsed = cells[: -len(gpus)]
    energies = zip(gpus, cells[-len(gpus) :], strict=True)
    row = {"start_time": start, "elapsed_time": elapsed} | dict(energies)
    windows.setdefault(",".join(name), []).append((number, row))
  if window and window not in windows:
    names = ", ".join(map(printable, windows))
    raise BadReferenceError(f"no window {printable(window)}; known: {names}")
  for name, rows in windows.items():
    if name == window or not window:
      yield _zeus_windows(file, name, rows, gpus)


def _zeus_windows(
  file: str,
  name: str,
  rows: Sequence[tuple[int, Mapping[str, str]]],
  gpus: Sequence[str],
) -> Reference:
  ended, seconds, joules = 0.0, [], []
  for number, row in rows:
    start = _number(number, "start_time", row)
    if start < ended - OVERLAP_TOLERANCE:
      raise BadReferenceError(
        f"row {number}, column start_time: begins within an earlier window"
        f" {printable(name)}; windows that overlap cannot be added up"
      )
    seconds.append(_number(number, "elapsed_time", row))
    ended = start + seconds[-1]
    joules += [_number(number, gpu, row) for gpu in gpus]
  count = "1 window" if len(rows) == 1 else f"{len(rows)} windows added up"
  return Reference(
    name=printable(name or "window"),
    source=f"Zeus, {printable(file)}, {count}",
    # 0 J is what Zeus writes of a window shorter than the counter's period.
    joules=math.fsum(joules) if all(joules) else None,
    seconds=math.fsum(seconds) or None,
    boundary=("gpu",),
  )


def _number(number: int, column: str, row: Mapping[str, str]) -> float:
  """Reads a cell as a number, 0 where it is empty or not there."""
  text = row.get(column, "").strip() or "0"
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 <= value <= LARGEST:
    raise BadReferenceError(
      f"row {number}, column {column}: {printable(text)!r} is not a number from"
      " 0 on"
    )
  return value
