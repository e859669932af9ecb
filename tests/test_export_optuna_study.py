"""A study of Optuna, opened by Optuna: only a trial that got there has a value.

`optuna` is an extra; what is the same without it stands first.
"""

import committed
import pytest
from report_records import record

from jaxpower.export import optuna_study as ours


def test_a_miss_is_censored_and_a_failure_has_no_energy():
  reached, missed, failed = (
    ours.attributes(trial)
    for trial in (
      record(64),
      record(64, joules=-300.0),
      record(64, status="failed"),
    )
  )
  assert (reached["energy_j"], reached["censored"]) == (212.0, False)
  assert (missed["energy_j"], missed["censored"]) == (300.0, True)
  assert "energy_j" not in failed and "censored" not in failed
  assert failed["error"] == "worker died (signal 9)"
  unknown = ours.attributes(record(64, joules=None))
  assert "energy_j" not in unknown


def test_a_value_is_a_scalar_or_json():
  assert ours.parameter(0.1) == 0.1
  assert ours.parameter(["label", "subject"]) == '["label", "subject"]'


def study_of(name, tmp_path):
  optuna = pytest.importorskip("optuna")
  database = tmp_path / f"{name}.db"
  ours.write(committed.compared(name).trials, database, name, "1.0")
  return optuna.load_study(
    study_name=name, storage=f"sqlite:///{database.resolve()}"
  )


def test_optuna_opens_it(tmp_path):
  study = study_of("optimizer", tmp_path)
  trials = committed.compared("optimizer").trials
  states = [trial.state.name for trial in study.trials]
  assert states == [
    "COMPLETE" if t.status == "reached" else "PRUNED" for t in trials
  ]
  least = min(t.joules_to_accuracy for t in trials if t.joules_to_accuracy)
  assert study.best_value == least
  assert study.metric_names == ["estimated joules to the target"]
  for own, trial in zip(study.trials, trials, strict=True):
    assert own.user_attrs["censored"] == (trial.status != "reached")
    assert own.params == trial.varied
    assert own.duration.total_seconds() == pytest.approx(trial.wall_seconds)


def test_lists_and_wide_numbers_have_an_axis(tmp_path):
  study = study_of("multitask_ten_seeds", tmp_path)
  (space,) = study.trials[0].distributions.values()
  assert all(isinstance(choice, str) for choice in space.choices)
  study = study_of("batch", tmp_path)
  assert study.trials[0].distributions["batch_size"].log
