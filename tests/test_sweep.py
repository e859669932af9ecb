import copy
import dataclasses
import gzip
import json
import os
import pathlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from jaxpower import config, provenance, records, sweep, weights
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
  trial_id,
)
from jaxpower.data import DataError
from jaxpower.folder import disk_space, durable, record_files, sweep_file
from jaxpower.folder.lock import locked
from jaxpower.messages import Done, Progress, Ready, Stopped
from jaxpower.plan import requirements
from jaxpower.records import Status, TrialRecord
from jaxpower.workers import worker

READY = Ready(
  platform="gpu",
  device_kind="NVIDIA H200",
  devices=4,
  meter={"estimated": False, "domains": []},
)


def asked(**fields: Any) -> Sweep:
  return (
    Sweep(name="batch", vary={"batch_size": (64, 256)}, seeds=2)
    if not fields
    else dataclasses.replace(asked(), **fields)
  )


class InstantWorker:
  """Answers at once, in this process, with records that say what was asked."""

  fails_at: int | None = None
  status: Status = "failed"
  runs: int = 0
  seen: ClassVar[list[Trial]] = []
  ready = READY

  def __init__(self, meter: str, framework: str = "jax", *_: Any):
    self.meter = meter
    self.framework = framework
    self.terminated = False
    type(self).last = self

  last: "InstantWorker"

  def __enter__(self) -> "InstantWorker":
    return self

  def __exit__(self, *_: object) -> None:
    return None

  def terminate(self) -> None:
    self.terminated = True

  def run(
    self,
    trial: Trial,
    varied: dict[str, Any],
    folder: pathlib.Path,
    compile_repeats: int = 1,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_minutes: float = 10.0,
    timeout_seconds: float = 0.0,
  ) -> Iterator[Progress | Done | Stopped]:
    yield Progress(phase="train", accuracy=0.5)
    failed = type(self).runs == type(self).fails_at
    type(self).runs += 1
    type(self).seen.append(trial)
    source = trial.transfer.init_from
    if source is not None:
      assert not weights.problem(folder / weights.folder_of(trial_id(source)))
    if not failed:
      saved = folder / weights.folder_of(trial_id(trial))
      saved.mkdir(parents=True, exist_ok=True)
      (saved / "array").write_text("0.5")
      weights.seal(saved)
    yield Done(
      TrialRecord(
        trial_id=trial_id(trial),
        config=config.to_dict(trial),
        varied=varied,
        seed=trial.seed,
        framework="jax",
        init_from=source and trial_id(source),
        status=type(self).status if failed else "reached",
        error="the worker died with signal 9 (SIGKILL)" if failed else None,
        target_accuracy=trial.target_accuracy,
        wall_seconds=None if failed else 10.0,
        provenance=provenance.of_worker(os.environ),
      )
    )


@pytest.fixture(autouse=True)
def instant(monkeypatch: pytest.MonkeyPatch) -> type[InstantWorker]:
  fresh = type("FreshWorker", (InstantWorker,), {"seen": []})
  monkeypatch.setattr(worker, "Worker", fresh)
  return fresh


