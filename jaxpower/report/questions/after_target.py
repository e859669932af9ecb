"""What did training on after the target cost, and what did it gain?

Asked of trials that trained on to their budget or their patience
(`stop_at_target=False`).
"""

import statistics
from collections.abc import Callable, Sequence

from jaxpower.records import Evaluation, TrialRecord
from jaxpower.report.cells import interval, joules_interval, name_among
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.costs import all_known, by_seed, ran
from jaxpower.report.compare.statistics import Estimate, mean, typical
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.wording import energy_name, number, opening

PLACE = 12


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where no trial trained on."""
  comparisons = compared.comparisons
  lines = []
  for comparison in comparisons:
    name = name_among(comparison, comparisons)
    where = f"{name}: " if name else ""
    lines += [where + line for line in after_target_lines(comparison)]
  if not lines:
    return ()
  return (Section(title="Training after the target", lines=tuple(lines)),)


def after_target_lines(comparison: Comparison) -> tuple[str, ...]:
  """Says what training after the target cost and gained, a line a setting.

  Joules are those after the evaluation that reached the target, and points of
  accuracy those between it and the last one: means over seeds, of joules
  geometric ones. Where a second evaluation confirms it, only trials count that
  trained on after that.
  """
  energy = energy_name(comparison.estimated)
  lines = (_after_target_line(group, energy) for group in comparison.groups)
  return tuple(line for line in lines if line)


def first_passing(record: TrialRecord) -> Evaluation | None:
  """Finds the evaluation that first met the target; None where none did."""
  seconds = record.seconds_to_accuracy
  if seconds is None:
    return None
  return next((e for e in record.curve if e.train_seconds >= seconds), None)


def _after_target_line(group: Group, energy: str) -> str:
  trials = [r for r in group.records if _trained_on(r)]
  if not trials:
    return ""
  all_trials = len(ran(group.records))
  which = f" ({len(trials)} of {all_trials} trials)"
  which = "" if len(trials) == all_trials else which
  joules = _of_seeds(trials, _joules_after)
  cost = f"unknown {energy}"
  if joules:
    cost = f"{joules_interval(_typical(joules), False)} of {energy}"
    if ratios := _of_seeds(trials, _times_the_joules):
      times = _in_words(_typical(ratios))
      cost += f", in all {times} times the energy to target"
  points = _in_words(mean(_of_seeds(trials, _points_after)))
  return (
    f"{opening(group.varied)}: training after the target{which} cost {cost},"
    f" for {points} points of accuracy."
  )


def _of_seeds(
  trials: Sequence[TrialRecord],
  number_of: Callable[[TrialRecord], float | None],
) -> list[float]:
  """Averages a number over the repeats of each seed; empty if one is unknown.

  Repeats are the same training: what they gain is one value, not several.
  """
  numbers = [all_known(map(number_of, r)) for r in by_seed(trials).values()]
  return [statistics.fmean(repeats) for repeats in all_known(numbers) or ()]


def _typical(values: Sequence[float]) -> Estimate | None:
  """Takes the geometric mean; of values not above zero the arithmetic one."""
  return typical(values) if min(values) > 0 else mean(values)


def _joules_after(record: TrialRecord) -> float | None:
  whole, to_target = record.train_joules, record.joules_to_accuracy
  return None if whole is None or to_target is None else whole - to_target


def _times_the_joules(record: TrialRecord) -> float | None:
  whole, to_target = record.train_joules, record.joules_to_accuracy
  return whole / to_target if whole is not None and to_target else None


def _points_after(record: TrialRecord) -> float | None:
  first = first_passing(record)
  if first is None or first.accuracy is None:
    return None
  last = record.curve[-1].accuracy
  return None if last is None else 100 * (last - first.accuracy)


def _trained_on(record: TrialRecord) -> bool:
  """Whether a trial trained on after the evaluation at which it could stop."""
  first = first_passing(record)
  if first is None:
    return False
  confirming = record.config.get("crossing", "first") != "first"
  return record.curve.index(first) + confirming < len(record.curve) - 1


def _in_words(value: Estimate | None) -> str:
  """Writes a mean, and in brackets its interval where there is one."""
  if value is None:
    return "unknown"
  if value.low is None:
    return number(value.value)
  return f"{number(value.value)} ({interval(value)})"
