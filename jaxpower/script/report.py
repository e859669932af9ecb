"""What a command says of its training, as values: reports and phases.

A report is what an evaluation is to the networks of this package. What was not
told is None, and never zero.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import Any

from jaxpower.config import Trial


class ReportError(Exception):
  """A report that cannot be used: one line says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """An accuracy that a command told, and when.

  Attributes:
    at: The instant, on the monotonic clock.
    accuracy: With several tasks their mean.
    accuracies: Of each of several tasks.
    examples: Trained on so far; None if not told, as the rest.
    steps: Updates so far.
    loss: On the set that decides.
    train_loss: Of training since the report before.
  """

  at: float
  accuracy: float
  accuracies: Mapping[str, float] = dataclasses.field(default_factory=dict)
  examples: int | None = None
  steps: int | None = None
  loss: float | None = None
  train_loss: float | None = None


def report_of(trial: Trial, facts: Mapping[str, Any], at: float) -> Report:
  """Checks what a command reported. Raises ReportError.

  Args:
    trial: Of the command.
    facts: Numbers by the names of the fields of a Report; None: not told.
    at: When.
  """
  given = facts.get("accuracies")
  tasks = given if isinstance(given, Mapping) else {}
  shares = {
    str(task): _share(share, str(task)) for task, share in tasks.items()
  }
  if len(trial.tasks) > 1:
    missing = [task for task in trial.tasks if task not in shares]
    if missing:
      raise ReportError(
        f"it reported no accuracy of task {missing[0]!r}: accuracies has to"
        " have each of tasks"
      )
    shares = {task: shares[task] for task in trial.tasks}
    accuracy = statistics.fmean(shares.values())
  else:
    accuracy, shares = _share(facts.get("accuracy"), ""), {}
  return Report(
    at=at,
    accuracy=accuracy,
    accuracies=shares,
    examples=_count(facts.get("examples"), "examples"),
    steps=_count(facts.get("steps"), "steps"),
    loss=_number(facts.get("loss"), "a loss"),
    train_loss=_number(facts.get("train_loss"), "a loss"),
  )


def _share(value: Any, task: str) -> float:
  """Returns an accuracy; ReportError unless it lies between 0 and 1."""
  name = f"an accuracy of {task}" if task else "an accuracy"
  number = _number(value, name)
  if number is None:
    raise ReportError(f"it reported without {name}")
  if 0 <= number <= 1:
    return number
  hint = "; divide percents by 100" if 1 < number <= 100 else ""
  raise ReportError(f"it reported {name} of {number:g}, not 0 to 1{hint}")


def _count(value: Any, name: str) -> int | None:
  number = _number(value, name)
  if number is None:
    return None
  if not (math.isfinite(number) and number >= 0):
    raise ReportError(f"it reported {name} of {number:g}, not 0 or more")
  return round(number)


def _number(value: Any, name: str) -> float | None:
  if value is None or type(value) in (int, float):
    return None if value is None else float(value)
  raise ReportError(f"it reported {name} of {value!r}, which is no number")
