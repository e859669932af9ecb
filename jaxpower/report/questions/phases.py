"""Into which phases did the energy of a sweep go?

Joules to the target are of training alone. What a sweep spent besides, on
compiling, warming up, evaluating, is often more, and is told here: of all
trials together, and of each setting in a figure.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from jaxpower.report.cells import name_among
from jaxpower.report.charts import Stacks
from jaxpower.report.compare.comparison import Compared, Comparison, Group
from jaxpower.report.compare.costs import all_known, ran
from jaxpower.report.findings import MOST_ROWS, Figure, Section
from jaxpower.report.given import Given
from jaxpower.wording import (
  count,
  energy,
  energy_name,
  join_names,
  labels,
  setting,
  values_of,
  whole_percent,
)

PLACE = 25
TITLE = "Energy by phase"
CAPTION = (
  "The mean {energy} of a trial in each of its phases; numbers are shares of"
  " the bar. Compiling is spent by the trial that does it first, and read from"
  " a cache by the others."
)
LEAST_SHARE = 0.005  # of all: a phase below is not named


@dataclass(frozen=True)
class Phases:
  """What the trials of a comparison spent in each phase.

  Attributes:
    comparison: All of them.
    name: The comparison's among several; empty where it is alone.
    joules: The mean of a trial, for each setting, by phase; a phase that is
      unknown for some trial is None.
    total: Joules of all trials by phase, as far as known.
    unknown: How many trials do not know some phase.
  """

  comparison: Comparison
  name: str
  joules: tuple[dict[str, float | None], ...]
  total: dict[str, float]
  unknown: int


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where no phase is known."""
  found = find(compared)
  return (tell(found),) if found else ()


# Values


def find(compared: Compared) -> tuple[Phases, ...]:
  """Finds what each comparison spent by phase; those that know nothing not."""
  found = (
    _phases(comparison, name_among(comparison, compared.comparisons))
    for comparison in compared.comparisons
  )
  return tuple(phases for phases in found if any(phases.total.values()))


def _phases(comparison: Comparison, name: str) -> Phases:
  trials = ran(comparison.records)
  total: dict[str, float] = {}
  for trial in trials:
    for phase, joules in trial.joules_by_phase.items():
      total[phase] = total.get(phase, 0.0) + (joules or 0.0)
  return Phases(
    comparison,
    name,
    tuple(_mean(group) for group in comparison.groups),
    total,
    sum(None in trial.joules_by_phase.values() for trial in trials),
  )


def _mean(group: Group) -> dict[str, float | None]:
  trials = ran(group.records)
  phases = dict.fromkeys(p for t in trials for p in t.joules_by_phase)
  means = {}
  for phase in phases:
    known = all_known(t.joules_by_phase.get(phase, 0.0) for t in trials)
    means[phase] = statistics.fmean(known) if known else None
  return means


# Words


def tell(found: Sequence[Phases]) -> Section:
  """Tells what all trials spent, a sentence a comparison, and draws it."""
  estimated = any(phases.comparison.estimated for phases in found)
  caption = CAPTION.format(energy=energy_name(estimated))
  if any(len(phases.joules) > MOST_ROWS for phases in found):
    caption += f" Of more than {MOST_ROWS} settings these are the cheapest."
  charts = tuple(map(chart, found))
  return Section(
    title=TITLE,
    lines=tuple(map(_sentence, found)),
    figures=(Figure("phases", charts, caption),),
  )


def _sentence(phases: Phases) -> str:
  trials = len(ran(phases.comparison.records))
  whole = sum(phases.total.values())
  spent = energy(whole, phases.comparison.estimated)
  parts = [
    f"{phase} {whole_percent(joules / whole)} %"
    for phase, joules in sorted(phases.total.items(), key=lambda item: -item[1])
    if joules >= LEAST_SHARE * whole
  ]
  where = f"{phases.name}: " if phases.name else ""
  sentence = (
    f"{where}{count(trials, 'trial')} took {spent}: {join_names(parts)}"
  )
  if phases.unknown:
    sentence += f", as far as known ({phases.unknown} in part unknown)"
  return f"{sentence}."


def chart(phases: Phases) -> Stacks:
  """Makes a bar a setting; of very many the cheapest ones."""
  comparison = phases.comparison
  places = [*range(len(comparison.groups))]
  if len(places) > MOST_ROWS:
    places = sorted(comparison.rankings["train"].order[:MOST_ROWS])
  parts = list(phases.total)
  return Stacks(
    title=phases.name,
    of="of a trial",
    rows=tuple(
      setting(comparison.groups[i].varied) or "all trials" for i in places
    ),
    parts=tuple(parts),
    joules=tuple(
      tuple(phases.joules[i].get(part) for part in parts) for i in places
    ),
    estimated=comparison.estimated,
    short=tuple(values_of(comparison.groups[i].varied) for i in places)
    if comparison.paths
    else (),
    fields=", ".join(labels(comparison.paths).values()),
  )
