"""Says how to run a sweep with more seeds, and what that will cost.

What a report cannot tell it may tell with more seeds; the sweep grows in its
folder, where only the new trials are run (`jaxpower.plan.growth`).
"""

import dataclasses
import itertools
import json
import math
import shlex
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxpower.records import TrialRecord

CONFIG = "config"
# Flags of a recorded command that the new one sets, or does without.
SET = ("config.seeds", "out")
DROPPED = (
  *("dry-run", "nodry-run", "probe", "noprobe"),
  *("retry-failed", "noretry-failed"),
)


@dataclasses.dataclass(frozen=True)
class MoreSeeds:
  """A command that adds seeds to a sweep, and what it is expected to cost.

  Attributes:
    command: For a shell, in the folder in which the sweep was started.
    seeds: How many the sweep then has.
    trials: How many the command runs if those of all other seeds are there.
    joules: Of all phases of these trials; None if no record tells.
    seconds: Of these trials, without the start of the process; None likewise.
    estimated: Whether any of these joules is modelled, not measured.
  """

  command: str
  seeds: int
  trials: int
  joules: float | None
  seconds: float | None
  estimated: bool


def more_seeds(
  sweep: Mapping[str, Any],
  records: Iterable[TrialRecord],
  more: int,
  out: str | None = None,
) -> MoreSeeds | None:
  """Returns how to add `more` seeds to a sweep.

  A new trial is expected to cost what the recorded ones of its setting did on
  the mean over seeds, or those of all settings where none of it is known; a
  pretraining is a setting here, since each seed has its own.

  Args:
    sweep: The content of a sweep.json.
    records: The newest record of each trial of its folder.
    more: How many seeds to add.
    out: The run folder; by default that of the recorded command.

  Returns:
    None where the sweep was not started by a command, as in a notebook, or has
    no record.
  """
  words = list(map(str, sweep.get("command_line") or ()))
  config = sweep.get(CONFIG) or {}
  # `jaxpower run batch` names its config without a flag.
  started = _value(words, CONFIG) is not None or "run" in words
  if not started or not config.get("seeds"):
    return None
  settings: dict[str, list[TrialRecord]] = {}
  for record in records:
    key = json.dumps(_without_seeds(record.config), sort_keys=True)
    settings.setdefault(key, []).append(record)
  if not settings:
    return None
  seeds = config["seeds"] + more
  folder = out or _value(words, "out") or f"runs/{config.get('name', 'sweep')}"
  command = shlex.join(
    [*_kept(words), f"--config.seeds={seeds}", f"--out={folder}"]
  )
  every = [r for of_setting in settings.values() for r in of_setting]
  return MoreSeeds(
    command,
    seeds,
    trials=more * len(settings),
    joules=_expected(settings.values(), more, _joules),
    seconds=_expected(settings.values(), more, lambda r: r.wall_seconds),
    estimated=any(record.estimated for record in every),
  )


def _expected(
  settings: Iterable[Sequence[TrialRecord]],
  more: int,
  cost: Callable[[TrialRecord], float | None],
) -> float | None:
  """Adds up the mean costs of a trial of each setting, for so many seeds."""
  known = [[c for r in s if (c := cost(r)) is not None] for s in settings]
  means = [statistics.fmean(costs) for costs in known if costs]
  if not means:
    return None
  return more * len(known) * statistics.fmean(means)


def _joules(record: TrialRecord) -> float | None:
  """Adds up a trial's joules over all phases; None where one is unknown."""
  joules = record.joules_by_phase.values()
  known = [value for value in joules if value is not None]
  return math.fsum(known) if known and len(known) == len(joules) else None


def _without_seeds(config: Any) -> Any:
  """Leaves the seeds out of a config, those of pretrainings too."""
  if not isinstance(config, dict):
    return config
  return {k: _without_seeds(v) for k, v in config.items() if k != "seed"}


def _flag(word: str) -> tuple[str, str | None]:
  """Splits `--name=value`; no value where none is in the word."""
  if not word.startswith("-"):
    return "", None
  name, equals, value = word.lstrip("-").partition("=")
  return name, value if equals else None


def _value(words: Sequence[str], wanted: str) -> str | None:
  """Returns the last value that a command line gives a flag; None: none."""
  found = None
  for word, after in itertools.pairwise([*words, ""]):
    name, value = _flag(word)
    if name == wanted:
      found = after if value is None else value
  return found


def _kept(words: Sequence[str]) -> list[str]:
  """Leaves out of a command line what the new one sets or does without."""
  kept, skip = [], False
  for word in words:
    name, value = _flag(word)
    if not (skip or name in SET or name in DROPPED):
      kept.append(word)
    skip = not skip and name in SET and value is None
  return kept
