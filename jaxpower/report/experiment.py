"""Says what was trained and how to repeat it: the experiment behind a report.

A page that is sent by mail must say what it is about: model, data, optimizer,
what was varied, every other field that is not the default, target and budget,
how long and when it ran, what all of it cost, and the command.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxpower.config import COMMAND, Trial, completed, to_dict
from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparable import (
  flat,
  is_seed,
  is_seen,
  pretraining,
)
from jaxpower.report.compare.comparison import Compared
from jaxpower.report.compare.costs import all_known, all_phases
from jaxpower.wording import (
  count,
  duration,
  energy,
  join_names,
  label,
  percent,
  value,
)

MOST_VALUES = 12  # of one field, named; of more, their number
# Fields with a line of their own, and those that no reader misses.
TOLD = {"data", "tasks", "framework", "target_accuracy", "budget_examples"}
NOT_TOLD = {"idle_seconds", "evaluate_every_examples"}
ALWAYS = ("optimizer.learning_rate", "batch_size")
# Of training alone: a command that does not name them has its own.
OF_TRAINING = ("model.", "optimizer.", "batch_size", "evaluate_every_examples")
FILES = "command_files."  # checksums of the files that a command names
CHECKSUM = 12  # characters of one; chosen, as of a trial's id


def facts(compared: Compared) -> dict[str, str]:
  """Returns facts in the order a reader asks for them; empty without trials."""
  trials = compared.trials
  if not trials:
    return {}
  # Trials of a group differ in their seed alone, which is left out.
  groups = [group for each in compared.comparisons for group in each.groups]
  configs = [_fields(group.records[0].config) for group in groups]
  varied = list(dict.fromkeys(path for t in trials for path in t.varied))
  return {
    "model": _values(configs, "model.name"),
    "data": _values(configs, "data"),
    "framework": _values(configs, "framework"),
    "optimizer": _values(configs, "optimizer.name"),
    "varied": "; ".join(_varied(trials, path) for path in varied),
    "fixed": _fixed(configs, varied),
    "files": _files(configs),
    "target": _values(configs, "target_accuracy", percent),
    "budget": f"{_values(configs, 'budget_examples', _whole)} examples,"
    f" {_every(configs)}",
    "seeds": f"{len({t.seed for t in trials})}, {count(len(trials), 'trial')}",
    "whole sweep": _spent(compared.attempts or compared.records),
    "run": _when(trials),
    "command": _command(compared.sweep, trials),
  }


def _fields(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a trial's config flat, by dotted path, as of today's version.

  Without seeds, and what a command does not see.
  """
  whole = completed(Trial, dict(config))
  return {
    path: item
    for path, item in flat(whole).items()
    if not is_seed(path)
    and (not path.startswith(OF_TRAINING) or is_seen(whole, path))
  }


def _values(
  configs: Sequence[Mapping[str, Any]], path: str, word: Any = value
) -> str:
  """Writes the values that a field takes, those of few trials too."""
  words = dict.fromkeys(word(c[path]) for c in configs if path in c)
  if len(words) > MOST_VALUES:
    return f"{len(words)} values"
  if words:
    return join_names(list(words))
  commands = all(config.get("framework") == COMMAND for config in configs)
  return "the command's own" if commands else "unknown"


def _every(configs: Sequence[Mapping[str, Any]]) -> str:
  """Says how often was evaluated."""
  path = "evaluate_every_examples"
  if any(path in config for config in configs):
    return f"evaluated every {_values(configs, path, _whole)}"
  return "evaluated where the command reports"


def _whole(number: int) -> str:
  return f"{number:,}"


def _files(configs: Sequence[Mapping[str, Any]]) -> str:
  """Names the files of commands, each with the begin of its checksum."""
  found = dict.fromkeys(
    f"{path.removeprefix(FILES)} {item[:CHECKSUM]}"
    for config in configs
    for path, item in config.items()
    if path.startswith(FILES)
  )
  return ", ".join(found)


def _varied(trials: Sequence[TrialRecord], path: str) -> str:
  values = dict.fromkeys(value(trial.varied.get(path)) for trial in trials)
  names = list(values) if len(values) <= MOST_VALUES else []
  return f"{label(path)} ({', '.join(names) or f'{len(values)} values'})"


