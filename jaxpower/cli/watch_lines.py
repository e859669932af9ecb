"""The lines of `watch`: heads, a line a device, and the sum of the job's.

Values go in, text comes out. GPUs have two columns more, how busy they are and
how much of their memory is taken, where any is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxpower.power import Domain, Use
from jaxpower.wording import memory, quantity, whole_percent

WIDE = 100  # columns of a terminal from which bars are long; chosen
LONG, SHORT = 24, 10  # characters of a full bar; chosen
ALL = "all of the job"
NOTHING = Use(None, None)


@dataclass
class Row:
  """One device now: watts over the last moment, joules so far.

  `unknown_seconds` is how long its joules were unknown. `full_watts` is the
  power of a full bar: the board's limit, or the most that was seen.
  """

  domain: Domain
  label: str
  watts: float | None
  joules: float
  full_watts: float
  known_seconds: float = 0.0
  unknown_seconds: float = 0.0


@dataclass(frozen=True)
class Line:
  """One line: the share of full power (None: no bar), and its cells."""

  share: float | None
  watts: str
  joules: str
  busy: str
  memory: str
  label: str

  def text(self, uses: bool, bar: int = 0) -> str:
    """Joins the cells; a bar of so many characters stands after the watts."""
    filled = round(bar * min(self.share or 0.0, 1.0))
    rest = " " if self.share is None else "."
    bars = ["#" * filled + rest * (bar - filled)] if bar else []
    more = [f"{self.busy:>5}", f"{self.memory:>9}"] if uses else []
    cells = [f"{self.watts:>9}", *bars, f"{self.joules:>10}", *more]
    return "  ".join([*cells, self.label])


HEADS = Line(None, "power", "energy", "busy", "memory", "device")


def bar_of(columns: int) -> int:
  """Chooses how long bars are on a terminal of so many columns."""
  return LONG if columns >= WIDE else SHORT


def label(domain: Domain) -> str:
  """Names a device, says if it is estimated, and if it is not of the job."""
  name = domain.name[:12] if domain.name.startswith("GPU-") else domain.name
  apart = "" if domain.counted else "  (not of this job)"
  estimated = ", estimated" if domain.estimated else ""
  return f"{name}  {domain.description}{estimated}{apart}"


def lines(rows: Iterable[Row], uses: Mapping[str, Use]) -> list[Line]:
  """Makes a line a device, and one of all the job's where they are several."""
  rows = list(rows)
  told = [_line(row, uses.get(row.domain.name, NOTHING)) for row in rows]
  own = [row for row in rows if row.domain.counted]
  return [*told, _sum(own, uses)] if len(own) > 1 else told


def _line(row: Row, use: Use) -> Line:
  full, watts = row.full_watts, row.watts
  return Line(
    share=(watts or 0.0) / full if full else 0.0,
    watts=_watts(watts),
    joules=_joules(row.joules, row.unknown_seconds > 0),
    busy="-" if use.busy is None else f"{whole_percent(use.busy)} %",
    memory=_memory([use.memory_used_bytes]),
    label=row.label,
  )


def _sum(rows: Sequence[Row], uses: Mapping[str, Use]) -> Line:
  """Adds up devices; watts are unknown where those of one are."""
  known = [row.watts for row in rows if row.watts is not None]
  names = [row.domain.name for row in rows if row.domain.name in uses]
  taken = [uses[name].memory_used_bytes for name in names]
  guess = any(row.domain.estimated for row in rows)
  return Line(
    share=None,
    watts=_watts(sum(known) if len(known) == len(rows) else None),
    joules=_joules(
      sum(row.joules for row in rows),
      any(row.unknown_seconds > 0 for row in rows),
    ),
    busy="",
    memory=_memory(taken) if taken else "",
    label=f"{ALL}, {len(rows)} devices" + (", part estimated" if guess else ""),
  )


def _watts(watts: float | None) -> str:
  return "unknown" if watts is None else quantity(watts, "W")


def _joules(joules: float, lacking: bool) -> str:
  """Formats the joules so far; "+?" says that some are missing."""
  return quantity(joules, "J") + (" +?" if lacking else "")


def _memory(taken: Sequence[int | None]) -> str:
  known = [each for each in taken if each is not None]
  return memory(sum(known)) if len(known) == len(taken) else "-"
