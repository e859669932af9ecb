"""Reads accuracies from what a command prints or writes, without a line in it.

Each line of its output is searched for the regular expressions of `metrics`,
whose named groups say what was found: `accuracy` (0 to 1) or `percent`, and
`loss`, `train_loss`, `examples`, `steps` or a task. A line with an accuracy is
a report; what other lines before it told goes with it. A group that is named as
a phase says that this begins: `(?P<eval>Validating)`.

A `metrics_file` has a JSON object a line, with the same names as keys.
"""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from jaxpower.config import ConfigError, Trial, unknown
from jaxpower.script.attach import PHASES

PERCENT = "percent"
NUMBERS = ("accuracy", PERCENT, "loss", "train_loss", "examples", "steps")
MOST_LINE = 65_536  # characters of a line that are searched; chosen


def check(trial: Trial) -> None:
  """Raises ConfigError on expressions that cannot tell an accuracy."""
  names: set[str] = set()
  for text in trial.metrics:
    try:
      expression = re.compile(text)
    except re.error as error:
      raise ConfigError(str(error), field="metrics", value=repr(text)) from None
    known = (*NUMBERS, *PHASES, *trial.tasks)
    for name in expression.groupindex:
      if name not in known:
        raise ConfigError(unknown("group", name, known), field="metrics")
    if not expression.groupindex:
      raise ConfigError(
        "name what it finds, as in accuracy=(?P<accuracy>[0-9.]+)",
        field="metrics",
        value=repr(text),
      )
    names |= expression.groupindex.keys()
  told = names & {"accuracy", PERCENT, *trial.tasks}
  if trial.metrics and not told and not trial.metrics_file:
    raise ConfigError(
      "none has a group (?P<accuracy>...) or (?P<percent>...)", field="metrics"
    )


class LineReader:
  """Finds in lines of output what the expressions of a trial look for."""

  def __init__(self, trial: Trial):
    self._expressions = tuple(map(re.compile, trial.metrics))
    self._tasks = trial.tasks if len(trial.tasks) > 1 else ()
    self._known: dict[str, float] = {}

  def read(self, line: str) -> tuple[str | None, dict[str, Any] | None]:
    """Returns the phase that a line begins, and the report that it makes."""
    phase, told = None, False
    for expression in self._expressions:
      match = expression.search(line[:MOST_LINE])
      for name, text in (match.groupdict() if match else {}).items():
        if text is None:
          continue
        if name in PHASES:
          phase = name
        elif (number := _number(text)) is not None:
          self._known[name] = number
          told = told or name in ("accuracy", PERCENT) or name in self._tasks
    complete = all(task in self._known for task in self._tasks)
    if not told or not complete:
      return phase, None
    found, self._known = self._known, {}
    return phase, facts_of(found, self._tasks)


class FileReader:
  """Reads the whole lines that a file has got since it was last looked at."""

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._place = 0
    self._rest = b""

  def read(self) -> list[Any]:
    """Returns the JSON of each new line; the text of one that is none."""
    try:
      with self._path.open("rb") as file:
        file.seek(self._place)
        content = file.read()
    except OSError:
      return []
    self._place += len(content)
    *lines, self._rest = (self._rest + content).split(b"\n")
    return [_parsed(line) for line in lines if line.strip()]


def facts_of(
  found: Mapping[str, Any], tasks: tuple[str, ...]
) -> dict[str, Any]:
  """Returns the facts of a report from what was found by name."""
  facts: dict[str, Any] = {k: v for k, v in found.items() if k not in tasks}
  if facts.get("accuracy") is None and found.get(PERCENT) is not None:
    facts["accuracy"] = found[PERCENT] / 100
  if tasks:
    facts["accuracies"] = {t: found[t] for t in tasks if t in found}
  return facts


def _parsed(line: bytes) -> Any:
  try:
    return json.loads(line)
  except (ValueError, RecursionError):
    return line.decode(errors="replace")


def _number(text: str) -> float | None:
  """Reads a number as logs have it: `1,024`, `0.9`, `nan`."""
  try:
    return float(text.replace(",", ""))
  except ValueError:
    return None
