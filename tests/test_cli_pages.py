"""The page of a sweep that goes on, or was interrupted."""

import pathlib

import gpu_worker
import pytest

from jaxpower.cli import pages
from jaxpower.cli.pages import Pages
from jaxpower.config import Sweep
from jaxpower.messages import Progress
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan, execute, plan
from jaxpower.workers import worker

SWEEP = Sweep(name="batch", vary={"batch_size": (64, 256)}, seeds=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(worker, "Worker", gpu_worker.InProcess)
  monkeypatch.setenv("GPU_SECONDS", "0")


class Clock:
  """A clock that a page moves, and a trial."""

  def __init__(self) -> None:
    self.now = 0.0

  def __call__(self) -> float:
    return self.now


def written(
  monkeypatch: pytest.MonkeyPatch, clock: Clock, seconds: float
) -> list[int]:
  """Takes so long for each page; the list is of the records of each."""
  counts: list[int] = []

  def write(plan: Plan, records) -> None:
    counts.append(len(list(records)))
    clock.now += seconds

  monkeypatch.setattr(pages, "write", write)
  return counts


def ended(planned: Plan, clock: Clock, seconds: float, many: Pages) -> None:
  watch = many.beside(lambda *news: None)
  for number, (name, trial) in enumerate(
    zip(planned.ids, planned.trials, strict=True), start=1
  ):
    watch(number, trial, Progress(phase="train"))
    clock.now += seconds
    record = TrialRecord(
      trial_id=name,
      config={},
      varied={},
      seed=0,
      framework="jax",
      status="reached",
      target_accuracy=0.8,
    )
    watch(number, trial, record)


@pytest.mark.parametrize(
  ("trial_seconds", "page_seconds", "counts"),
  [
    (60.0, 1.0, [1, 2, 3, 4]),
    (60.0, 5.0, [1, 3]),  # 5 % of the time, and no more
    (25.0, 1.0, [3, 4]),  # of the first it is not known what it costs
  ],
)
def test_pages_take_a_small_share_of_the_time(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  trial_seconds: float,
  page_seconds: float,
  counts: list[int],
) -> None:
  clock, planned = Clock(), plan(SWEEP, tmp_path)
  found = written(monkeypatch, clock, page_seconds)
  ended(
    planned, clock, trial_seconds, Pages(planned, between=True, clock=clock)
  )
  assert found == counts


def test_beside_running_trials_no_page_is_written(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  clock, planned = Clock(), plan(SWEEP, tmp_path)
  found = written(monkeypatch, clock, 0.1)
  ended(planned, clock, 600.0, Pages(planned, between=False, clock=clock))
  assert found == []


def test_a_page_that_cannot_be_written_ends_nothing(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def write(plan: Plan, records) -> None:
    raise OSError("the disk is full")

  clock, planned = Clock(), plan(SWEEP, tmp_path)
  monkeypatch.setattr(pages, "write", write)
  many = Pages(planned, between=True, clock=clock)
  ended(planned, clock, 600.0, many)
  many.interrupted()


def test_an_interrupted_sweep_has_a_page(tmp_path: pathlib.Path) -> None:
  planned = plan(SWEEP, tmp_path)
  many = Pages(planned, between=True)

  def interrupt(number: int, trial, news) -> None:
    if number == 3:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    execute(planned, watch=many.beside(interrupt))
  many.interrupted()
  page = (tmp_path / "report.html").read_text()
  assert "Not complete: 2 of 4 trials are recorded." in page
  before = (tmp_path / "report.html").stat().st_mtime_ns
  Pages(plan(SWEEP, tmp_path), between=True).interrupted()
  assert (tmp_path / "report.html").stat().st_mtime_ns == before, "no news"
