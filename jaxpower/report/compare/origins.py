"""What trials began from, and what was spent on it.

Pretraining is shared: many trials begin from one, and one may have begun from
another. So its joules belong to no single trial, and each question counts them
in its own way: per downstream task (transfer), or once (life cycle).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import measured_alike
from jaxpower.report.compare.costs import (
  TRAIN,
  Counting,
  add,
  mean_cost,
  ran,
)
from jaxpower.report.compare.statistics import Cost
from jaxpower.report.compare.system import board_of


@dataclass(frozen=True)
class Investment:
  """Joules spent on the weights a trial began from; or `unknown` says why."""

  joules: float | None
  unknown: str = ""


def find_origin(
  record: TrialRecord, records: Sequence[TrialRecord]
) -> TrialRecord | None:
  """Finds the trial that another began from; one on its own boards first."""
  named = [other for other in records if other.trial_id == record.init_from]
  alike = [other for other in named if measured_alike(other, record)]
  here = [other for other in alike if board_of(other) == board_of(record)]
  return next(iter(here or alike or named), None)


def chain(
  record: TrialRecord, records: Sequence[TrialRecord]
) -> list[TrialRecord]:
  """Lists what a trial began from, what that began from, and so on.

  It ends before an origin that is not in these records.
  """
  origins: list[TrialRecord] = []
  visited, trial = {record.trial_id}, record
  while trial.init_from is not None and trial.init_from not in visited:
    origin = find_origin(trial, records)
    if origin is None:
      break
    origins.append(origin)
    visited.add(origin.trial_id)
    trial = origin
  return origins


def all_origins(
  trials: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> list[TrialRecord]:
  """Finds all trials that some began from, and those that these began from.

  With every attempt at them; without the trials themselves, where one began
  from another.
  """
  ids: set[str | None] = {trial.init_from for trial in trials}
  before = -1
  while len(ids) != before:
    before = len(ids)
    ids |= {record.init_from for record in records if record.trial_id in ids}
  ids -= {trial.trial_id for trial in trials}
  return [record for record in records if record.trial_id in ids]


def invested(
  record: TrialRecord,
  records: Sequence[TrialRecord],
  counting: Counting = TRAIN,
) -> Investment:
  """Adds up the joules spent on the weights that a trial began from.

  The whole training of its origin and of each origin before, whether or not
  they met their targets; for weights made elsewhere, the joules that are given.
  """
  origins = chain(record, records)
  first = origins[-1] if origins else record
  for origin in origins:
    if not measured_alike(origin, record):
      return Investment(
        None,
        "pretraining was measured on another kind of device or meter",
      )
  began_from = {record.trial_id, *(origin.trial_id for origin in origins)}
  if first.init_from is not None and first.init_from not in began_from:
    missing = f"trial {first.init_from}, its origin,"
    return Investment(None, f"{missing} is not in these records")
  spent = add(0.0, *map(counting.bound, origins))
  if spent is None:
    return Investment(None, "the energy of pretraining is unknown")
  if first.pretrained is None:
    return Investment(spent)
  paid = first.pretrained.get("joules")
  if not isinstance(paid, int | float):
    return Investment(None, "the energy of making the given weights is unknown")
  return Investment(spent + paid)


def invested_by_origin(
  trials: Sequence[TrialRecord],
  records: Sequence[TrialRecord],
  counting: Counting = TRAIN,
) -> tuple[tuple[float, ...], str]:
  """Returns the joules of each of the weights that some trials began from.

  Each once, however many trials began from them, with all that these began
  from; or none, and why. Several measurements of the same are averaged.
  """
  joules: dict[str, list[Cost]] = {}
  for record in ran(trials):
    found = invested(record, records, counting)
    if found.joules is None:
      return (), found.unknown
    name = record.init_from or str((record.pretrained or {}).get("path"))
    joules.setdefault(name, []).append(Cost(found.joules))
  return tuple(mean_cost(repeats).value for repeats in joules.values()), ""
