"""Estimates as cells of a table or words of a sentence."""

import math

from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.statistics import (
  ENOUGH_SEEDS,
  Estimate,
  range_coverage,
)
from jaxpower.wording import number

COUNTED = {
  "train": "training alone",
  "compile": "with compiling",
  "eval": "with evaluation",
  "active": "less idle energy",
}


def estimate(found: Estimate | None) -> str:
  """A cell: "212 (204-221)", "> 655" for a lower bound, or "unknown"."""
  if found is None:
    return "unknown"
  if found.at_least:
    return f"> {number(found.value)}"
  if found.low is None or found.high is None:
    return number(found.value)
  return f"{number(found.value)} ({interval(found, '-')})"


def interval(found: Estimate, to: str = " to ", figures: int = 3) -> str:
  """The ends of an interval: "204 to 221"; "204 or more" where endless."""
  if found.low is None or found.high is None:
    return "unknown"
  low = number(found.low, figures)
  if math.isinf(found.high):
    return f"{low} or more"
  return f"{low}{to}{number(found.high, figures)}"


def in_words(found: Estimate) -> str:
  """A value in a sentence: "212", or "at least 655" for a lower bound."""
  return f"{'at least ' if found.at_least else ''}{number(found.value)}"


def joules_word(comparison: Comparison) -> str:
  """What a column of joules is called: modelled ones never only "joules"."""
  return "estimated joules" if comparison.estimated else "joules"


def bounded(joules: float | None, bound: float | None) -> str:
  """A cell: "1.84 +- 0.9 %", the bound being the meter's."""
  if joules is None:
    return "unknown"
  if bound is None or not joules:
    return number(joules)
  return f"{number(joules)} +- {number(100 * bound / joules, 2)} %"


def interval_note(fewest: int) -> str:
  """What brackets hold, where the fewest trials of a setting are so many."""
  note = "Medians over seeds; in brackets the 95 % bootstrap interval"
  if fewest >= ENOUGH_SEEDS:
    return f"{note}."
  return (
    f"{note}. With {fewest} seeds it is at most their range, which holds the"
    f" true median in {100 * range_coverage(fewest):.0f} of 100 cases."
  )
