"""JAX trials over several processes, on the CPU with gloo."""

import dataclasses
import functools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import psutil
import pytest

from jaxpower import data, resume
from jaxpower.config import Model, Optimizer, Transfer, Trial, trial_id
from jaxpower.learn import wing
from jaxpower.messages import Done, Progress, Stopped
from jaxpower.power import Monitor, SimulatedSource
from jaxpower.records import TrialRecord
from jaxpower.trial import run as run_trial
from jaxpower.workers.worker import Worker

# Against one device: sums in another order.
TOLERANCE = 1e-5
ONE = Trial(
  data="digits",
  model=Model(width=0.25),
  # Its updates are no larger than what they sum: those of Adam may be.
  optimizer=Optimizer(name="momentum", learning_rate=0.02),
  batch_size=64,
  accumulation=1,
  augmentation="none",
  evaluate_every_examples=256,
  budget_examples=512,
  target_accuracy=0.99,
  idle_seconds=0.01,
  devices=1,
)
ATTENTION = dataclasses.replace(
  ONE, model=Model(name="vit", width=0.125, depth=0.25, heads=2), dropout=0.1
)


RESNET = dataclasses.replace(
  ONE,
  model=Model(name="resnet18", width=0.125),
  optimizer=Optimizer(name="sgd", learning_rate=0.01),
)


def over(trial: Trial, processes: int) -> Trial:
  return dataclasses.replace(trial, devices=processes, processes="device")


def run(worker: Worker, trial: Trial, folder: pathlib.Path) -> TrialRecord:
  *_, end = worker.run(trial, {}, folder, checkpoint_minutes=0)
  assert isinstance(end, Done)
  return end.record


def losses(record: TrialRecord) -> list[tuple[Any, ...]]:
  assert record.error is None
  return [(e.train_loss, e.loss, e.accuracy) for e in record.curve]


def own_children(parent: int) -> list[psutil.Process]:
  return psutil.Process(parent).children(recursive=True)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
  with Worker("estimate") as started:
    yield started


def alone(trial: Trial, folder: pathlib.Path) -> TrialRecord:
  """Runs a trial in this process."""
  with Monitor([SimulatedSource(100.0)]) as monitor:
    return run_trial(
      trial, {}, monitor=monitor, cache={}, folder=folder, provenance={}
    )


def weights_of(
  record: TrialRecord, trial: Trial, folder: pathlib.Path
) -> dict[str, np.ndarray]:
  """Reads the weights that a trial ended with, in this process."""
  placed = wing.place(trial, data.load(trial.data, validation_share=0.1))
  state = wing.restore(folder / (record.checkpoint or ""), wing.start(placed))
  leaves = jax.tree_util.tree_leaves_with_path(state.params)
  return {jax.tree_util.keystr(p): np.asarray(leaf) for p, leaf in leaves}


def same(found: TrialRecord, expected: TrialRecord) -> None:
  for ours, theirs in zip(losses(found), losses(expected), strict=True):
    for a, b in zip(ours, theirs, strict=True):
      assert a == pytest.approx(b, abs=TOLERANCE, nan_ok=True)


def test_a_killed_process_costs_one_trial(
  worker: Worker, tmp_path: pathlib.Path
) -> None:
  """The trials of the tests that follow are run by new processes."""
  long = dataclasses.replace(over(ONE, 2), budget_examples=1 << 30)
  began, message, other = None, None, None
  for message in worker.run(long, {}, tmp_path):
    if began is None and isinstance(message, Progress) and message.examples:
      (other,) = own_children(worker.pid)
      other.kill()
      began = time.monotonic()
  assert began is not None and time.monotonic() - began < 60
  assert isinstance(message, Done)
  assert message.record.status == "failed"
  assert "rank 1 of 2 was killed by signal 9" in (message.record.error or "")
  assert other is not None and not other.is_running()


@pytest.mark.parametrize(
  "trial",
  [
    pytest.param(ONE, id="cnn"),
    pytest.param(ATTENTION, id="vit", marks=pytest.mark.proof),
  ],
)
def test_two_processes_train_as_one(
  worker: Worker, trial: Trial, tmp_path: pathlib.Path
) -> None:
  found, expected = (
    run(worker, over(trial, 2), tmp_path),
    alone(trial, tmp_path),
  )
  same(found, expected)
  assert found.provenance["processes"] == 2
  assert len(found.provenance["devices"]) == 2
  assert len(own_children(worker.pid)) == 1
  # What two processes wrote is read by one.
  ours, theirs = (weights_of(r, trial, tmp_path) for r in (found, expected))
  assert ours.keys() == theirs.keys()
  for name, values in ours.items():
    np.testing.assert_allclose(values, theirs[name], atol=10 * TOLERANCE)


