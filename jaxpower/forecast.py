"""Judges what trials will cost, in seconds and joules, by trials that ended.

A trial costs what the other seeds of its setting did. A setting without a
record costs what its nearest neighbours did: training and evaluation in
proportion to the budget of examples, the rest as it was. What a process does
once for a setting (to compile, to make first weights) is counted once. What is
known of nothing stays unknown.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxpower.accounting import sum_or_none
from jaxpower.config import Trial
from jaxpower.records import TrialRecord

GROWING = ("train", "eval")  # phases that last as long as there are examples
PREPARING = ("setup", "compile", "compile_repeat")  # mostly once a setting
# Chosen: settings that differ in a word (an optimizer) are further from each
# other than any that differ in numbers, and a pretraining is no neighbour of
# the trials that start from it.
WORD, KIND = 1e3, 1e9
# Of the settings that have records, so many are looked at as neighbours; of
# more, evenly chosen ones. Chosen: the end of a trial of 10,000 takes 0.1 s.
MOST_NEIGHBOURS = 200


@dataclasses.dataclass(frozen=True)
class Cost:
  """What one or several trials cost; None where that is unknown.

  Attributes:
    seconds: From their start to their record.
    joules: Of all their phases.
  """

  seconds: float | None
  joules: float | None


@dataclasses.dataclass(frozen=True)
class Settings:
  """The settings of some trials, and how far they are from each other.

  Attributes:
    numbers: Of the setting of each trial, by trial id.
    budgets: Examples that a trial of each setting may train on.
    places: A row a setting, a column a varied field: the rank of a number
      among those of the field, or the number of a word.
    weights: Of each column: what one step in it counts; of words any two are
      one step apart.
  """

  numbers: Mapping[str, int]
  budgets: np.ndarray
  places: np.ndarray
  weights: np.ndarray

  def distances(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Computes how far settings are from others: a row each, a column each."""
    apart = np.abs(self.places[one, None] - self.places[None, other])
    steps = np.where(self.weights >= WORD, apart > 0, apart)
    return steps @ self.weights


def settings_of(
  trials: Mapping[str, Trial],
  varied: Mapping[str, Mapping[str, Any]],
  pretrainings: Iterable[str] = (),
) -> Settings:
  """Finds the settings of trials.

  Args:
    trials: By trial id.
    varied: What each of them varies, by trial id.
    pretrainings: Ids of trials that only start others: of each data set a
      setting.
  """
  others = frozenset(pretrainings)
  keys: dict[str, int] = {}
  numbers, budgets, rows = {}, [], []
  for name, trial in trials.items():
    kind = f"{trial.data}, {trial.model.name}" if name in others else ""
    values = dict(varied[name])
    key = f"{kind} {values}"
    if key not in keys:
      keys[key] = len(keys)
      budgets.append(max(trial.budget_examples, 1))
      rows.append((kind, values))
    numbers[name] = keys[key]
  paths = dict.fromkeys(path for _, values in rows for path in values)
  columns = [[kind for kind, _ in rows]]
  columns += [[values.get(path) for _, values in rows] for path in paths]
  ranked = [_ranks(column) for column in columns]
  weights = [KIND, *(WORD if words else 1.0 for _, words in ranked[1:])]
  return Settings(
    numbers,
    np.array(budgets, float),
    np.array([ranks for ranks, _ in ranked], float).T,
    np.array(weights),
  )


def _ranks(values: Sequence[Any]) -> tuple[list[int], bool]:
  """Ranks the values of a field; whether they are words, without an order."""
  plain = all(type(value) in (int, float) for value in values)
  ordered: list[Any] = [*dict.fromkeys(values if plain else map(repr, values))]
  if plain:
    ordered.sort()
  ranks = {value: rank for rank, value in enumerate(ordered)}
  return [ranks[v if plain else repr(v)] for v in values], not plain


@dataclasses.dataclass(frozen=True)
class Forecast:
  """What a trial of each setting will cost, by its number; NaN: unknown.

  Attributes:
    settings: The settings.
    again: Seconds and joules of a trial whose setting the process has run
      before: two columns.
    first: Those that the first one takes beyond that, to prepare and compile.
    own: Whether that is what other seeds of the setting cost.
  """

  settings: Settings
  again: np.ndarray
  first: np.ndarray
  own: np.ndarray

  def of(self, name: str, prepared: bool = False) -> Cost:
    """Returns what a trial will cost, by its id.

    `prepared`: the process has run its setting before.
    """
    number = self.settings.numbers[name]
    extra = 0.0 if prepared else self.first[number]
    return _cost(self.again[number] + extra)

  def together(
    self, names: Iterable[str], prepared: Iterable[int] = ()
  ) -> tuple[Cost, int]:
    """Adds up what trials will cost, and counts those of unknown time.

    The sum is of the others; None where none is left, or joules are unknown.
    `prepared` are the settings that the process has run before.
    """
    done = frozenset(prepared)
    counts: dict[int, int] = {}
    for name in names:
      number = self.settings.numbers[name]
      counts[number] = counts.get(number, 0) + 1
    known = [n for n in counts if not math.isnan(self.again[n, 0])]
    lacking = sum(counts.values()) - sum(counts[n] for n in known)
    if not known:
      return Cost(None, None), lacking
    times = np.array([counts[n] for n in known], float)
    anew = [n for n in known if n not in done]
    return _cost(times @ self.again[known] + self.first[anew].sum(0)), lacking

  def judged(self, names: Iterable[str]) -> int:
    """Counts the trials that are judged by other settings than their own."""
    numbers = (self.settings.numbers[name] for name in names)
    return sum(
      not self.own[n] and not math.isnan(self.again[n, 0]) for n in numbers
    )


