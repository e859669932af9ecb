"""Runs trials in several workers at once, and hands their news to one thread.

Each place has a thread, which starts the workers of that place, one after the
other, and waits for them; so a worker dies with the thread that started it
(`lifeline.die_with`), as in a sweep of one. All that is written or shown is
done by the thread that iterates `Pool.events`: records have one writer. A place
begins its next trial only when the record of its last one is kept, so that
nothing trains while a disk is full.

A board may die under its worker. After a trial that failed on GPUs a new worker
is started there; where it is refused, or sees other devices than the first one
did, the place is lost: its trials go to the others.
"""

import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from jaxpower.config import Trial, trial_id
from jaxpower.folder.claims import TakenError, claimed
from jaxpower.messages import Progress, Ready
from jaxpower.plan.dealing import Dealer
from jaxpower.records import TrialRecord
from jaxpower.workers import step
from jaxpower.workers.patience import TICK_SECONDS
from jaxpower.workers.places import Place
from jaxpower.workers.step import Heard, Job, Stopped
from jaxpower.workers.worker import WorkerError, Workers

KILL_SECONDS = (
  0.2  # between two looks at whether a killed worker's thread ended
)


@dataclasses.dataclass(frozen=True)
class Lost:
  """A place that can run nothing any more; `trial` is begun elsewhere."""

  place: Place
  trial: Trial | None
  reason: str


@dataclasses.dataclass(frozen=True)
class Ended:
  """A trial that ended; it is to be kept before its place goes on."""

  place: Place
  trial: Trial
  record: TrialRecord
  first: bool = False  # of the trials that each place was given to begin with


@dataclasses.dataclass(frozen=True)
class News:
  """How far a trial is, or a line that should be read at once."""

  trial: Trial
  news: Progress | str
  first: bool = False


@dataclasses.dataclass(frozen=True)
class Taken:
  """A trial that another process runs, with the line that says so."""

  trial: Trial
  reason: str


Event = News | Ended | Lost | Taken


