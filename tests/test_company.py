import dataclasses
import math

import pytest

from jaxpower import company
from jaxpower.config import Transfer, Trial, to_dict, trial_id
from jaxpower.records import Evaluation, TrialRecord, from_json, to_json

TRIAL = Trial()


def record(joules: list[float | None], seconds: list[float]) -> TrialRecord:
  curve = tuple(
    Evaluation(
      examples=n,
      steps=n,
      train_seconds=s,
      train_joules=j,
      train_loss=None,
      loss=None,
      accuracy=None,
    )
    for n, (j, s) in enumerate(zip(joules, seconds, strict=True))
  )
  return TrialRecord(
    trial_id=trial_id(TRIAL),
    config=to_dict(TRIAL),
    varied={},
    seed=0,
    framework="jax",
    status="missed",
    target_accuracy=0.8,
    curve=curve,
  )


def test_company_is_judged_segment_by_segment() -> None:
  alone = record([0, 10, 20, 30], [0, 1, 2, 3])
  together = record([0, 11, 22.1, 33], [0, 1, 2, 3])
  found = company.compare(alone, together, trials=4)
  assert found is not None
  assert (found.of, found.segments, found.trials) == ("joules", 3, 4)
  logs = [math.log(x) for x in (1.1, 1.11, 1.09)]
  middle = sum(logs) / 3
  # Student's t with two degrees of freedom: 4.303 (a table of 1908).
  spread = math.sqrt(sum((x - middle) ** 2 for x in logs) / 2)
  off = 4.3027 * spread / math.sqrt(3)
  assert found.more == pytest.approx(math.expm1(middle))
  assert found.low == pytest.approx(math.expm1(middle - off), rel=1e-3)
  assert found.high == pytest.approx(math.expm1(middle + off), rel=1e-3)
  assert company.said(found) == (
    "in company of 3 a trial took 10.0 % more joules (+7.5 to +12.5 %)"
  )


def test_where_joules_are_unknown_or_divided_time_is_compared() -> None:
  seconds = [0.0, 1.0, 2.0]
  unknown = record([None, None, None], seconds)
  slower = record([None, None, None], [0, 0.9, 1.8])
  found = company.compare(unknown, slower, trials=2)
  assert found is not None
  assert company.said(found).startswith(
    "in company of 1 a trial took 10.0 % fewer seconds"
  )
  shared = {"domains": [{"domain": "cpu-0", "counted": True, "shared_by": 2}]}
  known = record([0, 10, 20], seconds)
  divided = dataclasses.replace(known, meter=shared)
  found = company.compare(known, divided, trials=2)
  assert found is not None and found.of == "seconds"
  assert company.facts(divided, 2)["shared"] == ["cpu-0"]


def test_what_tells_nothing_is_no_number() -> None:
  failed = record([], [])
  assert company.compare(failed, record([0, 1], [0, 1]), trials=2) is None
  one = company.compare(record([0, 1], [0, 1]), record([0, 2], [0, 1]), 2)
  assert one is not None
  assert (one.more, one.low, one.high) == (pytest.approx(1.0), None, None)
  assert company.said(one).endswith("(one segment tells no interval)")


def test_the_trial_of_a_check_is_short_and_does_the_same_work_twice() -> None:
  origin = Trial(data="mnist_5k")
  needy = Trial(data="digits_28", transfer=Transfer(init_from=origin))
  long = Trial(budget_examples=10_000_000, patience=3)
  found = company.short([needy, long])
  assert found is not None
  assert found.budget_examples == 10 * long.evaluate_every_examples
  assert (found.stop_at_target, found.patience) == (False, 0)
  assert long.patience == 3
  assert company.short([needy]) is None


def test_a_record_keeps_its_company() -> None:
  found = company.Interference("joules", 0.1, None, None, 1, 2)
  told = company.facts(record([0], [0]), 2, ["GPU-1"], interference=found)
  held = dataclasses.replace(record([0], [0]), company=told)
  assert from_json(to_json(held)) == held
