"""Trials that begin from other trials: their order, and whether they fit."""

import pathlib
from collections.abc import Callable, Iterable, Sequence

from jaxpower import data, weights
from jaxpower.config import (
  ConfigError,
  Trial,
  differences,
  field_paths,
  sources,
  to_dict,
  trial_id,
)
from jaxpower.records import TrialRecord

SOURCE = "transfer.init_from"

PATHS = frozenset(field_paths(Trial()))

UNFIT = ("failed", "diverged")  # how a trial ends that leaves no good weights


def with_sources(trials: Iterable[Trial]) -> list[Trial]:
  """The trials, and before each what it begins from and is not yet there.

  A pretraining that many share stands once, before the first of them; the
  order is otherwise kept.
  """
  ordered: dict[str, Trial] = {}
  for trial in trials:
    for each in (*reversed(tuple(sources(trial))), trial):
      ordered.setdefault(trial_id(each), each)
  return list(ordered.values())


def check_chain(trial: Trial, check: Callable[[Trial], None]) -> None:
  """Checks a trial and all that it begins from.

  Raises ConfigError as `check` does; what is wrong with a pretraining is told
  with the path to it.
  """
  source = trial.transfer.init_from
  if source is not None:
    try:
      check_chain(source, check)
    except ConfigError as error:
      first = str(error).split()[0].rstrip(":")
      is_path = first in PATHS or first.startswith(f"{SOURCE}.")
      between = "." if is_path else ": "
      raise ConfigError(f"{SOURCE}{between}{error}") from None
  check(trial)


def check(trial: Trial) -> None:
  """Raises ConfigError on a backbone that cannot be had or used."""
  asked, source = trial.transfer, trial.transfer.init_from
  if source is not None and asked.weights:
    raise ConfigError(
      "transfer: init_from and weights are both given; leave one of them"
    )
  if source is None and not asked.weights and asked.freeze:
    raise ConfigError(
      "transfer.freeze: without init_from or weights the backbone would stay"
      " as it was drawn; name one of them"
    )
  if asked.backbone_rate <= 0:
    raise ConfigError(
      f"transfer.backbone_rate {asked.backbone_rate:g}: must be above 0; to"
      " train the head alone set freeze"
    )
  if asked.freeze and asked.backbone_rate != 1:
    raise ConfigError(
      f"transfer.backbone_rate {asked.backbone_rate:g}: a frozen backbone has"
      " no rate; leave it at 1"
    )
  if source is None:
    return
  for name in ("model", "framework"):
    here, there = ({name: to_dict(t)[name]} for t in (trial, source))
    if lines := differences(there, here):
      raise ConfigError(
        f"{SOURCE}: its backbone does not fit the trial's"
        f" ({'; '.join(lines)}); both must be the same"
      )


def check_weights(trial: Trial) -> None:
  """Raises ConfigError where a backbone cannot be restored into a trial.

  The inputs must be those it was trained on, and imported weights be whole.
  """
  path = trial.transfer.weights
  if path and (why := weights.problem(pathlib.Path(path))):
    raise ConfigError(f"transfer.weights: {why}")
  if path and trial.framework == "jax" and weights.by_torch(pathlib.Path(path)):
    raise ConfigError(
      f"transfer.weights: {path} was written by PyTorch; take framework torch"
      " or torch_compile, or weights that JAX wrote"
    )
  heads = path and weights.facts(pathlib.Path(path)).get("heads")
  if heads and heads != trial.model.heads:
    # The arrays would fit and mean something else.
    raise ConfigError(
      f"model.heads {trial.model.heads}: the weights in {path} are of a network"
      f" with {heads}"
    )
  for source in sources(trial):
    here, there = _inputs(trial.data), _inputs(source.data)
    if here != there:
      raise ConfigError(
        f"{SOURCE}.data {source.data}: its inputs are {there}, those of"
        f" {trial.data} are {here}; a backbone takes inputs of one form"
      )


def lost(
  trials: Sequence[Trial], done: dict[str, TrialRecord], folder: pathlib.Path
) -> dict[str, str]:
  """Why the weights of trials that others begin from cannot be used.

  Args:
    trials: Of a sweep, each after what it begins from.
    done: The records that stand; the other trials are to be run.
    folder: Of the run.

  Returns:
    What is wrong, by trial id; only of trials in `done` that one which is to
    be run, or is itself lost, begins from.
  """
  needed: set[str] = set()
  found: dict[str, str] = {}
  for trial in reversed(trials):
    name = trial_id(trial)
    if name in done:
      if name not in needed or done[name].status in UNFIT:
        continue
      if not (why := weights.problem(folder / weights.folder_of(name))):
        continue
      found[name] = why
    if source := trial.transfer.init_from:
      needed.add(trial_id(source))
  return found


def obstacle(trial: Trial, records: dict[str, TrialRecord]) -> str:
  """Why a trial cannot begin, in one line; empty where it can.

  `records` holds that of the trial it begins from.
  """
  source = trial.transfer.init_from
  if source is None:
    return ""
  record = records[trial_id(source)]
  if record.status not in UNFIT:
    return ""
  why = f": {record.error}" if record.error else ""
  return f"its pretraining {record.trial_id} {record.status}{why}"


def _inputs(name: str) -> str:
  """What a backbone knows of a data set's inputs."""
  facts = data.describe(name)
  shape = " x ".join(map(str, facts.input_shape))
  tokens = f" of {facts.vocabulary}" if facts.vocabulary else ""
  return f"{facts.kind} {shape}{tokens}"
