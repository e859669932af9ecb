import copy

import pytest

from jaxpower import config
from jaxpower.config import Sweep, Transfer, Trial, trial_id
from jaxpower.plan import grid

BOTH = ("label", "subject")
EACH = (BOTH, ("label",), ("subject",))


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


def test_a_seed_is_a_block_of_all_settings_in_an_order_of_its_own() -> None:
  sweep = Sweep(vary={"batch_size": (16, 32, 64, 128)}, seeds=6)
  order = grid.expand(sweep)
  blocks = [order[i : i + 4] for i in range(0, 24, 4)]
  assert [{t.seed for t in block} for block in blocks] == [
    {0}, {1}, {2}, {3}, {4}, {5},
  ]  # fmt: skip
  sizes = [tuple(t.batch_size for t in block) for block in blocks]
  assert {tuple(sorted(block)) for block in sizes} == {(16, 32, 64, 128)}
  assert len(set(sizes)) > 3


@pytest.mark.parametrize("frameworks", [("jax",), ("jax", "torch")])
def test_more_seeds_leave_the_order_of_the_others(
  frameworks: tuple[str, ...],
) -> None:
  vary = {"batch_size": (16, 32, 64), "framework": frameworks}
  few, many = (grid.expand(Sweep(vary=vary, seeds=n)) for n in (3, 5))
  assert many[: len(few)] == few


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


def test_tasks_are_varied_as_any_field_is() -> None:
  trials = grid.expand(
    Sweep(data="imu", vary={"tasks": EACH, "batch_size": (16, 32)}, seeds=2)
  )
  assert {(t.tasks, t.batch_size, t.seed) for t in trials} == {
    (tasks, batch, seed)
    for tasks in EACH
    for batch in (16, 32)
    for seed in (0, 1)
  }


def test_a_trial_keeps_what_is_said_of_its_own_tasks() -> None:
  asked = Sweep(
    data="imu",
    vary={"tasks": EACH},
    targets={"label": 0.9, "subject": 0.6},
    task_weights={"subject": 2},
    seeds=1,
  )
  found = {trial.tasks: trial for trial in grid.expand(asked)}
  assert found[BOTH].targets == {"label": 0.9, "subject": 0.6}
  assert found[BOTH].task_weights == {"subject": 2.0}
  assert found["label",].targets == {"label": 0.9}
  assert found["subject",].targets == {"subject": 0.6}
  assert found["subject",].task_weights == {}
  assert asked.targets == {"label": 0.9, "subject": 0.6}, "left as it was"
  # A trial asked for alone is the very one of the sweep.
  alone = Sweep(data="imu", tasks=("label",), targets={"label": 0.9}, seeds=1)
  assert grid.expand(alone) == [found["label",]]


def test_learned_weights_drop_given_ones() -> None:
  asked = Sweep(
    tasks=BOTH,
    vary={"task_weighting": ("fixed", "uncertainty")},
    task_weights={"label": 3.0},
    seeds=1,
  )
  kept = {t.task_weighting: t.task_weights for t in grid.expand(asked)}
  assert kept == {"fixed": {"label": 3.0}, "uncertainty": {}}


def test_whole_weights_can_be_varied() -> None:
  weights = ({"label": 1.0}, {"label": 1.0, "subject": 4.0})
  asked = Sweep(tasks=BOTH, vary={"task_weights": weights}, seeds=1)
  found = [trial.task_weights for trial in grid.expand(asked)]
  assert sorted(map(len, found)) == [1, 2]
  assert asked.vary["task_weights"] == copy.deepcopy(weights)


def test_trials_are_named_as_each_of_them_is() -> None:
  source = Trial(data="imu", seed=5, transfer=Transfer(init_from=Trial(seed=7)))
  trial = Trial(transfer=Transfer(init_from=source, backbone_rate=0.5))
  seeded = dict(config.seeded(trial, range(3)))
  assert seeded == {trial_id(trial): trial for trial in seeded.values()}
  assert {trial.seed for trial in seeded.values()} == {0, 1, 2}
  for trial in seeded.values():
    assert {s.seed for s in config.sources(trial)} == {trial.seed}


def test_trials_by_their_ids_are_those_of_the_sweep() -> None:
  sweep = Sweep(vary={"batch_size": (16, 32, 64)}, seeds=4)
  named = grid.expand_by_id(sweep)
  assert list(named.values()) == grid.expand(sweep)
  assert list(named) == list(map(trial_id, named.values()))
