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

import numpy as np
import psutil
import pytest

from jaxpower import data, sweep, trial, worker
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
from jaxpower.wings import wing_of

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import heads, programs, spec, wing
from jaxpower.learn_torch.distributed import coordinator, process
from jaxpower.learn_torch.numerics import numerics_of

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
COURSES = {
  "tasks": TASKS,
  "uncertain tasks": dataclasses.replace(
    TASKS, task_weighting="uncertainty", task_weights={}
  ),
  "slower backbone": dataclasses.replace(
    ONE, transfer=Transfer(backbone_rate=0.1)
  ),
  "frozen backbone": dataclasses.replace(ONE, transfer=Transfer(freeze=True)),
}
Course = list[list[float]]


@pytest.fixture(scope="module", autouse=True)
def two_processes() -> Iterator[None]:
  """Two of them where a trial asks for two; at the end none is left."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(spec.CPU_PROCESSES, "2")
    patch.setattr(trial, "INFER_SECONDS", 0.01)
    yield
    coordinator.dismiss()
  assert psutil.Process().children() == []


def run(
  asked: Trial,
  folder: pathlib.Path,
  tell: Callable[[Progress], None] = lambda progress: None,
) -> TrialRecord:
  """Runs a trial under a meter that reads 100 W all the time."""
  wing = wing_of("torch")
  with Monitor([SimulatedSource(WATTS)], wait=wing.wait) as monitor:
    return trial.run(
      asked,
      {},
      monitor=monitor,
      made={},
      folder=folder,
      provenance={},
      tell=tell,
    )


def other_pids() -> list[int]:
  """The processes of the team that lives."""
  return coordinator._now.pids if coordinator._now else []


def parts(asked: Trial) -> tuple[Any, Any, Any]:
  """What was placed, its programs and a first state, the same each time."""
  placed = wing.place(asked, data.for_tasks(data.load(asked.data), asked.tasks))
  made = wing.compile_programs(placed.spec)
  network = programs.build(placed.spec)
  generator = torch.Generator().manual_seed(0)
  for name, weights in network.named_parameters():
    if not name.endswith(heads.LOG_VARIANCES):
      torch.nn.init.normal_(weights, std=0.05, generator=generator)
  return placed, made, programs.state_of(network)


def course(asked: Trial) -> Course:
  """Of two segments the loss, and that of the test set."""
  placed, made, state = parts(asked)
  seen = []
  for segment in range(2):
    state, loss, _ = wing.train(made, state, placed, segment)
    found = wing.evaluate(made, state, placed)
    seen.append([float(loss), float(found["loss"])])
  return seen


@pytest.fixture(scope="module")
def alone(
  two_processes: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
  """What one process makes of it, before there are two."""
  del two_processes
  return {
    "record": run(ONE, tmp_path_factory.mktemp("alone")),
    **{name: course(asked) for name, asked in COURSES.items()},
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


@pytest.mark.parametrize("name", COURSES)
def test_what_is_learned_is_that_of_the_whole_batch(
  name: str, alone: dict[str, Any]
) -> None:
  together = course(dataclasses.replace(COURSES[name], devices=2))
  np.testing.assert_allclose(together, alone[name], rtol=1e-4)


def test_states_come_and_go_and_so_does_what_is_streamed() -> None:
  expected = np.array(course(TWO))
  pids = other_pids()
  placed, made, state = parts(dataclasses.replace(TWO, streaming="always"))
  assert other_pids() == pids, "a team lives from trial to trial"
  trained, _, waited = wing.train(made, wing.copy(state), placed, 0)
  assert waited > 0
  kept = wing.copy(trained)  # its moments, too
  wing.train(made, trained, placed, 1)
  # Another training in between, from the first weights.
  _, loss, _ = wing.train(made, state, placed, 0)
  assert float(loss) == pytest.approx(expected[0, 0], rel=1e-6)
  again, loss, _ = wing.train(made, kept, placed, 1)
  assert float(loss) == pytest.approx(expected[1, 0], rel=1e-6)
  found = wing.evaluate(made, again, placed)
  assert float(found["loss"]) == pytest.approx(expected[1, 1], rel=1e-6)


def test_a_dead_process_costs_one_trial(tmp_path: pathlib.Path) -> None:
  coordinator.gather(2)  # that of the tests before
  (dead,) = other_pids()
  killed = []

  def tell(progress: Progress) -> None:
    if progress.phase == "train":
      os.kill(dead, signal.SIGKILL)
      killed.append(time.monotonic())

  with pytest.raises(coordinator.TeamError) as error:
    run(TWO, tmp_path, tell)
  (when,) = killed
  assert time.monotonic() - when < 30  # of a patience of two minutes
  assert str(error.value) == (
    "process 2 of the 2 that train was ended by signal 9 (SIGKILL)"
  )
  assert other_pids() == psutil.Process().children() == []
  assert not torch.distributed.is_initialized()
  assert run(TWO, tmp_path).status == "missed"  # by another
  assert other_pids() != [dead]


def test_what_fails_in_another_process_is_told() -> None:
  coordinator.gather(2)
  asked = dataclasses.replace(TWO, data="no_such_set")
  with pytest.raises(
    coordinator.TeamError, match=r"process 2 of .*no_such_set"
  ):
    wing.place(asked, data.load(ONE.data))
  assert psutil.Process().children() == []
  wing.place(ONE, data.load(ONE.data))
  assert other_pids() == [], "nobody is kept for one device"


def test_a_process_that_hangs_is_killed() -> None:
  other = process.Link(1, 2)
  os.kill(other.pid, signal.SIGSTOP)  # it sees no pipe being closed
  other.cut()
  other.bury()
  assert not psutil.pid_exists(other.pid)


def test_a_process_ends_with_the_first() -> None:
  # It is stopped: it sees no pipe being closed.
  code = (
    "import os, signal\n"
    "from jaxpower.learn_torch.distributed import process\n"
    "other = process.Link(1, 2)\n"
    "assert other.hear() is None\n"
    "os.kill(other.pid, signal.SIGSTOP)\n"
    "print(other.pid, flush=True)\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  command = [sys.executable, "-c", code]
  # Not read to its end, which a child that lives on would never let come.
  with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert parent.wait(60) == -signal.SIGKILL
  try:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(child) and time.monotonic() < deadline:
      time.sleep(0.02)
    assert not psutil.pid_exists(child)
  finally:
    if psutil.pid_exists(child):
      os.kill(child, signal.SIGKILL)


def test_the_devices_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
  def count(devices: int) -> int:
    asked = Trial(devices=devices, framework="torch")
    return len(wing_of("torch").devices(asked))

  assert (count(0), count(1), count(2)) == (2, 1, 2)
  monkeypatch.delenv(spec.CPU_PROCESSES)
  assert count(0) == 1


def test_each_process_sees_its_gpu_alone(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  assert coordinator._gpu(1) is None  # here is none
  monkeypatch.setattr(coordinator, "device_of", lambda: torch.device("cuda", 0))
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  assert coordinator._gpu(1) == "1"
  uuid = "GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f"
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"3,{uuid}")
  assert [coordinator._gpu(number) for number in (0, 1)] == ["3", uuid]


def test_more_devices_than_there_are_is_one_line(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  class Idle:
    def __init__(self, meter: str, framework: str):
      found = wing_of(framework).devices(Trial(framework=framework))
      self.ready = Ready(
        platform="cpu",
        device_kind=found[0]["kind"],
        devices=len(found),
        meter={},
      )

    def __enter__(self) -> "Idle":
      return self

    def __exit__(self, *_: object) -> None:
      return None

  monkeypatch.setattr(worker, "Worker", Idle)
  asked = Sweep(framework="torch", devices=3)
  folder = tmp_path / "run"
  with pytest.raises(ConfigError) as error:
    sweep.run(asked, folder)
  assert str(error.value) == "devices 3: this machine has 2 (cpu)"
  assert not folder.exists()


def test_batch_norms_see_the_examples_of_their_device() -> None:
  asked = Trial(model=Model(name="resnet18"), framework="torch", devices=2)
  made = spec.spec_of(asked, data.load(asked.data))
  alone = dataclasses.replace(made, devices=1)
  cpu = torch.device("cpu")
  assert numerics_of(asked, made, cpu)["batch_norm"] == "per device"
  assert numerics_of(asked, alone, cpu)["batch_norm"] == "global batch"
