"""Reads the text of `--config.FIELD=TEXT` as the type of its field.

Any field of a trial may be varied too, `--config.vary.FIELD=TEXT`, whether the
config file varies it or not; its text is then a tuple of such values.
"""

import ast
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from jaxpower import config
from jaxpower.config import ConfigError, Sweep, Trial, article
from jaxpower.wording import printable

VARY = "vary."
PARSERS: dict[type, flags.ArgumentParser] = {
  bool: flags.BooleanParser(),
  float: flags.FloatParser(),
  int: flags.IntegerParser(),
  str: flags.ArgumentParser(),
}
MOST_SHOWN = 60  # characters of a text in an error line; chosen
# What Python's own parser raises on a text that is no value: of brackets nested
# too deeply the last two.
NO_LITERAL = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)


def flag_types(sweep: Sweep, argv: Sequence[str] = ()) -> dict[str, type]:
  """Maps the path of every field that a flag may name to its declared type.

  Free names (`model.options.width`) are known where `argv` gives them, or the
  sweep does.
  """
  varied = {f"{VARY}{path}": tuple for path in _trial_types()}
  flags_given = (word.partition("=")[0].lstrip("-") for word in argv)
  paths = [
    name.removeprefix("config.")
    for name in flags_given
    if name.startswith("config.")
  ]
  free = {
    path: tuple if path.startswith(VARY) else object
    for path in paths
    if config.is_free(path.removeprefix(VARY))
  }
  own = config.field_types(sweep)
  return (
    varied
    | free
    | {path: kind for path, kind in own.items() if path not in config.COMPUTED}
  )


def apply(sweep: Sweep, given: Mapping[str, Sequence[str]]) -> None:
  """Sets fields of a sweep, in place, to the texts given for their paths.

  Raises ConfigError where a text is not of its field's type, or the field is
  one that a flag cannot set, or to no effect.
  """
  types = flag_types(sweep, [f"--config.{path}" for path in given])
  # First what is varied, so that it is known when the fields are set.
  for path in sorted(given, key=lambda path: not path.startswith(VARY)):
    if path.startswith(VARY):
      field = path.removeprefix(VARY)
      sweep.vary[field] = _values(path, field, given[path])
    else:
      _check(sweep, types, path)
      config.put(sweep, path, _value(path, types[path], given[path]))


def _trial_types() -> dict[str, type]:
  types = config.field_types(Trial())
  hidden = ("seed", *config.COMPUTED)
  return {path: kind for path, kind in types.items() if path not in hidden}


def _check(sweep: Sweep, types: Mapping[str, type], path: str) -> None:
  """Raises ConfigError on a field that a flag cannot set, or to no effect."""
  for varied in sweep.vary:
    if f"{path}.".startswith(f"{varied}."):
      raise ConfigError(
        f"this config varies {varied}; write --config.vary.{varied}='(...)' to"
        " change its values"
      )
  if path.endswith("init_from") and config.get(sweep, path) is None:
    raise ConfigError(f"{path} is a Trial; give it in a config file")
  if path.endswith(".seed"):
    raise ConfigError(f"{path}: a pretraining has the seed of its trial")
  if path == "vary":
    raise ConfigError("vary has fields: write --config.vary.FIELD='(...)'")
  parts = [name for name in types if name.startswith(f"{path}.")]
  if parts:
    raise ConfigError(
      f"config field {path} has parts: write --config.{parts[0]}=..."
    )
  if types[path] is dict and config.is_free(f"{path}.name"):
    raise ConfigError(f"{path} has entries: write --config.{path}.NAME=VALUE")
  if types[path] is dict:
    raise ConfigError(
      f"config field {path} is a dict; set its entries in the config file"
    )


def _value(path: str, kind: type, texts: Sequence[str]) -> Any:
  """Reads the texts of a field: the last one, or all those of a tuple."""
  if kind is tuple:
    return tuple(item for text in texts for item in _tuple(path, text, str))
  if kind not in PARSERS:  # of a free name any value
    return _literal(texts[-1])
  try:
    return PARSERS[kind].parse(texts[-1])
  except NO_LITERAL:
    raise _not_a(path, texts[-1], article(kind.__name__)) from None


def _values(path: str, field: str, texts: Sequence[str]) -> tuple[Any, ...]:
  """Reads the values of a field that is varied."""
  free = object if config.is_free(field) else str
  kind = _trial_types().get(field, free)
  if kind not in (*PARSERS, tuple) and config.is_free(field):
    return tuple(
      _literal(item) if isinstance(item, str) else item
      for text in texts
      for item in _tuple(path, text, object)
    )
  if field.endswith("init_from") or kind not in (*PARSERS, tuple):
    raise ConfigError(
      f"config field {path}: values of {field} are given in a config file"
    )
  if kind is not tuple:
    return tuple(item for text in texts for item in _tuple(path, text, kind))
  # Of a field that is a tuple itself, each text is one of its values, or
  # Python for several: (("a",), ("a", "b")).
  values: list[tuple[Any, ...]] = []
  for text in texts:
    items = _tuple(path, text, object)
    several = items and all(isinstance(item, tuple | list) for item in items)
    values += [tuple(item) for item in items] if several else [items]
  return tuple(values)


def _literal(text: str) -> Any:
  """Reads a value as Python has it, or as a word."""
  words = {"true": True, "false": False}
  try:
    return ast.literal_eval(text.strip())
  except NO_LITERAL:
    return words.get(text.strip(), text)


def _tuple(path: str, text: str, kind: type) -> tuple[Any, ...]:
  """Reads `(16, 64)`, `16,64` or `[16, 64]`; a single value is a tuple of one.

  Words need no quotation marks.
  """
  try:
    with warnings.catch_warnings():  # of "1and", on lines of their own
      warnings.simplefilter("ignore", SyntaxWarning)
      value = ast.literal_eval(text.strip())
    items = value if isinstance(value, tuple | list | set) else (value,)
  except NO_LITERAL:
    items = _words(text)
  try:
    return tuple(_item(kind, item) for item in items)
  except ValueError:
    of = "" if kind is object else f" of {kind.__name__}"
    raise _not_a(path, text, f"a tuple{of}") from None


def _words(text: str) -> Sequence[str]:
  """Splits words at commas, in brackets or not; one empty word if broken."""
  inner = text.strip()
  if inner[:1] + inner[-1:] in ("()", "[]"):
    inner = inner[1:-1]
  words = [word.strip() for word in inner.split(",")]
  if len(words) > 1 and words[-1] == "":
    words.pop()
  quotes: Callable[[str], bool] = lambda word: word[:1] in "\"'"
  broken = any(word == "" or quotes(word) for word in words)
  return ("",) if broken or set("()[]{}") & set(inner) else words


def _item(kind: type, item: Any) -> Any:
  """Converts one item to a type; raises ValueError where it is of another."""
  if item == "" or item is None:
    raise ValueError(item)
  if kind is float and type(item) is int:
    return item  # as in a config file: the check of types converts it
  if kind is object or type(item) is kind:
    return item
  if not isinstance(item, str):
    # A word that looks like a number: a task may be named 7.
    raise ValueError(item)
  try:
    return PARSERS[kind].parse(item)
  except NO_LITERAL:
    raise ValueError(item) from None


def _not_a(path: str, text: str, what: str) -> ConfigError:
  shown = " ".join(printable(text).split())
  if len(shown) > MOST_SHOWN:
    shown = f"{shown[: MOST_SHOWN - 3]}..."
  return ConfigError(f"--config.{path}={shown}: must be {what}")
