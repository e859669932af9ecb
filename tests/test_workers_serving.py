"""Workers as processes: what they hear, and when and how they end."""

import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from jaxpower import billing, trial
from jaxpower.config import Trial
from jaxpower.messages import Done, Notice, Progress, Stopped, Task
from jaxpower.power import board_settings, cuda
from jaxpower.power.cuda import CudaDevice
from jaxpower.power.simulated_nvml import UUIDS, Gpu, installed
from jaxpower.records import TrialRecord, identity
from jaxpower.workers import serving, worker
from jaxpower.workers.patience import Limits
from jaxpower.workers.worker import Worker, WorkerError
from tests import quick_worker, simulated_card

ROOT = pathlib.Path(__file__).parent.parent
TRIAL = Trial()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(worker, "COMMAND", quick_worker.COMMAND)


def ended(worker: Worker, do: str, folder: pathlib.Path) -> TrialRecord:
  *_, done = worker.run(TRIAL, {"do": do}, folder)
  assert isinstance(done, Done)
  return done.record


@pytest.mark.parametrize(
  ("do", "limits", "error"),
  [
    (
      "hang",
      Limits(compile=0.5),
      "hung in compile: not over after 0.5 s (compile_seconds)",
    ),
    (
      "stop",
      Limits(silent=1.5),
      "hung in compile: no sign of life for 1.5 s (patience_seconds)",
    ),
  ],
)
def test_a_worker_that_hangs_is_killed_and_the_next_trial_runs(
  do: str, limits: Limits, error: str, tmp_path: pathlib.Path
) -> None:
  with Worker("estimate", "jax", limits) as worker:
    hung = worker.pid
    record = ended(worker, do, tmp_path)
    assert (record.status, record.error) == ("failed", error)
    assert ended(worker, "", tmp_path).status == "reached"
    assert worker.pid != hung
    assert not psutil.pid_exists(hung)