class Pool:
  """Workers of several places; a context manager for one thread.

  Args:
    places: Where they run.
    workers: Makes what starts the workers of a place.
    dealer: Says which trial is next.
    job: Makes the job of a trial.
    newest: Records by trial id; whoever iterates adds to it.
    stop: Asked every second, by all threads.
    first: A job that a place runs before all others, by its number.
  """

  def __init__(
    self,
    places: Sequence[Place],
    workers: Callable[[Place], Workers],
    dealer: Dealer,
    job: Callable[[Trial], Job],
    newest: Mapping[str, TrialRecord],
    stop: Callable[[], bool],
    first: Mapping[int, Job] | None = None,
  ):
    self._places = places
    self._dealer = dealer
    self._job = job
    self._newest = newest
    self._stop = stop
    self._first = dict(first or {})
    self._workers = [workers(place) for place in places]
    self._events: queue.SimpleQueue[Event | BaseException | None] = (
      queue.SimpleQueue()
    )
    self._ready: dict[str, Ready] = {}
    self._ended = threading.Condition()
    self._kept = [threading.Event() for _ in places]
    self._leaving = False
    self._threads = [
      threading.Thread(
        target=self._serve, args=(number,), name=f"place-{number}", daemon=True
      )
      for number in range(len(places))
    ]

  def __enter__(self) -> "Pool":
    for thread in self._threads:
      thread.start()
    return self

  def __exit__(self, *_: object) -> None:
    """Ends all workers, at once where any still runs a trial."""
    self._leaving = True
    for kept in self._kept:
      kept.set()
    with self._ended:
      self._ended.notify_all()
    for thread, workers in zip(self._threads, self._workers, strict=True):
      while thread.is_alive():
        workers.terminate()
        thread.join(KILL_SECONDS)

  def events(self) -> Iterator[Event]:
    """Yields what happens, until all trials have ended.

    Raises Stopped where it was stopped before, once all workers have answered;
    WorkerError where no place is left.
    """
    left = len(self._places)
    while left:
      event = self._events.get()
      if event is None:
        left -= 1
      elif isinstance(event, BaseException):
        raise event
      else:
        yield event
        if isinstance(event, Ended):
          self._kept[self._places.index(event.place)].set()
    if not self._dealer.over:
      raise Stopped

  def _leave(self) -> bool:
    return self._leaving or self._stop()

  def _serve(self, number: int) -> None:
    """Runs the trials of a place, in a thread of its own."""
    try:
      with self._workers[number] as workers:
        self._serve_with(workers, number)
    except Stopped:
      pass
    except BaseException as error:  # noqa: BLE001, raised where it is heard
      self._events.put(error)
    finally:
      self._events.put(None)

  def _serve_with(self, workers: Workers, number: int) -> None:
    try:
      if job := self._first.get(number):
        self._run(workers, number, job, first=True)
      while (trial := self._next(number)) is not None:
        try:
          self._run(workers, number, self._job(trial))
        except TakenError as error:
          self._events.put(Taken(trial, str(error)))
        self._finish(number)
    except _LostError as lost:
      self._give_back(number, str(lost))

  def _next(self, number: int) -> Trial | None:
    """Waits for the next trial of a place; None where there will be none."""
    with self._ended:
      while not self._leave() and not self._dealer.over:
        if (trial := self._dealer.next(number)) is not None:
          return trial
        self._ended.wait(TICK_SECONDS)
    return None

  def _finish(self, number: int) -> None:
    with self._ended:
      self._dealer.ended(number)
      self._ended.notify_all()

  def _give_back(self, number: int, reason: str) -> None:
    """Leaves a place that is lost; the last one takes the sweep with it."""
    place = self._places[number]
    with self._ended:
      trial = self._dealer.lost(number)
      self._ended.notify_all()
      last = not self._dealer.living
    if last:
      self._events.put(WorkerError(f"{place.name} is lost: {reason}"))
    self._events.put(Lost(place, trial, reason))

  def _run(
    self, workers: Workers, number: int, job: Job, first: bool = False
  ) -> None:
    """Runs one trial, and waits until its record is kept."""
    place, trial = self._places[number], job.trial
    heard = Heard(
      news=lambda news: self._events.put(News(trial, news, first)),
      say=lambda line: self._events.put(News(trial, line)),
      stop=self._leave,
    )
    with claimed(job.folder, trial_id(trial), locked=True) as claim:
      try:
        workers.of(trial.framework)
        self._check(workers, trial)
        record = step.run(workers, job, heard, self._newest, claim)
        # A framework whose GPU is gone may have gone on, on the CPU.
        self._check(workers, trial)
      except WorkerError as error:
        raise _LostError(str(error)) from None
      if record.status == "failed" and place.gpus and not self._leave():
        self._look_again(workers, trial)
      self._kept[number].clear()
      self._events.put(Ended(place, trial, record, first))
      while not self._kept[number].wait(TICK_SECONDS) and not self._leaving:
        pass

  def _check(self, workers: Workers, trial: Trial) -> None:
    """Raises _LostError where a worker sees other devices than the first."""
    ready = workers.of(trial.framework).ready
    known = self._ready.setdefault(trial.framework, ready)
    seen = (ready.platform, ready.device_kind, ready.devices)
    if seen != (known.platform, known.device_kind, known.devices):
      raise _LostError(
        f"a worker there sees {ready.devices} x {ready.device_kind}, not"
        f" {known.devices} x {known.device_kind}"
      )

  def _look_again(self, workers: Workers, trial: Trial) -> None:
    """Raises _LostError where a new worker cannot be started on the GPUs."""
    try:
      workers.renew(trial.framework)
    except WorkerError as error:
      raise _LostError(str(error)) from None
    self._check(workers, trial)


class _LostError(Exception):
  """A place can run nothing any more, for this reason."""
