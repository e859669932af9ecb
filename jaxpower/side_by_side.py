"""Runs the trials of a sweep in several places at once, with one writer.

  check alone -> check beside others, and all trials -> a record each

What happens in the places comes in through `workers.pool`; what is kept and
said goes out through the functions of a `Sweeping`, in the caller's thread.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

from jaxpower import company
from jaxpower.company import ALONE, TOGETHER, Interference
from jaxpower.config import COMMAND, Trial, trial_id
from jaxpower.folder import record_files
from jaxpower.folder.claims import claimed
from jaxpower.messages import Progress
from jaxpower.plan.dealing import Dealer
from jaxpower.records import TrialRecord
from jaxpower.workers import step
from jaxpower.workers.places import Place
from jaxpower.workers.pool import Ended, Lost, Pool, Taken
from jaxpower.workers.step import Heard, Job
from jaxpower.workers.worker import Workers


@dataclasses.dataclass(frozen=True)
class Sweeping:
  """The trials of a sweep to run, and what to do with what becomes of them.

  Attributes:
    left: The trials, in order, each after the trial it starts from.
    folder: The run folder.
    job: Makes the job of a trial.
    newest: Records by trial id, to which `keep` adds.
    workers: Makes what starts the workers of a place.
    keep: Writes the record of a trial, however long that takes.
    news: Told how far a trial is.
    say: Told a line that should be read at once.
    stop: Asked every second.
  """

  left: Sequence[Trial]
  folder: pathlib.Path
  job: Callable[[Trial], Job]
  newest: Mapping[str, TrialRecord]
  workers: Callable[[Place], Workers]
  keep: Callable[[Trial, TrialRecord], None]
  news: Callable[[Trial, Progress], None]
  say: Callable[[str], None]
  stop: Callable[[], bool]


def run(
  sweeping: Sweeping, places: Sequence[Place], *, check_company: bool = True
) -> None:
  """Runs all trials; returns when each has its record.

  Raises step.Stopped where it was stopped before, WorkerError where no place
  is left.
  """
  check = _Check(sweeping, places)
  if check_company:
    check.alone()
  dealer = Dealer(sweeping.left, len(places), _seed_places(sweeping, places))
  if not dealer.whole_seeds:
    sweeping.say(
      f"{len(places)} trials at once and fewer seeds: settings of a seed run in"
      " different places, so that intervals hold what boards differ by"
    )
  moved: dict[str, str] = {}
  with Pool(
    places,
    sweeping.workers,
    dealer,
    sweeping.job,
    sweeping.newest,
    sweeping.stop,
    first=check.together,
  ) as pool:
    for event in pool.events():
      if isinstance(event, Ended) and event.first:
        check.ended(event.record)
      elif isinstance(event, Ended):
        _keep(sweeping, event, check.found, moved)
      elif isinstance(event, Lost):
        _tell_lost(sweeping, event, moved)
      elif isinstance(event, Taken):
        sweeping.say(event.reason)
      elif isinstance(event.news, str):
        sweeping.say(event.news)
      elif not event.first:
        sweeping.news(event.trial, event.news)


def _keep(
  sweeping: Sweeping,
  event: Ended,
  found: Interference | None,
  moved: Mapping[str, str],
) -> None:
  """Keeps a record, with what its trial shared and where else it had begun."""
  record, place = event.record, event.place
  lost = moved.get(record.trial_id)
  record = dataclasses.replace(
    record,
    warnings=(*record.warnings, *([lost] if lost else [])),
    company=record.company
    or company.facts(
      record,
      place.at_once,
      place.gpus,
      place.cores,
      interference=found,
    ),
  )
  sweeping.keep(event.trial, record)


def _tell_lost(sweeping: Sweeping, event: Lost, moved: dict[str, str]) -> None:
  """Tells that a place is lost, and notes which trial had begun there."""
  line = f"{event.place.name} is lost: {event.reason}"
  if event.trial is None:
    sweeping.say(f"{line}; the other places go on")
    return
  name = trial_id(event.trial)
  sweeping.say(f"{line}; trial {name} is begun again in another place")
  moved[name] = f"begun before where {line}"


def _seed_places(sweeping: Sweeping, places: Sequence[Place]) -> dict[int, int]:
  """Returns where trials of a seed have run already, by seed."""
  numbers = {place.gpus: n for n, place in enumerate(places) if place.gpus}
  found = {}
  for record in sweeping.newest.values():
    number = numbers.get(tuple((record.company or {}).get("gpus") or ()))
    if number is not None:
      found[record.seed] = number
  return found


class _Check:
  """Runs a short trial alone, then in company, and compares the two.

  Attributes:
    together: The second of the two jobs, by the number of its place; empty
      where none is to be run.
    found: What company costs; None while it is not known.
  """

  def __init__(self, sweeping: Sweeping, places: Sequence[Place]):
    self._sweeping = sweeping
    self._place, self._trials = places[0], len(places)
    self._alone: TrialRecord | None = None
    self.together: dict[int, Job] = {}
    self.found: Interference | None = None

  def alone(self) -> None:
    """Runs the trial alone, unless an earlier sweep of the folder did so."""
    sweeping = self._sweeping
    trial = company.short(sweeping.left)
    if any(each.framework == COMMAND for each in sweeping.left):
      sweeping.say(
        "what company costs is not checked: how to make a command short, and"
        " whether it does the same work twice, is not known"
      )
      return
    if trial is None:
      sweeping.say(
        "what company costs is not checked: every trial starts from another"
      )
      return
    if self._known():
      return
    sweeping.say("checks what company costs: a short trial runs alone first")
    job = self._job(trial, ALONE)
    heard = Heard(say=sweeping.say, stop=sweeping.stop)
    with (
      sweeping.workers(self._place) as workers,
      claimed(job.folder, trial_id(trial)) as claim,
    ):
      record = step.run(workers, job, heard, {}, claim)
    self._alone = self._kept(record, job.folder, 1, ALONE)
    self.together = {0: self._job(trial, TOGETHER)}

  def ended(self, record: TrialRecord) -> None:
    """Compares what the trial took in company with what it took alone."""
    folder = self._sweeping.folder / company.CHECKS / TOGETHER
    record = self._kept(record, folder, self._trials, TOGETHER)
    assert self._alone is not None
    self.found = company.compare(self._alone, record, self._trials)
    if self.found is not None:
      self._sweeping.say(company.said(self.found))
    else:
      reason = record.error or self._alone.error or "no energy and no time"
      self._sweeping.say(f"what company costs is not known: {reason}")

  def _known(self) -> bool:
    """Takes over the check of an earlier sweep, of as many trials at once."""
    folder = self._sweeping.folder / company.CHECKS
    alone, together = (
      record_files.read(folder / which).newest for which in (ALONE, TOGETHER)
    )
    for name, record in together.items():
      if (
        name in alone and (record.company or {}).get("at_once") == self._trials
      ):
        self.found = company.compare(alone[name], record, self._trials)
    return self.found is not None

  def _job(self, trial: Trial, which: str) -> Job:
    """Makes the job of a check, in a folder of its own that begins empty."""
    folder = self._sweeping.folder / company.CHECKS / which
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Job(trial, {}, folder)

  def _kept(
    self, record: TrialRecord, folder: pathlib.Path, trials: int, which: str
  ) -> TrialRecord:
    """Writes the record of a check; its weights are of no use."""
    place = self._place
    told = company.facts(record, trials, place.gpus, place.cores, check=which)
    record = dataclasses.replace(record, company=told)
    record_files.write(folder, record)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return record
