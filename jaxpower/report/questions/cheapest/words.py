"""The verdict in two sentences, how sure it is, and the figures."""

from collections.abc import Sequence
from dataclasses import replace

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  COUNTING_NAMES,
  goal,
  has_interval,
  interval,
  joules_interval,
)
from jaxpower.report.compare.comparison import Comparison, Group
from jaxpower.report.compare.costs import ran, seen_in_part
from jaxpower.report.compare.cpu_time import only_cpu_time
from jaxpower.report.compare.more_seeds import MoreSeeds
from jaxpower.report.compare.pareto import (
  FEWEST_SETTINGS,
  accuracy_front,
  seconds_front,
  settings_on,
  with_fronts,
)
from jaxpower.report.compare.selection import Extremes
from jaxpower.report.findings import MOST_COLORS, MOST_ROWS, Figure, Section
from jaxpower.report.questions.cheapest.table import cost_table
from jaxpower.report.questions.cheapest.values import (
  Verdict,
  costs_more,
  is_alike,
)
from jaxpower.wording import (
  MOST_NAMES,
  ONE_SEED,
  capitalised,
  count,
  duration,
  energy,
  energy_name,
  join_names,
  join_settings,
  number,
  opening,
  partly_measured,
  percent,
  setting,
)

TYPICAL = (
  "What each setting typically costs in {energy} of training until the target,"
  " with its 95 % interval. A faint dot is a seed, an open arrow one that"
  " missed the target, at what it spent."
)
ONE_COST = (
  "What each setting cost in {energy} of training until the target, with one"
  " seed. An open arrow is one that missed the target, at what it spent."
)
CURVES = (
  "Accuracy on the {sets} set over the {energy} of training. A line is the"
  " trial of median energy of its setting, a band all trials of it. Points are"
  " where trials ended: filled where the target was reached, open where it was"
  " missed, a cross where training diverged."
)
MANY = " Of more than {most} settings the cheapest are told apart."
FRONTS = (
  "First the best median accuracy of each setting over the {energy} of"
  " training, then {energy} and seconds to the target. Coloured settings are on"
  " the Pareto front: no other setting is better in both."
)
ACCURACY_FRONT = (
  "The best median accuracy of each setting over the {energy} of training."
  " Coloured settings are on the Pareto front: no other setting is better in"
  " both."
)


def tell(verdict: Verdict) -> Section:
  """Tells a verdict: a table of all settings, and the answer in sentences."""
  comparison = verdict.comparison
  return Section(
    title=verdict.name,
    lead=_answer(verdict),
    sure=_how_sure(verdict),
    tables=(cost_table(comparison),),
    lines=front_lines(comparison),
  )


def with_figures(
  first: Sequence[Section], comparisons: Sequence[Comparison]
) -> tuple[Section, ...]:
  """Puts the figures of all comparisons into the first of their sections."""
  if not comparisons:
    return tuple(first)
  energy = energy_name(any(c.estimated for c in comparisons))
  sets = join_names(sorted({c.conditions.decided_by for c in comparisons}))
  curves = CURVES.format(energy=energy, sets=sets)
  if any(len(c.groups) > MOST_COLORS for c in comparisons):
    curves += MANY.format(most=MOST_COLORS)
  costs = [g.joules for c in comparisons for g in c.groups if g.joules]
  known = any(has_interval(cost) for cost in costs) or not costs
  typical = (TYPICAL if known else ONE_COST).format(energy=energy)
  if any(len(c.groups) > MOST_ROWS for c in comparisons):
    typical += f" Of more than {MOST_ROWS} settings these are the cheapest."
  figures = [
    Figure("cost", tuple(comparisons), typical),
    Figure("energy_accuracy", tuple(comparisons), curves),
  ]
  if fronts := with_fronts(comparisons):
    caption = ACCURACY_FRONT if all(map(only_cpu_time, fronts)) else FRONTS
    figures.append(Figure("pareto", fronts, caption.format(energy=energy)))
  return tuple(replace(section, figures=tuple(figures)) for section in first)


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


# The verdict: two sentences of fixed form, and how sure they are


def _answer(verdict: Verdict) -> str:
  """Names the cheapest, what does not differ from it, the most expensive."""
  comparison = verdict.comparison
  trials = comparison.records
  if all(record.status == "failed" for record in trials):
    return f"Every trial failed: {_first_error(trials)}."
  if not any(record.status == "reached" for record in trials):
    return _none_reached(trials, comparison)
  if comparison.best is None:
    return _no_cost(comparison)
  if len(comparison.groups) == 1:
    return _only_setting(comparison.best, comparison)
  return _compared_with_best(verdict, comparison.best)


def _how_sure(verdict: Verdict) -> tuple[str, ...]:
  """Lists what one should know before one believes the answer, a point each."""
  comparison = verdict.comparison
  trials = comparison.records
  if all(record.status == "failed" for record in trials):
    return ()
  points = _seeds(verdict) + _counted_otherwise(verdict)
  if any(record.status == "reached" for record in trials):
    points += _missed(verdict)
  points += _unknown_joules(comparison.groups)
  points += _partly_measured(comparison.records)
  if comparison.estimated:
    points.append(f"{_modelled(trials)} is estimated, not measured.")
  return tuple(points)


def _only_setting(best: Group, comparison: Comparison) -> str:
  name = f"{opening(best.varied)}: reaching" if best.varied else "Reaching"
  spent = joules_interval(best.joules, comparison.estimated)
  sentence = f"{name} {goal(comparison)} cost {spent}"
  if best.seconds:
    sentence += f" in {number(best.seconds.value)} s of training"
  return f"{sentence}, over {count(best.seeds_ran, 'seed')}."


