import dataclasses
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("submitit")

from jaxpower import sweep, tasks
from jaxpower.config import ConfigError, Sweep, Transfer, Trial
from jaxpower.folder import record_files, sweep_file
from jaxpower.launch import launcher
from jaxpower.launch.launcher import Cluster
from jaxpower.records import TrialRecord
from tests.quick_task import QuickTask

ROOT = pathlib.Path(__file__).parent.parent
LOCAL = Cluster(launcher="local", at_once=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(tasks, "TrialTask", QuickTask)
  monkeypatch.setattr(launcher, "LOOK_SECONDS", 0.1)
  monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
  monkeypatch.setenv("GPU_SECONDS", "0")


def asked(**fields: Any) -> Sweep:
  return Sweep(vary={"batch_size": (64, 256)}, seeds=2, devices=1, **fields)


def run(
  folder: pathlib.Path,
  config: Sweep | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> tuple[TrialRecord, ...]:
  plan = sweep.plan(config or asked(), folder)
  return tasks.launch(plan, LOCAL, stop=stop)


def test_tasks_write_what_a_sweep_would(tmp_path: pathlib.Path) -> None:
  records = run(tmp_path)
  assert [record.status for record in records] == ["reached"] * 4
  assert {os.getpid()}.isdisjoint(r.provenance["pid"] for r in records)
  assert {r.varied["batch_size"] for r in records} == {64, 256}
  plan = sweep.plan(asked(), tmp_path)
  assert plan.left == () and not plan.renamed
  assert sweep_file.read(tmp_path)["order"] == list(plan.ids)
  assert not (tmp_path / "claims").exists()
  assert run(tmp_path) == records, "nothing is launched again"


def test_a_task_that_dies_leaves_a_failed_record_that_says_so(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("QUICK_TASK", "dies")
  one = dataclasses.replace(asked(), vary={}, seeds=1)
  (record,) = run(tmp_path, one)
  assert record.status == "failed"
  assert record.error is not None
  assert "left no record" in record.error and "\n" not in record.error


def test_a_stop_ends_the_tasks_of_this_machine(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("GPU_SECONDS", "60")
  claims = tmp_path / "claims"
  began = time.monotonic()

  def stop() -> bool:
    return claims.is_dir() and len(os.listdir(claims)) > 2

  with pytest.raises(sweep.Stopped):
    run(tmp_path, stop=stop)
  assert time.monotonic() - began < 55
  assert record_files.read(tmp_path).records == ()
  assert not claims.exists(), "each task ended by itself"


def test_a_task_that_is_preempted_is_begun_again(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """As Slurm does it: the signal, a grace, the same task once more."""
  monkeypatch.setenv("GPU_SECONDS", "2")
  one = dataclasses.replace(asked(), vary={}, seeds=1)
  plan = sweep.plan(one, tmp_path)
  submitted = launcher._Tasks.submit
  preempted = []

  def submit(each: launcher._Tasks) -> None:
    submitted(each)
    (job,) = [job for _, job in each.jobs.values()] or [None]
    if job is not None and (tmp_path / "claims").is_dir() and not preempted:
      time.sleep(0.5)
      (task,) = child_of(job._process.pid)
      os.kill(task, signal.SIGUSR2)
      preempted.append(task)

  monkeypatch.setattr(launcher._Tasks, "submit", submit)
  (record,) = tasks.launch(plan, LOCAL)
  assert preempted
  assert record.status == "reached"
  (folder,) = (tmp_path / "jobs").glob("[0-9]*")
  logs = "".join(path.read_text() for path in folder.glob("*log.*"))
  assert "Requeued job" in logs


def child_of(pid: int) -> list[int]:
  path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
  return [int(child) for child in path.read_text().split()]


def test_what_starts_from_a_trial_is_launched_after_it(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  transfers = (Transfer(), Transfer(init_from=Trial(data="mnist_5k")))
  config = Sweep(
    data="digits_28", vary={"transfer": transfers}, seeds=1, devices=1
  )
  for transfer in transfers:
    if transfer.init_from is not None:
      transfer.init_from.devices = 1
  records = {record.config["data"]: record for record in run(tmp_path, config)}
  assert len(record_files.read(tmp_path).records) == 3
  needy = next(
    r for r in record_files.read(tmp_path).records if r.init_from is not None
  )
  source = records["mnist_5k"]
  assert needy.init_from == source.trial_id
  assert needy.provenance["span"][0] >= source.provenance["span"][1]


def test_without_slurm_or_submitit_it_is_one_line(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("PATH", "")
  plan = sweep.plan(asked(), tmp_path / "run")
  with pytest.raises(
    ConfigError, match="launcher slurm: there is no srun and no sbatch"
  ):
    tasks.launch(plan, Cluster(launcher="slurm"))
  monkeypatch.setitem(sys.modules, "submitit", None)
  with pytest.raises(ConfigError, match=r"pip install 'jaxpower\[cluster\]'"):
    tasks.launch(plan, LOCAL)
  assert not (tmp_path / "run").exists()


def test_options_of_sbatch_are_read() -> None:
  assert launcher.options(["--account=lab", "mail-type=END"]) == {
    "account": "lab",
    "mail_type": "END",
  }
  with pytest.raises(ConfigError, match="sbatch account: write NAME=VALUE"):
    launcher.options(["account"])
