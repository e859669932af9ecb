"""Says in one line what is wrong with a config, with the nearest name."""

import difflib
from collections.abc import Iterable

MOST_SHOWN = 60  # characters of a wrong name; chosen


class ConfigError(Exception):
  """A config that cannot be run; as text one line: field, value and reason.

  Attributes:
    reason: What is wrong, and the fix.
    field: The dotted path of the field that is wrong; empty where the reason
      names it.
    value: The field's value as the line shows it; may be empty.
  """

  def __init__(self, reason: str, *, field: str = "", value: str = ""):
    super().__init__(reason)
    self.reason = reason
    self.field = field
    self.value = value

  def __str__(self) -> str:
    shown = " ".join(filter(None, (self.field, self.value)))
    return f"{shown}: {self.reason}" if shown else self.reason

  def inside(self, parent: str) -> "ConfigError":
    """Returns the same error for a config that is held by field `parent`."""
    field = ".".join(filter(None, (parent, self.field)))
    return ConfigError(self.reason, field=field, value=self.value)


def unknown(what: str, name: str, names: Iterable[str]) -> str:
  """Says that a name is unknown, with the nearest of the known names.

  Of a field's part, as `optimizer.lr`, that is no name of the field itself.
  """
  names = sorted(names)
  name = name if len(name) <= MOST_SHOWN else f"{name[: MOST_SHOWN - 3]}..."
  parent, dot, _ = name.rpartition(".")
  beside = [each for each in names if dot and each.startswith(f"{parent}.")]
  near = (
    [each for each in (*beside, *names) if _abbreviates(name, each)]
    or difflib.get_close_matches(name, beside, n=1, cutoff=0.5)
    or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
  )
  if near and near[0] != parent:
    hint = f"did you mean {near[0]}?"
  else:
    hint = f"known: {', '.join(beside or names)}"
  return f"unknown {what} '{name}'; {hint}"


def _abbreviates(name: str, other: str) -> bool:
  """Whether a name has the initials of another's words: lr, learning_rate."""
  words = other.rpartition(".")[2].split("_")
  initials = "".join(word[:1] for word in words)
  return len(words) > 1 and name.rpartition(".")[2] == initials


def article(noun: str) -> str:
  """Puts the indefinite article before a noun."""
  return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
