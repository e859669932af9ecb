"""Params, metrics, series and tags of a trial: what is unknown is not there."""

import dataclasses

import committed
import pytest
from report_records import record, seeds

from jaxpower.export.runs import runs


def test_a_run_has_the_numbers_of_its_record():
  trials = committed.records("frameworks_ten_seeds")
  for run, trial in zip(runs(trials, "1.0"), trials, strict=True):
    assert run.metrics["joules_to_accuracy"] == trial.joules_to_accuracy
    train = trial.joules_by_phase["train"]
    assert run.metrics["joules_by_phase.train"] == train
    assert run.params["batch_size"] == trial.config["batch_size"]
    assert run.params["optimizer.name"] == "adam"
    assert run.params["tasks"] == '["label"]'
    points = run.series["accuracy"]
    assert [(p.step, p.value) for p in points] == [
      (look.examples, look.accuracy) for look in trial.curve
    ]
    assert run.tags["energy"] == "estimated"
    assert run.tags["censored"] == "false"
    assert run.started is not None and run.ended is not None
    assert run.ended - run.started == pytest.approx(trial.wall_seconds, abs=5)


def test_unknown_is_left_out():
  (run,) = runs([record(64, joules=None, joules_by_phase={})], "1.0")
  assert "joules_to_accuracy" not in run.metrics
  assert "joules_of_all_phases" not in run.metrics
  assert (run.started, run.ended) == (None, None)
  assert "censored" not in run.tags and "error" not in run.tags
  # Neither numbers that are no results, nor yes and no.
  none = {"schema_version", "seed", "partial", "estimated"}
  assert not none & set(run.metrics)


def test_a_miss_is_censored_and_a_failure_failed():
  missed, failed = runs(
    [record(64, joules=-300.0), record(64, 1, status="failed")], "1.0"
  )
  assert (missed.tags["censored"], missed.failed) == ("true", False)
  assert "joules_to_accuracy" not in missed.metrics
  assert missed.metrics["train_joules"] == 300.0
  assert failed.failed and failed.tags["error"] == "worker died (signal 9)"
  assert failed.series == {}


def test_a_command_without_examples_counts_evaluations():
  (trial,) = seeds(64, 200.0)
  curve = tuple(
    dataclasses.replace(look, examples=None) for look in trial.curve
  )
  (run,) = runs([record(64, curve=curve)], "1.0")
  assert [p.step for p in run.series["accuracy"]] == list(range(10))


def test_repeats_have_names_of_their_own():
  names = [run.name for run in runs([record(64), record(64)], "1.0")]
  assert names == ["000000400000", "000000400000-2"]
