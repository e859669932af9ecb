"""Estimates and comparisons in words: cells of a table, parts of a sentence.

What `jaxpower.wording` is to single numbers this is to the values of
`jaxpower.report.compare`: lower bounds, intervals, break-even points.
"""

import math
from collections.abc import Sequence

from jaxpower.report.compare.break_even import BreakEven
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.statistics import (
  ENOUGH_SEEDS,
  Estimate,
  Span,
  range_coverage,
)
from jaxpower.wording import number, percent

UNKNOWN = "unknown"
# The ways to count joules, as `compare.costs.COUNTINGS` names them.
COUNTING_NAMES = {
  "train": "training alone",
  "compile": "with compiling",
  "eval": "with evaluation",
  "active": "without idle energy",
}


# Estimates


def estimate(value: Estimate | None) -> str:
  """Writes a cell: "212 (204-221)", "> 655" for a lower bound, "unknown"."""
  if value is None:
    return UNKNOWN
  if value.at_least:
    return f"> {number(value.value)}"
  if value.low is None or value.high is None:
    return number(value.value)
  return f"{number(value.value)} ({interval(value, '-')})"


def interval(value: Estimate | Span, to: str = " to ", figures: int = 3) -> str:
  """Writes an interval: "204 to 221"; "204 or more" where it has no end."""
  if value.low is None or value.high is None:
    return UNKNOWN
  low = number(value.low, figures)
  if math.isinf(value.high):
    return f"{low} or more"
  return f"{low}{to}{number(value.high, figures)}"


def at_least(value: Estimate) -> str:
  """Writes a value in a sentence: "212", or "at least 655" for a bound."""
  return f"{'at least ' if value.at_least else ''}{number(value.value)}"


def joules(value: Estimate | None) -> str:
  """Writes joules in a sentence: "212 J", "at least 655 J"."""
  return "unknown joules" if value is None else f"{at_least(value)} J"


def number_or_unknown(value: float | None) -> str:
  """Writes a cell: "1.84", or "unknown"."""
  return UNKNOWN if value is None else number(value)


def bounded(value: float | None, bound: float | None) -> str:
  """Writes a cell with the meter's bound: "1.84 +- 0.9 %"."""
  if value is None:
    return UNKNOWN
  if bound is None or not value:
    return number(value)
  return f"{number(value)} +- {number(100 * bound / value, 2)} %"


def interval_note(fewest_seeds: int) -> str:
  """Says what brackets hold, where some setting has this few trials."""
  note = "Medians over seeds; in brackets the 95 % bootstrap interval"
  if fewest_seeds >= ENOUGH_SEEDS:
    return f"{note}."
  coverage = 100 * range_coverage(fewest_seeds)
  return (
    f"{note}. With {fewest_seeds} seeds it is at most their range, which holds"
    f" the true median in {coverage:.0f} of 100 cases."
  )


# Break-even points


def uses(number_of_uses: float) -> str:
  """Writes a number of uses to two figures; infinite is "never"."""
  return "never" if math.isinf(number_of_uses) else number(number_of_uses, 2)


def break_even_cell(value: BreakEven | None) -> str:
  """Writes a cell: "12 (5.0 to never)", "at most 12", "never", "unknown"."""
  text = break_even_point(value)
  if value is None or value.uses is None:
    return text
  if value.low is None or value.high is None or value.low == math.inf:
    return text
  return f"{text} ({uses(value.low)} to {uses(value.high)})"


def break_even_point(value: BreakEven | None) -> str:
  """Writes the same without its interval."""
  if value is None or value.uses is None:
    return UNKNOWN
  bound = "at most " if value.at_most else "at least " if value.at_least else ""
  return bound + uses(value.uses)


# Comparisons


def goal(comparison: Comparison) -> str:
  """Says what was to be reached: "80 %"."""
  mean = percent(comparison.target_accuracy)
  if len(comparison.tasks) == 1:
    return mean
  return f"every target ({mean} on average)"


def name_among(comparison: Comparison, among: Sequence[Comparison]) -> str:
  """Names what tells a comparison from others; empty where it is alone."""
  facts = (
    (comparison.data, {c.data for c in among}),
    (" + ".join(comparison.tasks), {c.tasks for c in among}),
    (
      f"to {percent(comparison.target_accuracy)}",
      {c.target_accuracy for c in among},
    ),
    (comparison.machine or "machine unknown", {c.machine for c in among}),
    (" + ".join(comparison.domains) or "no meter", {c.domains for c in among}),
    (
      " + ".join(comparison.devices) or "devices unknown",
      {c.devices for c in among if c.domains == comparison.domains},
    ),
    (
      "estimated" if comparison.estimated else "measured",
      {c.estimated for c in among},
    ),
  )
  return ", ".join(fact for fact, values in facts if len(values) > 1)