def test_a_worker_that_hangs_at_its_start_is_refused(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("QUICK_DO", "hang at the start")
  refusal = r"the worker hung in start: not over after 1 s \(start_seconds\)"
  with (
    pytest.raises(WorkerError, match=refusal),
    Worker("estimate", "jax", Limits(start=1.0)),
  ):
    pass


def test_a_trial_is_begun_again_after_one_death_by_a_signal(
  tmp_path: pathlib.Path,
) -> None:
  with Worker("estimate") as worker:
    *heard, done = worker.run(TRIAL, {"do": "die once"}, tmp_path)
    assert isinstance(done, Done)
    assert done.record.status == "reached"
    line = (
      "the worker died with signal 11 (SIGSEGV); its trial was begun once more"
    )
    assert done.record.warnings == (line,)
    assert [m.line for m in heard if isinstance(m, Notice)] == [
      f"{done.record.trial_id}: {line}"
    ]
    record = ended(worker, "die", tmp_path)
    assert record.status == "failed"
    assert record.error == "the worker died with signal 11 (SIGSEGV), twice"


def test_a_trial_is_asked_to_stop_and_the_worker_stays(
  tmp_path: pathlib.Path,
) -> None:
  with Worker("estimate") as worker:
    waiting = worker.run(TRIAL, {"do": "wait"}, tmp_path, stop=lambda: True)
    assert list(waiting) == [Progress(phase="compile"), Stopped()]
    pid = worker.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
      os.kill(pid, number)  # the sweep's to answer
    assert ended(worker, "", tmp_path).provenance["pid"] == pid
    assert ended(worker, "renew", tmp_path).provenance["pid"] == pid
    assert ended(worker, "", tmp_path).provenance["pid"] != pid


def test_nothing_is_imported_from_the_current_folder(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  (tmp_path / "queue.py").write_text("raise SystemExit('a stranger')")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("PYTHONPATH", "")
  with Worker("estimate") as worker:
    assert ended(worker, "", tmp_path).status == "reached"
  given = worker_variables({"PYTHONPATH": f":{tmp_path}"})
  assert "" not in given["PYTHONPATH"].split(":")
  assert given["PYTHONSAFEPATH"] == "1"


def worker_variables(variables: dict[str, str]) -> dict[str, str]:
  return worker.environment(variables, "jax")


ORPHAN = """
import os, signal, sys
from jaxpower.workers import worker
from jaxpower.config import Trial
from jaxpower.folder.lock import locked
from tests import quick_worker
worker.COMMAND = quick_worker.COMMAND
folder = __import__("pathlib").Path(sys.argv[1])
with locked(folder) as lock:
  with worker.Worker("estimate", "jax", held=(lock.descriptor,)) as busy:
    for message in busy.run(Trial(), {"do": sys.argv[2]}, folder):
      print(busy.pid, flush=True)
      os.kill(os.getpid(), signal.SIGKILL)
"""


@contextlib.contextmanager
def orphan(folder: pathlib.Path, do: str) -> Iterator[int]:
  """The pid of a worker whose sweep was killed a moment ago."""
  command = [sys.executable, "-c", ORPHAN, str(folder), do]
  with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as sweep:
    assert sweep.stdout is not None
    pid = int(sweep.stdout.readline())
    assert sweep.wait(60) == -signal.SIGKILL
    try:
      yield pid
    finally:
      if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)


def is_locked(folder: pathlib.Path) -> bool:
  with (folder / "run.lock").open("r+") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      return True
    return False


def seconds_until_gone(pid: int) -> float:
  began = time.monotonic()
  while psutil.pid_exists(pid) and time.monotonic() - began < 20:
    time.sleep(0.02)
  return time.monotonic() - began


@pytest.mark.parametrize("do", ["spin", "stop"])
def test_a_worker_does_not_outlive_its_sweep(
  do: str, tmp_path: pathlib.Path
) -> None:
  with orphan(tmp_path, do) as pid:
    assert seconds_until_gone(pid) < 2
    assert not is_locked(tmp_path)


def test_a_folder_is_free_only_when_the_worker_is_gone(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("QUICK_KERNEL", "other")
  with orphan(tmp_path, "spin") as pid:
    assert is_locked(tmp_path)
    assert seconds_until_gone(pid) < 10
    assert not is_locked(tmp_path)


@pytest.mark.parametrize(
  ("reason", "lacking"),
  [
    ("MemoryError: ", True),
    ("XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating", True),
    ("OutOfMemoryError: CUDA out of memory. Tried to allocate", True),
    ("ValueError: shapes differ", False),
  ],
)
def test_after_too_little_memory_a_worker_is_renewed(
  reason: str, lacking: bool
) -> None:
  assert serving._lacks_memory(reason) is lacking


def test_a_platform_that_jax_does_not_have_is_named(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("JAX_PLATFORMS", "gpu")
  line = serving._without_devices("Unable to initialize\nbackend", "jax")
  assert line.startswith("JAX_PLATFORMS=gpu asks for devices that this JAX")
  assert "unset it" in line and "pip install 'jax[cuda12]'" in line
  assert "\n" not in line


@pytest.mark.parametrize(
  ("visible", "expected"),
  [
    (None, ["GPU-a", "1"]),
    ("3,5", ["GPU-a", "5"]),
    ("MIG-a,GPU-b", ["MIG-a", "GPU-b"]),  # CUDA calls the part "a"
  ],
)
def test_each_rank_sees_a_gpu_of_its_own(
  visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
  """By UUID; by its place where CUDA tells none."""
  found = [CudaDevice(0, "a", None), CudaDevice(1, None, None)]
  found.append(CudaDevice(2, "c", None))
  monkeypatch.setattr(cuda, "cuda_devices", lambda: found)
  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  if visible is not None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
  assert serving.gpus_of_ranks(2) == expected


def test_on_a_cpu_no_rank_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  assert serving.gpus_of_ranks(2) == []


def test_a_trial_runs_on_cards_set_as_it_asks_and_its_record_says_so(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  card = Gpu(settings=tmp_path / "card", limit_watts=650.0)
  card.set(650_000, 0)
  monkeypatch.setenv("SIMULATED_CARD", str(tmp_path / "card"))
  monkeypatch.setattr(board_settings, "COMMAND", simulated_card.GUARD)
  facts = {"platform": "gpu", "kind": "H200", "index": 0}
  device = billing.Device(facts, UUIDS[0], None, "cuda")
  monkeypatch.setattr(billing, "devices_of", lambda trial: (device,))
  seen = []

  def run(asked: Trial, varied: dict[str, Any], **others: Any) -> TrialRecord:
    seen.append(card.set_to())
    meter = others["monitor"].describe()
    return TrialRecord(**identity(asked, varied), status="reached", meter=meter)

  monkeypatch.setattr(trial, "run", run)
  host: Any = object.__new__(serving.Host)
  host._prepared, host._meter, host._cache, host._origin = True, "nvml", {}, {}
  host._hosts, host._idle = None, None
  host._wing = types.SimpleNamespace(wait=lambda values: values)
  nobody: Any = types.SimpleNamespace(
    send=None, stop=types.SimpleNamespace(is_set=None)
  )
  with installed(card):
    task = Task(Trial(power_limit_watts=300.0), {}, str(tmp_path))
    record = host._record(task, nobody, nobody)
    other = host._record(Task(Trial(), {}, str(tmp_path)), nobody, nobody)
  assert seen == [(300_000, 0), (650_000, 0)] and card.set_to() == (650_000, 0)
  assert record.board_settings["boards"][UUIDS[0]]["set_watts"] == 300.0
  assert record.meter["gpus"]["start"][0]["power_limit_watts"] == 300.0
  assert record.warnings == () and other.board_settings is None
