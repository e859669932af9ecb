"""The lines that are shown of a running sweep."""

import dataclasses

import pytest

from jaxpower.cli import live
from jaxpower.cli.live import Cheapest, Part, Running, Sum, fit, sum_line
from jaxpower.config import COMMAND, Trial
from jaxpower.forecast import Cost
from jaxpower.messages import Progress
from jaxpower.records import TrialRecord

RUNNING = Running("trial  7 of 12", "batch 256, seed 2", 60_000, began=100.0)
LOOK = Progress(
  phase="train", examples=18_600, accuracy=0.71, joules=1843.4, seconds=40.0
)
RECORD = TrialRecord(
  trial_id="0123456789ab",
  config={"data": "digits"},
  varied={"batch_size": 16},
  seed=0,
  framework="jax",
  status="reached",
  target_accuracy=0.8,
  final_accuracy=0.812,
  train_joules=1843.4,
  train_seconds=4.1,
  joules_to_accuracy=6.3,
)


def test_what_is_worth_least_is_left_out_first() -> None:
  parts = [Part("one", 3), Part("", 9), Part("two", 1), Part("three", 2)]
  assert fit(parts, 200) == "one   two   three"
  assert fit(parts, 15) == "one  two  three"
  assert fit(parts, 14) == "one  three"
  assert fit(parts, 9) == "one"
  assert fit([Part("a long word", 1)], 8) == "a lon..."


@pytest.mark.parametrize(
  ("width", "line"),
  [
    (
      200,
      "trial  7 of 12   batch 256, seed 2   train   31 % of budget   accuracy"
      " 71 %   1.84 kJ estimated   46.1 W",
    ),
    (
      80,
      "trial  7 of 12  batch 256, seed 2  train  accuracy 71 %"
      "  1.84 kJ estimated",
    ),
    (40, "trial  7 of 12  batch 256, seed 2  train"),
  ],
)
def test_a_running_trial_is_one_line(width: int, line: str) -> None:
  told = live.running_line(RUNNING.heard(LOOK), True, width)
  assert told == line and len(told) <= width


def test_news_replace_only_what_they_tell() -> None:
  later = RUNNING.heard(LOOK).heard(Progress(phase="infer"))
  assert later.news == dataclasses.replace(LOOK, phase="infer")
  assert later.share == pytest.approx(0.31)
  assert RUNNING.share is None
  assert live.budget_of(Trial(framework=COMMAND)) == 0


def test_a_trial_that_is_late_goes_on_to_the_end_of_its_budget() -> None:
  running = RUNNING.heard(dataclasses.replace(LOOK, examples=30_000))
  assert running.seconds_left(None, 130.0) is None
  assert running.seconds_left(50.0, 130.0) == pytest.approx(20.0)
  assert running.seconds_left(50.0, 170.0) == pytest.approx(70.0)
  assert RUNNING.seconds_left(50.0, 170.0) == 0.0


@pytest.mark.parametrize(
  ("waiting", "expected", "told"),
  [
    ((Cost(None, None), 3), [None], "time left unknown"),
    ((Cost(300.0, None), 0), [50.0], "5 min left"),
    ((Cost(300.0, None), 0), [50.0, 50.0], "3 min left"),
    ((Cost(300.0, None), 2), [None], "more than 5 min left"),
    ((Cost(None, None), 0), [50.0], "20 s left"),
    ((Cost(None, None), 0), [], ""),
  ],
)
def test_time_left_is_of_settings_and_unknown_is_said(
  waiting: tuple[Cost, int], expected: list[float | None], told: str
) -> None:
  running = [(RUNNING, seconds) for seconds in expected]
  assert live.time_left(waiting, running, 130.0) == told


def test_the_sweep_is_one_line_that_fits() -> None:
  least = Cheapest("batch 16", 6.3)
  whole = Sum(done=6, total=12, spent=22_100.0, cheapest=least, estimated=True)
  wide = sum_line(whole, "3 min left", 200)
  assert wide == (
    "#" * 20 + "." * 20 + " 6 of 12   3 min left   22.1 kJ spent, cheapest"
    " batch 16: 6.30 J, estimated"
  )
  for width in (20, 40, 60, 80, 100, 120):
    assert len(sum_line(whole, "3 min left", width)) <= width
  assert sum_line(whole, "3 min left", 80) == (
    "####... 6 of 12  3 min left  22.1 kJ spent, cheapest batch 16: 6.30 J,"
    " estimated"
  )
  assert sum_line(whole, "3 min left", 70).endswith(
    " 6 of 12  3 min left  22.1 kJ spent, estimated"
  )
  unknown = dataclasses.replace(whole, spent=None, cheapest=None)
  assert sum_line(unknown, "", 80).endswith(" 6 of 12")


def test_an_ending_fits_and_a_failure_is_told_in_full() -> None:
  place, name = "trial  1 of 12", "batch 16, seed 0"
  told = live.ended_line(place, name, RECORD, True, 80)
  assert told == (
    "trial  1 of 12  batch 16, seed 0  reached 81.2 %  1.84 kJ estimated"
    "  4.10 s"
  )
  failed = dataclasses.replace(RECORD, status="failed", error="x" * 90)
  assert "x" * 90 in live.ended_line(place, name, failed, True, 80)


def test_the_cheapest_so_far_counts_misses_and_no_failures() -> None:
  def of(batch: int, joules: float | None, status: str = "reached"):
    return dataclasses.replace(
      RECORD,
      varied={"batch_size": batch},
      joules_to_accuracy=joules,
      status=status,  # type: ignore[arg-type]
    )

  assert live.cheapest([of(16, 6.0)]) is None, "nothing to compare it with"
  missed = of(16, None, "missed")
  both = [of(16, 6.0), missed, missed, of(64, 9.0), of(64, None, "failed")]
  assert live.cheapest(both) == Cheapest("batch 64", 9.0)
  assert live.cheapest([missed, of(64, None, "missed")]) is None
  assert live.cheapest([of(16, None), of(64, 9.0)]) is None, "unknown"
  other = dataclasses.replace(of(64, 9.0), config={"data": "imu"})
  assert live.cheapest([of(16, 6.0), other]) is None, "unlike goals"


def test_equal_names_are_counted() -> None:
  names = ["H100", "H100", "CPU package 0", "H100"]
  assert live.counted(names) == "3 x H100, CPU package 0"


def test_more_trials_than_lines_are_counted() -> None:
  many = dict.fromkeys(range(1, 65), RUNNING)
  told = live.lines(many, False, 80, 10)
  assert len(told) == 10 and told[-1] == "and 55 more running"
  assert len(live.lines(many, False, 80, 64)) == 64
