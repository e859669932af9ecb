from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import checks, grid
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Transfer,
  Trial,
  trial_id,
)


def test_expand_makes_every_combination_with_every_seed() -> None:
  sweep = Sweep(
    vary={"batch_size": (16, 64), "optimizer.learning_rate": (0.1, 0.01)},
    seeds=3,
  )
  found = {
    (t.batch_size, t.optimizer.learning_rate, t.seed)
    for t in grid.expand(sweep)
  }
  assert found == {
    (batch, rate, seed)
    for batch in (16, 64)
    for rate in (0.1, 0.01)
    for seed in range(3)
  }


def test_the_order_is_random_and_recorded() -> None:
  sweep = Sweep(vary={"batch_size": (16, 32, 64, 128)}, seeds=5)
  order = [trial_id(trial) for trial in grid.expand(sweep)]
  assert order == [trial_id(trial) for trial in grid.expand(sweep)]
  sweep.order_seed = 1
  other = [trial_id(trial) for trial in grid.expand(sweep)]
  assert order != other
  assert sorted(order) == sorted(other)


def test_frameworks_take_turns_whose_order_turns_round() -> None:
  sweep = Sweep(
    vary={"batch_size": (16, 32, 64), "framework": ("jax", "torch")}, seeds=4
  )
  order = grid.expand(sweep)
  assert len({trial_id(trial) for trial in order}) == 24
  turns = [order[i : i + 3] for i in range(0, 24, 3)]
  a, b = turns[0][0].framework, turns[1][0].framework
  assert {a, b} == {"jax", "torch"}
  assert [turn[0].framework for turn in turns] == [a, b, b, a, a, b, b, a]
  assert [turn[0].seed for turn in turns] == [0, 0, 1, 1, 2, 2, 3, 3]
  for turn in turns:
    assert len({(t.framework, t.seed) for t in turn}) == 1
    assert {t.batch_size for t in turn} == {16, 32, 64}
  batches = {tuple(t.batch_size for t in turn) for turn in turns}
  assert len(batches) > 1  # random inside a turn
  assert [trial_id(t) for t in grid.expand(sweep)] == [
    trial_id(t) for t in order
  ]


@pytest.mark.parametrize(
  "asked",
  [
    {"devices": 2},
    {"streaming": "always"},
    {"data": "imu", "tasks": ("label", "subject")},
  ],
)
@pytest.mark.parametrize("framework", ["jax", "torch", "torch_compile"])
def test_every_framework_takes_it(
  framework: str, asked: dict[str, Any]
) -> None:
  grid.expand(Sweep(framework=framework, **asked))


def test_trials_share_nothing() -> None:
  first, second, *_ = grid.expand(Sweep(seeds=2))
  first.optimizer.learning_rate = 5.0
  assert second.optimizer.learning_rate == 1e-3


def test_a_pretraining_has_the_seed_of_its_trial() -> None:
  pretraining = Trial(data="mnist_5k", seed=9)
  sweep = Sweep(
    vary={
      "transfer": (Transfer(), Transfer(init_from=pretraining)),
      "data_share": (0.1, 1),
    },
    seeds=3,
  )
  trials = grid.expand(sweep)
  sources = [(t.seed, t.transfer.init_from) for t in trials]
  found = {(seed, s.seed, trial_id(s)) for seed, s in sources if s is not None}
  assert len(trials) == 12
  assert sorted(pair[:2] for pair in found) == [(0, 0), (1, 1), (2, 2)]
  assert pretraining.seed == 9


def test_a_whole_number_is_taken_for_a_float() -> None:
  one, other = Sweep(seeds=1), Sweep(seeds=1)
  one.optimizer.learning_rate = 1  # as a config file may say
  other.optimizer.learning_rate = 1.0
  assert [trial_id(t) for t in grid.expand(one)] == [
    trial_id(t) for t in grid.expand(other)
  ]