@pytest.mark.proof
@pytest.mark.slow
def test_four_processes_train_as_one(tmp_path: pathlib.Path) -> None:
  trials = [
    ONE,
    ATTENTION,
    dataclasses.replace(ONE, streaming="always"),
    dataclasses.replace(ONE, accumulation=2, augmentation="crop_flip"),
    dataclasses.replace(ONE, program="step"),
  ]
  with Worker("estimate") as worker:
    for trial in trials:
      same(run(worker, over(trial, 4), tmp_path), alone(trial, tmp_path))


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize(
  "trial",
  [
    dataclasses.replace(RESNET, batch_norm="device"),
    dataclasses.replace(RESNET, batch_norm="global"),
    dataclasses.replace(ONE, sharding="fsdp"),
    dataclasses.replace(ONE, data_sharding="divided"),
  ],
  ids=["batch norm of a device", "of all", "state divided", "set divided"],
)
def test_two_processes_train_as_two_devices_of_one(
  worker: Worker, trial: Trial, tmp_path: pathlib.Path
) -> None:
  """What is of a device or divided is so whatever process it is in."""
  one_process = dataclasses.replace(trial, devices=2)
  same(run(worker, over(trial, 2), tmp_path), alone(one_process, tmp_path))


def of(model: str, **changes: Any) -> Trial:
  sizes = {"resnet50": 1 / 16, "resnet18": 0.125}
  small = Model(name=model, width=sizes.get(model, 0.25))
  return dataclasses.replace(ONE, model=small, **changes)


# By network: what one process makes of them does not depend on the processes.
EVERY = {
  "cnn": of("cnn"),
  "decoder": of("decoder", data="austen"),
  "resnet18": of("resnet18", batch_norm="global"),
  "resnet50": of("resnet50", batch_norm="global"),
  "transformer": of("transformer", data="imu"),
  "texts": of("transformer", data="austen_novels"),
  "vit": of("vit"),
}


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["fsdp", "replicated"])
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", EVERY)
def test_every_network_trains_as_in_one_process(
  name: str, count: int, sharding: str, tmp_path: pathlib.Path
) -> None:
  trial = over(dataclasses.replace(EVERY[name], sharding=sharding), count)
  with Worker("estimate") as worker:
    found = run(worker, trial, tmp_path)
  for ours, theirs in zip(losses(found), by_one(name), strict=True):
    for a, b in zip(ours, theirs, strict=True):
      # As between devices of one process (tests/test_learn_sharding.py).
      assert a == pytest.approx(b, abs=1e-4, nan_ok=True)


@functools.cache
def by_one(name: str) -> list[tuple[Any, ...]]:
  with tempfile.TemporaryDirectory() as folder:
    return losses(alone(EVERY[name], pathlib.Path(folder)))


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_trial() -> None:
  """The other one waits in a collective, which gloo never gives up."""
  code = """if True:
    import os, signal
    from jax.experimental import multihost_utils
    from jaxpower.learn.distributed import coordinator
    leader = coordinator.start(2)
    coordinator.SILENT_SECONDS, coordinator.GRACE_SECONDS = 5.0, 1.0
    print(*leader.pids, flush=True)
    os.kill(leader.pids[0], signal.SIGSTOP)
    def meet():
      multihost_utils.sync_global_devices("never")
    leader.call("prepare_compiler", ("jax",), meet)
  """
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
  )
  assert done.returncode == 1
  last = done.stderr.strip().splitlines()[-1]
  assert last == "rank 1 of 2: no sign of life for 5 s"
  pid, deadline = int(done.stdout.splitlines()[0]), time.monotonic() + 20
  while psutil.pid_exists(pid) and time.monotonic() < deadline:
    time.sleep(0.02)
  assert not psutil.pid_exists(pid)


@pytest.mark.proof
@pytest.mark.slow
def test_weights_go_from_two_processes_to_one_and_back(
  worker: Worker, tmp_path: pathlib.Path
) -> None:
  def tuned(source: Trial, like: Trial) -> TrialRecord:
    trial = dataclasses.replace(like, transfer=Transfer(init_from=source))
    return run(worker, trial, tmp_path)

  two = over(ONE, 2)
  for trial in (two, ONE):
    assert run(worker, trial, tmp_path).error is None
  to_one = tuned(two, ONE)
  to_two = tuned(ONE, two)
  same(to_one, to_two)
  fresh = alone(ONE, tmp_path)
  assert losses(to_one)[0] != pytest.approx(losses(fresh)[0], abs=0.01)


@pytest.mark.slow
def test_a_trial_goes_on_over_another_number_of_processes(
  worker: Worker, tmp_path: pathlib.Path
) -> None:
  two, one = over(ONE, 2), dataclasses.replace(ONE, devices=2)
  looks = []

  def stop() -> bool:
    return len(looks) > 0

  message = None
  for message in worker.run(two, {}, tmp_path, stop=stop):
    # Not before it has trained: else there is nothing to go on from.
    if isinstance(message, Progress) and message.examples:
      looks.append(message)
  assert isinstance(message, Stopped)
  shutil.copytree(
    resume.folder_of(tmp_path, trial_id(two)),
    resume.folder_of(tmp_path, trial_id(one)),
  )
  found = run(worker, one, tmp_path)
  assert found.attempts[-1].resumed_examples
  same(found, alone(one, tmp_path / "whole"))
