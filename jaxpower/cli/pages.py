"""Rewrites the page of a run folder while its sweep goes on.

A sweep that is interrupted has a page that way. It is made between two trials,
when nothing is measured, and only so often that it takes a small share of the
time. Whatever goes wrong with it ends nothing.
"""

import contextlib
import time
from collections.abc import Callable, Iterable

from jaxpower import report
from jaxpower.cli import page_state
from jaxpower.cli.report import unreadable
from jaxpower.config import Trial
from jaxpower.folder import record_files, sweep_file
from jaxpower.messages import Progress
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan, Watch

SHARE = 0.05  # of the time of a sweep that its pages may take; chosen
# Of the first page, before any is timed: 2.9 s for 2 records, 4.1 s for 40
# (CPU time on two shared cores, 2026-11-27), most of it for drawing.
FIRST_SECONDS, RECORD_SECONDS = 3.0, 0.03


def write(plan: Plan, records: Iterable[TrialRecord]) -> report.Report:
  """Writes the report of a plan's folder into it, with what was not read.

  Where all that it is made of is as it was, the files that are there stay.
  """
  records, folder = tuple(records), plan.folder
  notes = unreadable(folder, plan.rejected)
  made = page_state.made_of(folder, records, notes)
  if before := page_state.written(folder, made):
    return before
  written = report.write(
    folder,
    sweep_file.read(folder),
    records,
    records_files=[place.name for place in record_files.places(folder)],
    notes=notes,
  )
  with contextlib.suppress(OSError):  # without the note it is made anew
    page_state.note(folder, made, written)
  return written


class Pages:
  """Writes the page again after trials, as often as it may.

  Args:
    plan: Of the sweep.
    between: Whether nothing is measured when a trial has ended; false where
      others run beside it.
    clock: Gives seconds.
  """

  def __init__(
    self,
    plan: Plan,
    *,
    between: bool,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._plan = plan
    self._between = between
    self._clock = clock
    self._records = dict(plan.recorded)
    self._since = clock()
    self._took = FIRST_SECONDS + RECORD_SECONDS * len(self._records)

  def beside(self, watch: Watch) -> Watch:
    """Makes a watch that calls another, and then writes the page if it is time.

    Only after a trial: nothing is measured then.
    """

    def both(number: int, trial: Trial, news: Progress | TrialRecord) -> None:
      watch(number, trial, news)
      if isinstance(news, TrialRecord):
        self._records[news.trial_id] = news
        if self._between and self._due():
          self._write()

    return both

  def _due(self) -> bool:
    return self._took <= SHARE * (self._clock() - self._since)

  def _write(self) -> None:
    began = self._clock()
    # The next page, or the last one, may succeed; the sweep goes on.
    with contextlib.suppress(Exception):
      write(self._plan, self._records.values())
    self._since = self._clock()
    self._took = self._since - began

  def interrupted(self) -> None:
    """Writes the page of a sweep that ends before its last trial.

    By the records of its folder, which are there where nothing was shown.
    """
    with contextlib.suppress(Exception):
      order = sweep_file.read(self._plan.folder).get("order") or ()
      found = record_files.read(self._plan.folder, order).newest
      if found.keys() - self._plan.recorded.keys():
        write(self._plan, found.values())