def forecast(
  settings: Settings,
  records: Iterable[TrialRecord],
  aliases: Mapping[str, str] | None = None,
) -> Forecast:
  """Judges what a trial of each setting will cost, by records of some.

  Args:
    settings: The settings.
    records: Those of other trials, and of failed ones, are left out. The first
      of a setting is the one that prepared it.
    aliases: The trial whose setting a record stands for, by the record's id:
      of a trial that is none of the settings' own.
  """
  total = len(settings.budgets)
  found: dict[int, list[np.ndarray]] = {}
  for record in records:
    name = (aliases or {}).get(record.trial_id, record.trial_id)
    parts = parts_of(record)
    if parts is not None and name in settings.numbers:
      found.setdefault(settings.numbers[name], []).append(parts)
  own = np.isin(np.arange(total), list(found))
  parts = np.full((total, 6), np.nan)
  later = np.full((total, 2), np.nan)
  for number, several in found.items():
    parts[number] = [*np.mean(several, axis=0)[:4], *several[0][4:]]
    if len(several) > 1:
      later[number] = np.mean(several[1:], axis=0)[4:]
  known = later[~np.isnan(later[:, 0])]
  # Until any setting has run twice: what is prepared once is done for good.
  usual = known.mean(axis=0) if len(known) else np.zeros(2)
  if found and not own.all():
    parts[~own] = _of_neighbours(settings, parts, own)
  later = np.where(
    np.isnan(later[:, :1]), np.minimum(usual, parts[:, 4:]), later
  )
  again = parts[:, :2] + settings.budgets[:, None] * parts[:, 2:4] + later
  return Forecast(settings, again, parts[:, 4:] - later, own)


def _of_neighbours(
  settings: Settings, parts: np.ndarray, own: np.ndarray
) -> np.ndarray:
  """Gives settings without a record the mean of their nearest neighbours."""
  lacking, ended = np.flatnonzero(~own), np.flatnonzero(own)
  ended = ended[:: math.ceil(len(ended) / MOST_NEIGHBOURS)]
  apart = settings.distances(lacking, ended)
  least = apart.min(axis=1, keepdims=True)
  nearest = apart == least
  shares = nearest / nearest.sum(axis=1, keepdims=True)
  # What is unknown of one setting is not of those that it is no neighbour of.
  unknown = np.isnan(parts[ended])
  means = shares @ np.where(unknown, 0.0, parts[ended])
  means[shares @ unknown > 0] = np.nan
  means[least[:, 0] >= KIND] = np.nan
  return means


def parts_of(record: TrialRecord) -> np.ndarray | None:
  """Parts what a trial cost; None where it failed or took unknown time.

  Seconds and joules that any trial of its setting takes; those for each example
  of its budget; those of preparing. Joules are NaN where they are unknown.
  Time in no phase goes to preparing: most of it is by first programs.
  """
  if record.status == "failed" or record.wall_seconds is None:
    return None
  budget = record.config.get("budget_examples") or 1
  phases = record.seconds_by_phase
  between = max(record.wall_seconds - math.fsum(phases.values()), 0.0)
  prepared = math.fsum(phases.get(p, 0.0) for p in PREPARING) + between
  seconds = math.fsum(phases.get(p, 0.0) for p in GROWING)
  return np.array(
    [
      record.wall_seconds - seconds - prepared,
      0.0,
      seconds / budget,
      0.0,
      prepared,
      0.0,
    ]
  ) + _joules_parts(record, budget)


def _joules_parts(record: TrialRecord, budget: float) -> np.ndarray:
  """Parts the joules of a trial, in every other place; NaN where unknown."""
  joules = record.joules_by_phase
  preparing = sum_or_none(joules.get(phase, 0.0) for phase in PREPARING)
  growing = sum_or_none(joules.get(phase, 0.0) for phase in GROWING)
  whole = joules_of(record)
  if whole is None or preparing is None or growing is None:
    return np.array([0.0, math.nan] * 3)
  rest = whole - growing - preparing
  return np.array([0.0, rest, 0.0, growing / budget, 0.0, preparing])


def joules_of(record: TrialRecord) -> float | None:
  """Adds up the joules of all phases of a trial; None where one is unknown."""
  return (
    sum_or_none(record.joules_by_phase.values())
    if record.joules_by_phase
    else None
  )


def _cost(values: np.ndarray) -> Cost:
  seconds, joules = (None if math.isnan(v) else float(v) for v in values)
  return Cost(seconds, joules)
