"""The commands that train, report and prepare: `jaxpower run batch:quick`.

They need packages that the meter does not, and these may not be installed; what
needs them is imported here, when a command is called and no sooner.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Sequence

from jaxpower.cli import experiments
from jaxpower.config import ConfigError
from jaxpower.wording import on_one_line

COMMANDS = {
  "run": "run an experiment: energy to accuracy of its settings",
  "report": "report run folders, one by one and together",
  "experiments": "list the experiments that come with jaxpower",
  "prepare": "prepare a dataset of tensorflow-datasets, once",
}
# What a command imports of the packages that the meter does without.
NEEDED = {
  "run": ("absl", "flax", "jax", "jinja2", "matplotlib", "optax", "orbax"),
  "report": ("absl", "jinja2", "matplotlib"),
  "prepare": ("absl", "tensorflow_datasets"),
}
BY_NAME = """
In place of --config stands an experiment's name, or a file:

  {command} batch:quick
  {command} mine.py:quick --config.seeds=5
"""
EXTRA = "pip install 'jaxpower[train]'"


def main(prog: str, command: str, arguments: Sequence[str]) -> int:
  """Runs one of the commands; returns the exit code.

  Args:
    prog: How the program was called.
    command: Which one.
    arguments: Those after its name.
  """
  name = f"{prog} {command}"
  if missing := [m for m in NEEDED.get(command, ()) if not _installed(m)]:
    return _refuse(name, f"needs {', '.join(missing)}; run {EXTRA}")
  match command:
    case "run":
      return _run(name, arguments)
    case "experiments" if arguments:
      return _refuse(name, f"takes no argument, not {arguments[0]!r}")
    case "experiments":
      return experiments.show()
  # absl's flags are those of the process, under its name.
  sys.argv = [name, *arguments]
  if command == "report":
    report(name)
  else:
    from jaxpower.cli import prepare

    prepare.start(name)
  raise AssertionError("absl ends the process")


def report(name: str) -> None:
  """Reports as the command line asks; exits with the exit code.

  With one thread of BLAS, which numpy reads when it is loaded: products of a
  report are small, and the threads wait for more of them in loops (10,000
  trials: 12.8 and 14.5 CPU seconds, so 10.1 to 11.4). A report trains
  nothing, so no trial is run under this.

  Args:
    name: What was typed before the arguments.
  """
  os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
  from jaxpower.cli import report_flags

  report_flags.start(name)


def _run(name: str, arguments: Sequence[str]) -> int:
  """Runs an experiment by its name, or a file; flags are those of a config."""
  from jaxpower.cli import run

  arguments = list(arguments)
  if place := _place_of_name(arguments):
    try:
      config = f"--config={experiments.config_of(place[1])}"
    except ConfigError as error:
      return _refuse(name, str(error))
    arguments[place[0]] = config
  text = run.HELP.format(command=name) + BY_NAME.format(command=name)
  return run.main([name, *arguments], text)


def _place_of_name(arguments: Sequence[str]) -> tuple[int, str] | None:
  """Finds the name of an experiment, or a file, among flags; and its place.

  A word after a flag without `=` may be the flag's value, and is taken where
  there is no other. None without a word, or where --config is given.
  """
  if any(re.match(r"--?config(=|$)", word) for word in arguments):
    return None
  words = [(n, w) for n, w in enumerate(arguments) if not w.startswith("-")]
  flags = (re.match(r"-[^=]*$", before) for before in ["", *arguments])
  may_be_values = [n for n, flag in enumerate(flags) if flag]
  return min(words, key=lambda word: word[0] in may_be_values, default=None)


def _installed(module: str) -> bool:
  return importlib.util.find_spec(module) is not None


def _refuse(name: str, reason: str) -> int:
  print(f"{name}: {on_one_line(reason)}", file=sys.stderr)
  return 2
