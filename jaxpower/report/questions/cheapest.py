"""Which setting was cheapest, by how much, and how sure is that?

The first question of every report, asked of each comparison: the table of its
settings, the verdict in a few sentences, and the two figures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jaxpower.records import Evaluation, TrialRecord
from jaxpower.report.cells import (
  COUNTING_NAMES,
  bounded,
  estimate,
  goal,
  interval,
  interval_note,
  joules,
  joules_interval,
  name_among,
  unit_of,
  unit_to_target,
)
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.costs import exact_costs, ran
from jaxpower.report.compare.pareto import (
  FEWEST_SETTINGS,
  accuracy_front,
  seconds_front,
  settings_on,
  with_fronts,
)
from jaxpower.report.compare.statistics import Cost, Estimate, median
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  ONE_SEED,
  JouleUnit,
  capitalised,
  energy_name,
  join_names,
  join_settings,
  joule_unit,
  joules_name,
  labels,
  number,
  opening,
  partly_measured,
  percent,
  setting,
  value,
)

PLACE = 10
CURVES = (
  "Test accuracy over the {energy} of training. A line is a trial; the bold"
  " one has the median energy of its setting. It ends in a filled point where"
  " the target was reached, in an open one where it was missed, in a cross"
  " where training diverged."
)
FRONTS = (
  "Left: the best median accuracy of each setting over the {energy} of"
  " training. Right: median {energy} and seconds to the target; an open point"
  " with an arrow is a lower bound. Coloured settings are on the Pareto front:"
  " no other setting is better in both."
)


@dataclass(frozen=True)
class Verdict:
  """How the settings of a comparison stand to the cheapest one.

  Attributes:
    comparison: All of them.
    name: The comparison's name among several; empty where it is alone.
    alike: Settings whose interval of the ratio to the cheapest reaches one.
    worst: The most expensive one, unless it is alike.
    bounded: Others whose median is only bounded.
    one_seed: Whether some setting has no interval.
    cheapest_otherwise: The cheapest by another way to count, by its name in
      `COUNTING_NAMES`, where that is another setting.
  """

  comparison: Comparison
  name: str
  alike: tuple[Group, ...] = ()
  worst: Group | None = None
  bounded: tuple[Group, ...] = ()
  one_seed: bool = False
  cheapest_otherwise: tuple[tuple[str, Group], ...] = ()


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers for each comparison; the last section has the figures."""
  sections = [tell(verdict) for verdict in find(compared)]
  return (*sections[:-1], *_with_figures(sections[-1:], compared.comparisons))


# Values


def find(compared: Compared) -> tuple[Verdict, ...]:
  """Finds the verdict of each comparison."""
  comparisons = compared.comparisons
  return tuple(_verdict(c, name_among(c, comparisons)) for c in comparisons)


def _verdict(comparison: Comparison, name: str) -> Verdict:
  best = comparison.best
  others = [g for g in comparison.groups if g.ratio and g is not best]
  if best is None or not others:
    return Verdict(comparison, name)
  alike = [group for group in others if _is_alike(group)]
  worst = next(
    (g for g in others if g is comparison.worst and g not in alike), None
  )
  return Verdict(
    comparison,
    name,
    tuple(alike),
    worst,
    tuple(g for g in others if _is_bounded(g) and g is not worst),
    any(g.ratio is not None and g.ratio.low is None for g in others),
    tuple(
      (counting, comparison.groups[ranking.order[0]])
      for counting in COUNTING_NAMES
      if counting != "train"
      and (ranking := comparison.rankings.get(counting))
      and ranking.order
      and comparison.groups[ranking.order[0]] is not best
    ),
  )


def _is_alike(group: Group) -> bool:
  """Returns whether the interval of its ratio to the cheapest includes one."""
  low = group.ratio.low if group.ratio else None
  return low is not None and low <= 1 and not _is_bounded(group)


def _is_bounded(group: Group) -> bool:
  return group.joules is not None and group.joules.at_least


def _seeds(group: Group) -> int:
  return len(ran(group.records))


# Words


def tell(verdict: Verdict) -> Section:
  """Tells a verdict: a table of all settings, and the answer in sentences."""
  comparison = verdict.comparison
  return Section(
    title=verdict.name,
    lead=" ".join(_sentences(verdict)),
    tables=(cost_table(comparison),),
    lines=front_lines(comparison),
  )


