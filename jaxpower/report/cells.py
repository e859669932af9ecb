"""Estimates and comparisons in words: cells of a table, parts of a sentence.

What `jaxpower.wording` is to single numbers this is to the values of
`jaxpower.report.compare`: lower bounds, intervals, break-even points.
"""

import math
import statistics
from collections.abc import Iterable, Sequence

from jaxpower.report.compare.break_even import BreakEven
from jaxpower.report.compare.comparable import Conditions, fact, unlike
from jaxpower.report.compare.comparison import Comparison
from jaxpower.report.compare.statistics import (
  Estimate,
  converted,
)
from jaxpower.report.compare.system import System
from jaxpower.wording import (
  JOULES,
  JouleUnit,
  count,
  energy,
  joule_unit_for,
  measured_or_estimated,
  number,
  percent,
  prefix_for,
  relative_bound,
)

UNKNOWN = "unknown"
PERHAPS_NEVER = ", or may never"
# The ways to count joules, as `compare.costs.COUNTINGS` names them.
COUNTING_NAMES = {
  "train": "training alone",
  "compile": "with compiling",
  "eval": "with evaluation",
  "active": "without idle energy",
}


# Estimates


def estimate(value: Estimate | None, unit: JouleUnit = JOULES) -> str:
  """Writes a cell: "212 (204-221)", "> 655" for a lower bound, "unknown".

  Energy is written in the `unit` of its column; whatever else is as it is.
  """
  if value is None:
    return UNKNOWN
  value = _divided(value, unit.joules)
  if value.at_least:
    return f"> {number(value.value)}"
  if value.low is None or value.high is None:
    return number(value.value)
  return f"{number(value.value)} ({interval(value, '-')})"


def interval(value: Estimate, to: str = " to ", figures: int = 3) -> str:
  """Writes an interval: "204 to 221"; "204 or more" where it has no end."""
  if value.low is None or value.high is None:
    return UNKNOWN
  low = number(value.low, figures)
  if math.isinf(value.high):
    return f"{low} or more"
  return f"{low}{to}{number(value.high, figures)}"


def has_interval(value: Estimate) -> bool:
  """Whether an estimate has an interval: with one seed there is none."""
  return value.low is not None and value.high is not None


def at_least(value: Estimate) -> str:
  """Writes a value in a sentence: "212", or "at least 655" for a bound."""
  return f"{'at least ' if value.at_least else ''}{number(value.value)}"


def number_or_unknown(value: float | None, unit: JouleUnit = JOULES) -> str:
  """Writes a cell: "1.84", or "unknown"; energy in the unit of its column."""
  return UNKNOWN if value is None else number(value / unit.joules)


def bounded(
  value: float | None, bound: float | None, unit: JouleUnit = JOULES
) -> str:
  """Writes a cell with the meter's bound: "1.84 +- 0.9 %"."""
  text = number_or_unknown(value, unit)
  return f"{text} {relative_bound(bound, value)}".rstrip()


def typical_note(rows: str) -> str:
  """Explains costs and intervals that are fitted, for rows of this name."""
  return (
    "Costs are those of the typical seed, by one model of all rows:"
    f" log cost = {rows} + seed + board + noise; in brackets 95 % intervals,"
    " each for its own cell. A trial that missed its target counts as having"
    " cost more than it spent; where more than half of the seeds missed, the"
    " cost is unknown."
  )


def misses(
  missed: int,
  seeds: int,
  of: str,
  goal: str,
  within: float | None,
  estimated: bool,
) -> str:
  """Says what missed trials allow: "2 of 3 seeds of torch did not reach ...".

  `within` is how many joules each of them had spent at least.
  """
  text = f"{missed} of {count(seeds, 'seed')} of {of} did not reach {goal}"
  return (
    text if within is None else f"{text} within {energy(within, estimated)}"
  )


# Energy: in a table one unit a column, in a sentence the prefix of the value


def unit_of(joules: Iterable[Estimate | float | None]) -> JouleUnit:
  """Chooses the unit of a column of joules, unknown ones among them."""
  return joule_unit_for(
    value.value if isinstance(value, Estimate) else value
    for value in joules
    if value is not None
  )


