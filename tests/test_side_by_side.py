import contextlib
import dataclasses
import os
import pathlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import gpu_worker
import psutil
import pytest
from gpu_worker import GPUS, InProcess

from jaxpower import sweep
from jaxpower.config import ConfigError, Sweep, Trial, trial_id
from jaxpower.folder import record_files
from jaxpower.folder.claims import claimed
from jaxpower.power.simulated_nvml import Gpu, installed
from jaxpower.records import TrialRecord
from jaxpower.workers import worker
from jaxpower.workers.worker import WorkerError

ROOT = pathlib.Path(__file__).parent.parent
REAL_WORKER = worker.Worker


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
  """Lets workers be processes, as they are."""
  monkeypatch.setattr(worker, "Worker", REAL_WORKER)
  monkeypatch.setattr(worker, "COMMAND", gpu_worker.COMMAND)
  monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(autouse=True)
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
  monkeypatch.setattr(worker, "Worker", InProcess)
  monkeypatch.setattr(InProcess, "lost", set())
  gpu_worker._failed.clear()
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  boards = [
    Gpu(uuid=uuid, pci=f"0000:0{i}:00.0") for i, uuid in enumerate(GPUS)
  ]
  with installed(*boards):
    yield


def asked(seeds: int = 4, **fields: Any) -> Sweep:
  return Sweep(
    name="batch",
    vary={"batch_size": (64, 256)},
    seeds=seeds,
    devices=1,
    **fields,
  )


def run(
  folder: pathlib.Path,
  config: Sweep | None = None,
  parallel: int | str = 4,
  check_company: bool = False,
  watch: Callable[..., None] = lambda *_: None,
  stop: Callable[[], bool] = lambda: False,
) -> tuple[tuple[TrialRecord, ...], list[str]]:
  """Runs a sweep; returns its records and the lines that were told."""
  told: list[str] = []
  records = sweep.execute(
    sweep.plan(config or asked(), folder),
    parallel=parallel,
    check_company=check_company,
    watch=watch,
    tell=told.append,
    stop=stop,
  )
  return records, told


def board(record: TrialRecord) -> str:
  (device,) = record.provenance["devices"]
  return device["uuid"]


def results(record: TrialRecord) -> tuple[Any, ...]:
  return record.trial_id, record.status, record.varied, record.curve


