"""What a sweep that was run from Python came to: records that show themselves.

A `Result` is the tuple of its records, so that whatever takes records takes
it. In a notebook it draws itself: verdict, table and figure.
"""

import functools
import os
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jaxpower.config import ConfigError
from jaxpower.folder import record_files, sweep_file
from jaxpower.records import TrialRecord
from jaxpower.report import Report, make
from jaxpower.report import write as write_report
from jaxpower.report.given import Given, timelines
from jaxpower.report.render import cell, csv_files
from jaxpower.wording import count

if TYPE_CHECKING:
  import pandas as pd  # type: ignore[import-not-found]

PAGE = "report.html"


class Result(tuple[TrialRecord, ...]):
  """The records of a run folder, and what they say.

  Attributes:
    folder: The run folder.
  """

  folder: pathlib.Path

  def __new__(
    cls, records: Iterable[TrialRecord], folder: pathlib.Path | str
  ) -> "Result":
    """Makes a result of records, in their order."""
    result = super().__new__(cls, records)
    result.folder = pathlib.Path(folder)
    return result

  def __getnewargs__(self) -> tuple[Any, ...]:
    return tuple(self), self.folder

  @functools.cached_property
  def report(self) -> Report:
    """All that the records say: sections with tables, sentences, figures."""
    return make(self, sweep_file.read(self.folder))

  @property
  def sentence(self) -> str:
    """The answers in sentences: the cheapest setting first."""
    return self.report.sentence

  def __repr__(self) -> str:
    trials = count(len(self), "trial")
    return f"{trials} in {self.folder}\n{self.sentence}"

  def _repr_html_(self) -> str:
    """Draws verdict, table and figure for a notebook."""
    return cell.render(self.report, self.folder / PAGE)

  def to_pandas(self) -> "pd.DataFrame":
    """Makes a DataFrame of a row a trial: the columns of trials.csv.

    What is unknown is missing, never 0. Raises ConfigError without pandas.
    """
    try:
      import pandas as pd  # type: ignore[import-not-found]
    except ImportError:
      raise ConfigError(
        "a DataFrame needs pandas: pip install pandas"
      ) from None
    rows = csv_files.rows(self.report.compared)
    return pd.DataFrame(rows)

  def page(self, folder: pathlib.Path | str | None = None) -> pathlib.Path:
    """Writes page, tables and figures; returns where the page is.

    Args:
      folder: Where to, by default the run folder; it is made.

    Raises OSError where it cannot be written to.
    """
    place = self.folder if folder is None else pathlib.Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_report(
      place,
      sweep_file.read(self.folder),
      self,
      Given(timelines=timelines.find([self.folder])),
      records_files=[
        os.path.relpath(path, place)
        for path in record_files.places(self.folder)
      ],
    )
    return place / PAGE
