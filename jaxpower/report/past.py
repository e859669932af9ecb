"""What training past the target cost, and the accuracy that it bought."""

from collections.abc import Iterable

from jaxpower.records import Evaluation, TrialRecord
from jaxpower.report.groups import Comparison, Group
from jaxpower.report.labels import number, opening
from jaxpower.report.statistics import Cost, median
from jaxpower.report.tables import interval


def past_target(comparison: Comparison) -> tuple[str, ...]:
  """A line for each setting of which trials went on past the target.

  Joules are those of training after the first evaluation that met it, and
  points of accuracy those between it and the last one: medians over trials.
  """
  kind = "estimated J" if comparison.estimated else "J"
  lines = (_line(group, kind) for group in comparison.groups)
  return tuple(line for line in lines if line)


def first_passing(record: TrialRecord) -> Evaluation | None:
  """The evaluation that first met the target; None where none is known to."""
  seconds = record.seconds_to_accuracy
  if seconds is None:
    return None
  return next((e for e in record.curve if e.train_seconds >= seconds), None)


def _line(group: Group, kind: str) -> str:
  firsts = {
    record.trial_id: (record, first)
    for record in group.records
    if (first := first_passing(record)) and first is not record.curve[-1]
  }
  if not firsts:
    return ""
  joules, times = [], []
  for record, _ in firsts.values():
    all_, part = record.train_joules, record.joules_to_accuracy
    if all_ is None or part is None:
      break
    joules.append(all_ - part)
    if part > 0:
      times.append(all_ / part)
  ran = len(group.records) - group.count("failed")
  some = "" if len(firsts) == ran else f" ({len(firsts)} of {ran} trials)"
  cost = "an unknown number of J"
  if len(joules) == len(firsts):
    cost = f"{_told(joules)} {kind}"
    if len(times) == len(firsts):
      cost += f", in all {_told(times)} times the energy to it"
  points = _told(
    100 * (record.curve[-1].accuracy - first.accuracy)
    for record, first in firsts.values()
  )
  return (
    f"{opening(group.varied)}: training past the target{some} cost {cost}, for"
    f" {points} points of accuracy."
  )


def _told(values: Iterable[float]) -> str:
  """The median, and in brackets its interval where there is one."""
  found = median([Cost(value) for value in values])
  if found is None:
    return "unknown"
  if found.low is None:
    return number(found.value)
  return f"{number(found.value)} ({interval(found)})"
