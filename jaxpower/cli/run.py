"""The command line of a sweep: flags in, files and a table out.

Whatever is wrong with the input is one line on stderr and exit code 2, before
anything is written.
"""

import dataclasses
import difflib
import os
import pathlib
import re
import runpy
import sys
import traceback
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from jaxpower import config, report
from jaxpower.cli.progress import Display, outline
from jaxpower.config import ConfigError, Sweep
from jaxpower.data import DataError
from jaxpower.power.sources import METERS
from jaxpower.records import RecordError
from jaxpower.sweep import SWEEP, execute, plan, read_sweep
from jaxpower.worker import WorkerError

OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]+)")


def main(argv: Sequence[str], help_text: str) -> int:
  """Runs what the command line asks for; returns the exit code."""
  try:
    return _run(list(argv), help_text)
  except (ConfigError, DataError, RecordError, WorkerError) as error:
    return _refuse(str(error))
  except flags.Error as error:
    return _refuse(_in_one_line(error))
  except OSError as error:
    return _refuse(f"{error.filename or 'the run'}: {error.strerror or error}")
  except KeyboardInterrupt:
    print(
      "interrupted; finished trials are recorded, the same command goes on",
      file=sys.stderr,
    )
    return 130


def _run(argv: list[str], help_text: str) -> int:
  if "--help" in argv or "-h" in argv:
    print(help_text.strip())
    return 0
  asked = parse(argv)
  todo = plan(
    asked.sweep,
    asked.out,
    meter=asked.meter,
    retry_failed=asked.retry_failed,
  )
  if asked.dry_run:
    print(outline(todo))
    return 0
  with Display(todo, Console(stderr=True)) as display:
    found = execute(todo, watch=display.watch, greet=display.greet)
  told = report.write(todo.folder, read_sweep(todo.folder), found)
  report.show(told, Console())
  print(todo.folder / SWEEP)
  return 0 if any(record.status != "failed" for record in found) else 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
  """What a command line asks for."""

  sweep: Sweep
  out: str | None
  meter: str
  dry_run: bool
  retry_failed: bool


def parse(argv: list[str]) -> Asked:
  """Reads the flags. Raises ConfigError or flags.Error on a wrong one."""
  values = flags.FlagValues()  # its own, so that nothing is global

  def load(text: str) -> Sweep:
    sweep = load_config(text)
    _check_overrides(argv, sweep)
    return sweep

  sweep = config_flags.DEFINE_config_dataclass(
    "config", Sweep(), flag_values=values, sys_argv=argv, parse_fn=load
  )
  out = flags.DEFINE_string("out", None, "", flag_values=values)
  meter = flags.DEFINE_enum("meter", "auto", METERS, "", flag_values=values)
  dry_run = flags.DEFINE_bool("dry-run", False, "", flag_values=values)
  retry = flags.DEFINE_bool("retry-failed", False, "", flag_values=values)
  if not any(re.match(r"--?config(=|$)", word) for word in argv[1:]):
    raise ConfigError(_no_config(argv))
  rest = values(argv)
  if len(rest) > 1:
    raise ConfigError(f"'{rest[1]}': flags are written --name=value")
  return Asked(
    sweep=sweep.value,
    out=out.value,
    meter=meter.value,
    dry_run=dry_run.value,
    retry_failed=retry.value,
  )


def load_config(text: str) -> Sweep:
  """The sweep of a config file, `PATH` or `PATH:ARGUMENTS`.

  Raises ConfigError where the file is missing, broken or gives no sweep.
  """
  name, _, arguments = text.partition(":")
  path = pathlib.Path(name)
  if not path.is_file():
    raise ConfigError(f"config file '{name}' is not there;{_nearest(path)}")
  try:
    get_config = runpy.run_path(str(path)).get("get_config")
    if get_config is None:
      raise ConfigError(f"{path} defines no get_config(arguments)")
    sweep = get_config(arguments)
  except ConfigError:
    raise
  except Exception as error:  # noqa: BLE001, whatever the user's file raises
    raise ConfigError(f"{_place(error, path)}: {_in_one_line(error)}") from None
  if not isinstance(sweep, Sweep):
    raise ConfigError(
      f"{path}: get_config() gave {config.article(type(sweep).__name__)}; it"
      " must return a jaxpower.Sweep"
    )
  return sweep


def _check_overrides(argv: Sequence[str], sweep: Sweep) -> None:
  """Raises ConfigError on an override that could have no effect."""
  known = tuple(config.field_paths(sweep))
  for word in argv[1:]:
    if not (found := OVERRIDE.match(word)):
      continue
    path = found[1]
    if path not in known:
      raise ConfigError(config.unknown("config field", path, known))
    for varied in sweep.vary:
      if f"{path}.".startswith(f"{varied}."):
        raise ConfigError(
          f"{varied} is what this config varies; write"
          f" --config.vary.{varied}='(...)' to change its values"
        )
    if path.endswith("init_from") and config.get(sweep, path) is None:
      raise ConfigError(f"{path} is a Trial; give it in a config file")
    if path.endswith(".seed"):
      raise ConfigError(f"{path}: a pretraining has the seed of its trial")
    parts = [name for name in known if name.startswith(f"{path}.")]
    if parts:
      raise ConfigError(
        f"config field {path} has parts: write --config.{parts[0]}=..."
      )
    if isinstance(getattr(sweep, path, None), dict):
      raise ConfigError(
        f"config field {path} has an entry for each name it speaks of; write"
        " them in the config file"
      )


def _in_one_line(error: BaseException) -> str:
  """An error's message without its line breaks and without advice of absl."""
  text = str(error) or type(error).__name__
  wrong = re.match(r"flag --config\.([^=]+)=(.*?): ", text, re.DOTALL)
  if wrong:
    path = wrong[1].replace("transfer.init_from.", "")  # a Trial's fields
    kind = type(config.get(Sweep(), path)).__name__
    return f"--config.{wrong[1]}={wrong[2]}: must be {config.article(kind)}"
  if not isinstance(error, flags.Error):
    text = f"{type(error).__name__}: {text}"
  return " ".join(text.split())


def _place(error: BaseException, path: pathlib.Path) -> str:
  """The file and line of a user's config that raised."""
  if isinstance(error, SyntaxError):
    return f"{path}, line {error.lineno}"
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if os.path.basename(frame.filename) == path.name
  ]
  return f"{path}, line {lines[-1]}" if lines else str(path)


def _nearest(path: pathlib.Path) -> str:
  folder = path.parent if path.parent.is_dir() else pathlib.Path("configs")
  names = sorted(str(p) for p in folder.glob("*.py"))
  near = difflib.get_close_matches(str(path), names, n=1, cutoff=0.5)
  if near:
    return f" did you mean {near[0]}?"
  return f" there are: {', '.join(names)}" if names else " check the path"


def _no_config(argv: Sequence[str]) -> str:
  loose = [word for word in argv[1:] if not word.startswith("-")]
  name = loose[0] if loose else "configs/batch.py"
  return f"no config; write --config={name} (--help tells more)"


def _refuse(line: str) -> int:
  print(f"error: {line}", file=sys.stderr)
  return 2
