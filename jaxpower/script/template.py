"""From the text of a command to the words of its process.

The text is cut into words as a shell would cut it, and then the fields in
braces are put in, so that no value is ever cut or read by a shell. A word that
names a file of the folder where the sweep was started is made its whole path,
since the command runs in a folder of its own.
"""

import difflib
import functools
import hashlib
import os
import pathlib
import shlex
import shutil
import string
import sys
from collections.abc import Mapping
from typing import Any

from jaxpower.config import (
  ConfigError,
  Trial,
  field_types,
  get,
  unknown,
)

# Names in braces that are no fields: the trial's own folder, and the one in
# which the sweep was started.
FOLDERS = ("folder", "here")
# Fields by which the sweep decides, so that varying one has an effect although
# no command names it.
OURS = (
  *("target_accuracy", "targets", "budget_examples", "crossing"),
  *("stop_at_target", "patience", "idle_seconds", "command", "framework"),
  *("metrics", "metrics_file"),
)
MOST_HASHED = 16 * 2**20  # bytes; chosen: a file above is data, no script
SHEBANG = b"#!"
ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")  # set by an environment's activation
INTERPRETERS = ("python", "bash", "sh", "julia", "Rscript", "perl", "node")


def words_of(trial: Trial, folder: str, here: pathlib.Path) -> list[str]:
  """Returns the words of a trial's command, its fields put in.

  Raises ConfigError where the text cannot be read or a name is unknown.
  """
  values = {"folder": folder, "here": str(here)}
  return [_whole(_filled(word, trial, values), here) for word in cut(trial)]


def cut(trial: Trial) -> list[str]:
  """Cuts a command into its words, with the braces in them.

  Raises ConfigError where a quotation mark is open, or there is no word.
  """
  if not trial.command.strip():
    raise ConfigError(
      'framework command needs one, such as "python train.py --seed {seed}"',
      field="command",
    )
  try:
    return shlex.split(trial.command)
  except ValueError as error:
    reason = str(error).lower()
    raise ConfigError(reason, field="command") from None


def names_of(trial: Trial) -> frozenset[str]:
  """Returns the names that stand in the braces of a command."""
  return frozenset(name for word in cut(trial) for name in _names(word))


def check(trial: Trial, here: pathlib.Path) -> None:
  """Raises ConfigError unless a command can be started, as far as is known.

  Its names are fields, its program is there, and so is the script that an
  interpreter is to run.
  """
  words = words_of(trial, "", here)
  program = words[0]
  if shutil.which(program, path=search_path(os.environ)) is None:
    raise ConfigError(
      f"no program {program!r} is found; write its whole path, or one of the"
      " sweep's folder as ./NAME",
      field="command",
    )
  if pathlib.Path(program).name.rstrip("0123456789.") not in INTERPRETERS:
    return
  script = next((w for w in words[1:] if not w.startswith("-")), None)
  first = words[1] if len(words) > 1 else ""
  if script is None or first in ("-c", "-m") or script != first:
    return  # not a plain `python FILE`
  if not pathlib.Path(script).exists():
    near = difflib.get_close_matches(
      script, [path.name for path in here.iterdir()], n=1
    )
    hint = f"did you mean {near[0]}?" if near else f"looked for in {here}"
    raise ConfigError(f"there is no file {script}; {hint}", field="command")


def search_path(variables: Mapping[str, str]) -> str:
  """Returns the PATH on which a command's programs are looked for.

  Where no environment is active, that of the Python that runs the sweep counts
  as active: `.venv/bin/python scripts/run.py` means that `python`, too.
  """
  path = variables.get("PATH", os.defpath)
  if sys.prefix == sys.base_prefix or any(map(variables.get, ACTIVE)):
    return path
  return os.pathsep.join([str(pathlib.Path(sys.executable).parent), path])


