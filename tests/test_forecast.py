"""What trials will cost, judged by those that ended."""

import dataclasses
import time

import pytest

from jaxpower.config import Sweep, to_dict, trial_id
from jaxpower.forecast import forecast, settings_of
from jaxpower.plan.grid import expand
from jaxpower.records import TrialRecord

SWEEP = Sweep(vary={"batch_size": (64, 16, 1024)}, seeds=2)
TRIALS = {trial_id(trial): trial for trial in expand(SWEEP)}
VARIED = {n: {"batch_size": t.batch_size} for n, t in TRIALS.items()}
SETTINGS = settings_of(TRIALS, VARIED)


def name(batch: int, seed: int = 0) -> str:
  return next(
    name
    for name, trial in TRIALS.items()
    if (trial.batch_size, trial.seed) == (batch, seed)
  )


def record(batch: int, seed: int = 0, **facts) -> TrialRecord:
  trial = TRIALS[name(batch, seed)]
  return dataclasses.replace(
    TrialRecord(
      trial_id=trial_id(trial),
      config=to_dict(trial),
      varied={},
      seed=seed,
      framework="jax",
      status="reached",
      target_accuracy=0.8,
      wall_seconds=30.0,
      seconds_by_phase={"compile": 10.0, "train": 15.0, "eval": 5.0},
      joules_by_phase={"compile": 100.0, "train": 300.0, "eval": 50.0},
    ),
    **facts,
  )


def test_before_any_trial_nothing_is_known() -> None:
  judged = forecast(SETTINGS, [])
  cost, lacking = judged.together(TRIALS)
  assert (cost.seconds, cost.joules, lacking) == (None, None, 6)
  failed = forecast(SETTINGS, [record(64, status="failed")])
  assert failed.of(name(64)).seconds is None


def test_a_trial_costs_what_other_seeds_of_its_setting_did() -> None:
  slower = {"compile": 10.0, "train": 35.0, "eval": 5.0}
  ended = [
    record(64),
    record(64, 1, wall_seconds=50.0, seconds_by_phase=slower),
    record(16, wall_seconds=39.0),
  ]
  judged = forecast(SETTINGS, ended)
  assert judged.of(name(64)).seconds == pytest.approx(40.0)
  assert judged.of(name(64)).joules == pytest.approx(450.0)
  assert judged.of(name(16)).seconds == pytest.approx(39.0)
  assert judged.judged([name(64), name(1024)]) == 1


def test_a_new_setting_costs_what_its_nearest_neighbours_did() -> None:
  ended = [record(16, wall_seconds=100.0), record(64, wall_seconds=40.0)]
  judged = forecast(SETTINGS, ended)
  # By rank, in whatever order the sweep names them: 64 stands beside 1024.
  assert judged.of(name(1024)).seconds == pytest.approx(40.0)
  between = forecast(SETTINGS, [record(16), record(1024, wall_seconds=50.0)])
  assert between.of(name(64)).seconds == pytest.approx(40.0)


def test_what_is_done_once_for_a_setting_is_counted_once() -> None:
  phases = {"setup": 2.0, "compile": 9.0, "train": 15.0, "eval": 2.0}
  first = record(
    64,
    seconds_by_phase=phases,
    joules_by_phase={**phases, "compile": 90.0},
  )
  judged = forecast(SETTINGS, [first])
  two, _ = judged.together([name(64), name(64, 1)])
  assert two.seconds == pytest.approx(30 + 30 - 13)  # with 2 s in no phase
  assert two.joules == pytest.approx(109 + 109 - 92)
  number = SETTINGS.numbers[name(64)]
  more, _ = judged.together([name(64), name(16)], prepared={number})
  assert more.seconds == pytest.approx(17 + 30), "another setting is prepared"
  assert judged.of(name(64), prepared=True).seconds == pytest.approx(17.0)
  # As soon as one setting has run twice it is known what a second trial takes.
  later = record(
    64, 1, wall_seconds=18.0, seconds_by_phase={"setup": 1.0, "train": 17.0}
  )
  judged = forecast(SETTINGS, [first, later])
  assert judged.of(name(64), prepared=True).seconds == pytest.approx(18.0)
  assert judged.of(name(16), prepared=True).seconds == pytest.approx(18.0)


