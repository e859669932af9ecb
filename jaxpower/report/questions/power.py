"""What power did a training draw over time, and in which phase?

Asked of the trial whose energy is the median of the cheapest setting of each
comparison, where its timeline lies in the run folder.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxpower.records import TrialRecord
from jaxpower.report.cells import name_among
from jaxpower.report.charts import Power, Stretch, Watts
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.costs import ran
from jaxpower.report.findings import Figure, Section
from jaxpower.report.given import Given
from jaxpower.report.given.timelines import Timeline, TimelineError, read
from jaxpower.wording import join_names, number, on_one_line, opening

PLACE = 26
TITLE = "Power over time"
CAPTION = (
  "Power of the median trial of the cheapest setting over its time, a mean of"
  " each stretch, and the phases under it."
)
TRAIN = "train"


@dataclass(frozen=True)
class Course:
  """The power of one trial over time.

  Attributes:
    comparison: The one whose cheapest setting it is of.
    name: The comparison's among several; empty where it is alone.
    trial: The trial.
    timeline: What its files hold; None where they cannot be read.
    problem: Why not.
  """

  comparison: Comparison
  name: str
  trial: TrialRecord
  timeline: Timeline | None = None
  problem: str = ""


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where no timeline is given."""
  found = find(compared, given)
  return (tell(found),) if found else ()


# Values


def find(compared: Compared, given: Given) -> tuple[Course, ...]:
  """Reads the timeline of one trial of each comparison, where there is one."""
  return tuple(_courses(compared, given))


def _courses(compared: Compared, given: Given) -> Iterator[Course]:
  for comparison in compared.comparisons:
    trial = typical_trial(comparison)
    path = given.timelines.get(trial.trial_id) if trial else None
    if trial is None or path is None:
      continue
    name = name_among(comparison, compared.comparisons)
    try:
      yield Course(comparison, name, trial, read(path))
    except TimelineError as error:
      yield Course(comparison, name, trial, None, on_one_line(str(error)))


def typical_trial(comparison: Comparison) -> TrialRecord | None:
  """Chooses the trial of median train energy of the cheapest setting."""
  if comparison.best is None:
    return None
  known = [
    (record.train_joules, record.seed, index)
    for index, record in enumerate(comparison.best.records)
    if record in ran(comparison.best.records)
    and record.train_joules is not None
  ]
  if not known:
    return None
  return comparison.best.records[sorted(known)[(len(known) - 1) // 2][-1]]


def train_watts(trial: TrialRecord) -> dict[str, float]:
  """Returns the mean watts of each domain in training, as far as known."""
  by_domain = (trial.joules_by_phase_and_domain or {}).get(TRAIN, {})
  if not trial.train_seconds:
    return {}
  return {
    domain: joules / trial.train_seconds
    for domain, joules in by_domain.items()
    if joules is not None
  }


# Words


def tell(found: Sequence[Course]) -> Section:
  """Tells what training drew, a sentence a trial, and draws all of them."""
  charts = [chart(course) for course in found if course.timeline]
  return Section(
    title=TITLE,
    lines=tuple(filter(None, map(_sentence, found))),
    figures=(Figure("power", charts, CAPTION),) if charts else (),
  )


def _name(course: Course) -> str:
  setting = opening(course.trial.varied)
  return f"{setting}, seed {course.trial.seed}"


def _sentence(course: Course) -> str:
  if course.problem:
    return f"A timeline could not be read: {course.problem}"
  means = train_watts(course.trial)
  if course.timeline is None or not means:
    return ""
  mark = "estimated " if course.comparison.estimated else ""
  watts = [f"{number(w)} {mark}W by {domain}" for domain, w in means.items()]
  where = f"{course.name}: " if course.name else ""
  return f"{where}{_name(course)} drew {join_names(watts)} in training."


def chart(course: Course) -> Power:
  """Makes the figure of one trial."""
  timeline = course.timeline
  assert timeline is not None
  return Power(
    title=", ".join(filter(None, (course.name, _name(course)))),
    domains=tuple(
      Watts(
        domain,
        timeline.edges,
        tuple(w if math.isfinite(w) else None for w in watts),
      )
      for domain, watts in timeline.watts.items()
    ),
    stretches=tuple(stretches(timeline)),
    estimated=course.comparison.estimated,
  )


def stretches(timeline: Timeline) -> Iterator[Stretch]:
  """Yields the phases: as they were, of very many what is seen of them.

  Where there are more windows than stretches of time, each stretch has the
  phase that took most of it, and neighbours of one phase are one.
  """
  windows = timeline.windows
  if len(windows) < len(timeline.edges):
    yield from (Stretch(*window) for window in windows)
    return
  seen = [
    _longest(windows, low, high)
    for low, high in itertools.pairwise(timeline.edges)
  ]
  places = range(len(seen))
  for phase, group in itertools.groupby(places, key=lambda i: seen[i]):
    of = [*group]
    if phase:
      yield Stretch(phase, timeline.edges[of[0]], timeline.edges[of[-1] + 1])


def _longest(
  windows: Sequence[tuple[str, float, float]], low: float, high: float
) -> str:
  """Names the phase that took most of a stretch; empty where none did."""
  took: dict[str, float] = {}
  for phase, start, end in windows:
    within = min(end, high) - max(start, low)
    if within > 0:
      took[phase] = took.get(phase, 0.0) + within
  return max(took, key=lambda phase: took[phase], default="")
