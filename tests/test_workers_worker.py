import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import psutil
import pytest

from jaxpower.config import Model, Optimizer, Trial, trial_id
from jaxpower.messages import Done, Notice, Progress
from jaxpower.provenance import arithmetic_environment, of_worker
from jaxpower.records import TrialRecord
from jaxpower.workers import worker as worker_module
from jaxpower.workers.worker import Worker, WorkerError, Workers, environment

EASY = Trial(
  model=Model(width=0.25),
  optimizer=Optimizer(learning_rate=0.01),
  batch_size=128,
  evaluate_every_examples=512,
  budget_examples=1_024,
  target_accuracy=0.3,
  idle_seconds=0.0,
)


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
  """A worker is a process of its own, with a machine of one device."""
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")


def finish(worker: Worker, trial: Trial, folder: pathlib.Path) -> TrialRecord:
  *progress, done = worker.run(trial, {}, folder)
  assert isinstance(done, Done)
  assert all(isinstance(message, Progress) for message in progress)
  return done.record


def test_a_tiny_program_is_compiled_before_the_first_trial(
  tmp_path: pathlib.Path,
) -> None:
  with Worker("estimate") as worker:
    phases = [
      [
        message.phase
        for message in worker.run(EASY, {}, tmp_path)
        if isinstance(message, Progress)
      ]
      for _ in range(2)
    ]
  assert phases[0][:3] == ["prepare", "setup", "idle"]
  assert phases[1][:2] == ["setup", "idle"]


def test_a_trial_whose_worker_was_killed_is_begun_once_more(
  tmp_path: pathlib.Path,
) -> None:
  killed = "the worker died with signal 9 (SIGKILL)"
  with Worker("estimate") as worker:
    assert (worker.ready.platform, worker.ready.devices) == ("cpu", 1)
    assert worker.ready.meter["estimated"]
    victim = worker.pid
    messages = worker.run(EASY, {"batch_size": 128}, tmp_path)
    assert isinstance(next(messages), Progress)
    os.kill(victim, signal.SIGKILL)
    *heard, done = messages
    (notice,) = [m for m in heard if isinstance(m, Notice)]
    again = f"{killed}; its trial was begun once more"
    assert notice.line == f"{trial_id(EASY)}: {again}"
    assert isinstance(done, Done)
    assert done.record.status == "reached"
    assert again in done.record.warnings
    assert worker.pid != victim
    # A second death in one trial is no chance.
    lost = None
    for message in worker.run(EASY, {"batch_size": 128}, tmp_path):
      if isinstance(message, Done):
        lost = message.record
      elif isinstance(message, Progress):
        os.kill(worker.pid, signal.SIGKILL)
    assert lost is not None
    assert (lost.status, lost.trial_id) == ("failed", trial_id(EASY))
    assert lost.error == f"{killed}, twice"
    assert lost.varied == {"batch_size": 128}
    assert lost.train_joules is None
    assert lost.partial
    assert lost.started_utc and lost.ended_utc
    assert lost.started_utc < lost.ended_utc
    assert finish(worker, EASY, tmp_path).status == "reached"
    child = worker.pid
  assert not psutil.pid_exists(child)


