import dataclasses
import json
import pathlib
from typing import Any

from jaxpower import weights
from jaxpower.config import Transfer, Trial, by_id, to_dict, trial_id, with_seed
from jaxpower.plan import pretraining
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


def ordered(*trials: Trial) -> list[Trial]:
  return list(pretraining.with_sources(by_id(trials)).values())


def test_what_a_trial_begins_from_stands_before_it_once() -> None:
  other = dataclasses.replace(THIRD, batch_size=64)
  assert ordered(ALONE, THIRD, other) == [ALONE, FIRST, SECOND, THIRD, other]


def test_a_trial_that_is_also_a_source_is_moved_and_not_doubled() -> None:
  assert ordered(SECOND, ALONE, FIRST) == [FIRST, SECOND, ALONE]


def written(folder: pathlib.Path, trial: Trial) -> pathlib.Path:
  path = folder / weights.folder_of(trial_id(trial))
  path.mkdir(parents=True)
  (path / "array").write_text(json.dumps([0.5, 0.25]))
  weights.seal(path)
  return path


def test_lost_weights_are_those_that_are_needed(
  tmp_path: pathlib.Path,
) -> None:
  trials = by_id((FIRST, SECOND, THIRD))
  done = {r.trial_id: r for r in map(record, (FIRST, SECOND))}
  written(tmp_path, FIRST)
  second = written(tmp_path, SECOND)
  assert pretraining.unusable(trials, done, tmp_path) == {}
  (second / "array").write_text("[]")
  (tmp_path / weights.folder_of(trial_id(FIRST)) / "array").unlink()
  # The second must be trained again, and so the first is needed too.
  found = pretraining.unusable(trials, done, tmp_path)
  assert set(found) == {trial_id(FIRST), trial_id(SECOND)}
  assert "is damaged" in found[trial_id(SECOND)]
  assert "is missing" in found[trial_id(FIRST)]
  # Nothing is to be run, so nothing is needed.
  assert (
    pretraining.unusable(
      trials, done | {trial_id(THIRD): record(THIRD)}, tmp_path
    )
    == {}
  )


def test_a_trial_that_left_no_weights_is_an_obstacle() -> None:
  def told(status: str) -> str:
    return pretraining.blocked_by(
      SECOND, {trial_id(FIRST): record(FIRST, status)}
    )

  name = trial_id(FIRST)
  assert pretraining.blocked_by(ALONE, {}) == ""
  assert told("reached") == told("missed") == ""
  assert told("failed") == f"its pretraining {name} failed: out of memory"
  assert told("diverged") == f"its pretraining {name} diverged"


def test_a_seed_holds_for_the_whole_chain() -> None:
  seeded = with_seed(THIRD, 7)
  names = list(map(trial_id, ordered(seeded)))
  assert names == [trial_id(with_seed(t, 7)) for t in (FIRST, SECOND, THIRD)]
  assert THIRD.seed == FIRST.seed == 0
