"""Trials over two processes, on the CPU with gloo."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import psutil
import pytest

from jaxpower import data, sweep
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
)
from jaxpower.messages import Progress, Ready
from jaxpower.power import Monitor, SimulatedSource
from jaxpower.records import TrialRecord
from jaxpower.trial import run as run_trial
from jaxpower.wings import wing_of
from jaxpower.workers import worker
from jaxpower.workers.rank_failure import DistributedError

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import devices, heads, spec, wing
from jaxpower.learn_torch.distributed import coordinator
from jaxpower.learn_torch.numerics import numerics_of
from jaxpower.learn_torch.state import state_of

WATTS = 100.0
ONE = Trial(
  model=Model(width=0.25),
  optimizer=Optimizer(name="adam", learning_rate=0.01),
  batch_size=64,
  accumulation=2,
  augmentation="crop_flip",
  data_share=0.5,
  evaluate_every_examples=256,
  budget_examples=512,
  target_accuracy=0.9,
  idle_seconds=0.01,
  devices=1,
  framework="torch",
)
TWO = dataclasses.replace(ONE, devices=2)
# Half of the examples have a label of the one task, half of the other.
TASKS = dataclasses.replace(
  ONE,
  data="mnist_5k+digits_28",
  tasks=("mnist_5k", "digits_28"),
  task_weights={"mnist_5k": 2.0},
  augmentation="none",
)
TRIALS = {
  "tasks": TASKS,
  "uncertain tasks": dataclasses.replace(
    TASKS, task_weighting="uncertainty", task_weights={}
  ),
  "slower backbone": dataclasses.replace(
    ONE, transfer=Transfer(backbone_rate=0.1)
  ),
  "frozen backbone": dataclasses.replace(ONE, transfer=Transfer(freeze=True)),
  "batch norms of the whole batch": dataclasses.replace(
    ONE,
    data="digits",
    model=Model(name="resnet18", width=1 / 16),
    # Adam would make much of gradients that are rounding alone.
    optimizer=Optimizer(name="sgd", learning_rate=0.05),
    accumulation=1,
    batch_norm="global",
  ),
}
Losses = list[list[float]]


def own_children() -> list[psutil.Process]:
  """Our child processes but the one that Python keeps after any spawn."""
  return [
    child
    for child in psutil.Process().children()
    if not any("resource_tracker" in word for word in child.cmdline())
  ]


@pytest.fixture(scope="module", autouse=True)
def two_processes() -> Iterator[None]:
  """Trains with two processes where a trial has two devices; leaves none."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(devices.CPU_PROCESSES, "2")
    patch.setattr("jaxpower.trial.INFER_PERIODS", 0.1)
    yield
    coordinator.stop()
  assert own_children() == []


def run(
  trial: Trial,
  folder: pathlib.Path,
  tell: Callable[[Progress], None] = lambda progress: None,
) -> TrialRecord:
  """Runs a trial under a meter that reads 100 W all the time."""
  wing = wing_of("torch")
  with Monitor([SimulatedSource(WATTS)], wait=wing.wait) as monitor:
    return run_trial(
      trial,
      {},
      monitor=monitor,
      cache={},
      folder=folder,
      provenance={},
      tell=tell,
    )


def worker_pids() -> list[int]:
  """Returns the process ids of the workers that live."""
  return coordinator._current.pids if coordinator._current else []


def prepare(trial: Trial) -> tuple[Any, Any, Any]:
  """Returns a placed trial, its programs and always the same first state."""
  whole = data.load(trial.data, validation_share=trial.validation_share)
  placed = wing.place(trial, data.for_tasks(whole, trial.tasks))
  compiled = wing.compile_programs(placed.spec)
  network = spec.network_of(placed.spec)
  generator = torch.Generator().manual_seed(0)
  for name, weights in network.named_parameters():
    if not name.endswith(heads.LOG_VARIANCES):
      torch.nn.init.normal_(weights, std=0.05, generator=generator)
  return placed, compiled, state_of(network)


def losses_of(trial: Trial) -> Losses:
  """Trains two segments; returns the training and the test loss of each."""
  placed, compiled, state = prepare(trial)
  losses = []
  for segment in range(2):
    state, loss, _ = wing.train(compiled, state, placed, segment)
    metrics = wing.evaluate(compiled, state, placed)
    losses.append([float(loss), float(metrics["loss"])])
  return losses