def make(**fields: Any) -> Callable[[], Sweep]:
  return lambda: Sweep(**fields)


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (make(target_accuracy=1.2), "target_accuracy 1.2: must lie between"),
    (make(target_accuracy=0.0), "target_accuracy 0.0: must lie between"),
    (make(seeds=0), "seeds 0: must be at least 1"),
    (make(seeds="3"), "seeds = '3': must be an int"),
    (make(seeds=True), "seeds = True: must be an int"),
    (make(batch_size=0), "batch_size 0: must be at least 1"),
    (make(batch_size=16.0), "batch_size = 16.0: must be an int"),
    (make(model=Model(name="cn")), "unknown model 'cn'; did you mean cnn?"),
    (make(model=Model(width=0.0)), "model.width 0.0: must be above 0"),
    (
      make(optimizer=Optimizer(name="adm")),
      "unknown optimizer 'adm'; did you mean adam?",
    ),
    (
      make(optimizer=Optimizer(schedule="cosin")),
      "unknown optimizer schedule 'cosin'; did you mean cosine?",
    ),
    (
      make(optimizer=Optimizer(learning_rate=float("nan"))),
      "optimizer.learning_rate = nan: must be a finite number",
    ),
    (make(precision="float16"), "unknown precision 'float16'"),
    (make(framework="torc"), "unknown framework 'torc'"),
    (make(budget_examples=10), "budget_examples 10: must be at least 2048"),
    (make(vary={"batchsize": (1,)}), "vary: unknown field 'batchsize'; did"),
    (make(vary={"seed": (1, 2)}), "vary: unknown field 'seed'"),
    (make(vary={"batch_size": ()}), "vary.batch_size: give at least one"),
    (make(vary={"batch_size": (4, 4)}), "vary.batch_size: a value is given"),
    (make(vary={"batch_size": [4]}), "vary: every value must be a tuple"),
    (make(vary={"batch_size": ("a",)}), "batch_size = 'a': must be an int"),
    (make(vary={"model.name": ("cn",)}), "unknown model 'cn'"),
    (make(vary={"target_accuracy": (2.0,)}), "target_accuracy 2.0"),
    (make(model=Model(depth=0.0)), "model.depth 0.0: must be above 0"),
    (
      make(model=Model(depth=0.5)),
      "model.depth 0.5: cnn cannot be so deep; take a multiple of 1",
    ),
    (
      make(model=Model(name="resnet18", depth=0.3)),
      "model.depth 0.3: resnet18 cannot be so deep; take a multiple of 0.5",
    ),
    (
      make(model=Model(name="resnet18"), dropout=0.1),
      "dropout 0.1: resnet18 has no dropout; models that have: cnn, decoder,",
    ),
    (
      make(model=Model(name="resnet18"), vary={"dropout": (0.0, 0.1)}),
      "dropout 0.1: resnet18 has no dropout",
    ),
    (
      make(model=Model(name="decoder"), augmentation="crop"),
      "augmentation crop: decoder reads no images",
    ),
    (
      make(optimizer=Optimizer(schedule="one_cycle", warmup_examples=100)),
      "optimizer.warmup_examples: one_cycle has its own rise",
    ),
    (
      make(optimizer=Optimizer(scaling="cube")),
      "unknown optimizer scaling 'cube'",
    ),
    (
      make(optimizer=Optimizer(reference_batch_size=0)),
      "optimizer.reference_batch_size 0: must be at least 1",
    ),
    (
      make(optimizer=Optimizer(schedule_examples=-1)),
      "optimizer.schedule_examples -1: must be at least 0",
    ),
    (make(dropout=1.0), "dropout 1.0: must lie in [0, 1)"),
    (make(label_smoothing=-0.1), "label_smoothing -0.1: must lie in [0, 1)"),
    (make(data_share=0.0), "data_share 0.0: must lie between 0 and 1"),
    (make(data_share=1.5), "data_share 1.5: must lie between 0 and 1"),
    (make(patience=-1), "patience -1: must be at least 0"),
    (make(stop_at_target=1), "stop_at_target = 1: must be a bool"),
    (make(accumulation=-1), "accumulation -1: must be at least 0"),
    (
      make(accumulation=3),
      "accumulation 3: must divide batch_size 128",
    ),
    (
      make(augmentation="flip"),
      "unknown augmentation 'flip'; did you mean crop_flip?",
    ),
    (
      make(matmul_precision="hi"),
      "unknown matmul_precision 'hi'; did you mean high?",
    ),
    (make(program="steps"), "unknown program 'steps'; did you mean step?"),
    (
      make(transfer=Transfer(init_from=Trial(batch_size=0))),
      "transfer.init_from.batch_size 0: must be at least 1",
    ),
    (
      make(transfer=Transfer(init_from=Trial(precision="float"))),
      "transfer.init_from: unknown precision 'float'; did you mean",
    ),
    (
      make(transfer=Transfer(init_from=Trial(dropout="0"))),  # type: ignore
      "transfer.init_from.dropout = '0': must be a float",
    ),
    (
      make(transfer=Transfer(init_from=Sweep())),  # type: ignore
      "transfer.init_from = Sweep(",
    ),
    (make(transfer="scratch"), "transfer = 'scratch': must be a Transfer"),
    (
      make(vary={"transfer": (Transfer(), Transfer(freeze=True))}),
      "transfer.freeze: without init_from or weights",
    ),
    (
      make(
        transfer=Transfer(init_from=Trial()), vary={"model.width": (1.0, 0.5)}
      ),
      "transfer.init_from: its backbone does not fit the trial's (model.width:"
      " 1.0 -> 0.5)",
    ),
    (
      make(vary={"transfer": (Transfer(), Transfer())}),
      "vary.transfer: a value is given twice in ('scratch', 'scratch')",
    ),
    (make(model=Model(heads=0)), "model.heads 0: must be at least 1"),
    (
      make(streaming="allways"),
      "unknown streaming 'allways'; did you mean always?",
    ),
    (make(name="a/b"), "name 'a/b': must be usable as a folder's name"),
  ],
)
def test_bad_sweeps_are_refused(
  make: Callable[[], Sweep], message: str
) -> None:
  with pytest.raises(ConfigError) as error:
    grid.expand(make())
  assert str(error.value).startswith(message)
  assert "\n" not in str(error.value)


@given(every=st.integers(1, 10_000), batch=st.integers(1, 10_000))
def test_the_suggested_cadence_holds(every: int, batch: int) -> None:
  (trial,) = grid.expand(
    Sweep(
      seeds=1,
      evaluate_every_examples=every,
      batch_size=batch,
      budget_examples=10_000,
    )
  )
  try:
    checks.check_cadence(trial)
    assert every % batch == 0
  except ConfigError as error:
    trial.evaluate_every_examples = int(str(error).split()[-1])
    checks.check_cadence(trial)