def _with_figures(
  last: Sequence[Section], comparisons: Sequence[Comparison]
) -> tuple[Section, ...]:
  """Puts the figures of all comparisons below the last of their sections."""
  energy = energy_name(any(c.estimated for c in comparisons))
  figures = [
    Figure("energy_accuracy", tuple(comparisons), CURVES.format(energy=energy))
  ]
  if fronts := with_fronts(comparisons):
    figures.append(Figure("pareto", fronts, FRONTS.format(energy=energy)))
  return tuple(replace(section, figures=tuple(figures)) for section in last)


def cost_table(comparison: Comparison) -> Table:
  """Makes the table of settings: what varies and what each value cost."""
  paths = comparison.paths
  names, estimated = labels(paths), comparison.estimated
  unit = unit_to_target(comparison)
  unit_per_1000 = unit_of(
    group.joules_per_1000_examples for group in comparison.groups
  )
  columns = (
    *(names[path] for path in paths),
    "reached",
    f"{joules_name(estimated, unit)} to {goal(comparison)}",
    "seconds",
    "ratio",
    f"{joule_unit(estimated, unit_per_1000)} per 1000 examples",
  )
  rows = tuple(
    (
      *(value(group.varied[path]) for path in paths),
      f"{group.count('reached')} of {len(group.records)}",
      _joules_cell(group, unit),
      estimate(group.seconds),
      estimate(group.ratio),
      bounded(
        group.joules_per_1000_examples,
        group.joules_per_1000_examples_bound,
        unit_per_1000,
      ),
    )
    for group in comparison.groups
  )
  notes = (*_notes(comparison), *after_target_lines(comparison))
  return Table(columns, rows, notes)


def _joules_cell(group: Group, unit: JouleUnit) -> str:
  mark = " (lower bound)" if _is_bounded(group) else ""
  return estimate(group.joules, unit) + mark


def _notes(comparison: Comparison) -> list[str]:
  groups = comparison.groups
  seeds = list(map(_seeds, groups))
  notes = []
  if any(count > 1 for count in seeds):
    notes.append(interval_note(min(count for count in seeds if count > 1)))
  if 1 in seeds:
    notes.append(ONE_SEED)
  if any(e and e.at_least for g in groups for e in (g.joules, g.seconds)):
    notes.append(
      "Lower bound: too many trials missed the target for a median to be known."
    )
  notes += [
    f"{opening(group.varied)}: {count} of {len(group.records)} trials {fate}."
    for status, fate in (
      ("failed", "failed, without a result"),
      ("diverged", "diverged; the energy spent is a lower bound"),
    )
    for group in groups
    if (count := group.count(status))
  ]
  return notes + _ratio_notes(comparison)


def _ratio_notes(comparison: Comparison) -> list[str]:
  """Writes the ratio of worst to best by each way to count its joules."""
  rankings, notes = comparison.rankings, []
  ratios = [
    f"{name} {_ratio_cell(ranking.energy_ratio)}"
    for counting, name in COUNTING_NAMES.items()
    if (ranking := rankings.get(counting)) and ranking.energy_ratio
  ]
  if len(comparison.groups) > 1 and ratios:
    notes.append(f"Most over least expensive: {', '.join(ratios)}.")
    unknown = [n for c, n in COUNTING_NAMES.items() if c not in rankings]
    if unknown:
      notes.append(f"Unknown for some trials: {join_names(unknown)}.")
  usual = rankings["train"].order
  reordered = [
    COUNTING_NAMES[counting]
    for counting, ranking in rankings.items()
    if ranking.order != usual
  ]
  if reordered:
    notes.append(f"The order of settings differs {join_names(reordered)}.")
  return notes


def _ratio_cell(ratio: Estimate) -> str:
  """Writes a ratio, with its low end also where it is only bounded."""
  if ratio.at_least and ratio.low is not None:
    return f"{estimate(ratio)} ({interval(ratio)})"
  return estimate(ratio)


def front_lines(comparison: Comparison) -> tuple[str, ...]:
  """Names the settings on each Pareto front, in a line each."""
  groups = comparison.groups
  if len(groups) < FEWEST_SETTINGS:
    return ()
  energy = energy_name(comparison.estimated)
  fronts = (
    ("accuracy", accuracy_front(comparison)),
    ("seconds to the target", seconds_front(comparison)),
  )
  return tuple(
    f"Pareto front of {energy} and {other}: "
    + "; ".join(setting(groups[i].varied) for i in settings_on(front))
    + "."
    for other, front in fronts
    if front
  )