def _compared_with_best(verdict: Verdict, best: Group) -> str:
  comparison = verdict.comparison
  name, target = opening(best.varied), goal(comparison)
  extremes = comparison.rankings["train"].extremes
  if extremes is None:
    spent = joules_interval(best.joules, comparison.estimated)
    return f"{name} cost {spent} to {target}; no other setting's cost is known."
  spent = joules_interval(extremes.cheapest_cost, comparison.estimated)
  return (
    f"{name} was cheapest: {spent} to {target}{_alike(verdict, best)}."
    f" {_most_expensive(verdict, extremes)}"
  )


def _alike(verdict: Verdict, best: Group) -> str:
  if not verdict.alike:
    return ""
  seeds = min(group.seeds_ran for group in (best, *verdict.alike))
  names = [setting(group.varied) for group in verdict.alike]
  return (
    f"; it does not differ measurably from {join_settings(names, 'or')} with"
    f" {count(seeds, 'seed')}"
  )


def _most_expensive(verdict: Verdict, extremes: Extremes) -> str:
  """Says by how much; of settings that do not differ that there is none.

  The setting of the highest estimate may be so uncertain that it does not
  differ from the cheapest, where one between them does.
  """
  group, ratio = verdict.worst, extremes.ratio
  if group is None:
    dearer = [
      g
      for g in verdict.comparison.groups
      if costs_more(g.ratio) and not is_alike(g)
    ]
    if not dearer:
      return "No setting cost measurably more."
    group = max(dearer, key=lambda g: g.ratio.value if g.ratio else 0.0)
    ratio = group.ratio
  name = opening(group.varied)
  if ratio is None:
    return f"{name} cost {number(extremes.raw, 2)} times as much."
  ends = interval(ratio, figures=2)
  return f"{name} cost {number(ratio.value, 2)} ({ends}) times as much."


def _seeds(verdict: Verdict) -> list[str]:
  """Says that one seed has no interval, and how more seeds are run."""
  more = verdict.more and _more(verdict.more)
  if verdict.one_seed:
    return [f"{ONE_SEED.rstrip('.')}; {more}" if more else ONE_SEED]
  return [capitalised(more)] if more and verdict.alike else []


def _more(more: MoreSeeds) -> str:
  """Says how more seeds are run, and what that is expected to cost."""
  parts = []
  if more.joules is not None:
    parts.append(energy(more.joules, more.estimated))
  if more.seconds is not None:
    parts.append(duration(more.seconds))
  cost = f", about {' and '.join(parts)}" if parts else ""
  return f"{more.seeds} seeds would tell more{cost}: `{more.command}`."


def _counted_otherwise(verdict: Verdict) -> list[str]:
  """Names the cheapest by other ways to count, which the verdict is not of."""
  if not verdict.cheapest_otherwise:
    return []
  otherwise = join_names(
    [
      f"{COUNTING_NAMES[counting]} {setting(group.varied)}"
      for counting, group in verdict.cheapest_otherwise
    ]
  )
  return [
    "The verdict counts training alone; otherwise counted another setting is"
    f" cheapest: {otherwise}."
  ]


def _missed(verdict: Verdict) -> list[str]:
  """Says of settings that mostly missed what is known: what they spent."""
  estimated = verdict.comparison.estimated
  if len(verdict.missed) > MOST_NAMES:
    return [
      f"{count(len(verdict.missed), 'setting')} reached the target in too few"
      " trials: what they cost is not known."
    ]
  return [
    f"{opening(group.varied)} reached the target in {group.count('reached')} of"
    f" {group.seeds} trials, within {energy(spent, estimated)}: what it costs"
    " is not known."
    for group in verdict.missed
    if (spent := group.joules_missed) is not None
  ]


def _no_cost(comparison: Comparison) -> str:
  reached = sum(g.count("reached") for g in comparison.groups)
  trials = sum(g.seeds for g in comparison.groups)
  return f"{reached} of {trials} trials reached {goal(comparison)}."


def _none_reached(trials: Sequence[TrialRecord], comparison: Comparison) -> str:
  sentence = f"No trial reached {goal(comparison)}"
  evaluated = [t for t in trials if t.best_accuracy is not None]
  if evaluated:
    top = max(evaluated, key=lambda trial: trial.best_accuracy or 0.0)
    where = f" ({setting(top.varied)})" if top.varied else ""
    best = percent(top.best_accuracy or 0.0)
    sentence += f"; the best reached {best}{where}"
  return f"{sentence}. Raise budget_examples or lower target_accuracy."


def _unknown_joules(groups: Sequence[Group]) -> list[str]:
  settings: dict[str, list[str]] = {}
  for group in groups:
    if group.unknown and group.joules_missed is None:
      settings.setdefault(group.unknown, []).append(setting(group.varied))
  sentences = []
  for reason, names in settings.items():
    whose = "" if len(names) == len(groups) else f" of {join_settings(names)}"
    sentences.append(f"The joules{whose} are unknown: {reason.rstrip('.')}.")
  return sentences


def _partly_measured(trials: Sequence[TrialRecord]) -> list[str]:
  """Says how many trials with joules were only partly measured, and why."""
  partial, seen = seen_in_part(trials)
  if not partial:
    return []
  reasons = (reason for t in ran(trials) if t.partial for reason in t.reasons)
  reason = next(reasons, "no reason was recorded").rstrip(".")
  return [f"{partly_measured(partial, seen)}: {reason}."]


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
