import copy
import dataclasses
import gzip
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from jaxpower import config, records, requirements, sweep, weights, worker
from jaxpower.config import ConfigError, Model, Sweep, Transfer, Trial, trial_id
from jaxpower.data import DataError
from jaxpower.messages import Done, Progress, Ready
from jaxpower.records import Status, TrialRecord

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

  def __init__(self, meter: str, framework: str = "jax"):
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
    self, trial: Trial, varied: dict[str, Any], folder: pathlib.Path
  ) -> Iterator[Progress | Done]:
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
  path = tmp_path / sweep.RECORDS
  before = path.read_bytes()
  assert sweep.run(asked(), tmp_path) == found
  assert path.read_bytes() == before
  assert instant.runs == 4


def test_the_folder_says_what_was_asked(tmp_path: pathlib.Path) -> None:
  found = sweep.run(asked(), tmp_path)
  held = json.loads((tmp_path / sweep.SWEEP).read_text())
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
  assert len(records.read(tmp_path / sweep.RECORDS)) == 2
  plan = sweep.plan(asked(), tmp_path)
  assert len(plan.left) == 2
  assert plan.expected_seconds == 20.0
  assert len(sweep.execute(plan)) == 4
  assert instant.runs == 4  # none that was recorded ran again


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
  assert len(records.read(tmp_path / sweep.RECORDS)) == 5


def test_a_sweep_does_not_go_on_beside_an_archive(
  tmp_path: pathlib.Path,
) -> None:
  sweep.run(asked(), tmp_path)
  path = tmp_path / sweep.RECORDS
  packed = path.with_name(f"{path.name}.gz")
  packed.write_bytes(gzip.compress(path.read_bytes()))
  path.unlink()
  for _ in ("with its sweep.json", "without it"):
    with pytest.raises(ConfigError, match=r"jsonl\.gz is an archive.*gunzip"):
      sweep.run(asked(), tmp_path)
    (tmp_path / sweep.SWEEP).unlink(missing_ok=True)
  assert not path.exists()


@pytest.mark.parametrize(
  ("change", "meter", "message"),
  [
    ({"seeds": 5}, "auto", "(seeds: 2 -> 5)"),
    ({"target_accuracy": 0.9}, "auto", "(target_accuracy: 0.8 -> 0.9)"),
    ({}, "nvml", "(meter: auto -> nvml)"),
  ],
)
def test_another_config_in_the_same_folder_is_refused(
  tmp_path: pathlib.Path, change: dict[str, Any], meter: str, message: str
) -> None:
  sweep.run(asked(), tmp_path)
  before = (tmp_path / sweep.RECORDS).read_bytes()
  with pytest.raises(ConfigError) as error:
    sweep.run(dataclasses.replace(asked(), **change), tmp_path, meter=meter)
  assert message in str(error.value)
  assert "--out" in str(error.value)
  assert (tmp_path / sweep.RECORDS).read_bytes() == before


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
      {"vary": {"batch_size": (64, 8)}, "accumulation": 4},
      ConfigError,
      "batch_size 8: not a multiple of 4 times the 4 devices",
    ),
    ({"data": "fashion_mnits"}, DataError, "fashion_mnist"),
    (
      {"vary": {"batch_size": (2,)}},
      ConfigError,
      "batch_size 2: not a multiple of the 4 devices",
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
  held = sweep.read_sweep(tmp_path)
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

  def start(worker: InstantWorker, meter: str, framework: str) -> None:
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


def test_two_runs_do_not_share_a_folder(tmp_path: pathlib.Path) -> None:
  def second(number: int, trial: Trial, news: Any) -> None:
    if isinstance(news, Progress):
      with pytest.raises(ConfigError, match="another run is writing"):
        sweep.run(asked(), tmp_path)

  assert len(sweep.run(asked(), tmp_path, watch=second)) == 4


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_sweep_file_is_refused(
  tmp_path: pathlib.Path, content: str
) -> None:
  sweep.run(asked(), tmp_path)
  (tmp_path / sweep.SWEEP).write_text(content)
  with pytest.raises(ConfigError, match=r"sweep\.json is damaged"):
    sweep.plan(asked(), tmp_path)


def test_a_file_is_no_folder(tmp_path: pathlib.Path) -> None:
  (tmp_path / "run").write_text("")
  with pytest.raises(ConfigError, match="is a file; name a folder"):
    sweep.plan(asked(), tmp_path / "run")
