"""A page that says what its records say now is not made anew."""

import io
import os
import pathlib
from collections.abc import Iterable
from dataclasses import replace

import gpu_worker
import pytest
from rich.console import Console

from jaxpower import report
from jaxpower.cli import page_state, pages
from jaxpower.cli.report import unreadable
from jaxpower.cli.run import main
from jaxpower.config import Sweep
from jaxpower.folder import record_files
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan, execute, plan
from jaxpower.workers import worker

SWEEP = Sweep(name="batch", vary={"batch_size": (64,)}, seeds=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(worker, "Worker", gpu_worker.InProcess)
  monkeypatch.setenv("GPU_SECONDS", "0")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
  """The number of records of each page that is made; it holds two files."""
  counts: list[int] = []

  def write(folder, sweep, records, *_, **__) -> report.Report:
    counts.append(len(records))
    files = [folder / name for name in ("report.html", "trials.csv")]
    for file in files:
      file.write_text("a page")
    return replace(report.make(records), paths=tuple(files))

  monkeypatch.setattr(report, "write", write)
  return counts


def printed(told: report.Report) -> str:
  console = Console(file=io.StringIO(), width=80)
  report.show(told, console)
  assert isinstance(console.file, io.StringIO)
  return console.file.getvalue()


def finished(folder: pathlib.Path) -> Plan:
  execute(plan(SWEEP, folder))
  return plan(SWEEP, folder)


def is_written(planned: Plan, records: Iterable[TrialRecord]) -> bool:
  """Whether the page of a plan's folder says what its records say now."""
  notes = unreadable(planned.folder, planned.rejected)
  made = page_state.made_of(planned.folder, records, notes)
  return page_state.written(planned.folder, made) is not None


def test_a_page_is_made_once(tmp_path: pathlib.Path, drawn: list[int]) -> None:
  planned = finished(tmp_path)
  records = tuple(planned.recorded.values())
  assert not is_written(planned, records)
  first = pages.write(planned, records)
  again = pages.write(planned, records)
  assert drawn == [2] and is_written(planned, records)
  assert first.sections[0].figures
  assert printed(again) == printed(first)


def change_record(folder: pathlib.Path) -> None:
  (path, *_) = sorted((folder / record_files.FOLDER).glob("*.json"))
  path.write_bytes(path.read_bytes() + b" ")


def change_sweep(folder: pathlib.Path) -> None:
  os.utime(folder / "sweep.json", ns=(1, 1))


def lose_page(folder: pathlib.Path) -> None:
  (folder / "report.html").unlink()


def edit_table(folder: pathlib.Path) -> None:
  (folder / "trials.csv").write_text("edited")


def damage_state(folder: pathlib.Path) -> None:
  (folder / page_state.NAME).write_text("{")


def add_timeline(folder: pathlib.Path) -> None:
  (folder / "timelines").mkdir(exist_ok=True)
  (folder / "timelines" / "x.parquet").write_text("x")


@pytest.mark.parametrize(
  "change",
  [
    change_record,
    change_sweep,
    lose_page,
    edit_table,
    damage_state,
    add_timeline,
  ],
)
def test_what_has_changed_is_made_anew(
  tmp_path: pathlib.Path, drawn: list[int], change
) -> None:
  planned = finished(tmp_path)
  records = tuple(planned.recorded.values())
  pages.write(planned, records)
  change(tmp_path)
  assert not is_written(planned, records)
  pages.write(planned, records)
  assert drawn == [2, 2]


def test_fewer_records_or_other_code_are_another_page(
  tmp_path: pathlib.Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
  planned = finished(tmp_path)
  records = tuple(planned.recorded.values())
  pages.write(planned, records)
  assert not is_written(planned, records[:1])
  monkeypatch.setattr(page_state, "PACKAGES", ("jinja2", "not-there"))
  assert not is_written(planned, records)


def test_a_finished_sweep_run_again_draws_nothing(
  tmp_path: pathlib.Path, drawn: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
  config = tmp_path / "batch.py"
  config.write_text(
    "from jaxpower.config import Sweep\n"
    "def get_config(arguments):\n"
    "  return Sweep(name='batch', vary={'batch_size': (64,)}, seeds=2)\n"
  )
  command = ["run", f"--config={config}", f"--out={tmp_path / 'run'}"]
  assert main(command, "") == 0
  told = capsys.readouterr().out
  assert main(command, "") == 0
  assert drawn == [2]
  assert capsys.readouterr().out == told