@pytest.fixture(scope="module")
def alone(
  two_processes: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
  """The record and the losses of one process, before a worker is spawned."""
  del two_processes
  return {
    "record": run(ONE, tmp_path_factory.mktemp("alone")),
    **{name: losses_of(trial) for name, trial in TRIALS.items()},
  }


def test_two_processes_train_as_one(
  alone: dict[str, Any], tmp_path: pathlib.Path
) -> None:
  one, two = alone["record"], run(TWO, tmp_path)
  assert len(one.curve) == len(two.curve) == 3
  for a, b in zip(one.curve, two.curve, strict=True):
    assert (a.examples, a.steps) == (b.examples, b.steps)
    # Eight updates; sums are taken in another order.
    assert a.loss == pytest.approx(b.loss, rel=1e-4)
    assert a.accuracy == pytest.approx(b.accuracy, abs=0.0021)
    if a.steps:
      assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)
  assert one.curve[-1].loss < 0.99 * one.curve[0].loss  # it learned
  for phase, seconds in two.seconds_by_phase.items():
    assert two.joules_by_phase[phase] == pytest.approx(WATTS * seconds)
  assert two.flops_per_step == one.flops_per_step
  assert [d["index"] for d in two.provenance["devices"]] == [0, 1]
  assert len(one.provenance["devices"]) == 1


@pytest.mark.parametrize("name", TRIALS)
def test_what_is_learned_is_that_of_the_whole_batch(
  name: str, alone: dict[str, Any]
) -> None:
  distributed = losses_of(dataclasses.replace(TRIALS[name], devices=2))
  np.testing.assert_allclose(distributed, alone[name], rtol=1e-4)


def test_states_come_and_go_and_so_does_what_is_streamed() -> None:
  expected = np.array(losses_of(TWO))
  pids = worker_pids()
  streamed = dataclasses.replace(TWO, streaming="always")
  placed, compiled, state = prepare(streamed)
  assert worker_pids() == pids, "workers live from trial to trial"
  trained, _, waited = wing.train(compiled, wing.copy(state), placed, 0)
  assert waited > 0
  kept = wing.copy(trained)  # its moments, too
  wing.train(compiled, trained, placed, 1)
  # Another training in between, from the first weights.
  _, loss, _ = wing.train(compiled, state, placed, 0)
  assert float(loss) == pytest.approx(expected[0, 0], rel=1e-6)
  again, loss, _ = wing.train(compiled, kept, placed, 1)
  assert float(loss) == pytest.approx(expected[1, 0], rel=1e-6)
  metrics = wing.evaluate(compiled, again, placed)
  assert float(metrics["loss"]) == pytest.approx(expected[1, 1], rel=1e-6)


def test_a_dead_worker_costs_one_trial(tmp_path: pathlib.Path) -> None:
  coordinator.start(2)  # the one of the tests before, if it lives
  (killed_pid,) = worker_pids()
  kill_times = []

  def tell(progress: Progress) -> None:
    if progress.phase == "train":
      os.kill(killed_pid, signal.SIGKILL)
      kill_times.append(time.monotonic())

  with pytest.raises(DistributedError) as error:
    run(TWO, tmp_path, tell)
  (killed_at,) = kill_times
  assert time.monotonic() - killed_at < 30  # the timeout is two minutes
  assert str(error.value) == "rank 1 of 2 was killed by signal 9 (SIGKILL)"
  assert worker_pids() == own_children() == []
  assert not torch.distributed.is_initialized()
  assert run(TWO, tmp_path).status == "missed"  # with a new worker
  assert worker_pids() != [killed_pid]


def test_an_error_in_a_worker_is_reported() -> None:
  coordinator.start(2)
  trial = dataclasses.replace(TWO, data="no_such_set")
  with pytest.raises(DistributedError, match=r"rank 1 of .*no_such_set"):
    wing.place(trial, data.load(ONE.data))
  assert own_children() == []
  wing.place(ONE, data.load(ONE.data))
  assert worker_pids() == [], "no worker is kept for one device"