def test_a_worker_killed_before_it_is_ready_is_started_once_more(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  deaths = tmp_path / "deaths"

  def die(times: int) -> None:
    deaths.write_text("x" * times)
    monkeypatch.setattr(
      worker_module,
      "COMMAND",
      f"import os, pathlib; left = pathlib.Path({str(deaths)!r})\n"
      "if text := left.read_text():\n"
      "  left.write_text(text[1:]); os.kill(os.getpid(), 9)\n"
      f"{worker_module.COMMAND}",
    )

  die(1)
  with Worker("estimate") as worker:
    assert worker.ready.platform == "cpu"
  assert deaths.read_text() == ""
  die(3)
  died = r"before it was ready the worker died with signal 9 \(SIGKILL\)"
  with pytest.raises(WorkerError, match=died), Worker("estimate"):
    pass
  assert deaths.read_text() == "x"


def test_switches_of_a_debugger_change_no_trial(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("JAX_DEBUG_NANS", "1")
  monkeypatch.setenv("JAX_TRANSFER_GUARD", "disallow")
  rate = Optimizer(name="sgd", learning_rate=1e20)
  trial = dataclasses.replace(EASY, optimizer=rate)
  with Worker("estimate") as worker:
    said = [w for w in worker.ready.warnings if "debugger" in w]
    assert said == [
      f"{variable} is left out: trials run without a debugger's switches"
      for variable in ("JAX_DEBUG_NANS=1", "JAX_TRANSFER_GUARD=disallow")
    ]
    record = finish(worker, trial, tmp_path)
  assert record.status == "diverged"
  held = record.provenance["environment"]
  assert "JAX_DEBUG_NANS" not in held
  assert arithmetic_environment(record.provenance) == arithmetic_environment(
    of_worker(os.environ)
  )


def test_a_worker_keeps_no_cache_of_programs_on_disk() -> None:
  variables = {"JAX_COMPILATION_CACHE_DIR": "/tmp/x", "JAX_DISABLE_JIT": "1"}
  given = environment(variables, "torch")
  assert given["JAX_ENABLE_COMPILATION_CACHE"] == "false"
  assert given["JAX_PLATFORMS"] == "cpu"
  assert "JAX_DISABLE_JIT" not in given
  assert "JAX_PLATFORMS" not in environment(variables, "jax")


def test_an_error_in_a_trial_is_a_failed_record(
  tmp_path: pathlib.Path,
) -> None:
  with Worker("estimate") as worker:
    (tmp_path / "checkpoints").write_text("a file where a folder must be")
    lost = finish(worker, EASY, tmp_path)
    assert lost.status == "failed"
    assert lost.error is not None
    assert "checkpoints" in lost.error
    trace = tmp_path / "errors" / f"{lost.trial_id}.txt"
    assert "Traceback" in trace.read_text()
    (tmp_path / "checkpoints").unlink()
    assert finish(worker, EASY, tmp_path).status == "reached"


def test_a_meter_that_cannot_be_read_is_one_line(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  with pytest.raises(WorkerError) as error, Worker("nvml"):
    pass
  assert str(error.value).startswith("NVML")
  assert "\n" not in str(error.value)


def test_a_worker_that_cannot_start_says_why(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
  with pytest.raises(WorkerError, match="no_such_platform"), Worker("auto"):
    pass


def test_a_worker_ends_with_its_sweep() -> None:
  # Nothing tells the child; its inbox closes when the parent is killed.
  code = (
    "import os, signal\n"
    "from jaxpower.workers.worker import Worker\n"
    "with Worker('estimate') as worker:\n"
    "  print(worker.pid, flush=True)\n"
    "  os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  parent = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE)
  assert parent.returncode == -signal.SIGKILL
  child = int(parent.stdout)
  deadline = time.monotonic() + 20
  while psutil.pid_exists(child) and time.monotonic() < deadline:
    time.sleep(0.05)
  assert not psutil.pid_exists(child)


class Recorded:
  """A worker that says when it comes and goes."""

  heard: list[str]

  def __init__(self, meter: str, framework: str, *_: object):
    assert meter == "nvml"
    self.framework = framework

  def __enter__(self) -> "Recorded":
    if self.framework == "broken":
      raise WorkerError("it cannot start")
    self.heard.append(f"{self.framework} on")
    return self

  def __exit__(self, *_: object) -> None:
    self.heard.append(f"{self.framework} off")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
  heard: list[str] = []
  monkeypatch.setattr("jaxpower.workers.worker.Worker", Recorded)
  monkeypatch.setattr(Recorded, "heard", heard, raising=False)
  return heard


def test_one_worker_ends_before_the_next_begins(heard: list[str]) -> None:
  with Workers("nvml") as workers:
    first = workers.of("jax")
    assert workers.of("jax") is first
    workers.of("torch")
    assert workers.of("jax") is not first
  assert heard == [
    *("jax on", "jax off", "torch on", "torch off", "jax on", "jax off"),
  ]


def test_a_worker_that_cannot_start_leaves_none_behind(
  heard: list[str],
) -> None:
  with Workers("nvml") as workers:
    workers.of("jax")
    with pytest.raises(WorkerError, match="it cannot start"):
      workers.of("broken")
    assert heard == ["jax on", "jax off"]
    workers.of("jax")
  assert heard == ["jax on", "jax off"] * 2


def test_a_cache_of_the_run_is_the_workers_alone(
  tmp_path: pathlib.Path,
) -> None:
  usual = environment({}, "jax")
  assert usual["JAX_ENABLE_COMPILATION_CACHE"] == "false"
  kept = environment({}, "jax", tmp_path / "compiled")
  assert kept["JAX_ENABLE_COMPILATION_CACHE"] == "true"
  assert kept["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "compiled")
  same, other = (arithmetic_environment(of_worker(e)) for e in (usual, kept))
  assert same == other  # a folder can be continued with it and without


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_a_trial_of_other_cores_has_another_worker(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
  one = dataclasses.replace(EASY, cores=1)
  with Worker("estimate") as worker:
    first, all_cores = worker.pid, finish(worker, EASY, tmp_path)
    narrow = finish(worker, one, tmp_path)
    assert worker.pid != first
    most = dataclasses.replace(EASY, cores=10_000)
    refused = finish(worker, most, tmp_path)
  usable = len(os.sched_getaffinity(0))
  assert narrow.numerics["cores"] == 1
  # Of one machine, whose idle cores all of its trials pay for.
  assert narrow.provenance["cpus_usable"] == usable
  (domain,) = narrow.meter["domains"]
  assert domain["assumptions"]["cores"] == usable
  assert all_cores.numerics["cores"] == usable
  assert all_cores.batch_size_per_device == EASY.batch_size
  divided = all_cores.numerics.get("batch_divided_over_cores")
  assert divided == (usable if usable == 2 else divided)
  assert "batch_divided_over_cores" not in narrow.numerics
  assert narrow.provenance["environment"]["MALLOC_MMAP_THRESHOLD_"]
  assert (refused.status, refused.error) == (
    "failed",
    f"it asks for 10000 cores of {usable}",
  )
