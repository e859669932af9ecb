import dataclasses
import inspect
import pathlib

import gpu_worker
import pytest

from jaxpower import sweep, tasks
from jaxpower.cli import run
from jaxpower.config import Sweep
from jaxpower.folder import record_files, sweep_file
from jaxpower.launch.task import TrialTask
from jaxpower.one_trial import run_trial
from jaxpower.workers import worker

ASKED = Sweep(vary={"batch_size": (64, 256)}, seeds=1, devices=1)
CONFIG = (
  "from jaxpower.config import Sweep\n"
  "def get_config(text):\n"
  "  return Sweep(vary={'batch_size': (64, 256)}, seeds=1, devices=1)\n"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(worker, "Worker", gpu_worker.InProcess)
  monkeypatch.setenv("GPU_SECONDS", "0")


def test_a_plan_may_be_run_trial_by_trial_by_anybody(
  tmp_path: pathlib.Path,
) -> None:
  plan = sweep.plan(ASKED, tmp_path / "run")
  for trial in reversed(plan.trials):
    tasks.run_one(sweep.plan(ASKED, tmp_path / "run"), trial)
  held = record_files.read(tmp_path / "run").newest
  assert set(held) == set(plan.ids)
  assert {record.varied["batch_size"] for record in held.values()} == {64, 256}
  again = sweep.plan(ASKED, tmp_path / "run")
  assert again.left == () and not again.renamed
  assert sweep_file.read(tmp_path / "run")["order"] == list(plan.ids)


def test_a_task_is_told_all_that_a_sweep_says_of_how_it_is_run(
  tmp_path: pathlib.Path,
) -> None:
  plan = sweep.plan(ASKED, tmp_path)
  (trial, *_) = plan.trials
  told = tasks._arguments(plan, trial)
  callers = {"trial", "folder", "wait_seconds", "watch", "tell", "stop"}
  assert told.keys() == {*inspect.signature(run_trial).parameters} - callers
  fields = {field.name for field in dataclasses.fields(TrialTask)}
  assert told.keys() == fields - {"trial", "folder", "visible"}
  shared = {field.name for field in dataclasses.fields(trial)}
  shared |= {"name", "vary", "seeds", "order_seed"}
  for field in dataclasses.fields(ASKED):
    if field.name in shared:
      continue
    changed = {field.name: getattr(ASKED, field.name) + 1}
    other = dataclasses.replace(
      plan, sweep=dataclasses.replace(ASKED, **changed)
    )
    assert tasks._arguments(other, trial) != told, field.name


def test_a_folder_is_prepared_for_others(tmp_path: pathlib.Path) -> None:
  plan = sweep.plan(ASKED, tmp_path)
  tasks.prepare(plan)
  assert sweep_file.read(tmp_path)["trials"] == 2
  assert sweep.plan(ASKED, tmp_path).left == plan.left


def test_one_trial_is_run_from_the_shell(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  (tmp_path / "mine.py").write_text(CONFIG)
  words = [f"--config={tmp_path / 'mine.py'}", f"--out={tmp_path / 'run'}"]
  assert run.main(["run.py", *words, "--only=2"], "") == 0
  (record,) = record_files.read(tmp_path / "run").records
  assert record.trial_id == sweep.plan(ASKED, tmp_path / "run").ids[1]
  assert "trial  2 of 2" in capsys.readouterr().err
  assert run.main(["run.py", *words, "--only=2"], "") == 0, "it has its record"
  assert len(record_files.read(tmp_path / "run").records) == 1
