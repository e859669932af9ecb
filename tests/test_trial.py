import dataclasses
import itertools
import math
import pathlib
import time
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pyarrow.parquet as pq
import pytest

from jaxpower import accounting, data, records, trial
from jaxpower.compiling import Compiled
from jaxpower.config import Model, Optimizer, Transfer, Trial, trial_id
from jaxpower.idle import LASTS_SECONDS, Idle, measured_by
from jaxpower.learn import wing as learn_wing
from jaxpower.learn.devices import make_mesh, replicated
from jaxpower.learn.spec import Spec
from jaxpower.learn.state import fresh_state
from jaxpower.messages import Progress
from jaxpower.power import (
  Load,
  Monitor,
  SensorModel,
  SimulatedSource,
  Window,
)
from jaxpower.records import Compilation, TrialRecord
from jaxpower.resume import Part
from jaxpower.weights import WeightsError

EASY = Trial(
  model=Model(width=0.25),
  optimizer=Optimizer(learning_rate=0.01),
  batch_size=64,
  evaluate_every_examples=512,
  budget_examples=2_048,
  target_accuracy=0.5,
  idle_seconds=0.05,
  devices=1,
  crossing="first",
)
WATTS = 100.0


@pytest.fixture(scope="module")
def cache() -> dict[Spec, Compiled]:
  """Executables, shared by the tests as by the trials of a worker."""
  return {}


@pytest.fixture
def run(
  tmp_path: pathlib.Path,
  cache: dict[Spec, Compiled],
  monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., TrialRecord]:
  """Runs a trial under a meter that reads 100 W all the time."""
  monkeypatch.setattr(trial, "INFER_PERIODS", 0.1)

  def run(
    config: Trial,
    tell: Any = lambda progress: None,
    cache: dict[Spec, Compiled] = cache,
    compile_repeats: int = 1,
    idle: Idle | None = None,
  ) -> TrialRecord:
    with Monitor(
      [SimulatedSource(WATTS)], wait=jax.block_until_ready
    ) as monitor:
      return trial.run(
        config,
        {"batch_size": config.batch_size},
        monitor=monitor,
        cache=cache,
        folder=tmp_path,
        provenance={"host": "node-17"},
        tell=tell,
        compile_repeats=compile_repeats,
        idle=idle,
      )

  return run


def test_a_constant_meter_gives_exact_joules(
  run: Callable[..., TrialRecord],
) -> None:
  record = run(EASY)
  assert record.status == "reached", record
  assert record.joules_to_accuracy == pytest.approx(
    WATTS * (record.seconds_to_accuracy or 0)
  )
  for phase, seconds in record.seconds_by_phase.items():
    assert record.joules_by_phase[phase] == pytest.approx(WATTS * seconds)
  assert list(record.seconds_by_phase) == [
    "setup",
    "idle",
    "compile",
    "warmup",
    "eval",
    "train",
    "test",
    "infer",
    "checkpoint",
  ]
  assert record.idle_watts == pytest.approx(WATTS)
  assert record.active_joules_to_accuracy == pytest.approx(0, abs=1e-6)
  assert not record.partial
  assert not record.estimated
  assert record.provenance["host"] == "node-17"
  assert record.data_wait_seconds == 0  # the whole set lies on the device
  assert record.infer_examples is not None
  assert record.infer_examples % 1000 == 0
  assert records.from_json(records.to_json(record)).config == record.config


def test_idle_power_of_a_trial_of_the_same_minute_is_taken(
  run: Callable[..., TrialRecord],
) -> None:
  began = time.monotonic()
  first = run(EASY)
  idle = measured_by(EASY, first, began)
  second = run(dataclasses.replace(EASY, seed=1), idle=idle)
  assert "idle" not in second.seconds_by_phase
  assert second.idle_watts == first.idle_watts
  assert second.active_joules_to_accuracy == pytest.approx(0, abs=1e-6)
  assert first.idle_seconds_ago is None
  assert second.idle_seconds_ago == pytest.approx(
    first.wall_seconds, rel=0.2, abs=0.5
  )
  assert idle is not None
  old = dataclasses.replace(idle, monotonic_seconds=began - LASTS_SECONDS)
  assert "idle" in run(EASY, idle=old).seconds_by_phase


