import dataclasses
from typing import Any

import pytest

from jaxpower.config import Trial
from jaxpower.idle import LASTS_SECONDS, Idle, measured_by
from jaxpower.records import TrialRecord, identity

TRIAL = Trial(idle_seconds=0.5)


def record(**facts: Any) -> TrialRecord:
  made = {"status": "reached", "idle_watts": 12.0} | facts
  return TrialRecord(**identity(TRIAL, {}), **made)


def idle() -> Idle:
  found = measured_by(
    TRIAL, record(seconds_by_phase={"idle": 0.5}), began_seconds=100.0
  )
  assert found is not None
  return found


def test_it_serves_trials_that_begin_within_the_minute() -> None:
  assert idle().watts == 12.0
  other = dataclasses.replace(TRIAL, seed=3, batch_size=16)
  assert idle().serves(other, 100.0 + LASTS_SECONDS - 1)
  assert not idle().serves(other, 100.0 + LASTS_SECONDS)


@pytest.mark.parametrize(
  "changes",
  [
    {"idle_seconds": 2.0},
    {"devices": 2},
    {"cores": 1},
    {"processes": "device"},
    {"power_limit_watts": 300.0},
    {"sm_clock_mhz": 1_000},
  ],
)
def test_it_serves_no_trial_of_other_conditions(changes: Any) -> None:
  assert not idle().serves(dataclasses.replace(TRIAL, **changes), 101.0)


@pytest.mark.parametrize(
  "facts",
  [
    {"seconds_by_phase": {}},
    {"seconds_by_phase": {"idle": 0.5}, "idle_watts": None},
  ],
)
def test_a_trial_that_measured_none_gives_none(facts: Any) -> None:
  assert measured_by(TRIAL, record(**facts), 0.0) is None


def test_no_seconds_measure_nothing() -> None:
  none = dataclasses.replace(TRIAL, idle_seconds=0.0)
  measured = record(seconds_by_phase={"idle": 1e-5})
  assert measured_by(none, measured, 0.0) is None
