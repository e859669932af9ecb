import dataclasses
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import gpu_worker
import pytest

import jaxpower
from jaxpower.config import ConfigError, Transfer, Trial, trial_id
from jaxpower.folder import record_files
from jaxpower.folder.claims import TakenError, claimed
from jaxpower.one_trial import allotted
from jaxpower.records import TrialRecord
from jaxpower.workers import worker
from jaxpower.workers.places import WHOLE
from jaxpower.workers.step import Stopped

ROOT = pathlib.Path(__file__).parent.parent
TRIAL = Trial(devices=1)
# As any scheduler would call it, from a process of its own.
CALL = (
  "import sys, jaxpower\n"
  "from jaxpower.folder.claims import TakenError\n"
  "from jaxpower.workers import worker\n"
  "from tests import gpu_worker\n"
  "worker.COMMAND = gpu_worker.COMMAND\n"
  "try:\n"
  "  trial = jaxpower.Trial(devices=1)\n"
  "  print(jaxpower.run_trial(trial, sys.argv[1]).provenance['pid'])\n"
  "except TakenError as error:\n"
  "  print(error)\n"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(worker, "Worker", gpu_worker.InProcess)
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  monkeypatch.setenv("GPU_SECONDS", "0")


def test_a_trial_becomes_one_record_file(tmp_path: pathlib.Path) -> None:
  folder = tmp_path / "shared" / "run"
  record = jaxpower.run_trial(TRIAL, folder, varied={"batch_size": 128})
  path = folder / "records" / f"{trial_id(TRIAL)}.json"
  assert [p.name for p in folder.iterdir()] == ["records"]
  assert record_files.read(folder).records == (record,)
  assert record.varied == {"batch_size": 128}
  written = path.stat()
  again = jaxpower.run_trial(TRIAL, folder)
  assert again == record, "it is not run again"
  assert path.stat().st_mtime_ns == written.st_mtime_ns


def test_a_command_has_its_time_and_programs_their_folder(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  asked: list[Any] = []

  class Asked(gpu_worker.InProcess):
    def __init__(self, *args: Any) -> None:
      super().__init__(*args)
      asked.append(args[-1])

    def run(self, *args: Any, **facts: Any) -> Any:
      asked.append(facts["timeout_seconds"])
      return super().run(*args, **facts)

  monkeypatch.setattr(worker, "Worker", Asked)
  jaxpower.run_trial(TRIAL, tmp_path / "a")
  facts = {"timeout_seconds": 9.0, "compilation_cache": True}
  jaxpower.run_trial(TRIAL, tmp_path / "b", **facts)
  assert asked == [None, 0.0, tmp_path / "b" / "compiled", 9.0]


def test_of_two_processes_on_one_trial_the_second_is_told(
  tmp_path: pathlib.Path,
) -> None:
  environment = os.environ | {"GPU_SECONDS": "3"}
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", CALL, str(tmp_path)],
      stdout=subprocess.PIPE,
      text=True,
      env=environment,
    )
    for _ in range(2)
  ]
  said = sorted(process.communicate()[0].strip() for process in processes)
  assert said[0].isdecimal()
  pids = {str(process.pid) for process in processes}
  assert any(
    said[1].startswith(f"trial {trial_id(TRIAL)} is run by pid {pid} on ")
    for pid in pids
  )
  (record,) = record_files.read(tmp_path).records
  assert str(record.provenance["pid"]) == said[0]


def test_a_trial_that_is_taken_can_be_waited_for(
  tmp_path: pathlib.Path,
) -> None:
  name, began = trial_id(TRIAL), time.monotonic()
  with claimed(tmp_path, name):
    with pytest.raises(TakenError, match=f"trial {name} is run by pid"):
      jaxpower.run_trial(TRIAL, tmp_path)
    assert time.monotonic() - began < 1
    with pytest.raises(TakenError):
      jaxpower.run_trial(TRIAL, tmp_path, wait_seconds=1.5)
    assert time.monotonic() - began > 1.5
  assert jaxpower.run_trial(TRIAL, tmp_path).status == "reached"


def test_a_trial_that_is_stopped_has_no_record_and_no_claim(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("GPU_SECONDS", "30")
  seen: list[Any] = []
  with pytest.raises(Stopped):
    jaxpower.run_trial(
      TRIAL, tmp_path, watch=seen.append, stop=lambda: bool(seen)
    )
  assert os.listdir(tmp_path) == []


def test_a_failed_trial_is_run_again_where_that_is_asked_for(
  tmp_path: pathlib.Path,
) -> None:
  record = jaxpower.run_trial(TRIAL, tmp_path)
  failed = dataclasses.replace(record, status="failed", error="it broke")
  record_files.write(tmp_path, failed)
  assert jaxpower.run_trial(TRIAL, tmp_path).status == "failed"
  again: TrialRecord = jaxpower.run_trial(TRIAL, tmp_path, retry_failed=True)
  assert again.status == "reached"


@pytest.mark.parametrize(
  ("trial", "line"),
  [
    (Trial(batch_size=48), "evaluate_every_examples 2048: not a multiple"),
    (Trial(devices=99), "devices 99: this machine has 8"),
    (
      Trial(data="digits_28", transfer=Transfer(init_from=Trial())),
      "transfer.init_from: the trial that it starts from, "
      f"{trial_id(Trial())}, has no record in",
    ),
  ],
)
def test_what_cannot_run_is_one_line_and_leaves_nothing(
  tmp_path: pathlib.Path, trial: Trial, line: str
) -> None:
  with pytest.raises(ConfigError) as error:
    jaxpower.run_trial(trial, tmp_path / "run")
  assert line in str(error.value)
  assert "\n" not in str(error.value)
  assert record_files.read(tmp_path / "run").records == ()
  assert not list((tmp_path).rglob("*.json"))


def test_a_part_of_a_machine_is_told_and_its_joules_are_divided(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(os, "cpu_count", lambda: len(os.sched_getaffinity(0)))
  assert allotted() == WHOLE
  assert jaxpower.run_trial(TRIAL, tmp_path / "whole").company is None
  cores = os.sched_getaffinity(0)
  monkeypatch.setattr(os, "cpu_count", lambda: 8 * len(cores))
  assert allotted().at_once == 8
  company = jaxpower.run_trial(TRIAL, tmp_path / "part").company
  assert company is not None
  assert (company["at_once"], company["cores"]) == (None, sorted(cores))
