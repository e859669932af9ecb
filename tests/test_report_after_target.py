"""What training after the target cost, in a line."""

import dataclasses
import math
import statistics

import pytest
from report_records import curve, record

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import compare
from jaxpower.report.questions.after_target import after_target_lines
from jaxpower.report.report import make


def went_on(
  seed: int, joules: float, accuracy: float, first: int = 5, **changes
) -> TrialRecord:
  """A trial of ten evaluations, an equal share of the joules each.

  It met the target at the evaluation `first` (from 1), at an accuracy of 0.8,
  and ended at `accuracy`.
  """
  looks = [
    dataclasses.replace(look, accuracy=0.8 if place + 1 == first else accuracy)
    for place, look in enumerate(curve(joules, 0.8))
  ]
  facts = {
    "seconds_to_accuracy": looks[first - 1].train_seconds,
    "joules_to_accuracy": looks[first - 1].train_joules,
    "curve": tuple(looks),
    "varied": {"stop_at_target": False},
    "final_accuracy": accuracy,
  }
  return record(seed=seed, joules=joules, **facts | changes)


def lines(*records: TrialRecord) -> tuple[str, ...]:
  (comparison,) = compare(records)
  return after_target_lines(comparison)


def test_what_it_cost_and_what_it_bought() -> None:
  found = lines(
    went_on(0, 100, 0.82),
    went_on(1, 200, 0.83),
    went_on(2, 300, 0.84, first=2),
    record(joules=50, varied={"stop_at_target": True}),
  )
  # Past the target: 50, 100 and 240 J; in all 2, 2 and 5 times as much. Their
  # geometric means, and the mean of 2, 3 and 4 points, with Student's t: 4.303
  # standard errors of three values, of the logs of the first two.
  joules = math.log(50), math.log(100), math.log(240)
  off = 4.303 * statistics.stdev(joules) / math.sqrt(3)
  middle = math.exp(statistics.fmean(joules))
  low, high = (f"{middle * math.exp(x):.3g}" for x in (-off, off))
  assert (f"{middle:.3g}", low, high) == ("106", "15.1", "749")
  assert f"{20 ** (1 / 3):.3g}" == "2.71"
  assert f"{3 + 4.303 / math.sqrt(3):.3g}" == "5.48"
  assert found == (
    "Stop at target false: training after the target cost 106 J (15.1 to 749)"
    " of energy, in all 2.71 (0.729 to 10.1) times the energy to target, for"
    " 3.00 (0.516 to 5.48) points of accuracy.",
  )


def test_a_seed_that_was_measured_twice_counts_once() -> None:
  once = [went_on(0, 100, 0.82), went_on(1, 200, 0.83), went_on(2, 300, 0.84)]
  assert lines(*once, *once) == lines(*once)


def test_joules_of_nothing_have_no_logarithm() -> None:
  """A meter that ticks seldom may count none after the target."""
  still = went_on(1, 100, 0.82, joules_to_accuracy=100.0)
  (line,) = lines(went_on(0, 100, 0.82, first=4), still)
  assert "after the target cost 30.0 J (" in line  # the mean of 60 and 0


def test_it_may_have_bought_less_than_nothing() -> None:
  (line,) = lines(went_on(0, 100, 0.78))
  assert line.endswith("to target, for -2.00 points of accuracy.")


def test_estimated_joules_say_so() -> None:
  (line,) = lines(went_on(0, 100, 0.82, estimated=True))
  assert "cost 50.0 J of estimated energy," in line


def test_what_is_not_known_stays_so() -> None:
  unseen = went_on(1, 100, 0.82, train_joules=None, joules_to_accuracy=None)
  (line,) = lines(went_on(0, 100, 0.82), unseen)
  assert line == (
    "Stop at target false: training after the target cost unknown energy,"
    " for 2.00 (2.00 to 2.00) points of accuracy."
  )


def test_trials_that_did_not_go_past_are_not_in_it() -> None:
  missed = record(
    seed=1, joules=70, status="missed", varied={"stop_at_target": False}
  )
  last = went_on(2, 100, 0.82, first=10)
  failed = record(seed=3, status="failed", varied={"stop_at_target": False})
  (line,) = lines(went_on(0, 100, 0.82), missed, last, failed)
  assert "training after the target (1 of 3 trials) cost 50.0 J of" in line


@pytest.mark.parametrize("status", ["reached", "missed"])
def test_trials_that_stop_have_no_line(status: str) -> None:
  assert lines(record(status=status), record(seed=1, status=status)) == ()


def test_it_has_a_section_below_the_table() -> None:
  trials = [went_on(0, 100, 0.82), went_on(1, 200, 0.83)]
  first, section, *_ = make(trials).sections
  assert first.tables
  assert section.title == "Training after the target"
  (line,) = section.lines
  assert "after the target cost" in line
