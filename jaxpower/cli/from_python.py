"""`jaxpower.run`: a sweep from Python, shown while it runs."""

import functools
import pathlib
import warnings

from jaxpower import cli
from jaxpower.cli import pages as page_files
from jaxpower.cli.output import PlainConsole
from jaxpower.cli.pages import Pages
from jaxpower.cli.progress import Display
from jaxpower.result import Result
from jaxpower.sweep import Sweep, Watch, execute, plan

cli.give_back_hook()  # a program of the user's shows errors in its own way


def run(
  sweep: Sweep,
  folder: pathlib.Path | str | None = None,
  *,
  meter: str = "auto",
  parallel: int | str = 1,
  check_company: bool = True,
  watch: Watch | None = None,
) -> Result:
  """Runs a sweep, shows how it goes, and returns what came of it.

  The run folder then has what the command writes: records, tables, figures and
  a page. Records of earlier runs are included, of a larger sweep too.

  Args:
    sweep: What to run.
    folder: The run folder, where records go; `runs/<name>` by default.
    meter: auto, nvml, rapl or estimate.
    parallel: How many trials at once, or "auto": as in `execute`.
    check_company: As in `execute`.
    watch: Called, in place of what is shown, with the number of the trial (from
      1), the trial and either its progress or, at its end, its record.

  Raises:
    ConfigError, DataError, RecordError, WorkerError: One line each, before
      anything is written.
  """
  planned = plan(sweep, folder, meter=meter)
  pages = Pages(planned, between=parallel == 1)
  start = functools.partial(
    execute, planned, parallel=parallel, check_company=check_company
  )
  try:
    if watch is not None:
      records = start(watch=pages.beside(watch))
    else:
      with Display(planned, PlainConsole(stderr=True)) as display:
        records = start(
          watch=pages.beside(display.watch),
          greet=display.greet,
          tell=display.tell,
        )
  except KeyboardInterrupt:
    pages.interrupted()
    raise
  try:
    page_files.write(planned, records)
  except OSError as error:
    what = f"the page could not be written ({error.strerror})"
    warnings.warn(what, RuntimeWarning, stacklevel=2)
  return Result(records, planned.folder)
