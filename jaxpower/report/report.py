"""Makes a report from records, and writes its files.

  records, given -> compared -> a Section a question -> terminal, page, CSV

A question is a module of `questions/` with a `PLACE` in the report and an
`answer(compared, given)`. A new file there needs no line here.
"""

import importlib
import math
import os
import pathlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from jaxpower.records import TrialRecord
from jaxpower.report import questions
from jaxpower.report.compare.comparable import By, unlike
from jaxpower.report.compare.comparison import Compared, compare_all
from jaxpower.report.findings import Report, Section
from jaxpower.report.given import Given, timelines
from jaxpower.report.render import csv_files, figures, page
from jaxpower.wording import join_names

RECORDS = "records"
# What may part trials, as a reader knows it.
CONDITIONS = {
  "data": "data",
  "tasks": "tasks",
  "targets": "target",
  "decided_by": "set that decided",
  "crossing": "crossing rule",
  "board": "board or host",
  "software": "versions or variables",
  "hardware": "kind of device",
  "devices": "number of devices",
  "cores": "number of cores",
  "processor": "CPU",
  "power_limits": "power limit",
  "drivers": "driver",
  "meter": "meter",
  "estimated": "measured or estimated energy",
}
TABLES = ("trials.csv", "summary.csv")


class Question(Protocol):
  """A module of `jaxpower.report.questions`."""

  PLACE: int  # among the questions: a reader meets the smallest first

  def answer(self, compared: Compared, given: Given) -> tuple[Section, ...]:
    """Returns the sections that answer it; none where there is no answer."""
    ...


def _questions() -> tuple[Question, ...]:
  modules = (
    cast(Question, importlib.import_module(f"{questions.__name__}.{m.name}"))
    for m in pkgutil.iter_modules(questions.__path__)
  )
  return tuple(sorted(modules, key=lambda question: question.PLACE))


QUESTIONS = _questions()


def make(
  records: Iterable[TrialRecord],
  sweep: Mapping[str, Any] | None = None,
  given: Given | None = None,
  attempts: Iterable[TrialRecord] | None = None,
  by: By = "system",
  notes: Iterable[str] = (),
) -> Report:
  """Answers every question from some records; writes nothing.

  Args:
    records: The newest record of each trial.
    sweep: The content of a sweep.json, for how many trials are left.
    given: References and assumptions.
    attempts: Every record, those of repeated trials included, which count
      towards what a sweep spent; by default `records`.
    by: "system" to pool equal boards and hosts, "board" to keep them apart.
    notes: What else a reader of the whole report has to know.
  """
  compared = compare_all(records, attempts, by, sweep)
  notes = list(notes)
  if len(compared.comparisons) > 1:
    notes.append(_not_pooled(compared))
  recorded = len(compared.records)
  if (planned := _planned_trials(sweep or {})) > recorded:
    notes.append(f"Not complete: {recorded} of {planned} trials are recorded.")
  sections = [
    section
    for question in QUESTIONS
    for section in question.answer(compared, given or Given())
  ]
  return Report(compared, tuple(sections), tuple(notes))


def write(
  folder: pathlib.Path | str,
  sweep: Mapping[str, Any],
  records: Iterable[TrialRecord],
  given: Given | None = None,
  attempts: Iterable[TrialRecord] | None = None,
  *,
  name: str = "",
  records_files: Sequence[str] = (RECORDS,),
  by: By = "system",
  notes: Iterable[str] = (),
  more: Iterable[Section] = (),
) -> Report:
  """Writes report.html, tables as CSV and figures into a folder.

  Each file appears whole or not at all. Arguments are those of `make`, and:

  Args:
    folder: Where to; without `given`, timelines are looked for there.
    name: What the page is called; by default the sweep, else the folder.
    records_files: Where the records lie, as seen from the folder.
    more: Sections to stand below all others.

  Raises OSError where the folder cannot be written to.
  """
  folder = pathlib.Path(folder)
  given = given or Given(timelines=timelines.find([folder]))
  report = make(records, sweep, given, attempts, by, notes)
  report = replace(report, sections=(*report.sections, *more))
  drawn = {
    figure.name: figures.draw(figure)
    for section in report.sections
    for figure in section.figures
  }
  name = name or str(sweep.get("config", {}).get("name", "") or folder.name)
  links = (*records_files, *TABLES)
  files = {
    "report.html": page.render(report, name, drawn, links).encode(),
    "trials.csv": csv_files.trials(report.compared).encode(),
    "summary.csv": csv_files.summary(report.compared.comparisons).encode(),
    **{
      f"{figure.name}.{kind}": content
      for figure in drawn.values()
      for kind, content in figure.files.items()
    },
  }
  for file, content in files.items():
    _replace(folder / file, content)
  return replace(report, paths=tuple(folder / file for file in files))


def _not_pooled(compared: Compared) -> str:
  """Says why there are several comparisons."""
  differing = unlike(each.conditions for each in compared.comparisons)
  names = [CONDITIONS[name] for name in differing]
  verb = "differs" if len(names) == 1 else "differ"
  return f"These comparisons are not pooled: {join_names(names)} {verb}."


def _planned_trials(sweep: Mapping[str, Any]) -> int:
  """Returns how many trials a sweep.json plans; 0 where it does not say."""
  if "trials" in sweep:
    return sweep["trials"]
  config = sweep.get("config", {})
  values = config.get("vary", {}).values()
  return config.get("seeds", 0) * math.prod(map(len, values))


def _replace(path: pathlib.Path, content: bytes) -> None:
  unfinished = path.with_name(f".{path.name}.{os.getpid()}")
  try:
    unfinished.write_bytes(content)
    unfinished.replace(path)
  except OSError as error:  # which names no file, or the unfinished one
    raise OSError(error.errno, error.strerror, str(path)) from error
  finally:
    unfinished.unlink(missing_ok=True)
