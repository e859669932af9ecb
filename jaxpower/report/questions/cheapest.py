"""Which setting was cheapest, by how much, and how sure is that?

The first question of every report, asked of each comparison: the table of its
settings, the verdict in two sentences and how sure it is, and the figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from jaxpower.records import TrialRecord
from jaxpower.report.cells import (
  COUNTING_NAMES,
  UNKNOWN,
  bounded,
  estimate,
  goal,
  interval,
  joules_interval,
  name_among,
  unit_of,
  unit_to_target,
)
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.costs import all_known, by_seed, ran
from jaxpower.report.compare.cpu_time import only_cpu_time
from jaxpower.report.compare.more_seeds import MoreSeeds, more_seeds
from jaxpower.report.compare.pareto import (
  FEWEST_SETTINGS,
  accuracy_front,
  seconds_front,
  settings_on,
  with_fronts,
)
from jaxpower.report.compare.repeats import RepeatNoise, repeat_noise
from jaxpower.report.compare.selection import Extremes
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import CPU
from jaxpower.report.findings import (
  MOST_LINES,
  MOST_ROWS,
  Figure,
  Section,
  Table,
)
from jaxpower.report.given import Given
from jaxpower.wording import (
  MOST_NAMES,
  ONE_SEED,
  JouleUnit,
  capitalised,
  count,
  duration,
  energy,
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
TYPICAL = (
  "What each setting typically costs in {energy} of training until the target,"
  " with its 95 % interval. A faint dot is a seed, an open arrow one that"
  " missed the target, at what it spent."
)
CURVES = (
  "Accuracy on the {sets} set over the {energy} of training. A line is a trial;"
  " the bold one has the median energy of its setting. It ends in a filled"
  " point where the target was reached, in an open one where it was missed, in"
  " a cross where training diverged."
)
FEWER = (
  " Of more than {most} trials of a comparison some are drawn, evenly chosen."
)
FRONTS = (
  "Left: the best median accuracy of each setting over the {energy} of"
  " training. Right: {energy} and seconds to the target. Coloured settings are"
  " on the Pareto front: no other setting is better in both."
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
ACCURACY_FRONT = (
  "The best median accuracy of each setting over the {energy} of training."
  " Coloured settings are on the Pareto front: no other setting is better in"
  " both."
)


@dataclass(frozen=True)
class Verdict:
  """How the settings of a comparison stand to the cheapest one.

  Attributes:
    comparison: All of them.
    name: The comparison's name among several; empty where it is alone.
    alike: Settings whose interval of the ratio to the cheapest reaches one.
    worst: The most expensive one, unless it is alike.
    missed: Settings that missed the target too often for a cost to be known.
    one_seed: Whether nothing says how costs scatter.
    cheapest_otherwise: The cheapest by another way to count, by its name in
      `COUNTING_NAMES`, where the cheapest one is then measurably costlier.
    more: How more seeds are run, where settings are alike.
  """

  comparison: Comparison
  name: str
  alike: tuple[Group, ...] = ()
  worst: Group | None = None
  missed: tuple[Group, ...] = ()
  one_seed: bool = False
  cheapest_otherwise: tuple[tuple[str, Group], ...] = ()
  more: MoreSeeds | None = None


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers for each comparison; the first section has the figures."""
  sections = [tell(verdict) for verdict in find(compared)]
  return (*_with_figures(sections[:1], compared.comparisons), *sections[1:])


# Values


def find(compared: Compared) -> tuple[Verdict, ...]:
  """Finds the verdict of each comparison."""
  comparisons = compared.comparisons
  verdicts = (_verdict(c, name_among(c, comparisons)) for c in comparisons)
  return tuple(_with_command(verdict, compared) for verdict in verdicts)


def _verdict(comparison: Comparison, name: str) -> Verdict:
  best = comparison.best
  missed = tuple(g for g in comparison.groups if g.joules_missed is not None)
  others = [g for g in comparison.groups if g.ratio and g is not best]
  if best is None or not others:
    return Verdict(comparison, name, missed=missed)
  alike = tuple(group for group in others if _is_alike(group))
  worst = comparison.worst
  return Verdict(
    comparison,
    name,
    alike,
    None if worst is best or worst in alike else worst,
    missed,
    any(g.ratio is not None and g.ratio.low is None for g in others),
    tuple(
      (counting, comparison.groups[ranking.order[0]])
      for counting, ranking in comparison.rankings.items()
      if _costs_more(ranking.ratios[comparison.groups.index(best)])
    ),
  )


def _is_alike(group: Group) -> bool:
  """Returns whether the interval of its ratio to the cheapest includes one."""
  low = group.ratio.low if group.ratio else None
  return low is not None and low <= 1


def _costs_more(ratio: Estimate | None) -> bool:
  return ratio is not None and ratio.low is not None and ratio.low > 1


def _with_command(verdict: Verdict, compared: Compared) -> Verdict:
  """Adds how more seeds are run, twice as many as now, where they may tell."""
  best = verdict.comparison.best
  if best is None or not (verdict.alike or verdict.one_seed):
    return verdict
  more = more_seeds(compared.sweep, compared.records, best.seeds)
  return replace(verdict, more=more)


# Words


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


def _with_figures(
  first: Sequence[Section], comparisons: Sequence[Comparison]
) -> tuple[Section, ...]:
  """Puts the figures of all comparisons into the first of their sections."""
  if not comparisons:
    return tuple(first)
  energy = energy_name(any(c.estimated for c in comparisons))
  sets = join_names(sorted({c.conditions.decided_by for c in comparisons}))
  curves = CURVES.format(energy=energy, sets=sets)
  if any(
    sum(len(g.records) for g in c.groups) > MOST_LINES for c in comparisons
  ):
    curves += FEWER.format(most=MOST_LINES)
  typical = TYPICAL.format(energy=energy)
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
  return Table(columns, rows, tuple(_notes(comparison)))


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
  points += _partly_measured(comparison.groups)
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
      if _costs_more(g.ratio) and not _is_alike(g)
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


def _partly_measured(groups: Sequence[Group]) -> list[str]:
  """Says how many trials with joules were only partly measured, and why."""
  trials = [
    record
    for group in groups
    if group.joules or group.joules_missed is not None
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
