"""The findings of a report, as values: sections, tables and figures.

Questions make Sections; renderers (terminal, page) show them and add nothing.
"""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxpower.report.charts import Chart
from jaxpower.report.compare.comparison import Compared, Comparison

# Settings of a colour of their own, that colour-blind eyes tell apart; of more
# the cheapest; chosen.
MOST_COLORS = 9
# Settings in the figure of costs, a row each; of more the cheapest; chosen.
MOST_ROWS = 60


@dataclass(frozen=True)
class Table:
  """Headings, rows of the same length, and notes to stand below them.

  `best` is the row that a reader looks for first; None for none.
  """

  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  notes: tuple[str, ...] = ()
  best: int | None = None


@dataclass(frozen=True)
class Figure:
  """A picture to draw: the name of its files, its panels, its caption.

  Panels are of one kind: comparisons, of which `name` says what is drawn, or
  charts, which say it themselves.
  """

  name: str
  panels: Sequence[Comparison] | Sequence[Chart]
  caption: str


@dataclass(frozen=True, kw_only=True)
class Section:
  """The answer to one question.

  `lead` is the answer in a sentence or two; `sure` says how sure it is, a point
  each; `lines` are further sentences, to stand below the tables. `warnings` are
  shown in red.
  """

  title: str
  lead: str = ""
  sure: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()
  tables: tuple[Table, ...] = ()
  lines: tuple[str, ...] = ()
  figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Report:
  """Everything that records say, in the order a reader meets it.

  `notes` are about the report as a whole; `paths` are the files written.
  """

  compared: Compared
  sections: tuple[Section, ...]
  notes: tuple[str, ...] = ()
  paths: tuple[pathlib.Path, ...] = ()

  @property
  def sentence(self) -> str:
    """Joins the leads of all sections, a line each."""
    leads = [
      f"{section.title}: {section.lead}" if section.title else section.lead
      for section in self.sections
      if section.lead
    ]
    return "\n".join(leads) or NOTHING_RECORDED

  def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
    """Shows the answers in a notebook, not all that they follow from."""
    printer.text(self.sentence)


NOTHING_RECORDED = "No trial is recorded yet."