# Training after the target


def after_target_lines(comparison: Comparison) -> tuple[str, ...]:
  """Says what training after the target cost and gained, a line a setting.

  Joules are those after the evaluation that reached the target, and points of
  accuracy those between it and the last one: medians over trials. Where a
  second evaluation confirms it, only trials count that trained on after that.
  """
  energy = energy_name(comparison.estimated)
  lines = (_after_target_line(group, energy) for group in comparison.groups)
  return tuple(line for line in lines if line)


def first_passing(record: TrialRecord) -> Evaluation | None:
  """Finds the evaluation that reached the target; None where none did."""
  seconds = record.seconds_to_accuracy
  if seconds is None:
    return None
  return next((e for e in record.curve if e.train_seconds >= seconds), None)


def _after_target_line(group: Group, energy: str) -> str:
  trials = [
    (record, first)
    for record in group.records
    if (first := first_passing(record)) and _trained_on(record, first)
  ]
  if not trials:
    return ""
  costs, ratios = [], []
  for record, _ in trials:
    whole, to_target = record.train_joules, record.joules_to_accuracy
    if whole is None or to_target is None:
      break
    costs.append(Cost(whole - to_target))
    if to_target > 0:
      ratios.append(whole / to_target)
  seeds = _seeds(group)
  which = "" if len(trials) == seeds else f" ({len(trials)} of {seeds} trials)"
  cost = f"unknown {energy}"
  if len(costs) == len(trials):
    cost = f"{joules_interval(median(costs))} of {energy}"
    if len(ratios) == len(trials):
      cost += f", in all {_median_in_words(ratios)} times the energy to target"
  points = _median_in_words(
    100 * (record.curve[-1].accuracy - first.accuracy)
    for record, first in trials
  )
  return (
    f"{opening(group.varied)}: training after the target{which} cost {cost},"
    f" for {points} points of accuracy."
  )


def _trained_on(record: TrialRecord, first: Evaluation) -> bool:
  """Whether a trial trained on after the evaluation at which it could stop."""
  confirming = record.config.get("crossing", "first") != "first"
  return record.curve.index(first) + confirming < len(record.curve) - 1


def _median_in_words(values: Iterable[float]) -> str:
  """Writes a median, and in brackets its interval where there is one."""
  middle = median(exact_costs(values))
  if middle is None:
    return "unknown"
  if middle.low is None:
    return number(middle.value)
  return f"{number(middle.value)} ({interval(middle)})"


# The verdict, sentence by sentence


def _sentences(verdict: Verdict) -> list[str]:
  comparison = verdict.comparison
  groups = comparison.groups
  trials = [record for group in groups for record in group.records]
  if all(record.status == "failed" for record in trials):
    return [f"Every trial failed: {_first_error(trials)}."]
  if not any(record.status == "reached" for record in trials):
    sentences = [_none_reached(trials, comparison)]
  elif comparison.best is None:
    sentences = [_no_median(comparison)]
  elif len(groups) == 1:
    sentences = [_only_setting(comparison.best, goal(comparison))]
  else:
    sentences = _compared_with_best(verdict, comparison.best)
  sentences += _unknown_joules(groups)
  sentences += _partly_measured(groups)
  if comparison.estimated:
    sentences.append(f"{_modelled(trials)} is estimated, not measured.")
  return sentences


def _only_setting(best: Group, target: str) -> str:
  name = f"{opening(best.varied)}: reaching" if best.varied else "Reaching"
  sentence = f"{name} {target} cost {joules_interval(best.joules)}"
  if best.seconds and not best.seconds.at_least:
    sentence += f" in {number(best.seconds.value)} s of training"
  seeds = _seeds(best)
  return (
    f"{sentence}, {'one seed' if seeds == 1 else f'median of {seeds} seeds'}."
  )