def test_trials_run_at_once_and_give_what_they_give_in_turn(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("GPU_SECONDS", "0.3")
  records, told = run(tmp_path / "parallel")
  assert told == []
  spans = [record.provenance["span"] for record in records]
  most = max(sum(a <= begin < b for a, b in spans) for begin, _ in spans)
  assert most > 1, "none ran beside another"
  by_board, seeds = defaultdict(list), defaultdict(set)
  for record in records:
    by_board[board(record)].append(record.provenance["span"])
    seeds[record.seed].add(board(record))
    assert record.company is not None
    assert record.company["at_once"] == 4
    assert record.company["gpus"] == [board(record)]
  assert set(by_board) == set(GPUS[:4])
  for on_board in by_board.values():  # never two on one
    on_board.sort()
    assert all(a[1] <= b[0] for a, b in zip(on_board, on_board[1:]))  # noqa: B905, RUF007
  assert all(len(boards) == 1 for boards in seeds.values()), "blocks are whole"
  monkeypatch.setenv("GPU_SECONDS", "0")
  alone, _ = run(tmp_path / "serial", parallel=1)
  assert list(map(results, records)) == list(map(results, alone))
  assert [record.company for record in alone] == [None] * 8
  held = record_files.read(tmp_path / "parallel")
  assert held.newest == {record.trial_id: record for record in records}
  assert not (tmp_path / "parallel" / "claims").exists()


def test_a_board_that_dies_leaves_the_others_running(
  tmp_path: pathlib.Path,
) -> None:
  InProcess.lost.add(GPUS[1])
  records, told = run(tmp_path / "run", asked(seeds=8))
  assert [record.status for record in records] == ["reached"] * 16
  (line,) = told
  lost = f"{GPUS[1]} is lost: CUDA_ERROR_NO_DEVICE"
  assert line.startswith(f"{lost}; trial ")
  moved = [r for r in records if f"begun before where {lost}" in r.warnings]
  assert [r.trial_id in line for r in moved] == [True]
  assert {board(record) for record in records} == {GPUS[0], *GPUS[2:4]}
  assert len(record_files.read(tmp_path / "run").records) == 16
  alone, _ = run(tmp_path / "serial", asked(seeds=8), parallel=1)
  assert list(map(results, records)) == list(map(results, alone))


def test_a_failed_trial_on_a_sound_board_is_a_failed_record(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(InProcess, "__enter__", lambda self: self)
  InProcess.lost.add(GPUS[1])
  records, told = run(tmp_path)
  assert told == []
  assert [r.error for r in records if r.company and r.status == "failed"] == [
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_ADDRESS",
  ]


def test_without_any_board_a_sweep_ends_in_a_line(
  tmp_path: pathlib.Path,
) -> None:
  InProcess.lost |= {*GPUS}
  with pytest.raises(WorkerError, match=r"GPU-0.* is lost: CUDA_ERROR_NO_DEV"):
    run(tmp_path, parallel=2)
  assert record_files.read(tmp_path).records == ()


def test_a_stop_ends_all_of_them_at_their_next_look(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, processes: None
) -> None:
  monkeypatch.setenv("GPU_SECONDS", "30")
  running: set[int] = set()
  began = time.monotonic()
  with pytest.raises(sweep.Stopped):
    run(
      tmp_path,
      parallel=2,
      watch=lambda number, trial, news: running.add(number),
      stop=lambda: len(running) == 2,
    )
  assert time.monotonic() - began < 28
  assert record_files.read(tmp_path).records == ()
  assert workers_of_this_process() == []
  assert not (tmp_path / "claims").exists()
  assert len(sweep.plan(asked(), tmp_path).left) == 8


def test_an_interrupt_ends_all_of_them_at_once(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, processes: None
) -> None:
  monkeypatch.setenv("GPU_SECONDS", "30")

  def interrupt(number: int, trial: Trial, news: Any) -> None:
    raise KeyboardInterrupt

  began = time.monotonic()
  with pytest.raises(KeyboardInterrupt):
    run(tmp_path, parallel=2, watch=interrupt)
  assert time.monotonic() - began < 28
  assert workers_of_this_process() == []
  assert record_files.read(tmp_path).records == ()


def workers_of_this_process() -> list[psutil.Process]:
  found = []
  for child in psutil.Process().children():
    with contextlib.suppress(psutil.Error):
      if "gpu_worker" in " ".join(child.cmdline()):
        found.append(child)
  return found


def test_company_is_checked_once_and_told_in_every_record(
  tmp_path: pathlib.Path,
) -> None:
  records, told = run(tmp_path, check_company=True)
  assert told[0] == "checks what company costs: a short trial runs alone first"
  assert told[1] == (
    "in company of 3 a trial took 10.0 % more joules (+10.0 to +10.0 %)"
  )
  checks = {
    which: record_files.read(tmp_path / "checks" / which).records
    for which in ("alone", "together")
  }
  for which, (record,) in checks.items():
    assert record.company is not None and record.company["check"] == which
    assert record.trial_id not in {r.trial_id for r in records}
  last = max(records, key=lambda record: record.provenance["span"])
  assert last.company is not None
  assert last.company["interference"]["more"] == pytest.approx(0.1)
  more, told = run(tmp_path, asked(seeds=5), parallel=4, check_company=True)
  assert told[:1] == [
    "4 trials at once and fewer seeds: settings of a seed run in different"
    " places, so that intervals hold what boards differ by"
  ]
  assert len(more) == 10


def test_a_trial_that_another_process_runs_is_left_to_it(
  tmp_path: pathlib.Path,
) -> None:
  plan = sweep.plan(asked(), tmp_path)
  name = trial_id(plan.left[2])
  with claimed(tmp_path, name):
    records, told = run(tmp_path)
  assert len(records) == 7
  (line,) = told
  assert line.startswith(f"trial {name} is run by pid {os.getpid()} on ")
  assert len(run(tmp_path)[0]) == 8


def test_trials_that_take_all_gpus_do_not_run_at_once(
  tmp_path: pathlib.Path,
) -> None:
  whole = dataclasses.replace(asked(), devices=0)
  with pytest.raises(ConfigError, match=r"set --config\.devices=1"):
    run(tmp_path / "run", whole, parallel=2)
  assert not (tmp_path / "run").exists()
