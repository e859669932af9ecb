"""What is shown of a running sweep: a line a running trial, and one of it all.

Values go in, lines come out: nothing here draws, and nothing costs more than a
few lines of text. What does not fit on a line is left out, least worth first.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from jaxpower.config import COMMAND, Trial
from jaxpower.forecast import Cost
from jaxpower.messages import Progress
from jaxpower.records import TrialRecord
from jaxpower.wording import (
  duration,
  energy,
  number,
  percent,
  quantity,
  setting,
  whole_percent,
)

WIDE = 100  # columns from which gaps are wide; chosen
ALL = 10**6  # columns: whole lines, where nothing is cut
SHORTEST_BAR, LONGEST_BAR = 5, 40  # characters; chosen


@dataclasses.dataclass(frozen=True)
class Part:
  """A part of a line: its text, and what it is worth beside the others."""

  text: str
  worth: int


def fit(parts: Iterable[Part], width: int) -> str:
  """Joins parts into a line of so many columns.

  Those worth least are left out, and what still does not fit is cut.
  """
  gap = "   " if width >= WIDE else "  "
  left = [part for part in parts if part.text]
  while len(left) > 1 and len(gap.join(p.text for p in left)) > width:
    left.remove(min(left, key=lambda part: part.worth))
  line = gap.join(part.text for part in left)
  return line if len(line) <= width else f"{line[: max(width - 3, 0)]}..."


@dataclasses.dataclass(frozen=True)
class Running:
  """A trial that is running, and the last that was heard of it.

  Attributes:
    place: Its number among all: "trial  7 of 12".
    name: Its setting and seed.
    budget: Examples that it may train on; 0: not known.
    began: When it was first heard of, on the clock of `seconds_left`.
    prepared: Whether another trial of its setting ran before it.
    news: The newest of each thing that was told.
  """

  place: str
  name: str
  budget: int
  began: float
  prepared: bool = False
  news: Progress = dataclasses.field(
    default_factory=lambda: Progress(phase="setup")
  )

  def heard(self, news: Progress) -> "Running":
    """Takes in news; what they do not tell stays as it was."""
    return dataclasses.replace(
      self,
      news=Progress(
        phase=news.phase,
        examples=news.examples or self.news.examples,
        accuracy=_newest(news.accuracy, self.news.accuracy),
        joules=_newest(news.joules, self.news.joules),
        seconds=_newest(news.seconds, self.news.seconds),
      ),
    )

  @property
  def share(self) -> float | None:
    """How much of its budget it has trained on; None before training."""
    if not self.budget or not self.news.examples:
      return None
    return min(self.news.examples / self.budget, 1.0)

  def seconds_left(self, expected: float | None, now: float) -> float | None:
    """Judges how long it will take yet; None where nothing is known.

    One that took longer than others of its setting goes on to the end of its
    budget, as far as anybody knows.
    """
    if expected is None:
      return None
    took = now - self.began
    if took < expected or not self.share:
      return max(expected - took, 0.0)
    return took * (1 - self.share) / self.share


def _newest(new: float | None, old: float | None) -> float | None:
  return old if new is None else new


def budget_of(trial: Trial) -> int:
  """Returns how many examples a trial may train on; 0 for a command's own."""
  return 0 if trial.framework == COMMAND else trial.budget_examples


def running_line(running: Running, estimated: bool, width: int) -> str:
  """Says how far a running trial is."""
  news, share = running.news, running.share
  watts = None
  if news.joules is not None and news.seconds:
    watts = news.joules / news.seconds
  return fit(
    [
      Part(running.place, 9),
      Part(running.name, 8),
      Part(news.phase, 7),
      Part("" if share is None else f"{whole_percent(share)} % of budget", 4),
      Part("" if news.accuracy is None else _accuracy(news.accuracy), 6),
      Part("" if news.joules is None else energy(news.joules, estimated), 5),
      Part("" if watts is None else quantity(watts, "W"), 3),
    ],
    width,
  )


def _accuracy(share: float) -> str:
  return f"accuracy {percent(share)}"


def ended_line(
  place: str, name: str, record: TrialRecord, estimated: bool, width: int
) -> str:
  """Says how a trial ended: status, accuracy, joules and seconds.

  Why one failed is said in full.
  """
  if record.status == "failed":
    return fit(
      [Part(place, 3), Part(name, 2), Part(f"failed: {record.error}", 1)], ALL
    )
  joules, seconds = record.train_joules, number(record.train_seconds or 0.0)
  spent = "joules unknown" if joules is None else energy(joules, estimated)
  accuracy = percent(record.final_accuracy or 0.0)
  parts = [
    Part(place, 9),
    Part(name, 8),
    Part(f"{record.status} {accuracy}", 7),
    Part(spent, 6),
  ]
  whole = [*parts, Part(f"{seconds} s of training", 5)]
  if len(line := fit(whole, ALL)) <= width:
    return line
  return fit([*parts, Part(f"{seconds} s", 5)], width)