def test_a_sweep_is_run_once(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  found = sweep.run(asked(), tmp_path)
  assert {(r.varied["batch_size"], r.seed) for r in found} == {
    (64, 0),
    (64, 1),
    (256, 0),
    (256, 1),
  }
  before = content(tmp_path)
  assert sweep.run(asked(), tmp_path) == found
  assert content(tmp_path) == before
  assert instant.runs == 4


def test_the_folder_says_what_was_asked(tmp_path: pathlib.Path) -> None:
  found = sweep.run(asked(), tmp_path)
  held = json.loads((tmp_path / sweep_file.NAME).read_text())
  assert held["config"] == config.to_dict(asked())
  assert held["order"] == [r.trial_id for r in found]
  assert held["meter"] == "auto"


def test_an_interrupted_sweep_goes_on(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  def interrupt(number: int, trial: Trial, news: Any) -> None:
    if number == 3:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    sweep.run(asked(), tmp_path, watch=interrupt)
  assert instant.last.terminated
  assert len(record_files.read(tmp_path).records) == 2
  plan = sweep.plan(asked(), tmp_path)
  assert len(plan.left) == 2
  assert len(sweep.execute(plan)) == 4
  assert instant.runs == 4  # none that was recorded ran again


def test_weights_go_where_the_sweep_says_so_and_no_trial_needs_them(
  tmp_path: pathlib.Path,
) -> None:
  sweep.run(asked(keep_weights=False), tmp_path / "batch")
  assert not [*(tmp_path / "batch").glob("checkpoints/*")]
  spare = dataclasses.replace(transferred(), keep_weights=False)
  found = sweep.run(spare, tmp_path / "transfer")
  left = {path.name for path in (tmp_path / "transfer").glob("checkpoints/*")}
  assert left == {record.init_from for record in found} - {None}


def test_a_failed_trial_is_recorded_and_the_sweep_goes_on(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  instant.fails_at = 1
  found = sweep.run(asked(), tmp_path)
  assert [r.status for r in found] == [
    "reached",
    "failed",
    "reached",
    "reached",
  ]
  assert sweep.plan(asked(), tmp_path).left == ()
  retry = sweep.plan(asked(), tmp_path, retry_failed=True)
  assert [trial_id(t) for t in retry.left] == [found[1].trial_id]
  again = sweep.execute(retry)
  assert [r.status for r in again] == ["reached"] * 4
  assert len(record_files.read(tmp_path).records) == 5


def test_a_sweep_goes_on_beside_what_an_older_version_wrote(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  """Its file or archive is only read; what is new stands beside it."""
  found = sweep.run(asked(), tmp_path)
  held = sorted((tmp_path / "records").iterdir())
  lines = b"".join(path.read_bytes() for path in held)
  for path in held:
    path.unlink()
  archive = tmp_path / "records.jsonl.gz"
  archive.write_bytes(gzip.compress(lines))
  packed = archive.read_bytes()
  assert sweep.plan(asked(), tmp_path).left == ()
  grown = sweep.run(asked(seeds=3), tmp_path)
  assert instant.runs == 4 + 2
  assert len(grown) == 6
  assert {r.trial_id: r for r in grown}.items() >= {
    r.trial_id: r for r in found
  }.items()
  assert len(list((tmp_path / "records").iterdir())) == 2
  # Another field varies: the names of older records are written beside them.
  vary = {"batch_size": (64, 256), "data_share": (1.0, 0.5)}
  found = sweep.run(asked(vary=vary, seeds=3), tmp_path)
  assert {tuple(r.varied) for r in found} == {("batch_size", "data_share")}
  again = record_files.read(tmp_path)
  assert again.newest == {r.trial_id: r for r in found}
  assert len(again.records) == 12, "a renamed record is no second attempt"
  assert archive.read_bytes() == packed


@pytest.mark.parametrize(
  ("change", "meter", "message"),
  [
    ({"target_accuracy": 0.9}, "auto", "(target_accuracy: 0.8 -> 0.9)"),
    (
      {
        "vary": {"batch_size": (64, 256, 512)},
        "optimizer": Optimizer(name="sgd"),
      },
      "auto",
      "config (optimizer.name: adam -> sgd)",
    ),
    # None of the recorded trials has this value of a field not varied so far.
    (
      {"vary": {"batch_size": (64, 256)}, "data_share": 0.5, "seeds": 9},
      "auto",
      "(data_share: 1.0 -> 0.5)",
    ),
    ({}, "nvml", "(meter: auto -> nvml)"),
  ],
)
def test_another_config_in_the_same_folder_is_refused(
  tmp_path: pathlib.Path, change: dict[str, Any], meter: str, message: str
) -> None:
  sweep.run(asked(), tmp_path)
  before = content(tmp_path)
  with pytest.raises(ConfigError) as error:
    sweep.run(dataclasses.replace(asked(), **change), tmp_path, meter=meter)
  assert message in str(error.value)
  assert "--out" in str(error.value)
  assert content(tmp_path) == before


NOWHERE = Transfer(weights="nowhere")


@pytest.mark.parametrize(
  ("change", "kind", "message"),
  [
    (
      {"vary": {"batch_size": (64, 6001)}},
      ConfigError,
      "batch_size 6001: larger than the training set of fashion_mnist_6k"
      " without its validation set (5400 examples)",
    ),
    (
      {"vary": {"batch_size": (48,)}},
      ConfigError,
      "evaluate_every_examples 2048: not a multiple of batch_size 48",
    ),
    (
      {"vary": {"batch_size": (64,)}, "data_share": 0.01},
      ConfigError,
      "batch_size 64: larger than the training set of fashion_mnist_6k"
      " without its validation set, 0.01 of it (54 examples)",
    ),
    (
      {"data": "austen_novels"},
      ConfigError,
      "model cnn: does not read austen_novels (tokens); models that do:"
      " transformer",
    ),
    (
      {"data": "austen", "model": Model(name="transformer")},
      ConfigError,
      "model transformer: does not read austen (text); models that do: decoder",
    ),
    (
      {"data": "imu", "augmentation": "crop"},
      ConfigError,
      "augmentation crop: for images only, imu is window",
    ),
    (
      {"vary": {"batch_size": (8,)}, "accumulation": 4, "devices": 0},
      ConfigError,
      "batch_size 8: not a multiple of 4 times the 4 devices it is divided"
      " over; take 16, or other devices",
    ),
    ({"data": "fashion_mnits"}, DataError, "fashion_mnist"),
    (
      {"vary": {"batch_size": (2, 1)}, "devices": 4},
      ConfigError,
      "batch_size 2: not a multiple of the 4 devices it is divided over; take"
      " 4, or other devices",
    ),
    ({"devices": 8}, ConfigError, "devices 8: this machine has 4"),
    (
      {"transfer": Transfer(init_from=Trial(data="digits"))},
      ConfigError,
      "transfer.init_from.data digits: its inputs are image 8 x 8 x 1",
    ),
    (
      {"transfer": Transfer(init_from=Trial(batch_size=48))},
      ConfigError,
      "transfer.init_from.evaluate_every_examples 2048: not a multiple",
    ),
    (
      {"transfer": Transfer(init_from=Trial(batch_size=6001))},
      ConfigError,
      "transfer.init_from.batch_size 6001: larger than the training set",
    ),
    (
      {"transfer": Transfer(weights="weights/resnet18")},
      ConfigError,
      "transfer.weights: weights/resnet18 is not there",
    ),
    (
      {"transfer": Transfer(init_from=Trial(transfer=NOWHERE))},
      ConfigError,
      "transfer.init_from.transfer.weights: nowhere is not there",
    ),
    (
      {"transfer": Transfer(init_from=Trial(batch_size=2_046))},
      ConfigError,
      "transfer.init_from.evaluate_every_examples 2048: not a multiple",
    ),
  ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(
  tmp_path: pathlib.Path,
  change: dict[str, Any],
  kind: type[Exception],
  message: str,
) -> None:
  folder = tmp_path / "run"
  with pytest.raises(kind) as error:
    sweep.run(dataclasses.replace(asked(), **change), folder)
  assert message in str(error.value)
  assert "\n" not in str(error.value)
  assert not folder.exists()


def test_what_this_machine_cannot_divide_is_left_out_with_a_line(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  sizes = asked(vary={"batch_size": (64, 2, 256), "devices": (4, 8)})
  told: list[str] = []
  greeted: list[Ready] = []

  def greet(ready: Ready, plan: sweep.Plan) -> None:
    greeted.append(ready)
    assert (len(plan.left), len(plan.unfit)) == (4, 8)

  found = sweep.execute(
    sweep.plan(sizes, tmp_path), tell=told.append, greet=greet
  )
  assert {(r.varied["batch_size"], r.varied["devices"]) for r in found} == {
    (64, 4),
    (256, 4),
  }
  assert instant.runs == 4
  assert sorted(told) == [
    "batch_size 2: not a multiple of the 4 devices it is divided over; take 4,"
    " or other devices (2 trials are left out)",
    "devices 8: this machine has 4 (NVIDIA H200) (6 trials are left out)",
  ]
  # The same command shows what there is, and would run them elsewhere.
  again = sweep.execute(sweep.plan(sizes, tmp_path), greet=greet)
  assert again == found and instant.runs == 4 and len(greeted) == 1


def test_what_starts_from_a_trial_left_out_is_left_out_too(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  pretraining = Trial(data="mnist_5k", batch_size=2, devices=4)
  starts = (Transfer(), Transfer(init_from=pretraining))
  sizes = asked(data="digits_28", vary={"transfer": starts}, seeds=1)
  told: list[str] = []
  (record,) = sweep.execute(sweep.plan(sizes, tmp_path), tell=told.append)
  assert record.varied == {"transfer": "scratch"} and instant.runs == 1
  assert len(told) == 2 and "transfer.init_from.batch_size 2" in "".join(told)


def test_a_folder_begun_on_all_devices_says_how_to_go_on(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  before = sweep.run(asked(devices=0), tmp_path)
  with pytest.raises(ConfigError) as error:
    sweep.run(asked(), tmp_path)
  assert str(error.value) == (
    f"{tmp_path} holds records of another config (devices: 0 -> 1); 0, all"
    " devices, was the default; --config.devices=0 goes on in this folder, or"
    " name another folder with --out"
  )
  more = sweep.run(asked(devices=0, seeds=3), tmp_path)
  assert {r.trial_id for r in before} < {r.trial_id for r in more}
  assert instant.runs == len(more) == 6


def content(folder: pathlib.Path) -> dict[pathlib.Path, bytes]:
  """What a sweep has written, but for the lock."""
  paths = [folder / sweep_file.NAME, *(folder / "records").iterdir()]
  return {path: path.read_bytes() for path in paths}


BATCHES = {"batch_size": [64, 256]}
MORE = {"batch_size": [32, 64, 256]}


@pytest.mark.parametrize(
  ("change", "new", "varied", "seeds"),
  [
    ({"seeds": 3}, 2, BATCHES, 3),
    ({"vary": {"batch_size": (32, 64, 256)}}, 2, MORE, 2),
    ({"order_seed": 7}, 0, BATCHES, 2),
    ({"name": "another"}, 0, BATCHES, 2),
    # A smaller sweep leaves out nothing that is recorded.
    ({"seeds": 1}, 0, BATCHES, 2),
    ({"vary": {"batch_size": (32,)}, "seeds": 3}, 3, MORE, 3),
    ({"vary": {}, "batch_size": 64}, 0, BATCHES, 2),
    (
      {"vary": {"batch_size": (32,)}, "seeds": 1},
      1,
      MORE,
      2,
    ),
    # Another field is varied; the value that all trials had is one of its.
    (
      {"vary": {"batch_size": (64, 256), "data_share": (1, 0.5)}},
      4,
      {"batch_size": [64, 256], "data_share": [1.0, 0.5]},
      2,
    ),
  ],
)
def test_a_sweep_grows_in_place(
  tmp_path: pathlib.Path,
  instant: type[InstantWorker],
  change: dict[str, Any],
  new: int,
  varied: dict[str, list[Any]],
  seeds: int,
) -> None:
  first = sweep.run(asked(), tmp_path)
  wanted = dataclasses.replace(asked(), **change)
  plan = sweep.plan(wanted, tmp_path)
  assert len(plan.left) == new
  found = sweep.execute(plan)
  assert instant.runs == 4 + new
  assert {r.trial_id for r in first} <= {r.trial_id for r in found}
  assert len(found) == 4 + new
  assert {tuple(r.varied) for r in found} == {tuple(varied)}
  # What stands in the file is what was returned.
  held = {r.trial_id: r for r in record_files.read(tmp_path).records}
  assert held == {r.trial_id: r for r in found}
  if new:
    written = sweep_file.read(tmp_path)
    config = written["config"]
    assert (config["vary"], config["seeds"]) == (varied, seeds)
    assert written["trials"] == len(written["order"]) == 4 + new
    assert written["order"] == [r.trial_id for r in found]
  # Either command may be given again, and nothing is left to run.
  before = content(tmp_path)
  for again in (asked(), wanted):
    assert sweep.plan(again, tmp_path).left == ()
    assert sweep.run(again, tmp_path)
  assert content(tmp_path) == before


def test_seeds_are_added_after_those_that_were_planned(
  tmp_path: pathlib.Path,
) -> None:
  before = [r.trial_id for r in sweep.run(asked(), tmp_path)]
  after = [r.trial_id for r in sweep.run(asked(seeds=4), tmp_path)]
  assert after[:4] == before
  found = record_files.read(tmp_path, sweep_file.read(tmp_path)["order"])
  assert [r.trial_id for r in found.records] == after


def test_what_was_asked_for_in_part_keeps_the_whole_command(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def give(*words: str) -> None:
    monkeypatch.setattr(provenance, "command_line", lambda: list(words))

  give("run", "whole")
  sweep.run(asked(), tmp_path)
  give("run", "part")
  sweep.run(asked(vary={"batch_size": (32,)}), tmp_path)
  assert sweep_file.read(tmp_path)["command_line"] == ["run", "whole"]
  give("run", "all")
  sweep.run(asked(vary={"batch_size": (32, 64, 256)}, seeds=3), tmp_path)
  assert sweep_file.read(tmp_path)["command_line"] == ["run", "all"]


def test_tasks_can_be_added_with_targets_of_their_own(
  tmp_path: pathlib.Path,
) -> None:
  one = Sweep(
    name="imu",
    data="imu",
    vary={"tasks": (("label",),)},
    targets={"label": 0.9},
    seeds=1,
  )
  sweep.run(one, tmp_path)
  both = dataclasses.replace(
    one,
    vary={"tasks": (("label",), ("subject",))},
    targets={"label": 0.9, "subject": 0.6},
  )
  found = sweep.run(both, tmp_path)
  tasks = [tuple(r.varied["tasks"]) for r in found]
  assert sorted(tasks) == [("label",), ("subject",)]
  held = sweep_file.read(tmp_path)["config"]
  assert held["targets"] == {"label": 0.9, "subject": 0.6}
  assert sweep.plan(one, tmp_path).left == ()


def test_records_of_an_older_config_are_named(tmp_path: pathlib.Path) -> None:
  sweep.run(asked(), tmp_path)
  for path in (tmp_path / "records").iterdir():
    path.write_text(path.read_text().replace('"data_share"', '"share_of_data"'))
  with pytest.raises(ConfigError) as error:
    sweep.plan(asked(), tmp_path)
  line = str(error.value)
  assert "data_share: absent -> 1.0; share_of_data: 1.0 -> absent" in line
  assert "\n" not in line


def test_a_folder_holds_trials_of_one_environment(
  tmp_path: pathlib.Path,
  instant: type[InstantWorker],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("OMP_NUM_THREADS", "2")
  sweep.run(asked(seeds=1), tmp_path)
  before = content(tmp_path)
  monkeypatch.setenv("OMP_NUM_THREADS", "8")
  monkeypatch.setenv("JAX_ENABLE_X64", "1")
  with pytest.raises(ConfigError) as error:
    sweep.plan(asked(), tmp_path)
  assert str(error.value) == (
    f"{tmp_path} holds records made with other environment variables"
    " (JAX_ENABLE_X64: not set -> 1; OMP_NUM_THREADS: 2 -> 8); set them as they"
    " were, or name another folder with --out"
  )
  assert content(tmp_path) == before
  assert len(sweep.run(asked(seeds=1), tmp_path)) == 2, "nothing is left to run"
  monkeypatch.setenv("OMP_NUM_THREADS", "2")
  monkeypatch.delenv("JAX_ENABLE_X64")
  # No worker is started with what a debugger reads, so it changes nothing.
  monkeypatch.setenv("JAX_DEBUG_NANS", "1")
  assert len(sweep.run(asked(), tmp_path)) == 4


PRETRAINING = Trial(data="mnist_5k")
TRANSFERS = (
  Transfer(),
  Transfer(init_from=PRETRAINING),
  Transfer(init_from=PRETRAINING, freeze=True),
  Transfer(init_from=PRETRAINING, backbone_rate=0.1),
)


def transferred(framework: str = "jax") -> Sweep:
  begun = copy.deepcopy(TRANSFERS)
  for transfer in begun:
    if transfer.init_from is not None:
      transfer.init_from.framework = framework
  vary = {"transfer": begun}
  return asked(data="digits_28", vary=vary, framework=framework)


def test_a_pretraining_is_run_once_a_seed_and_before_what_needs_it(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  found = sweep.run(transferred(), tmp_path)
  pretrained = {r.seed: r for r in found if r.config["data"] == "mnist_5k"}
  assert len(found) == len(instant.seen) == 10
  assert set(pretrained) == {0, 1}
  assert {tuple(r.varied) for r in pretrained.values()} == {()}
  for record in found:
    if record.init_from is not None:
      assert record.init_from == pretrained[record.seed].trial_id
  assert sorted(r.varied["transfer"] for r in found if r.varied) == sorted(
    2 * ["scratch", "fine-tuned", "frozen", "fine-tuned at 0.1"]
  )
  held = sweep_file.read(tmp_path)
  assert held["trials"] == len(held["order"]) == 10
  assert sweep.plan(transferred(), tmp_path).left == ()


@pytest.mark.parametrize(
  ("status", "retried", "end"),
  [
    ("failed", 4, "failed: the worker died with signal 9 (SIGKILL)"),
    ("diverged", 3, "diverged: the worker died with signal 9 (SIGKILL)"),
  ],
)
def test_what_a_lost_pretraining_would_have_given_fails_clearly(
  tmp_path: pathlib.Path,
  instant: type[InstantWorker],
  status: Status,
  retried: int,
  end: str,
) -> None:
  plan = sweep.plan(transferred(), tmp_path)
  first = next(t for t in plan.trials if trial_id(t) in plan.pretrainings)
  instant.fails_at, instant.status = plan.trials.index(first), status
  found = {r.trial_id: r for r in sweep.execute(plan)}
  needy = [r for r in found.values() if r.init_from == trial_id(first)]
  assert len(needy) == 3
  for record in needy:
    assert record.status == "failed"
    assert record.error == f"its pretraining {trial_id(first)} {end}"
    assert record.varied["transfer"] != "scratch"
    assert record.train_joules is None
  assert len(instant.seen) == 7
  assert sweep.plan(transferred(), tmp_path).left == ()
  retry = sweep.plan(transferred(), tmp_path, retry_failed=True)
  assert len(retry.left) == retried
  again = sweep.execute(retry)
  failed = [r for r in again if r.status == "failed"]
  assert len(failed) == (0 if status == "failed" else 3)


@pytest.mark.parametrize("framework", config.FRAMEWORKS)
def test_a_damaged_checkpoint_is_trained_again_where_it_is_needed(
  framework: str,
  tmp_path: pathlib.Path,
  instant: type[InstantWorker],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(requirements, "check_installed", lambda trial: None)
  plan = sweep.plan(transferred(framework), tmp_path)
  needy = next(t for t in plan.trials if t.transfer.init_from is not None)
  assert needy.transfer.init_from is not None
  source = trial_id(needy.transfer.init_from)

  def interrupt(number: int, trial: Trial, news: Any) -> None:
    if trial == needy:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    sweep.execute(plan, watch=interrupt)
  saved = tmp_path / weights.folder_of(source)
  (saved / "array").write_text("0.25")
  plan = sweep.plan(transferred(framework), tmp_path)
  assert plan.unusable == {
    source: f"{saved / 'array'} is damaged: its checksum is another"
  }
  assert plan.trials.index(needy) > plan.trials.index(plan.left[0])
  assert trial_id(plan.left[0]) == source
  instant.seen.clear()
  assert {r.status for r in sweep.execute(plan)} == {"reached"}
  assert [trial_id(t) for t in instant.seen].count(source) == 1
  # What nothing needs any more may lie broken.
  (saved / "array").write_text("0.25")
  assert sweep.plan(transferred(framework), tmp_path).left == ()


def test_a_pretraining_that_is_also_asked_for_keeps_its_setting(
  tmp_path: pathlib.Path,
) -> None:
  scratch = Trial(batch_size=64)
  both = asked(
    vary={"transfer": (Transfer(), Transfer(init_from=scratch))}, batch_size=64
  )
  found = sweep.run(both, tmp_path)
  assert len(found) == 4
  assert {r.varied["transfer"] for r in found} == {"scratch", "fine-tuned"}


def test_a_transfer_that_is_added_leaves_no_setting_in_two(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  one = transferred()
  sweep.run(one, tmp_path)
  added = Transfer(init_from=Trial(data="fashion_mnist_6k"), freeze=True)
  more = dataclasses.replace(
    one, vary={"transfer": (*one.vary["transfer"], added)}
  )
  found = sweep.run(more, tmp_path)
  # The name now has to say from where.
  settings = Counter(r.varied["transfer"] for r in found if r.varied)
  assert settings == dict.fromkeys(
    (
      "scratch",
      "fine-tuned from mnist_5k",
      "frozen from mnist_5k",
      "fine-tuned from mnist_5k at 0.1",
      "frozen from fashion_mnist_6k",
    ),
    2,
  )
  held = {r.trial_id: r for r in record_files.read(tmp_path).records}
  assert held == {r.trial_id: r for r in found}
  # One sweep of the folder alone names its trials as the folder does.
  for transfer in one.vary["transfer"][1:]:
    transfer.init_from.seed = 5  # has no effect, as the trial's seed holds
  plan = sweep.plan(one, tmp_path)
  assert plan.left == ()
  assert not plan.renamed
  values = plan.grown.sweep.vary["transfer"]
  assert [v.init_from and v.init_from.seed for v in values] == [
    *(None, 5, 5, 5),
    0,
  ]


def test_a_pretraining_may_become_a_setting(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  scratch = Trial(batch_size=64)
  alone = asked(
    vary={"transfer": (Transfer(init_from=scratch),)}, batch_size=64
  )
  sweep.run(alone, tmp_path)
  both = dataclasses.replace(
    alone, vary={"transfer": (Transfer(), Transfer(init_from=scratch))}
  )
  found = sweep.run(both, tmp_path)
  assert instant.runs == len(found) == 4
  assert sorted(r.varied["transfer"] for r in found) == sorted(
    2 * ["scratch", "fine-tuned"]
  )
  plan = sweep.plan(alone, tmp_path)  # and stays one
  assert not plan.renamed
  assert len(plan.grown.settings) == 4


def test_a_framework_that_is_not_installed_is_refused(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not there
  both = asked(vary={"framework": ("jax", "torch")})
  with pytest.raises(ConfigError) as error:
    sweep.plan(both, tmp_path / "run")
  line = str(error.value)
  assert line.startswith("framework torch: PyTorch is not installed")
  assert "pip install torch" in line
  assert "\n" not in line
  assert not (tmp_path / "run").exists()
  assert len(sweep.plan(asked(), tmp_path).left) == 4


def test_every_framework_is_looked_at_before_any_trial(
  tmp_path: pathlib.Path,
  instant: type[InstantWorker],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(requirements, "check_installed", lambda trial: None)
  shifts = []
  started = instant.__init__

  def start(worker: InstantWorker, meter: str, framework: str, *_: Any) -> None:
    shifts.append((framework, instant.runs))
    started(worker, meter, framework)

  monkeypatch.setattr(instant, "__init__", start)
  both = asked(vary={"framework": ("jax", "torch")}, devices=1, seeds=3)
  assert len(sweep.run(both, tmp_path)) == 6
  first = sweep.plan(both, tmp_path).trials[0].framework
  (second,) = {"jax", "torch"} - {first}
  # B is looked at and A, which stays; then the turns are A BB AA B.
  assert shifts == [
    (second, 0),
    (first, 0),
    (second, 1),
    (first, 3),
    (second, 5),
  ]


def test_what_is_shown_cannot_stop_what_is_measured(
  tmp_path: pathlib.Path,
) -> None:
  seen = []

  def watch(number: int, trial: Trial, news: Any) -> None:
    seen.append(number)
    if number == 2:
      raise OSError(28, "No space left on device")

  problem = (
    r"not shown from here on \(OSError: \[Errno 28\] No space left on device\)"
  )
  with pytest.warns(RuntimeWarning, match=problem):
    found = sweep.run(asked(), tmp_path, watch=watch)
  assert [r.status for r in found] == ["reached"] * 4
  assert seen == [1, 1, 2], "nothing is called any more"
  told = [[w for w in r.warnings if re.search(problem, w)] for r in found]
  assert list(map(len, told)) == [0, 1, 1, 1]


def test_a_sweep_stops_between_two_trials(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  plan = sweep.plan(asked(), tmp_path)
  with pytest.raises(sweep.Stopped):
    sweep.execute(plan, stop=lambda: instant.runs == 2)
  assert not instant.last.terminated
  assert len(record_files.read(tmp_path).records) == 2
  assert len(sweep.run(asked(), tmp_path)) == 4


def test_two_runs_do_not_share_a_folder(tmp_path: pathlib.Path) -> None:
  def second(number: int, trial: Trial, news: Any) -> None:
    if isinstance(news, Progress):
      with pytest.raises(ConfigError, match=r"the run on .* is writing"):
        sweep.run(asked(), tmp_path)

  assert len(sweep.run(asked(), tmp_path, watch=second)) == 4


def test_a_folder_is_claimed_before_a_worker_starts(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  """A worker takes memory and joules from the trial that is measured."""
  with locked(tmp_path), pytest.raises(ConfigError, match="is writing to"):
    sweep.run(asked(), tmp_path)
  assert not hasattr(instant, "last"), "a worker was started"


def test_a_run_refused_by_its_worker_leaves_no_folder(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def refuse(*_: object) -> None:
    raise worker.WorkerError("no GPU")

  monkeypatch.setattr(worker, "Worker", refuse)
  with pytest.raises(worker.WorkerError):
    sweep.run(asked(), tmp_path / "runs" / "batch")
  assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: pathlib.Path) -> None:
  (tmp_path / "run").write_text("")
  with pytest.raises(ConfigError, match="is a file; name a folder"):
    sweep.plan(asked(), tmp_path / "run")


def test_a_disk_too_small_is_told_after_the_first_trial(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(durable, "free_bytes", lambda _: 2**20 * 16)
  told: list[str] = []
  plan = sweep.plan(asked(), tmp_path)
  real = disk_space.bytes_a_trial
  monkeypatch.setattr(
    disk_space, "bytes_a_trial", lambda f: real(f) and 2**20 * 6
  )
  sweep.execute(plan, tell=told.append)
  assert len(told) == 1
  assert "3 more trials at 6,291,456 bytes each" in told[0]


def test_a_record_that_cannot_be_read_is_run_again(
  tmp_path: pathlib.Path, instant: type[InstantWorker]
) -> None:
  first = sweep.run(asked(), tmp_path)
  path = tmp_path / "records" / f"{first[1].trial_id}.json"
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(records.RecordError, match="without --strict"):
    sweep.plan(asked(), tmp_path, strict=True)
  plan = sweep.plan(asked(), tmp_path)
  assert [each.path for each in plan.rejected] == [path]
  assert [trial_id(trial) for trial in plan.left] == [first[1].trial_id]
  assert path.exists(), "a plan writes nothing"
  assert sweep.execute(plan) == first
  assert instant.runs == 5
  assert (tmp_path / "records" / "rejected" / path.name).exists()
  assert sweep.plan(asked(), tmp_path, strict=True).left == ()


def test_a_clock_that_jumps_harms_nothing(
  tmp_path: pathlib.Path,
  instant: type[InstantWorker],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """Back by ten years and on by ten, between trials."""
  jumps = iter(range(10**6))

  def jumping() -> float:
    return 1.8e9 + (-1) ** next(jumps) * 3.2e8

  monkeypatch.setattr(time, "time", jumping)
  found = sweep.run(asked(), tmp_path)
  for number, path in enumerate(sorted((tmp_path / "records").iterdir())):
    os.utime(path, (0, (-1) ** number * 1e8))
  assert sweep.run(asked(), tmp_path) == found
  assert instant.runs == 4
