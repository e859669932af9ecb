"""How the settings of a comparison stand to the cheapest one."""

from dataclasses import dataclass, replace

from jaxpower.report.cells import name_among
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.more_seeds import MoreSeeds, more_seeds
from jaxpower.report.compare.statistics import Estimate


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
  alike = tuple(group for group in others if is_alike(group))
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
      if costs_more(ranking.ratios[comparison.groups.index(best)])
    ),
  )


def is_alike(group: Group) -> bool:
  """Returns whether the interval of its ratio to the cheapest includes one."""
  low = group.ratio.low if group.ratio else None
  return low is not None and low <= 1


def costs_more(ratio: Estimate | None) -> bool:
  """Returns whether the interval of a ratio lies above one."""
  return ratio is not None and ratio.low is not None and ratio.low > 1


def _with_command(verdict: Verdict, compared: Compared) -> Verdict:
  """Adds how more seeds are run, twice as many as now, where they may tell."""
  best = verdict.comparison.best
  if best is None or not (verdict.alike or verdict.one_seed):
    return verdict
  more = more_seeds(compared.sweep, compared.records, best.seeds)
  return replace(verdict, more=more)
