import dataclasses
import json
import pathlib
from typing import Any

import pytest

from jaxpower import pretraining, weights
from jaxpower.config import (
  ConfigError,
  Model,
  Transfer,
  Trial,
  to_dict,
  trial_id,
  with_seed,
)
from jaxpower.records import TrialRecord

FIRST = Trial(data="mnist_5k")
SECOND = Trial(data="mnist_5k", transfer=Transfer(init_from=FIRST))
THIRD = Trial(
  data="digits_28", transfer=Transfer(init_from=SECOND, freeze=True)
)
ALONE = Trial(data="digits_28")


def record(trial: Trial, status: Any = "reached") -> TrialRecord:
  return TrialRecord(
    trial_id=trial_id(trial),
    config=to_dict(trial),
    varied={},
    seed=trial.seed,
    framework="jax",
    status=status,
    target_accuracy=trial.target_accuracy,
    error="out of memory" if status == "failed" else None,
  )


def test_what_a_trial_begins_from_stands_before_it_once() -> None:
  other = dataclasses.replace(THIRD, batch_size=64)
  assert pretraining.with_sources([ALONE, THIRD, other]) == [
    ALONE,
    FIRST,
    SECOND,
    THIRD,
    other,
  ]


def test_a_trial_that_is_also_a_source_is_moved_and_not_doubled() -> None:
  assert pretraining.with_sources([SECOND, ALONE, FIRST]) == [
    FIRST,
    SECOND,
    ALONE,
  ]


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (ValueError, None),
    ("batch_size 3: too few", "transfer.init_from.batch_size 3: too few"),
    ("unknown model 'cn'", "transfer.init_from: unknown model 'cn'"),
  ],
)
def test_what_is_wrong_with_a_pretraining_has_its_path(
  wrong: Any, message: str | None
) -> None:
  def check(trial: Trial) -> None:
    if trial is FIRST and message is not None:
      raise ConfigError(wrong)

  pretraining.check_chain(ALONE, check)
  if message is None:
    pretraining.check_chain(SECOND, check)
    return
  with pytest.raises(ConfigError) as error:
    pretraining.check_chain(SECOND, check)
  assert str(error.value) == message
  with pytest.raises(ConfigError) as error:
    pretraining.check_chain(THIRD, check)
  assert str(error.value).startswith("transfer.init_from.transfer.init_from")


@pytest.mark.parametrize(
  ("trial", "message"),
  [
    (
      Trial(transfer=Transfer(freeze=True)),
      "transfer.freeze: without init_from or weights the backbone would stay",
    ),
    (
      Trial(transfer=Transfer(init_from=FIRST, weights="resnet18")),
      "transfer: init_from and weights are both given",
    ),
    (
      Trial(transfer=Transfer(backbone_rate=0.0)),
      "transfer.backbone_rate 0: must be above 0; to train the head alone",
    ),
    (
      Trial(transfer=Transfer(weights="x", freeze=True, backbone_rate=0.1)),
      "transfer.backbone_rate 0.1: a frozen backbone has no rate",
    ),
    (
      Trial(model=Model(width=0.5), transfer=Transfer(init_from=FIRST)),
      "transfer.init_from: its backbone does not fit the trial's (model.width:"
      " 1.0 -> 0.5); both must be the same",
    ),
    (
      Trial(framework="torch", transfer=Transfer(init_from=FIRST)),
      "transfer.init_from: its backbone does not fit the trial's (framework:"
      " jax -> torch); both must be the same",
    ),
    (
      Trial(
        framework="torch_compile",
        transfer=Transfer(init_from=Trial(framework="torch")),
      ),
      "transfer.init_from: its backbone does not fit the trial's (framework:"
      " torch -> torch_compile); both must be the same",
    ),
  ],
)
def test_a_backbone_that_cannot_be_had_is_refused(
  trial: Trial, message: str
) -> None:
  with pytest.raises(ConfigError) as error:
    pretraining.check(trial)
  assert str(error.value).startswith(message)
  assert "\n" not in str(error.value)


def test_a_backbone_takes_inputs_of_one_form(tmp_path: pathlib.Path) -> None:
  pretraining.check_weights(THIRD)
  other = Trial(data="digits", transfer=Transfer(init_from=FIRST))
  with pytest.raises(ConfigError) as error:
    pretraining.check_weights(other)
  assert str(error.value) == (
    "transfer.init_from.data mnist_5k: its inputs are image 28 x 28 x 1, those"
    " of digits are image 8 x 8 x 1; a backbone takes inputs of one form"
  )
  lacking = Trial(transfer=Transfer(weights=str(tmp_path / "resnet18")))
  with pytest.raises(ConfigError, match="resnet18 is not there"):
    pretraining.check_weights(lacking)


def test_weights_that_pytorch_wrote_are_no_weights_for_jax(
  tmp_path: pathlib.Path,
) -> None:
  (tmp_path / weights.TORCH_STATE).write_text("0.5")
  weights.seal(tmp_path)
  asked = Trial(framework="torch", transfer=Transfer(weights=str(tmp_path)))
  pretraining.check(asked)
  pretraining.check_weights(asked)
  with pytest.raises(ConfigError) as error:
    pretraining.check_weights(dataclasses.replace(asked, framework="jax"))
  assert str(error.value) == (
    f"transfer.weights: {tmp_path} was written by PyTorch; take framework torch"
    " or torch_compile, or weights that JAX wrote"
  )


def written(folder: pathlib.Path, trial: Trial) -> pathlib.Path:
  path = folder / weights.folder_of(trial_id(trial))
  path.mkdir(parents=True)
  (path / "array").write_text(json.dumps([0.5, 0.25]))
  weights.seal(path)
  return path


def test_lost_weights_are_those_that_are_needed(
  tmp_path: pathlib.Path,
) -> None:
  trials = [FIRST, SECOND, THIRD]
  done = {r.trial_id: r for r in map(record, (FIRST, SECOND))}
  written(tmp_path, FIRST)
  second = written(tmp_path, SECOND)
  assert pretraining.lost(trials, done, tmp_path) == {}
  (second / "array").write_text("[]")
  (tmp_path / weights.folder_of(trial_id(FIRST)) / "array").unlink()
  # The second must be trained again, and so the first is needed too.
  found = pretraining.lost(trials, done, tmp_path)
  assert set(found) == {trial_id(FIRST), trial_id(SECOND)}
  assert "is damaged" in found[trial_id(SECOND)]
  assert "is missing" in found[trial_id(FIRST)]
  # Nothing is to be run, so nothing is needed.
  assert (
    pretraining.lost(trials, done | {trial_id(THIRD): record(THIRD)}, tmp_path)
    == {}
  )


def test_a_trial_that_left_no_weights_is_an_obstacle() -> None:
  def told(status: str) -> str:
    return pretraining.obstacle(
      SECOND, {trial_id(FIRST): record(FIRST, status)}
    )

  name = trial_id(FIRST)
  assert pretraining.obstacle(ALONE, {}) == ""
  assert told("reached") == told("missed") == ""
  assert told("failed") == f"its pretraining {name} failed: out of memory"
  assert told("diverged") == f"its pretraining {name} diverged"


def test_a_seed_holds_for_the_whole_chain() -> None:
  seeded = with_seed(THIRD, 7)
  names = [trial_id(t) for t in pretraining.with_sources([seeded])]
  assert names == [trial_id(with_seed(t, 7)) for t in (FIRST, SECOND, THIRD)]
  assert THIRD.seed == FIRST.seed == 0
