"""Trials over two processes, on the CPU with gloo."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from jaxpower import data, shift, sweep, trial
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Trial,
)
from jaxpower.messages import Progress, Ready
from jaxpower.power import Monitor, SimulatedSource
from jaxpower.records import TrialRecord
from jaxpower.wings import wing_of

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import feed, spec, team
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


@pytest.fixture(autouse=True)
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setenv(spec.CPU_PROCESSES, "2")
  monkeypatch.setattr(trial, "INFER_SECONDS", 0.01)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Iterator[None]:
  yield
  team.dismiss()
  assert psutil.Process().children() == []


def run(
  asked: Trial, folder: pathlib.Path, kill_in: str | None = None
) -> TrialRecord:
  """Runs a trial under a meter that reads 100 W all the time.

  Where a phase is named the other process is killed when it begins.
  """

  def tell(progress: Progress) -> None:
    if progress.phase == kill_in:
      kill_the_other()

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


def kill_the_other() -> None:
  (pid,) = other_pids()
  os.kill(pid, signal.SIGKILL)


def other_pids() -> list[int]:
  """The processes of the team that lives."""
  return team._now.pids if team._now else []


def parts(asked: Trial) -> tuple[Any, Any, Any]:
  """What was placed, its programs and the first state."""
  wing = wing_of("torch")
  sets = data.for_tasks(data.load(asked.data), asked.tasks)
  placed: Any = wing.place(asked, sets)
  return placed, wing.compile_programs(placed.spec), wing.start(placed)


def course(asked: Trial) -> list[list[float]]:
  """Of two segments the loss, and those of the test set."""
  wing = wing_of("torch")
  placed, made, state = parts(asked)
  seen = []
  for segment in range(2):
    state, loss, _ = wing.train(made, state, placed, segment)
    found = wing.evaluate(made, state, placed)
    seen.append([float(loss), float(found["loss"])])
  return seen


def test_two_processes_train_as_one(tmp_path: pathlib.Path) -> None:
  together = run(TWO, tmp_path)
  pids = other_pids()
  alone = run(ONE, tmp_path)
  assert len(pids) == 1
  assert not psutil.pid_exists(pids[0]), "nobody is kept for one device"
  assert len(alone.curve) == len(together.curve) == 3
  for a, b in zip(alone.curve, together.curve, strict=True):
    assert (a.examples, a.steps) == (b.examples, b.steps)
    # Eight updates; sums are taken in another order.
    assert a.loss == pytest.approx(b.loss, rel=1e-4)
    assert a.accuracy == pytest.approx(b.accuracy, abs=0.0021)
    if a.steps:
      assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)
  assert alone.curve[-1].loss < 0.99 * alone.curve[0].loss  # it learned
  for phase, seconds in together.seconds_by_phase.items():
    assert together.joules_by_phase[phase] == pytest.approx(WATTS * seconds)
  assert together.flops_per_step == alone.flops_per_step
  assert [d["index"] for d in together.provenance["devices"]] == [0, 1]
  assert len(alone.provenance["devices"]) == 1


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_tasks_count_as_in_the_whole_batch(weighting: str) -> None:
  asked = dataclasses.replace(TASKS, task_weighting=weighting)
  if weighting == "uncertainty":
    asked = dataclasses.replace(asked, task_weights={})
  together = course(dataclasses.replace(asked, devices=2))
  np.testing.assert_allclose(together, course(asked), rtol=1e-4)


def test_states_come_and_go_and_so_does_what_is_streamed(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  expected = np.array(course(TWO))
  pids = other_pids()
  # Here the first process alone reads its share of each batch on the host.
  monkeypatch.setattr(feed, "fits", lambda arrays, device: False)
  wing = wing_of("torch")
  placed, made, state = parts(TWO)
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


@pytest.mark.parametrize("phase", ["compile", "train"])
def test_a_dead_process_costs_one_trial(
  phase: str, tmp_path: pathlib.Path
) -> None:
  team.gather(2)
  (dead,) = other_pids()
  began = time.monotonic()
  with pytest.raises(team.TeamError) as error:
    run(TWO, tmp_path, kill_in=phase)
  assert time.monotonic() - began < 30  # of a patience of two minutes
  assert str(error.value) == (
    "process 2 of the 2 that train was ended by signal 9 (SIGKILL)"
  )
  assert other_pids() == []
  assert psutil.Process().children() == []
  assert not torch.distributed.is_initialized()
  assert run(TWO, tmp_path).status == "missed"
  assert other_pids() != [dead]


def test_what_fails_in_another_process_is_told() -> None:
  wing = wing_of("torch")
  sets = data.load(ONE.data)
  asked = dataclasses.replace(TWO, data="no_such_set")
  with pytest.raises(team.TeamError, match=r"process 2 of .*no_such_set"):
    wing.place(asked, sets)
  assert psutil.Process().children() == []


def test_a_process_ends_with_the_first(tmp_path: pathlib.Path) -> None:
  # The other one waits in a collective: nothing but the kernel tells it.
  code = (
    "import os, signal, time\n"
    "from jaxpower.learn_torch import team\n"
    "from tests.test_learn_torch_distributed import TWO, parts\n"
    "placed, made, state = parts(TWO)\n"
    "made.hold(state, TWO.optimizer)\n"
    "team._now._tell(team.Hold(placed.spec, TWO.optimizer))\n"
    "print(*team._now.pids, flush=True)\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
  )
  parent = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE)
  assert parent.returncode == -signal.SIGKILL
  child = int(parent.stdout)
  deadline = time.monotonic() + 20
  while psutil.pid_exists(child) and time.monotonic() < deadline:
    time.sleep(0.02)
  assert not psutil.pid_exists(child)


def test_the_devices_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
  def count(devices: int) -> int:
    asked = Trial(devices=devices, framework="torch")
    return len(wing_of("torch").devices(asked))

  assert (count(0), count(1), count(2)) == (2, 1, 2)
  monkeypatch.delenv(spec.CPU_PROCESSES)
  assert count(0) == 1


def test_more_devices_than_there_are_is_one_line(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  class Idle:
    def __init__(self, meter: str, framework: str):
      found = wing_of(framework).devices(Trial(framework=framework))
      self.ready = Ready("cpu", found[0]["kind"], len(found), {})

    def __enter__(self) -> "Idle":
      return self

    def __exit__(self, *_: object) -> None:
      return None

  monkeypatch.setattr(shift, "Worker", Idle)
  asked = Sweep(framework="torch", devices=3, batch_size=96)
  folder = tmp_path / "run"
  with pytest.raises(ConfigError) as error:
    sweep.run(asked, folder)
  assert str(error.value) == "devices 3: this machine has 2 (cpu)"
  assert not folder.exists()


def test_batch_norms_see_the_examples_of_their_device() -> None:
  asked = Trial(model=Model(name="resnet18"), framework="torch")
  cpu = torch.device("cpu")
  assert numerics_of(asked, cpu, 2)["batch_norm"] == "per device"
  assert numerics_of(asked, cpu, 1)["batch_norm"] == "global batch"