def check_varied(trial: Trial, vary: Mapping[str, Any]) -> None:
  """Raises ConfigError where a field is varied that changes nothing.

  Its trials would be the same command, told as different settings. A slip in
  one of the command's names may be why.
  """
  named = names_of(trial)
  unknown_names = named.difference(field_types(trial), FOLDERS)
  for path in vary:
    parts = any(name.startswith(f"{path}.") for name in named)
    if path not in named and path not in OURS and not parts:
      near = difflib.get_close_matches(path, unknown_names, n=1)
      slip = f"; it names {{{near[0]}}}, which is no field" if near else ""
      raise ConfigError(
        f"the command does not name {{{path}}}, so that it would change"
        f" nothing{slip}",
        field=f"vary.{path}",
      )


def checksums(trial: Trial, here: pathlib.Path) -> dict[str, str]:
  """Returns the checksums of the files that a command names, by their names.

  As far as they are small enough to be programs, and the same for all seeds.
  """
  found = {}
  values = {"folder": "", "here": str(here)}
  for place, word in enumerate(cut(trial)):
    if "seed" in _names(word):
      continue
    filled = _filled(word, trial, values)
    path = _file(_value_of(filled), here)
    if path is None or not path.is_file():
      continue
    facts = path.stat()
    digest = _digest(path, facts.st_mtime_ns, facts.st_size, place == 0)
    if digest:
      found[_value_of(filled)] = digest
  return found


@functools.lru_cache(maxsize=1024)
def _digest(
  path: pathlib.Path, changed: int, size: int, is_program: bool
) -> str:
  """Returns a file's SHA-256; "" of one that is no script."""
  del changed
  if size > MOST_HASHED:
    return ""
  content = path.read_bytes()
  if is_program and not content.startswith(SHEBANG):
    return ""
  return hashlib.sha256(content).hexdigest()


def _names(word: str) -> list[str]:
  """Returns the names in braces of a word; ConfigError where one is open."""
  try:
    parts = list(string.Formatter().parse(word))
  except ValueError as error:
    raise ConfigError(
      f"{error} in {word!r}; a brace that is no field is written twice",
      field="command",
    ) from None
  return [name for _, name, _, _ in parts if name is not None]


def _filled(word: str, trial: Trial, values: Mapping[str, str]) -> str:
  """Puts the fields into a word."""
  _names(word)
  text = []
  for before, name, spec, _ in string.Formatter().parse(word):
    text.append(before)
    if name is not None:
      value = values.get(name) if name in FOLDERS else _value(trial, name)
      try:
        text.append(format(_plain(value), spec or ""))
      except (ValueError, TypeError) as error:
        raise ConfigError(
          f"{{{name}:{spec}}}: {error}", field="command"
        ) from None
  return "".join(text)


def _value(trial: Trial, name: str) -> Any:
  """Returns the value of a field by its dotted path."""
  kinds = field_types(trial)
  parts = sorted(path for path in kinds if path.startswith(f"{name}."))
  if name not in kinds:
    raise ConfigError(
      f"{unknown('field', name, [*kinds, *FOLDERS])} (a name of your own is an"
      " entry of options)",
      field="command",
    )
  value = get(trial, name)
  if parts or isinstance(value, dict) or value is None:
    raise ConfigError(
      f"{name} has parts; name one, as {{{parts[0] if parts else name}}}",
      field="command",
    )
  return value


def _plain(value: Any) -> Any:
  return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _value_of(word: str) -> str:
  """Returns what an option is given: `a/b` of `--data=a/b`, else the word."""
  option, equals, value = word.partition("=")
  return value if equals and option.startswith("-") else word


def _file(name: str, here: pathlib.Path) -> pathlib.Path | None:
  """Finds what a word names of a folder; only names with a `/` or a suffix.

  Others, such as `mnist`, are words that a folder may happen to be called by.
  """
  looks_so = "/" in name or pathlib.PurePath(name).suffix
  if not looks_so or len(name) > 4096 or "\0" in name:
    return None
  path = here / name
  try:
    return path if path.exists() else None
  except OSError:  # a name that is too long
    return None


def _whole(word: str, here: pathlib.Path) -> str:
  """Makes a word that names a file or folder here its whole path."""
  value = _value_of(word)
  path = _file(value, here)
  if path is None:
    return word
  return word[: len(word) - len(value)] + str(path)
