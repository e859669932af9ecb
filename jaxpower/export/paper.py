"""Writes what a paper has to say of its compute: a paragraph, and checklists.

Every sentence is made of records. What a checklist asks and no record knows is
listed at the end, so that its author sees what is left to write.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace

from jaxpower.export import ExportError
from jaxpower.export.latex import trained
from jaxpower.export.spending import (
  ESTIMATED,
  cover_all,
  methods,
  models,
  recorder,
)
from jaxpower.records import TrialRecord
from jaxpower.report.cells import goal, hardware_name
from jaxpower.report.compare.comparable import pretraining
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.life import spent
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import family
from jaxpower.report.given.carbon import JOULES_PER_KWH
from jaxpower.report.questions.cheapest.values import find as find_verdicts
from jaxpower.report.questions.cheapest.words import tell as tell_verdict
from jaxpower.wording import (
  capitalised,
  count,
  duration,
  energy_name,
  join_names,
  label,
  number,
  printable,
  quantity,
  value,
)

WIDTH = 79  # of lines; chosen: a terminal has 80 columns
MOST_VALUES = 12  # of one field, named; of more, their number; chosen
NAMES = {"jax": "JAX", "torch": "PyTorch"}
PARTS = {"cpu": "CPU", "gpu": "GPU", "dram": "memory"}
# The Paper Checklist of NeurIPS 2024 and 2025, and the Responsible NLP Research
# checklist of ACL Rolling Review, by the numbers of their questions.
NEURIPS = "NeurIPS Paper Checklist"
ACL = "ACL Responsible NLP Research checklist"
LEFT_OUT = (
  "experiments of the project that are not among these trials",
  "the size of the machine's memory and storage",
  "whether it was a cluster of the authors or a cloud, and in which country",
)


def text(compared: Compared) -> str:
  """Writes the paragraph, then the sentences for each checklist.

  Raises ExportError where there is no trial.
  """
  if not compared.trials:
    raise ExportError("no trial to write about")
  parts = [
    _wrapped(" ".join(paragraph(compared))),
    *(
      f"{heading}\n{_wrapped(' '.join(sentences))}"
      for heading, sentences in checklists(compared).items()
    ),
    _wrapped(f"No record knows: {'; '.join(LEFT_OUT)}."),
  ]
  return "\n\n".join(parts) + "\n"


def paragraph(compared: Compared) -> list[str]:
  """Says what was trained, on what, what it cost and how that is known."""
  return [
    _what(compared),
    _where(compared),
    _cost(compared),
    _fates(compared),
    _how(compared.trials),
    *_verdicts(compared),
  ]


def checklists(compared: Compared) -> dict[str, list[str]]:
  """Answers what checklists ask of compute and of error bars."""
  compute = [_where(compared), *_of_one_trial(compared), _cost(compared)]
  compute.append(_fates(compared))
  return {
    f"{NEURIPS}, 7 (statistical significance)": [_statistics(compared)],
    f"{NEURIPS}, 8 (compute resources)": compute,
    f"{ACL}, C1 (parameters, budget, infrastructure)": [
      *_parameters(compared.trials),
      *compute,
    ],
    f"{ACL}, C3 (descriptive statistics)": [_statistics(compared)],
  }


def _wrapped(text: str) -> str:
  return textwrap.fill(
    printable(text), WIDTH, break_long_words=False, break_on_hyphens=False
  )


# What and where


def _what(compared: Compared) -> str:
  settings = sum(len(each.groups) for each in compared.comparisons)
  goals = dict.fromkeys(_goal(each) for each in compared.comparisons)
  varied = dict.fromkeys(path for t in compared.trials for path in t.varied)
  names = [_varied(compared.trials, path) for path in varied]
  several = f" at {count(settings, 'setting')}" if settings > 1 else ""
  of = f", varying {join_names(names)}" if names else ""
  seeds = len({trial.seed for trial in compared.trials})
  return (
    f"We trained {trained(compared.trials)} with"
    f" {_frameworks(compared.trials)} to {join_names(list(goals), 'or')}:"
    f" {count(len(compared.trials), 'trial')}{several}{of}, with"
    f" {count(seeds, 'seed')}."
  )


def _goal(comparison: Comparison) -> str:
  return f"{goal(comparison)} on the {comparison.conditions.decided_by} set"


def _varied(trials: Sequence[TrialRecord], path: str) -> str:
  values = list(
    dict.fromkeys(value(trial.varied.get(path)) for trial in trials)
  )
  if len(values) > MOST_VALUES:
    return f"{label(path)} ({len(values)} values)"
  return f"{label(path)} ({', '.join(values)})"


def _frameworks(trials: Iterable[TrialRecord]) -> str:
  names: dict[str, None] = {}
  for trial in trials:
    own = family(trial.framework)
    version = (trial.provenance.get("versions") or {}).get(own)
    name = NAMES.get(own, own)
    names[f"{name} {version}" if version else name] = None
  return join_names(list(names))


def _where(compared: Compared) -> str:
  systems = dict.fromkeys(
    hardware_name(each.conditions.system) for each in compared.comparisons
  )
  return f"They ran on {join_names(list(systems))}."


# What it cost


def _cost(compared: Compared) -> str:
  """Says the joules, kWh and time of all trials, in all phases."""
  records = compared.attempts or compared.records
  use = spent(records)
  begun = len(pretraining(records))
  among = f", {count(begun, 'pretraining')} among them" if begun else ""
  seconds = (
    f" and {duration(use.seconds.value)} of trial time" if use.seconds else ""
  )
  estimated = any(record.estimated for record in records)
  return (
    f"In all phases together the {count(len(records), 'recorded trial')}"
    f"{among} took {_energy(use.joules, estimated)}{seconds}."
  )


def _energy(joules: Estimate | None, estimated: bool) -> str:
  """Writes "2.29 kJ estimated (0.000636 kWh)", or that it is unknown."""
  if joules is None:
    return "an unknown amount of energy"
  bound = "at least " if joules.at_least else ""
  word = " estimated" if estimated else ""
  kwh = number(joules.value / JOULES_PER_KWH)
  return f"{bound}{quantity(joules.value, 'J')}{word} ({kwh} kWh)"


def _fates(compared: Compared) -> str:
  """Counts the trials that did not reach their target."""
  trials = compared.trials
  counts = {
    fate: sum(trial.status == status for trial in trials)
    for status, fate in (
      ("missed", "missed the target within their budget"),
      ("diverged", "diverged"),
      ("failed", "failed"),
    )
  }
  words = join_names([f"{number} {fate}" for fate, number in counts.items()])
  partial = sum(trial.partial for trial in trials)
  of_part = f" The meter saw {partial} of them only in part." if partial else ""
  return f"Of {count(len(trials), 'trial')} {words}.{of_part}"


def _how(trials: Sequence[TrialRecord]) -> str:
  """Says by what the energy is known, and what it does not cover."""
  read = methods(trials)
  if not read:
    return "How their energy was read is unknown."
  verb = "measured"
  if any(ESTIMATED in way for way in read.values()):
    verb = "measured and estimated"
  if all(way.endswith(ESTIMATED) for way in read.values()):
    verb = "estimated"
    read = {kind: way.replace(ESTIMATED, "") for kind, way in read.items()}
  ways = [f"{PARTS.get(kind, kind)} by {way}" for kind, way in read.items()]
  missing = [name for kind, name in PARTS.items() if kind not in read]
  if cover_all(trials):
    missing = []
  boundary = f"; {join_names(missing)} not counted" if missing else ""
  sentences = (
    f"Energy was {verb} by {recorder(trials)}: {', '.join(ways)}{boundary}",
    *models(trials),
  )
  return " ".join(f"{sentence}." for sentence in sentences)


def _verdicts(compared: Compared) -> list[str]:
  """Tells which setting was cheapest, without a hint at further commands."""
  sections = (
    tell_verdict(replace(verdict, more=None))
    for verdict in find_verdicts(compared)
  )
  return [
    " ".join(
      (f"{section.title}: " * bool(section.title) + section.lead, *section.sure)
    )
    for section in sections
    if section.lead
  ]


# For checklists


def _of_one_trial(compared: Compared) -> list[str]:
  """Says how long a trial took, from the shortest to the longest."""
  seconds = sorted(
    trial.wall_seconds
    for trial in compared.trials
    if trial.wall_seconds is not None
  )
  if not seconds:
    return []
  first, last = duration(seconds[0]), duration(seconds[-1])
  time = first if first == last else f"{first} to {last}"
  return [f"A trial took {time}."]


def _parameters(trials: Sequence[TrialRecord]) -> list[str]:
  known = sorted({t.parameters for t in trials if t.parameters is not None})
  if not known:
    return []
  sizes = [f"{size:,}" for size in known]
  if len(sizes) > MOST_VALUES:
    sizes = [f"{sizes[0]} to {sizes[-1]}"]
  return [f"The networks have {join_names(sizes, 'or')} parameters."]


def _statistics(compared: Compared) -> str:
  """Says what the intervals are, of what, over how many seeds."""
  seeds = sorted({g.seeds for c in compared.comparisons for g in c.groups})
  subject = energy_name(any(c.estimated for c in compared.comparisons))
  if seeds[-1] < 2:
    return (
      f"{capitalised(subject)} is of one seed a setting: there is no error bar."
    )
  each = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
  return (
    f"{capitalised(subject)} to the target is that of the typical seed, with a"
    f" 95 % interval over {each} seeds of each setting (initial weights, order"
    " of the examples and augmentation vary together), by one model of all"
    " settings in which a trial that missed its target counts as having cost"
    " more than it spent; intervals of ratios hold for all pairs of settings"
    " at once."
  )