def _compared_with_best(verdict: Verdict, best: Group) -> list[str]:
  name, target = opening(best.varied), goal(verdict.comparison)
  if not any(g.ratio and g is not best for g in verdict.comparison.groups):
    return [
      f"{name} cost {joules(best.joules)} to {target}; there is nothing to"
      " compare it with."
    ]
  sentences = [f"{name} was cheapest: {joules(best.joules)} to {target}."]
  if verdict.alike:
    seeds = min(map(_seeds, (best, *verdict.alike)))
    names = [setting(group.varied) for group in verdict.alike]
    sentences.append(
      f"It does not differ measurably from {join_settings(names, 'or')} with"
      f" {seeds} seeds."
    )
  if verdict.worst:
    sentences.append(_most_expensive(verdict.worst))
  if verdict.bounded:
    sentences.append(_seldom_reached(verdict.bounded))
  if verdict.one_seed:
    sentences.append(ONE_SEED)
  return sentences + [
    f"{capitalised(COUNTING_NAMES[counting])}, {setting(group.varied)} is"
    " cheapest instead."
    for counting, group in verdict.cheapest_otherwise
  ]


def _most_expensive(group: Group) -> str:
  name, ratio = opening(group.varied), group.ratio
  if ratio is None:
    return f"{name} cannot be compared."
  if _is_bounded(group):
    return (
      f"{name} cost at least {number(ratio.value, 2)} times as much:"
      f" {_share_reached(group)} trials reached the target."
    )
  ends = f" ({interval(ratio, figures=2)})" if ratio.low is not None else ""
  return f"{name} cost {number(ratio.value, 2)}{ends} times as much."


def _seldom_reached(groups: Sequence[Group]) -> str:
  if len(groups) == 1:
    (group,) = groups
    return (
      f"{opening(group.varied)} reached the target in {_share_reached(group)}"
      f" trials: its energy is only known to be {joules(group.joules)}."
    )
  names = join_settings([setting(group.varied) for group in groups])
  return (
    f"{capitalised(names)} reached the target in too few trials: their"
    " energies are lower bounds."
  )


def _share_reached(group: Group) -> str:
  return f"{group.count('reached')} of {len(group.records)}"


def _no_median(comparison: Comparison) -> str:
  target = goal(comparison)
  if all(group.joules is None for group in comparison.groups):
    reached = sum(g.count("reached") for g in comparison.groups)
    trials = sum(len(g.records) for g in comparison.groups)
    return f"{reached} of {trials} trials reached {target}."
  return (
    f"No setting reached {target} in enough of its trials for its median to be"
    " known; the joules are lower bounds."
  )


def _none_reached(trials: Sequence[TrialRecord], comparison: Comparison) -> str:
  sentence = f"No trial reached {goal(comparison)}"
  evaluated = [t for t in trials if t.best_accuracy is not None]
  if evaluated:
    top = max(evaluated, key=lambda trial: trial.best_accuracy or 0.0)
    where = f" ({setting(top.varied)})" if top.varied else ""
    best = percent(top.best_accuracy or 0.0)
    sentence += f"; the best reached {best}{where}"
  if any(group.joules for group in comparison.groups):
    sentence += ". Every energy is a lower bound"
  return f"{sentence}. Raise budget_examples or lower target_accuracy."


def _unknown_joules(groups: Sequence[Group]) -> list[str]:
  settings: dict[str, list[str]] = {}
  for group in groups:
    if group.unknown:
      settings.setdefault(group.unknown, []).append(setting(group.varied))
  sentences = []
  for reason, names in settings.items():
    whose = "" if len(names) == len(groups) else f" of {join_settings(names)}"
    sentences.append(f"The joules{whose} are unknown: {reason.rstrip('.')}.")
  return sentences


def _partly_measured(groups: Sequence[Group]) -> list[str]:
  """Says how many trials with joules were only partly measured, and why."""
  trials = [
    record
    for group in groups
    if not group.unknown
    for record in ran(group.records)
  ]
  partial = [trial for trial in trials if trial.partial]
  if not partial:
    return []
  reasons = (reason for trial in partial for reason in trial.reasons)
  reason = next(reasons, "no reason was recorded").rstrip(".")
  return [f"{partly_measured(len(partial), len(trials))}: {reason}."]


def _modelled(trials: Sequence[TrialRecord]) -> str:
  kinds = {
    domain.get("kind")
    for trial in trials
    for domain in trial.meter.get("domains", ())
    if domain.get("estimated")
  }
  return "CPU power" if kinds == {"cpu"} else "Power"


def _first_error(trials: Sequence[TrialRecord]) -> str:
  error = next((t.error for t in trials if t.error), "no error was recorded")
  return error.strip().splitlines()[-1].rstrip(".")
