"""Writes a sweep as a study of Optuna: its dashboard then opens it.

The objective is the energy to the target, to be minimised. A trial that reached
the target is complete. One that missed it or diverged cost at least what it
spent: it is pruned, has no value, and `censored` and `energy_j` say so; a value
would let it win. Params are what the sweep varied.
"""

import datetime as dt
import json
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxpower.export.runs import instant
from jaxpower.records import TrialRecord
from jaxpower.report.compare.costs import trial_cost
from jaxpower.wording import joules_name

# Values as far apart as this are drawn on a logarithmic axis; chosen.
WIDE = 8.0
# Numbers of a record that the dashboard's table shows beside the objective.
SHOWN = (
  *("seconds_to_accuracy", "train_joules", "train_seconds", "test_accuracy"),
  *("best_accuracy", "examples", "steps", "wall_seconds", "idle_watts"),
)


def write(
  records: Sequence[TrialRecord],
  database: pathlib.Path,
  name: str,
  version: str,
) -> None:
  """Writes a study of that name into a new SQLite file.

  Optuna needs a time of each trial: where a record has none its clock begins at
  the epoch, so that its length is right.

  Args:
    records: The trials; those that others began from are not among them.
    database: The file to make.
    name: Of the study.
    version: Of jaxpower.
  """
  import optuna

  optuna.logging.set_verbosity(optuna.logging.WARNING)
  estimated = any(record.estimated for record in records)
  spaces = _distributions(records)
  trials = [_trial(record, spaces) for record in records]
  study = optuna.create_study(
    study_name=name,
    storage=f"sqlite:///{database.resolve()}",
    direction="minimize",
  )
  with warnings.catch_warnings():
    # Names of objectives are there since 3.2, and called experimental.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    study.set_metric_names([f"{joules_name(estimated)} to the target"])
  study.set_user_attr("energy", "estimated" if estimated else "measured")
  study.set_user_attr("recorder", f"jaxpower {version}")
  study.add_trials(trials)


def _trial(record: TrialRecord, spaces: Mapping[str, Any]) -> Any:
  import optuna

  failed = record.status == "failed"
  cost = None if failed else trial_cost(record)
  reached = cost is not None and not cost.censored
  state = optuna.trial.TrialState
  trial = optuna.trial.create_trial(
    state=state.COMPLETE if reached else state.FAIL if failed else state.PRUNED,
    value=cost.value if cost is not None and reached else None,
    params={p: parameter(record.varied.get(p)) for p in spaces},
    distributions=dict(spaces),
    user_attrs=attributes(record),
  )
  start = instant(record.started_utc) or 0.0
  end = instant(record.ended_utc) or start + (record.wall_seconds or 0.0)
  # Optuna keeps local times without a zone.
  trial.datetime_start = dt.datetime.fromtimestamp(start)
  trial.datetime_complete = dt.datetime.fromtimestamp(end)
  return trial


def attributes(record: TrialRecord) -> dict[str, Any]:
  """Returns what the dashboard's table shows of a trial; only what is known.

  `energy_j` is the energy to the target, or at least so much where `censored`.
  """
  cost = None if record.status == "failed" else trial_cost(record)
  facts = {
    "trial_id": record.trial_id,
    "seed": record.seed,
    "status": record.status,
    "energy_j": None if cost is None else cost.value,
    "censored": None if cost is None else cost.censored,
    "energy": "estimated" if record.estimated else "measured",
    "energy_j_bound": record.joules_to_accuracy_bound,
    **{name: getattr(record, name) for name in SHOWN},
    "error": record.error,
  }
  return {name: fact for name, fact in facts.items() if fact is not None}


def parameter(item: Any) -> Any:
  """Returns a varied value as Optuna holds it: a scalar, or JSON."""
  scalar = item is None or isinstance(item, bool | int | float | str)
  return item if scalar else json.dumps(item, sort_keys=True)


def _distributions(records: Sequence[TrialRecord]) -> dict[str, Any]:
  """Says for each varied field between or among which values it lies."""
  paths = dict.fromkeys(path for record in records for path in record.varied)
  return {
    path: _distribution([parameter(r.varied.get(path)) for r in records])
    for path in paths
  }


def _distribution(values: Iterable[Any]) -> Any:
  from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
  )

  distinct = list(dict.fromkeys(values))
  if any(isinstance(v, bool | str) or v is None for v in distinct):
    return CategoricalDistribution(distinct)
  low, high = min(distinct), max(distinct)
  wide = low > 0 and high / low >= WIDE
  if all(isinstance(v, int) for v in distinct):
    return IntDistribution(low, high, log=wide)
  return FloatDistribution(low, high, log=wide)