def test_training_grows_with_the_budget_and_compiling_does_not() -> None:
  sweep = Sweep(vary={"budget_examples": (8_192, 16_384)}, seeds=1)
  trials = {trial_id(trial): trial for trial in expand(sweep)}
  small, large = sorted(trials, key=lambda n: trials[n].budget_examples)
  varied = {
    n: {"budget_examples": t.budget_examples} for n, t in trials.items()
  }
  ended = dataclasses.replace(
    record(64), trial_id=small, config=to_dict(trials[small])
  )
  judged = forecast(settings_of(trials, varied), [ended])
  assert judged.of(large).seconds == pytest.approx(10 + 2 * 20)
  assert judged.of(large).joules == pytest.approx(100 + 2 * 350)


def test_a_probe_tells_the_cost_of_whole_budgets() -> None:
  trial = TRIALS[name(64)]
  short = dataclasses.replace(trial, budget_examples=trial.budget_examples // 4)
  probe = dataclasses.replace(
    record(64), trial_id=trial_id(short), config=to_dict(short)
  )
  assert forecast(SETTINGS, [probe]).of(name(64)).seconds is None
  judged = forecast(SETTINGS, [probe], {probe.trial_id: name(64)})
  assert judged.of(name(64)).seconds == pytest.approx(10 + 4 * 20)


def test_unknown_joules_are_not_zero() -> None:
  lost = record(64, joules_by_phase={"train": None, "eval": 5.0})
  judged = forecast(SETTINGS, [lost, record(16)])
  assert judged.of(name(64)).seconds == pytest.approx(30.0)
  assert judged.of(name(64)).joules is None
  assert judged.of(name(16)).joules == pytest.approx(450.0)
  cost, lacking = judged.together([name(64), name(16)])
  assert (cost.seconds, cost.joules, lacking) == (pytest.approx(60), None, 0)


def test_a_pretraining_is_no_neighbour_of_a_trial() -> None:
  settings = settings_of(TRIALS, VARIED, [name(16), name(16, 1)])
  judged = forecast(settings, [record(64)])
  assert judged.of(name(16)).seconds is None
  assert judged.of(name(1024)).seconds == pytest.approx(30.0)
  assert judged.together(TRIALS)[1] == 2


def test_words_have_no_order_and_are_far_apart() -> None:
  sweep = Sweep(
    vary={"optimizer.name": ("adam", "sgd"), "batch_size": (16, 64, 256)},
    seeds=1,
  )
  trials = {trial_id(trial): trial for trial in expand(sweep)}
  varied = {
    n: {"optimizer.name": t.optimizer.name, "batch_size": t.batch_size}
    for n, t in trials.items()
  }
  of = {(t.optimizer.name, t.batch_size): n for n, t in trials.items()}
  ended = [
    record(64, trial_id=of["sgd", 16], wall_seconds=40.0),
    record(64, trial_id=of["adam", 256], wall_seconds=90.0),
  ]
  judged = forecast(settings_of(trials, varied), ended)
  assert judged.of(of["sgd", 256]).seconds == pytest.approx(40.0)


def test_ten_thousand_settings_are_judged_at_once() -> None:
  rates = [1e-6 * step for step in range(10_000)]
  (trial, *_) = TRIALS.values()
  names = [f"{number:012d}" for number in range(10_000)]
  settings = settings_of(
    dict.fromkeys(names, trial),
    {n: {"rate": r} for n, r in zip(names, rates, strict=True)},
  )
  ended = [record(64, trial_id=name) for name in names[::2]]
  began = time.process_time()
  judged = forecast(settings, ended)
  assert time.process_time() - began < 2.0  # seconds; 0.1 on a quiet machine
  assert judged.together(names)[1] == 0