@dataclasses.dataclass(frozen=True)
class Cheapest:
  """The setting that cost least so far, and its median joules to the target."""

  name: str
  joules: float


def cheapest(records: Iterable[TrialRecord]) -> Cheapest | None:
  """Finds the setting of the least median; a look, no verdict.

  A trial that missed cost more than any that reached. None while fewer than
  two settings can be compared, or where they have unlike goals.
  """
  ran = [record for record in records if record.status != "failed"]
  goals = {
    (record.config.get("data"), record.target_accuracy, record.decided_by)
    for record in ran
  }
  costs: dict[str, list[float]] = {}
  for record in ran:
    reached, joules = record.status == "reached", record.joules_to_accuracy
    if reached and joules is None:
      return None  # of one unknown the order is
    cost = math.inf if joules is None else joules
    costs.setdefault(setting(record.varied), []).append(cost)
  if len(goals) != 1 or len(costs) < 2:
    return None
  medians = {name: statistics.median(found) for name, found in costs.items()}
  name = min(medians, key=lambda name: medians[name])
  return None if math.isinf(medians[name]) else Cheapest(name, medians[name])


@dataclasses.dataclass(frozen=True)
class Sum:
  """What is known of a sweep as a whole.

  Attributes:
    done: Trials with a record.
    total: All trials.
    spent: Joules of all phases of all trials; None where one is unknown.
    cheapest: The setting that cost least.
    estimated: Whether power is modelled.
  """

  done: int
  total: int
  spent: float | None
  cheapest: Cheapest | None
  estimated: bool


def time_left(
  waiting: tuple[Cost, int],
  running: Sequence[tuple[Running, float | None]],
  now: float,
) -> str:
  """Says how long a sweep will take yet, as far as trials that ended tell.

  Args:
    waiting: What the trials that have not begun will cost, and how many of
      them nothing is known of.
    running: Those that run, with the seconds that each is expected to take.
    now: On the clock that `Running.began` is on.
  """
  cost, lacking = waiting
  rests = [each.seconds_left(expected, now) for each, expected in running]
  known = [rest for rest in rests if rest is not None]
  lacking += len(rests) - len(known)
  if cost.seconds is None and not known:
    return "time left unknown" if lacking else ""
  at_once = max(len(running), 1)
  seconds = ((cost.seconds or 0.0) + math.fsum(known)) / at_once
  more = "more than " if lacking else ""
  return f"{more}{duration(seconds)} left"


def sum_line(whole: Sum, left: str, width: int) -> str:
  """Says of the whole sweep how far it is, what it spent, what was cheapest.

  A bar of the trials takes the columns that are left.
  """
  least = whole.cheapest
  spent = f"{quantity(whole.spent, 'J')} spent" if whole.spent else ""
  best = least and f"cheapest {least.name}: {quantity(least.joules, 'J')}"
  suffix = ["estimated"] if whole.estimated else []
  told = [
    ", ".join([*filter(None, each), *suffix])
    for each in ((spent, best), (spent,))
    if any(each)
  ]
  place = f"{whole.done} of {whole.total}"
  room = width - SHORTEST_BAR - 1
  for joules in (*told, ""):
    text = fit([Part(place, 3), Part(left, 2), Part(joules, 1)], ALL)
    if width < WIDE:
      text = text.replace("   ", "  ")
    if len(text) <= room:
      break
  else:
    text = fit([Part(place, 2), Part(left, 1)], room)
  size = max(0, min(LONGEST_BAR, width - len(text) - 1))
  filled = round(size * whole.done / max(whole.total, 1))
  return f"{'#' * filled}{'.' * (size - filled)} {text}"


def counted(names: Iterable[str]) -> str:
  """Lists names, each once: "8 x NVIDIA H100, CPU package 0"."""
  times: dict[str, int] = {}
  for name in names:
    times[name] = times.get(name, 0) + 1
  return ", ".join(
    f"{count} x {name}" if count > 1 else name for name, count in times.items()
  )


def lines(
  trials: Mapping[int, Running], estimated: bool, width: int, most: int
) -> list[str]:
  """Makes a line of each running trial, at most so many, by their numbers."""
  numbers = sorted(trials)
  shown = numbers if len(numbers) <= most else numbers[: max(most - 1, 0)]
  told = [running_line(trials[n], estimated, width) for n in shown]
  if more := len(numbers) - len(shown):
    told.append(f"and {more} more running")
  return told
