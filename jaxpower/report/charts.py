"""The data of figures, as values: what is drawn, and no more than that.

A question makes them of what it found, `render` draws them; so a figure is
tested by its numbers. Energy is in joules throughout: a drawing chooses the
unit. Unknown is None, and is drawn as a gap or not at all, never as zero.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HeatMap:
  """What each pair of values of two fields costs to the target.

  Attributes:
    title: Of the panel; empty where it is alone.
    down: The field whose values are rows, and `across` that of the columns.
    rows: Its values in words; `columns` those of the other field.
    joules: Typical costs, a row a value; None where unknown.
    words: What to write where a cost is unknown: "missed", "not run".
    best: The cells that do not differ measurably from the best of their row.
    name: Of the colours: "joules to 80 %" without its unit.
    estimated: Whether any joule is modelled.
  """

  title: str
  down: str
  across: str
  rows: tuple[str, ...]
  columns: tuple[str, ...]
  joules: tuple[tuple[float | None, ...], ...]
  words: tuple[tuple[str, ...], ...]
  best: frozenset[tuple[int, int]] = frozenset()
  name: str = "to the target"
  estimated: bool = False


@dataclass(frozen=True)
class Mark:
  """A value and its 95 % interval, in a row and a series of `Intervals`."""

  row: int
  series: int
  value: float
  low: float | None = None
  high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Intervals:
  """Values with intervals, in rows: shares, ratios.

  Attributes:
    title: Of the panel; empty where it is alone.
    axis: What the values are.
    rows: Names, from the top.
    series: Names of what shares a row; one without a name needs no legend.
    marks: The values that are known.
    ratios: Whether they are ratios: in logs, around a line at one.
    ends: What lies below and above one: "jax costs less", "torch costs less".
    short: Names of the rows for a phone, and what they are of: values of
      "batch, learning rate"; empty where rows have no shorter names.
    fields: See `short`.
  """

  title: str
  axis: str
  rows: tuple[str, ...]
  marks: tuple[Mark, ...]
  series: tuple[str, ...] = ("",)
  ratios: bool = False
  ends: tuple[str, str] = ("", "")
  short: tuple[str, ...] = ()
  fields: str = ""


@dataclass(frozen=True, kw_only=True)
class Stacks:
  """Joules that are made of parts, a bar a row.

  Attributes:
    title: Of the panel; empty where it is alone.
    of: What a bar is the energy of: "of a trial".
    rows: Names, from the top.
    parts: Names of the parts, in their order.
    joules: A row a bar, a column a part; None where unknown.
    estimated: Whether any joule is modelled.
    short: As of `Intervals`.
    fields: As of `Intervals`.
  """

  title: str
  of: str
  rows: tuple[str, ...]
  parts: tuple[str, ...]
  joules: tuple[tuple[float | None, ...], ...]
  estimated: bool = False
  short: tuple[str, ...] = ()
  fields: str = ""


@dataclass(frozen=True)
class Line:
  """A way to solve many tasks: joules once, and joules for each of them."""

  name: str
  once: float
  each: float


@dataclass(frozen=True, kw_only=True)
class Payback:
  """Joules over the number of tasks, from scratch and from other starts.

  Attributes:
    title: Of the panel; empty where it is alone.
    base: The line that the others are paid back against.
    lines: The others.
    tasks: For each of these after how many tasks it is paid back: the number,
      and the ends of its interval; infinite is never, None unknown.
    estimated: Whether any joule is modelled.
  """

  title: str
  base: Line
  lines: tuple[Line, ...]
  tasks: tuple[tuple[float | None, float | None, float | None], ...]
  estimated: bool = False


@dataclass(frozen=True)
class Stretch:
  """A window of a trial: its phase, and from when to when in seconds."""

  phase: str
  start: float
  end: float


@dataclass(frozen=True)
class Watts:
  """The power of a domain: the ends of equal stretches, and means in them.

  `seconds` has one value more than `watts`, which is None where nothing was
  read.
  """

  domain: str
  seconds: tuple[float, ...]
  watts: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Power:
  """Power over the time of one trial, and the phases under it.

  Attributes:
    title: Which trial.
    domains: What was read, each for itself.
    stretches: Its windows, in seconds of the same clock.
    estimated: Whether the power is modelled.
  """

  title: str
  domains: tuple[Watts, ...]
  stretches: tuple[Stretch, ...]
  estimated: bool = False


Chart = HeatMap | Intervals | Stacks | Payback | Power