def _fixed(configs: Sequence[Mapping[str, Any]], varied: Iterable[str]) -> str:
  """Lists what all trials share and what is not the default."""
  default = flat(to_dict(Trial()))
  left_out = TOLD | NOT_TOLD | set(varied)
  shared = {
    path: item
    for path, item in configs[0].items()
    if path not in left_out
    and not path.startswith(("targets.", "transfer.", FILES))
    and path not in ("model.name", "optimizer.name")
    and all(config.get(path) == item for config in configs)
    and (path in ALWAYS or item != default.get(path))
  }
  if shared.get("devices") == 0:
    shared["devices"] = "all"
  return ", ".join(f"{label(p)} {value(item)}" for p, item in shared.items())


def _spent(records: Sequence[TrialRecord]) -> str:
  """Says what all trials took in all phases, pretraining among them."""
  joules = all_known(map(all_phases, records))
  estimated = any(record.estimated for record in records)
  seconds = all_known(record.wall_seconds for record in records)
  pretrained = len(pretraining(records))
  return (
    (energy(sum(joules), estimated) if joules else "unknown energy")
    + (f", {duration(sum(seconds))}" if seconds else "")
    + ", all phases"
    + (f", {count(pretrained, 'pretraining')} among them" if pretrained else "")
  )


def _when(trials: Sequence[TrialRecord]) -> str:
  """Says from when to when, in UTC; empty where no record knows."""
  begun = sorted(t.started_utc for t in trials if t.started_utc)
  ended = sorted(t.ended_utc for t in trials if t.ended_utc)
  if not begun or not ended:
    return ""
  first, last = (_minute(instant) for instant in (begun[0], ended[-1]))
  return f"{first} to {last} UTC" if first != last else f"{first} UTC"


def _minute(instant: str) -> str:
  return instant[:16].replace("T", " ")


def _command(sweep: Mapping[str, Any], trials: Sequence[TrialRecord]) -> str:
  """Returns the command that was typed; of several, the newest one."""
  # Older versions had it in each record.
  commands = [t.provenance.get("command_line") for t in trials]
  commands.append(sweep.get("command_line"))
  typed = [c for c in commands if isinstance(c, list | tuple) and c]
  return shlex.join(map(str, typed[-1])) if typed else ""


def to_repeat(compared: Compared) -> list[tuple[str, str]]:
  """Lists the steps that repeat a sweep: what to do, and what to type.

  What records do not know is left out; empty without trials.
  """
  trials = compared.trials
  if not trials:
    return []
  command = _command(compared.sweep, trials)
  sets = sorted(
    {
      str(t.config["data"])
      for t in trials
      if t.config.get("data") and t.framework != COMMAND
    }
  )
  steps = [
    _checkout(trials),
    _install(trials),
    *(
      (
        f"Prepare {name}, unless it comes with jaxpower.",
        shlex.join(["python", "scripts/prepare_data.py", f"--data={name}"]),
      )
      for name in sets
    ),
    (
      "Run the sweep. Here it took"
      f" {_spent(compared.attempts or compared.records)}.",
      command,
    ),
    (
      "Compare with the records of this page: seeds are the same, so what"
      " differs is the machine and the noise.",
      "python scripts/report.py THIS_FOLDER YOUR_FOLDER",
    ),
  ]
  return [(what, typed) for what, typed in steps if typed]


def _checkout(trials: Sequence[TrialRecord]) -> tuple[str, str]:
  """Says which revision ran; of several only that there are several."""
  revisions = dict.fromkeys(
    str(r) for t in trials if (r := t.provenance.get("git_revision"))
  )
  if len(revisions) != 1:
    return "", ""
  revision = next(iter(revisions))
  changed = ", which had changes that were not committed"
  return (
    f"Take this revision{changed if revision.endswith('+') else ''}.",
    f"git checkout {revision.rstrip('+')}",
  )


def _install(trials: Sequence[TrialRecord]) -> tuple[str, str]:
  """Says which versions there were, by the newest trial."""
  versions = dict(trials[-1].provenance.get("versions") or {})
  python = versions.pop("python", "")
  versions.pop("jaxpower", None)  # the revision, or the wheel
  # What stands after a plus, as in 2.13.0+cpu, no package index has.
  pins = [f"{name}=={str(v).partition('+')[0]}" for name, v in versions.items()]
  where = f" for Python {python}" if python else ""
  return (
    f"Install these versions{where}.",
    shlex.join(["pip", "install", *pins]) if pins else "",
  )
