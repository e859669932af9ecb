import copy
from typing import Any

import pytest

from jaxpower import grid, sweep
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Sweep,
  Trial,
  targets_of,
  to_dict,
)
from jaxpower.data import DataError

BOTH = ("label", "subject")
EACH = (BOTH, ("label",), ("subject",))


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


def test_a_task_without_its_own_target_has_the_shared_one() -> None:
  trial = Trial(tasks=BOTH, target_accuracy=0.7, targets={"subject": 0.5})
  assert targets_of(trial) == {"label": 0.7, "subject": 0.5}
  assert to_dict(trial)["tasks"] == ["label", "subject"]


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"tasks": ()}, "tasks: name at least one label"),
    ({"tasks": ("label", "label")}, "tasks: one is named twice"),
    ({"tasks": "label"}, "tasks = 'label': must be a tuple"),
    ({"tasks": (1,)}, "tasks = (1,): must be a tuple of words"),
    ({"vary": {"tasks": ("label",)}}, "tasks = 'label': must be a tuple"),
    ({"vary": {"tasks": (3,)}}, "tasks = 3: must be a tuple"),
    (
      {"vary": {"tasks": ("label",)}, "targets": {"label": 0.9}},
      "tasks = 'label': must be a tuple",
    ),
    ({"targets": {"label": 0.0}}, "targets.label 0.0: must lie between"),
    ({"targets": {"label": 80}}, "targets.label 80.0: must lie between"),
    ({"targets": {"label": "80"}}, "targets.label = '80': must be a finite"),
    ({"targets": {"lable": 0.8}}, "targets: unknown task 'lable'; did you"),
    ({"targets": {"subject": 0.8}}, "targets: unknown task 'subject'"),
    (
      {"vary": {"tasks": (BOTH,)}, "targets": {"side": 0.8}},
      "targets: unknown task 'side'",
    ),
    (
      {"tasks": BOTH, "task_weights": {"label": -1.0}},
      "task_weights.label -1.0: must be above 0",
    ),
    (
      {"tasks": BOTH, "task_weights": {"labels": 1.0}},
      "task_weights: unknown task 'labels'; did you mean label?",
    ),
    (
      {"tasks": BOTH, "vary": {"task_weights": (2.0, 3.0)}},
      "task_weights = 2.0: must be a dict",
    ),
    ({"task_weights": {"label": 1.0}}, "with one task there is nothing to"),
    ({"task_weighting": "uncertainty"}, "with one task there is nothing to"),
    (
      {
        "tasks": BOTH,
        "task_weighting": "uncertainty",
        "task_weights": {"label": 1.0},
      },
      "task_weights: task_weighting uncertainty learns them",
    ),
    (
      {"tasks": BOTH, "task_weighting": "uncertain"},
      "unknown task_weighting 'uncertain'; did you mean uncertainty?",
    ),
  ],
)
def test_wrong_words_of_tasks_are_one_line(
  fields: dict[str, Any], message: str
) -> None:
  with pytest.raises(ConfigError) as refused:
    grid.expand(Sweep(**{"data": "imu", "seeds": 1, **fields}))
  assert message in str(refused.value)
  assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (
      {"data": "imu", "tasks": ("label", "subjct")},
      "unknown task of imu 'subjct'; did you mean subject?",
    ),
    (
      {"data": "mnist_5k+digits_28", "tasks": ("label",)},
      "unknown task of mnist_5k+digits_28 'label'; known: digits_28, mnist_5k",
    ),
    (
      {
        "data": "austen",
        "model": Model(name="decoder"),
        "tasks": ("label", "novel"),
      },
      "the label of austen is the next token at every position",
    ),
    (
      {"data": "mnist_5k+imu", "tasks": ("mnist_5k", "imu")},
      "inputs of another kind",
    ),
    (
      {
        "data": "mnist_5k+digits_28",
        "tasks": ("digits_28",),
        "batch_size": 2048,
      },
      "batch_size 2048: larger than the training set of mnist_5k+digits_28"
      " (1437 examples)",
    ),
  ],
)
def test_tasks_that_the_data_has_not_are_refused_before_training(
  fields: dict[str, Any], message: str, tmp_path: Any
) -> None:
  with pytest.raises((ConfigError, DataError)) as refused:
    sweep.plan(
      Sweep(**{"evaluate_every_examples": 2_048, **fields}), tmp_path / "run"
    )
  assert message in str(refused.value)
  assert not (tmp_path / "run").exists()


def test_another_label_of_a_text_is_a_task_of_its_own(tmp_path: Any) -> None:
  asked = Sweep(
    data="austen",
    model=Model(name="transformer"),
    tasks=("novel",),
    optimizer=Optimizer(),
  )
  assert sweep.plan(asked, tmp_path).left
