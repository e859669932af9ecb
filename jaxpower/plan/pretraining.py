"""Orders trials that start from other trials, and follows what became of these.

A trial's pretraining is a trial like any other, with a record of its own, so
its joules are counted once however many trials start from its weights. What
this asks for: it runs before them, its weights are whole when they are needed,
and where it left none the trials that need them fail with that reason.
"""

import pathlib
from collections.abc import Mapping

from jaxpower import weights
from jaxpower.config import Trial, sources, trial_id
from jaxpower.records import TrialRecord

# Of a trial that ends so no weights are used; a missed target leaves good ones.
WITHOUT_WEIGHTS = ("failed", "diverged")


def with_sources(trials: Mapping[str, Trial]) -> dict[str, Trial]:
  """Puts each trial's pretrainings before it, where they are not there yet.

  Takes and returns trials by their id, in their order.

  A pretraining that many trials share stands once, before the first of them;
  the order is otherwise kept.
  """
  ordered: dict[str, Trial] = {}
  for name, trial in trials.items():
    for source in reversed(tuple(sources(trial))):
      ordered.setdefault(trial_id(source), source)
    ordered.setdefault(name, trial)
  return ordered


def unusable(
  trials: Mapping[str, Trial],
  done: Mapping[str, TrialRecord],
  folder: pathlib.Path,
) -> dict[str, str]:
  """Finds recorded pretrainings whose checkpoints are missing or damaged.

  Looks only at those that a trial which is still to be run starts from; a
  pretraining that must be run again needs its own pretraining too.

  Args:
    trials: The trials of a sweep by id, each after its pretrainings.
    done: The records that stand, by trial id; other trials are to be run.
    folder: The run folder.

  Returns:
    What is wrong with the checkpoint, by trial id.
  """
  needed: set[str] = set()
  problems: dict[str, str] = {}
  for name, trial in reversed(tuple(trials.items())):
    if name in done:
      if name not in needed or done[name].status in WITHOUT_WEIGHTS:
        continue
      problem = weights.problem(folder / weights.folder_of(name))
      if not problem:
        continue
      problems[name] = problem
    if source := trial.transfer.init_from:
      needed.add(trial_id(source))
  return problems


def blocked_by(trial: Trial, records: Mapping[str, TrialRecord]) -> str:
  """Says why a trial cannot start: its pretraining left no weights.

  Args:
    trial: The trial.
    records: Records by trial id, that of the trial's pretraining among them.

  Returns:
    The reason in one line; empty where the trial can start.
  """
  source = trial.transfer.init_from
  if source is None:
    return ""
  record = records[trial_id(source)]
  if record.status not in WITHOUT_WEIGHTS:
    return ""
  reason = f": {record.error}" if record.error else ""
  return f"its pretraining {record.trial_id} {record.status}{reason}"