def unit_to_target(comparison: Comparison) -> JouleUnit:
  """Chooses the unit of the joules to the target of all settings."""
  return unit_of(
    group.joules or group.joules_missed for group in comparison.groups
  )


def joules(value: Estimate | None, estimated: bool) -> str:
  """Writes energy in a sentence: "212 J", "at least 41.8 kJ estimated"."""
  if value is None:
    return "unknown joules"
  bound = "at least " if value.at_least else ""
  return bound + energy(value.value, estimated)


def joules_interval(value: Estimate | None, estimated: bool) -> str:
  """Writes energy with its interval, if any: "41.8 kJ (39.1 to 44.0)"."""
  text = joules(value, estimated)
  if value is None or value.low is None:
    return text
  factor, _ = prefix_for(value.value)
  return f"{text} ({interval(_divided(value, factor))})"


def _divided(value: Estimate, divisor: float) -> Estimate:
  return converted(value, lambda number: number / divisor)


# Break-even points


def uses(number_of_uses: float) -> str:
  """Writes a number of uses to two figures; infinite is "never"."""
  return "never" if math.isinf(number_of_uses) else number(number_of_uses, 2)


def break_even_cell(value: BreakEven | None) -> str:
  """Writes a cell: "12 (5.0 to never)", "at least 12", "never", "unknown"."""
  text = break_even_point(value)
  if value is None or value.uses is None:
    return text
  if value.low is None or value.high is None or value.never:
    return text
  return f"{text} ({uses(value.low)} to {uses(value.high)})"


def break_even_point(value: BreakEven | None) -> str:
  """Writes a break-even point without its interval: "at least 12"."""
  if value is None or value.uses is None:
    return UNKNOWN
  return f"{'at least ' if value.at_least else ''}{uses(value.uses)}"


# Comparisons


def goal(comparison: Comparison) -> str:
  """Names the target of a comparison: "80 %"."""
  mean = percent(comparison.target_accuracy)
  if len(comparison.tasks) == 1:
    return mean
  return f"every target ({mean} on average)"


def name_among(comparison: Comparison, among: Sequence[Comparison]) -> str:
  """Names a comparison by what differs among several; empty for one alone.

  Where the conditions alone leave two with one name, the machine is told too.
  """
  names = {id(each): _differing(each, among) for each in among}
  name = names.get(id(comparison), _differing(comparison, among))
  if list(names.values()).count(name) < 2:
    return name
  place = (comparison.machine or "machine unknown", *comparison.devices)
  return ", ".join(filter(None, (name, *place)))


def _differing(comparison: Comparison, among: Sequence[Comparison]) -> str:
  names = unlike(other.conditions for other in among)
  words = (condition(comparison.conditions, name) for name in names)
  return ", ".join(dict.fromkeys(filter(None, words)))


def condition(conditions: Conditions, name: str) -> str:
  """Writes one of the conditions of a comparison, by the name of its field.

  Empty where it says nothing, as the cores of a GPU.
  """
  item = fact(conditions, name)
  system = conditions.system
  if name in ("hardware", "devices", "cores", "processor"):
    return hardware_name(system)
  if name == "targets":
    return f"to {percent(statistics.fmean(item))}"
  if name == "tasks":
    return " + ".join(item)
  if name == "decided_by":
    return f"decided by the {item} set"
  if name == "crossing":
    return f"{item} crossing"
  if name == "power_limits":
    watts = " or ".join(f"{limit} W" for limit in item)
    return f"limit {watts}" if watts else "power limit unknown"
  if name == "drivers":
    return f"driver {' or '.join(item)}" if item else "driver unknown"
  if name == "meter":
    return " + ".join(item) or "no meter"
  if name == "estimated":
    return measured_or_estimated(item)
  if name == "software":
    return ", ".join(item) or "software as it comes"
  return str(item)


def hardware_name(system: System) -> str:
  """Names what a system trains on: "2 x NVIDIA H200", "AMD EPYC, 2 cores"."""
  name = " + ".join(filter(None, system.hardware))
  if not name:
    return system.processor or "hardware unknown"
  if system.devices and system.devices > 1:
    return f"{system.devices} x {name}"
  if system.cores:
    return f"{name}, {count(system.cores, 'core')}"
  beside = system.processor if system.processor not in system.hardware else ""
  return f"{name} beside {beside}" if beside else name