def test_a_trial_beside_other_work_says_so(
  run: Callable[..., TrialRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
  asked = []

  def busy(windows: list[Window]) -> Load:
    asked.extend(window.name for window in windows)
    return Load(64.0, 0.0)

  monkeypatch.setattr(trial, "mean_load", busy)
  record = run(EASY)
  assert set(asked) == {"train"}
  assert "other work kept" in record.warnings[-1]
  assert record.warnings[-1].endswith("mend: run on a quiet machine")
  if record.other_load_cores is not None:  # /proc/stat can be read
    assert set(record.other_load_cores) == set(record.seconds_by_phase)


def test_the_same_seed_trains_the_same_and_compiles_once(
  run: Callable[..., TrialRecord], cache: dict[Spec, Compiled]
) -> None:
  first, second = run(EASY), run(EASY)
  assert [e.accuracy for e in first.curve] == [e.accuracy for e in second.curve]
  assert second.compile is not None
  assert first.compile is not None
  assert second.compile.cache_hit
  assert second.compile.joules == first.compile.joules
  (once,) = first.compile.repeats
  assert once.joules == first.compile.joules
  other = run(dataclasses.replace(EASY, seed=1))
  assert [e.loss for e in other.curve] != [e.loss for e in first.curve]
  assert len(cache) == 1


def test_compiling_is_repeated_only_by_the_trial_that_compiles(
  run: Callable[..., TrialRecord],
) -> None:
  own: dict[Spec, Compiled] = {}
  first = run(EASY, cache=own, compile_repeats=3)
  second = run(EASY, cache=own, compile_repeats=3)
  assert first.compile is not None
  cost, *others = first.compile.repeats
  assert (cost.seconds, cost.joules) == (
    first.compile.seconds,
    first.compile.joules,
  )
  assert first.seconds_by_phase["compile"] == cost.seconds
  assert len(others) == 2
  for repeat in others:  # each from nothing, not from what was kept
    assert 0.2 < repeat.seconds / cost.seconds < 5
    assert repeat.joules == pytest.approx(WATTS * repeat.seconds)
  assert first.seconds_by_phase["compile_repeat"] == pytest.approx(
    sum(repeat.seconds for repeat in others)
  )
  assert second.compile == dataclasses.replace(first.compile, cache_hit=True)
  assert "compile_repeat" not in second.seconds_by_phase


def test_evaluation_falls_at_equal_examples_for_every_batch_size(
  run: Callable[..., TrialRecord],
) -> None:
  hard = dataclasses.replace(EASY, target_accuracy=1.0)
  small, large = run(hard), run(dataclasses.replace(hard, batch_size=512))
  assert [e.examples for e in small.curve] == [0, 512, 1024, 1536, 2048]
  assert [e.examples for e in large.curve] == [0, 512, 1024, 1536, 2048]
  assert (small.status, large.status) == ("missed", "missed")
  assert (small.steps, large.steps) == (32, 4)


def test_training_past_the_target_costs_more_than_reaching_it(
  run: Callable[..., TrialRecord],
) -> None:
  stopped = run(EASY)
  past = run(dataclasses.replace(EASY, stop_at_target=False))
  assert past.status == stopped.status == "reached"
  assert past.examples == EASY.budget_examples > (stopped.examples or 0)
  first = len(stopped.curve) - 1
  # The same updates, so the same accuracies until the target was met.
  assert [e.accuracy for e in past.curve[: first + 1]] == [
    e.accuracy for e in stopped.curve
  ]
  assert past.joules_to_accuracy == past.curve[first].train_joules
  assert past.train_joules == pytest.approx(WATTS * (past.train_seconds or 0))
  assert (past.train_joules or 0) > (past.joules_to_accuracy or 0)


def test_the_validation_set_decides_and_the_test_set_is_seen_once(
  run: Callable[..., TrialRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
  looks, evaluate = [], learn_wing.evaluate

  def watched(programs: Any, state: Any, placed: Any, split: str) -> Any:
    looks.append((split, int(state.step)))
    return evaluate(programs, state, placed, split)

  monkeypatch.setattr(learn_wing, "evaluate", watched)
  record = run(dataclasses.replace(EASY, crossing="confirmed"))
  steps = [evaluation.steps for evaluation in record.curve]
  # Warm-up looks once, at a copy that has trained a segment; infer looks at
  # the test set for its own sake, and decides nothing.
  assert looks[: len(steps) + 2] == [
    ("validation", 8),
    *(("validation", step) for step in steps),
    ("test", steps[-1]),
  ]
  assert {split for split, _ in looks[len(steps) + 2 :]} == {"test"}
  assert record.decided_by == "validation"
  assert (record.validation_examples, record.test_examples) == (600, 1000)
  p, error = record.test_accuracy, record.test_accuracy_standard_error
  assert p is not None
  assert error == pytest.approx((p * (1 - p) / 1000) ** 0.5)
  assert p != record.final_accuracy
  assert abs(p - (record.final_accuracy or 0)) < 0.1
  assert record.looks_to_target == len(record.curve) - 2
  accuracies = [evaluation.accuracy or 0 for evaluation in record.curve[-2:]]
  assert min(accuracies) >= EASY.target_accuracy
  assert all((600 * a) % 1 < 1e-3 or (600 * a) % 1 > 0.999 for a in accuracies)


def test_without_a_validation_share_the_test_set_decides_as_before(
  run: Callable[..., TrialRecord], cache: dict[Spec, Compiled]
) -> None:
  record = run(dataclasses.replace(EASY, validation_share=0.0))
  assert (record.decided_by, record.test_accuracy) == ("test", None)
  assert (record.validation_examples, record.test_examples) == (0, 1000)
  assert "test" not in record.seconds_by_phase
  # A larger share is other numbers to decide by and other examples to learn.
  other = run(dataclasses.replace(EASY, validation_share=0.5))
  assert other.validation_examples == 3000
  assert other.curve[1].loss != record.curve[1].loss


def test_patience_ends_a_trial_that_no_longer_improves(
  run: Callable[..., TrialRecord],
) -> None:
  still = dataclasses.replace(
    EASY, patience=1, optimizer=Optimizer(learning_rate=1e-12)
  )
  record = run(still)
  assert (record.status, record.examples) == ("missed", 512)
  assert record.joules_to_accuracy is None


def test_a_share_of_the_data_trains_otherwise_and_compiles_nothing(
  run: Callable[..., TrialRecord], cache: dict[Spec, Compiled]
) -> None:
  whole = run(EASY)
  compiled = len(cache)
  share = run(dataclasses.replace(EASY, data_share=0.02))
  assert len(cache) == compiled
  assert [e.loss for e in share.curve[1:]] != [e.loss for e in whole.curve[1:]]
  spec, *_ = [s for s in cache if s.batch_size == EASY.batch_size]
  assert ("train.input", (6000, 28, 28, 1), "uint8") in spec.shapes


def test_a_trial_begins_with_the_backbone_of_another(
  run: Callable[..., TrialRecord],
  cache: dict[Spec, Compiled],
  tmp_path: pathlib.Path,
) -> None:
  source = run(EASY)
  compiled = len(cache)
  tuned = dataclasses.replace(EASY, transfer=Transfer(init_from=EASY))
  tuned_record = run(tuned)
  assert len(cache) == compiled  # the same program, begun elsewhere
  assert (tuned_record.init_from, tuned_record.pretrained) == (
    source.trial_id,
    None,
  )
  # A fresh head knows no class yet.
  assert (tuned_record.curve[0].accuracy or 0) < 0.25
  assert tuned_record.curve[0].loss != source.curve[0].loss
  path = str(tmp_path / (source.checkpoint or ""))
  named = run(dataclasses.replace(EASY, transfer=Transfer(weights=path)))
  assert named.init_from is None
  assert named.pretrained is not None
  assert (named.pretrained["path"], named.pretrained["joules"]) == (path, None)
  assert [e.loss for e in named.curve] == [e.loss for e in tuned_record.curve]
  next((tmp_path / (source.checkpoint or "")).rglob("manifest.ocdbt")).unlink()
  with pytest.raises(WeightsError, match=r"manifest\.ocdbt is missing"):
    run(tuned)


def test_several_tasks_are_told_each_by_name(
  run: Callable[..., TrialRecord],
) -> None:
  both = dataclasses.replace(
    EASY,
    batch_size=32,
    data="imu",
    tasks=("subject", "label"),
    targets={"subject": 0.11},
    target_accuracy=0.35,
  )
  record = run(both)
  assert record.status == "reached", record
  for look in record.curve:
    assert list(look.accuracies) == ["subject", "label"]
    assert look.accuracy == pytest.approx(sum(look.accuracies.values()) / 2)
  last = record.curve[-1].accuracies
  assert last["label"] >= 0.35 > last["subject"] >= 0.11, "told apart"
  assert record.target_accuracy == pytest.approx(0.23)
  assert (
    records.from_json(records.to_json(record)).curve[1:] == record.curve[1:]
  )


def test_divergence_ends_the_trial(run: Callable[..., TrialRecord]) -> None:
  wild = dataclasses.replace(EASY, optimizer=Optimizer(learning_rate=1e30))
  record = run(wild)
  assert record.status == "diverged"
  assert record.examples == 512
  assert record.joules_to_accuracy is None
  assert record.train_joules == pytest.approx(
    WATTS * (record.train_seconds or 0)
  )


def test_weights_and_timeline_are_kept(
  run: Callable[..., TrialRecord],
  tmp_path: pathlib.Path,
  cache: dict[Spec, Compiled],
) -> None:
  from jaxpower.learn import checkpoint

  record = run(EASY)
  assert record.checkpoint is not None
  spec, *_ = [s for s in cache if s.batch_size == EASY.batch_size]
  state = checkpoint.restore(
    tmp_path / record.checkpoint,
    fresh_state(spec, 0),
    replicated(make_mesh(1)),
  )
  assert int(state.step) == record.steps
  path = tmp_path / "timelines" / f"{trial_id(EASY)}.parquet"
  samples = pq.read_table(path).to_pydict()
  windows = pq.read_table(path.with_suffix(".windows.parquet")).to_pydict()
  train = [
    joules
    for phase, joules in zip(windows["phase"], windows["joules"], strict=True)
    if phase == "train"
  ]
  assert sum(train) == pytest.approx(record.train_joules)
  metadata = pq.read_schema(path).metadata
  assert metadata[b"started_utc"].decode() == record.started_utc
  origin = record.monotonic_origin_seconds
  assert float(metadata[b"monotonic_origin_seconds"]) == origin
  # The origin is before the first window, and on the windows' clock.
  assert origin is not None and 0 < windows["start_seconds"][0] - origin < 60
  # The windows can be recomputed from the readings, which are cumulative.
  known = [
    (t, j)
    for t, j in zip(samples["seconds"], samples["joules"], strict=True)
    if j is not None
  ]
  assert len(known) >= 2
  (t0, j0), (t1, j1) = known[0], known[-1]
  assert (j1 - j0) / (t1 - t0) == pytest.approx(WATTS, rel=1e-6)


def test_progress_is_told_phase_by_phase(
  run: Callable[..., TrialRecord],
) -> None:
  heard: list[Progress] = []
  record = run(EASY, heard.append)
  phases = [key for key, _ in itertools.groupby(p.phase for p in heard)]
  assert phases == [
    "setup",
    "idle",
    "compile",
    "warmup",
    "train",
    "test",
    "infer",
    "checkpoint",
  ]
  trained = [p for p in heard if p.phase == "train"]
  assert [p.accuracy for p in trained] == [e.accuracy for e in record.curve]
  assert trained[-1].joules == pytest.approx(record.train_joules, rel=0.2)


def test_the_window_closes_on_the_arrays_not_on_the_call() -> None:
  # A call returns before its work is done; the window must not.
  @jax.jit
  def work(x: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 400, lambda _, y: jnp.tanh(y @ y), x)

  matrix = jnp.ones((300, 300)) / 300
  jax.block_until_ready(work(matrix))
  with Monitor([SimulatedSource(WATTS)], wait=jax.block_until_ready) as monitor:
    result = monitor.measure("train", work, matrix)
    assert result.is_ready()
    (window,) = monitor.windows()
  assert window.joules == pytest.approx(WATTS * window.seconds)


def test_a_streamed_trial_is_the_same_and_counts_its_wait(
  run: Callable[..., TrialRecord],
) -> None:
  resident = run(EASY)
  streamed = run(dataclasses.replace(EASY, streaming="always"))
  assert [e.accuracy for e in streamed.curve] == [
    e.accuracy for e in resident.curve
  ]
  assert streamed.joules_to_accuracy == pytest.approx(
    WATTS * (streamed.seconds_to_accuracy or 0)
  )
  assert streamed.compile is not None
  assert not streamed.compile.cache_hit
  assert 0 < (streamed.data_wait_seconds or 0) < (streamed.train_seconds or 0)


@pytest.mark.parametrize("framework", ["jax", "torch"])
@pytest.mark.parametrize("streaming", ["auto", "never", "always"])
def test_a_set_that_may_stay_on_disk_is_not_read_whole(
  framework: str, streaming: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  whole, loads = data.load("digits"), []

  def load(name: str, *, mapped: bool, validation_share: float) -> data.DataSet:
    loads.append((name, mapped, validation_share))
    return whole

  monkeypatch.setattr(data, "load", load)
  wing: Any = types.SimpleNamespace(place=lambda trial, sets: sets)
  config = dataclasses.replace(
    EASY, data="digits", framework=framework, streaming=streaming
  )
  placed: Any = trial._place_data(wing, config)
  assert placed.train["input"] is whole.train["input"]
  assert loads == [("digits", streaming != "never", 0.1)]


def test_features_are_computed_once_and_counted_with_training(
  run: Callable[..., TrialRecord],
) -> None:
  source = dataclasses.replace(EASY, target_accuracy=0.1)
  run(source)
  frozen = Transfer(init_from=source, freeze=True, features="once")
  record = run(
    dataclasses.replace(
      EASY, batch_size=128, target_accuracy=1.0, transfer=frozen
    )
  )
  phases = record.seconds_by_phase
  assert [p for p in phases if p in ("warmup", "features", "train")] == [
    "warmup",
    "features",
    "train",
  ]
  assert record.train_seconds == pytest.approx(
    phases["features"] + phases["train"]
  )
  assert record.train_joules == pytest.approx(
    WATTS * (phases["features"] + phases["train"])
  )
  # The pass comes before the first look, and so does its energy.
  assert record.curve[0].examples == 0
  assert record.curve[0].train_joules == pytest.approx(
    WATTS * phases["features"]
  )
  assert record.best_accuracy is not None and record.best_accuracy > 0.2


def test_steps_in_time_with_a_power_sensor_are_told_in_the_record() -> None:
  """Board without counter: each update falls on the same part of a step."""
  every, steps = 0.1, 16
  config = dataclasses.replace(
    EASY, evaluate_every_examples=64 * steps, budget_examples=64 * steps
  )

  def work(*_: Any) -> None:
    start = time.monotonic()
    for step in range(1, steps + 1):
      time.sleep(max(0.0, start + step * every - time.monotonic()))

  wing: Any = types.SimpleNamespace(
    train=lambda *_: (work(), 0.5, 0.0),
    evaluate=lambda *_: work() or {"loss": 0.5, "accuracy": 0.1},
  )
  placed: Any = types.SimpleNamespace(passes={"validation": steps})

  def watts(seconds: float) -> float:
    """A half of each step at work; it swings slowly, as real power does."""
    level = 250.0 if seconds % every < every / 2 else 50.0
    return level + 20.0 * math.sin(9.0 * seconds)

  source = SimulatedSource(
    watts,
    sensor=SensorModel(power_period=every, phase=0.01, has_counter=False),
  )
  with Monitor([source]) as monitor:
    context: Any = types.SimpleNamespace(
      trial=config,
      wing=wing,
      monitor=monitor,
      journal=types.SimpleNamespace(look=lambda *_, **__: None),
      checkpoint_seconds=0.0,
      tell=lambda _: None,
      stop=lambda: False,
    )
    prepared = trial.Prepared(placed, None, None, None, 0, Part(), placed)
    _, done = trial._train(context, prepared)
    windows = monitor.windows()
  assert [w.name for w in windows] == ["eval", "train", "eval"]
  for window in windows:
    assert any("in resonance" in reason for reason in window.reasons), window
  made = Compilation(seconds=0.0, joules=None)
  record = accounting.record(config, {}, done.results, windows, made)
  assert record.partial and record.train_joules_bound is None
  assert any("in resonance" in reason for reason in record.reasons)


def test_a_wing_knows_the_passes_of_an_evaluation(
  run: Callable[..., TrialRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
  """A segment is 8 steps; a pass on CPUs an eighth of the 600 that decide."""
  asked = {}
  measured = Monitor.measured

  def noted(self: Monitor, phase: str, *, steps: int | None = None) -> Any:
    asked.setdefault(phase, steps)
    return measured(self, phase, steps=steps)

  monkeypatch.setattr(Monitor, "measured", noted)
  run(EASY)
  assert (asked["train"], asked["eval"], asked["test"]) == (8, 8, 14)


def test_counting_operations_is_paid_for_in_the_setup(
  run: Callable[..., TrialRecord],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """Lowering once more took 0.3 to 0.5 s, in no window."""
  phases: list[str] = []
  measure = Monitor.measure

  def noted(self: Monitor, phase: str, call: Any, *args: Any) -> Any:
    if getattr(call, "__name__", "") == "flops_per_step":
      phases.append(phase)
    return measure(self, phase, call, *args)

  monkeypatch.setattr(Monitor, "measure", noted)
  cache: dict[Spec, Compiled] = {}
  counts = {run(EASY, cache=cache).flops_per_step for _ in range(2)}
  assert phases == ["setup"]
  assert len(counts) == 1 and None not in counts
