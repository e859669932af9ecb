"""The table of settings: what varies, what each cost, and notes."""

from statistics import fmean

from jaxpower.report.cells import (
  COUNTING_NAMES,
  UNKNOWN,
  bounded,
  estimate,
  goal,
  interval,
  unit_of,
  unit_to_target,
)
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import all_known, by_seed, ran
from jaxpower.report.compare.cpu_time import only_cpu_time
from jaxpower.report.compare.repeats import RepeatNoise, repeat_noise
from jaxpower.report.compare.selection import Extremes
from jaxpower.report.compare.system import CPU
from jaxpower.report.findings import Table
from jaxpower.wording import (
  ONE_SEED,
  JouleUnit,
  count,
  join_names,
  joule_unit,
  joules_name,
  labels,
  number,
  opening,
  value,
)

COSTS = (
  "What a setting typically costs over seeds, with its 95 % interval, by one"
  " model of all settings"
)
RATIOS = (
  "intervals of ratios hold for all pairs of settings at once. The verdict"
  " and most over least expensive are corrected for having been chosen by"
  " the same trials; raw is the ratio as seen."
)
TEST_ACCURACY = "test accuracy %"
TESTED = (
  "Test accuracy: when training stopped, on examples that decided nothing; the"
  " mean over seeds, and the standard error that their number leaves."
)
MISSED = (
  "Missed within: more than half of the seeds missed the target; this is what"
  " they spent, and says nothing of what reaching it costs."
)


def cost_table(comparison: Comparison) -> Table:
  """Makes the table of settings: what varies and what each value cost."""
  paths = comparison.paths
  names, estimated = labels(paths), comparison.estimated
  unit = unit_to_target(comparison)
  unit_per_1000 = unit_of(
    group.joules_per_1000_examples for group in comparison.groups
  )
  tested = _was_tested(comparison)
  columns = (
    *(names[path] for path in paths),
    "reached",
    f"{joules_name(estimated, unit)} to {goal(comparison)}",
    "seconds",
    "ratio of CPU time" if only_cpu_time(comparison) else "ratio",
    f"{joule_unit(estimated, unit_per_1000)} per 1000 examples",
    *([TEST_ACCURACY] if tested else []),
  )
  rows = tuple(
    (
      *(value(group.varied[path]) for path in paths),
      f"{group.count('reached')} of {group.seeds}",
      _joules_cell(group, unit),
      estimate(group.seconds),
      estimate(group.ratio),
      bounded(
        group.joules_per_1000_examples,
        group.joules_per_1000_examples_bound,
        unit_per_1000,
      ),
      *([_test_cell(group)] if tested else []),
    )
    for group in comparison.groups
  )
  best = comparison.best
  place = None if best is None else comparison.groups.index(best)
  return Table(columns, rows, tuple(_notes(comparison)), place)


def _was_tested(comparison: Comparison) -> bool:
  """Whether the test set was kept for the end of some trial."""
  return any(r.test_accuracy is not None for r in comparison.records)


def _test_cell(group: Group) -> str:
  """Writes the mean test accuracy, and the standard error of one trial.

  Trials are tested on the same examples, whose choice moves all of them alike:
  the mean of more seeds is not surer of it.
  """
  tested = [r for r in ran(group.records) if r.test_accuracy is not None]
  if not tested:
    return UNKNOWN
  accuracy = fmean(r.test_accuracy or 0.0 for r in tested)
  errors = all_known(r.test_accuracy_standard_error for r in tested)
  text = number(100 * accuracy)
  return f"{text} +- {number(100 * fmean(errors), 2)}" if errors else text


def _joules_cell(group: Group, unit: JouleUnit) -> str:
  if group.joules_missed is None:
    return estimate(group.joules, unit)
  return f"missed within {number(group.joules_missed / unit.joules)}"


def _notes(comparison: Comparison) -> list[str]:
  groups = comparison.groups
  notes = []
  lows = [group.joules.low for group in groups if group.joules]
  if any(low is not None for low in lows):
    notes.append(f"{COSTS}; {RATIOS}" if len(lows) > 1 else f"{COSTS}.")
  elif lows:
    notes.append(ONE_SEED)
  if any(group.joules_missed is not None for group in groups):
    notes.append(MISSED)
  if _was_tested(comparison):
    notes.append(TESTED)
  notes += [
    f"{opening(group.varied)}: {count} of {_tried(group)} {fate}."
    for status, fate in (
      ("failed", "failed, without a result"),
      ("diverged", "diverged; taken as missing the target"),
    )
    for group in groups
    if (count := group.count(status))
  ]
  notes += _repeat_notes(comparison)
  if comparison.blocks > 1:
    notes.append(_pooled_note(comparison))
  return notes + _ratio_notes(comparison)


def _tried(group: Group) -> str:
  """Counts the trials of a setting, or the seeds where some were repeated."""
  repeated = group.seeds < len(group.records)
  return f"{group.seeds} {'seeds' if repeated else 'trials'}"


def _repeat_notes(comparison: Comparison) -> list[str]:
  """Says how often seeds were measured, and how far that repeats."""
  counts = {
    len(repeats)
    for group in comparison.groups
    for repeats in by_seed(group.records).values()
  }
  if max(counts, default=1) < 2:
    return []
  each = _range(min(counts), max(counts))
  note = f"A seed counts once, as the mean of its {each} trials."
  noise = repeat_noise(comparison.records)
  return [note] if noise is None else [note, repeat_line(noise)]


def repeat_line(noise: RepeatNoise) -> str:
  """Tells how far the joules of the same training differ."""
  trials = count(noise.trials, "trial")
  return (
    "The same training measured again differs by"
    f" {number(100 * noise.variation, 2)} % ({trials} measured"
    f" {_range(noise.fewest, noise.most)} times)."
  )


def _range(fewest: int, most: int) -> str:
  return str(most) if fewest == most else f"{fewest} to {most}"


def _pooled_note(comparison: Comparison) -> str:
  """Says over which equal boards or hosts trials were pooled."""
  places = (comparison.machine, *comparison.devices)
  where = ", ".join(place for place in places if place and place != CPU)
  return f"Equal boards and hosts are pooled: {where}."


def _ratio_notes(comparison: Comparison) -> list[str]:
  """Writes the ratio of worst to best by each way to count its joules."""
  rankings, notes = comparison.rankings, []
  ratios = [
    f"{name} {_extremes_cell(ranking.extremes)}"
    for counting, name in COUNTING_NAMES.items()
    if (ranking := rankings.get(counting)) and ranking.extremes
  ]
  if ratios:
    notes.append(f"Most over least expensive: {', '.join(ratios)}.")
    unknown = [n for c, n in COUNTING_NAMES.items() if c not in rankings]
    if unknown:
      notes.append(f"Unknown for some trials: {join_names(unknown)}.")
  return notes


def _extremes_cell(extremes: Extremes) -> str:
  """Writes the corrected ratio, its interval, and the ratio as seen: raw."""
  raw = f"raw {number(extremes.raw)}"
  if extremes.ratio is None:
    return raw
  return f"{number(extremes.ratio.value)} ({interval(extremes.ratio)}; {raw})"
