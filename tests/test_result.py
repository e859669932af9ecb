"""What `jaxpower.run` returns."""

import copy
import math
import pathlib
import pickle
import re
import sys
from array import array
from types import ModuleType

import gpu_worker
import pytest
import report_records

import jaxpower
from jaxpower import cli
from jaxpower.config import ConfigError, Sweep
from jaxpower.folder import timelines
from jaxpower.power import Chunk, Window
from jaxpower.report import make
from jaxpower.result import Result
from jaxpower.workers import worker

SWEEP = Sweep(name="batch", vary={"batch_size": (64, 256)}, seeds=2)
RECORDS = [
  report_records.record(batch, seed, joules)
  for batch, joules in ((64, 212.0), (256, 300.0))
  for seed in range(3)
]


def test_it_is_the_tuple_of_its_records(tmp_path: pathlib.Path) -> None:
  result = Result(RECORDS, tmp_path)
  assert result == tuple(RECORDS) and isinstance(result, tuple)
  assert result[0].varied == {"batch_size": 64} and len(result) == 6
  assert make(result).sentence == result.sentence
  again = pickle.loads(pickle.dumps(result))
  assert again == result and again.folder == tmp_path
  assert copy.copy(result).folder == tmp_path
  shown = repr(result)
  assert shown.startswith(f"6 trials in {tmp_path}\n") and len(shown) < 1_000


def test_it_draws_itself_in_a_notebook(tmp_path: pathlib.Path) -> None:
  hostile = [
    report_records.record(64, seed, 212.0, varied={"model.name": "<script>x"})
    for seed in range(2)
  ]
  for records in (RECORDS, hostile):
    html = Result(records, tmp_path)._repr_html_()
    assert "<table>" in html and "data:image/svg+xml;base64," in html
    assert "<script" not in html
    words = re.sub("<[^>]*>", " ", html)
    assert "report.html" in words
  assert "Batch 64 was cheapest" in Result(RECORDS, tmp_path)._repr_html_()
  empty = Result([], tmp_path)
  assert "No trial is recorded yet." in empty._repr_html_()
  assert "No trial is recorded yet." in repr(empty)


class Printer:
  """What IPython gives an object to print itself with."""

  def __init__(self) -> None:
    self.shown = ""

  def text(self, text: str) -> None:
    self.shown += text


def test_what_stands_last_in_a_cell_is_short(tmp_path: pathlib.Path) -> None:
  result, record, report = Result(RECORDS, tmp_path), Printer(), Printer()
  result[0]._repr_pretty_(record, False)
  assert record.shown.startswith(
    f"TrialRecord(trial_id='{RECORDS[0].trial_id}'"
  )
  assert "joules_to_accuracy=212.0" in record.shown
  assert len(record.shown) < 400
  result.report._repr_pretty_(report, False)
  assert report.shown == result.sentence


def test_its_page_goes_where_it_is_asked_to(tmp_path: pathlib.Path) -> None:
  folder = tmp_path / "far" / "away"
  page = Result(RECORDS, tmp_path / "run").page(folder)
  assert page == folder / "report.html" and page.stat().st_size > 0
  assert (folder / "trials.csv").stat().st_size > 0


def test_its_page_elsewhere_draws_the_power_over_time(
  tmp_path: pathlib.Path,
) -> None:
  run, away = tmp_path / "run", tmp_path / "away"
  trial = RECORDS[1].trial_id  # of median energy
  spent = Window("train", 10.0, 4.0, 200.0, None, energies=())
  columns = [10.0, 12.0, 14.0], [0.0, 100.0, 200.0], [math.nan] * 3
  read = Chunk("gpu", *(array("d", column) for column in columns))
  path = run / "timelines" / f"{trial}.parquet"
  timelines.write(path, [read], [spent])
  Result(RECORDS, run).page(away)
  assert (away / "power.svg").stat().st_size > 0


def test_a_data_frame_is_the_rows_of_trials_csv(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  result = Result([*RECORDS, report_records.record(64, 9, None)], tmp_path)
  monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were missing
  with pytest.raises(ConfigError, match="pip install pandas"):
    result.to_pandas()
  pandas = ModuleType("pandas")
  pandas.DataFrame = lambda rows: rows  # type: ignore[attr-defined]
  monkeypatch.setitem(sys.modules, "pandas", pandas)
  rows = result.to_pandas()
  assert len(rows) == 7 and rows[0]["batch_size"] == 64
  assert rows[0]["joules_to_accuracy"] == 212.0
  (unknown,) = [row for row in rows if row["seed"] == 9]
  assert unknown["joules_to_accuracy"] is None


def test_a_sweep_from_python_is_shown_and_leaves_a_page(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(worker, "Worker", gpu_worker.InProcess)
  monkeypatch.setenv("GPU_SECONDS", "0")
  result = jaxpower.run(SWEEP, tmp_path / "run")
  assert sys.excepthook is not cli._show_uncaught, (
    "a user's program has its own"
  )
  assert len(result) == 4 and result.folder == tmp_path / "run"
  shown = capsys.readouterr()
  assert shown.out == "" and "trial  4 of 4   batch" in shown.err
  assert (result.folder / "report.html").stat().st_size > 0
  heard = []
  more = jaxpower.run(
    Sweep(name="batch", vary={"batch_size": (64, 256)}, seeds=3),
    tmp_path / "run",
    watch=lambda *news: heard.append(news),
  )
  assert len(more) == 6 and len(heard) == 4  # two trials, news and a record
  assert capsys.readouterr().err == ""