def test_a_worker_that_does_not_reply_is_killed(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  distributed = coordinator.start(2)
  assert distributed is not None
  (stopped_pid,) = worker_pids()
  monkeypatch.setattr(coordinator, "TIMEOUT_SECONDS", 1.0)
  monkeypatch.setattr(coordinator, "MAX_SLOWDOWN", 0)
  os.kill(stopped_pid, signal.SIGSTOP)
  sets = data.load(TWO.data)
  with pytest.raises(DistributedError) as error:
    distributed.place(TWO, sets, spec.spec_of(TWO, sets))
  assert str(error.value) == "rank 1 of 2: no reply for 1 s"
  assert not psutil.pid_exists(stopped_pid)


def test_what_hangs_is_ended_by_the_watchdog() -> None:
  code = (
    "import time\n"
    "from jaxpower.learn_torch.distributed import group\n"
    "group.WATCHDOG_SECONDS = 0.2\n"
    "with group.exit_if_stuck():\n"
    "  time.sleep(60)\n"
  )
  command = [sys.executable, "-c", code]
  done = subprocess.run(command, capture_output=True, text=True, timeout=50)
  assert done.returncode == 1
  assert 'File "<string>", line 5' in done.stderr  # where it hung


def test_the_devices_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
  def count(devices: int) -> int:
    trial = Trial(devices=devices, framework="torch")
    return len(wing_of("torch").devices(trial))

  assert (count(0), count(1), count(2)) == (2, 1, 2)
  monkeypatch.delenv(devices.CPU_PROCESSES)
  assert count(0) == 1


@pytest.mark.parametrize(
  ("device", "expected"), [("cpu", [None, None]), ("cuda", ["GPU-b", "5"])]
)
def test_each_worker_sees_its_gpu_alone(
  device: str, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
  """Of rank 1 and 2; on a CPU none."""
  seen: list[str | None] = []

  def spawn(rank: int, world_size: int, gpu: str | None) -> Any:
    seen.append(gpu)
    if rank == world_size - 1:
      raise KeyboardInterrupt  # enough
    return mock.Mock()

  monkeypatch.setattr(coordinator, "device_of", lambda: torch.device(device))
  monkeypatch.setattr(coordinator.process, "spawn", spawn)
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-b,5")
  with pytest.raises(KeyboardInterrupt):
    coordinator.Coordinator(3)
  assert seen == expected


def test_more_devices_than_there_are_is_one_line(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  class Idle:
    def __init__(self, meter: str, framework: str, *_: object):
      every = Trial(framework=framework, devices=0)
      devices = wing_of(framework).devices(every)
      self.ready = Ready(
        platform="cpu",
        device_kind=devices[0]["kind"],
        devices=len(devices),
        meter={},
      )

    def __enter__(self) -> "Idle":
      return self

    def __exit__(self, *_: object) -> None:
      return None

  monkeypatch.setattr(worker, "Worker", Idle)
  config = Sweep(framework="torch", devices=3)
  folder = tmp_path / "run"
  with pytest.raises(ConfigError) as error:
    sweep.run(config, folder)
  assert str(error.value) == "devices 3: this machine has 2 (cpu)"
  assert not folder.exists()


def test_batch_norms_see_the_examples_of_their_device() -> None:
  trial = Trial(model=Model(name="resnet18"), framework="torch", devices=2)
  two = spec.spec_of(trial, data.load(trial.data))
  one = dataclasses.replace(two, devices=1)
  cpu = torch.device("cpu")
  assert numerics_of(trial, two, cpu)["batch_norm"] == "per device"
  assert numerics_of(trial, one, cpu)["batch_norm"] == "global batch"


def test_ranks_meet_where_only_their_user_can(tmp_path: pathlib.Path) -> None:
  run(TWO, tmp_path)
  current = coordinator._current
  assert current is not None
  folder = pathlib.Path(current._folder)
  assert folder.stat().st_mode & 0o077 == 0
  assert (folder / "store").is_file()
  # No rank listens on an address that another machine can reach.
  addresses = {
    connection.laddr.ip
    for pid in (os.getpid(), *worker_pids())
    for connection in psutil.Process(pid).net_connections("inet")
    if connection.status == psutil.CONN_LISTEN
  }
  assert addresses <= {"127.0.0.1", "::1"}
  coordinator.stop()
  assert not folder.exists()
