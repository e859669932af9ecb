"""Who is on a front, worked out by hand."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_records import modelled, record, seeds

from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.pareto import (
  Point,
  accuracy_front,
  seconds_front,
  settings_on,
)


def one(records):
  (comparison,) = compare(records)
  return comparison


def with_curve(batch, seed, *looks, **changes):
  """A trial with so many joules and such an accuracy at each look."""
  base = record(batch, seed, looks[-1][0], **changes)
  return replace(
    base,
    curve=tuple(
      replace(look, train_joules=joules, accuracy=accuracy)
      for look, (joules, accuracy) in zip(base.curve, looks, strict=False)
    ),
  )


def to(batch, joules, seconds, **changes):
  return record(batch, 0, joules, seconds_to_accuracy=seconds, **changes)


def test_a_setting_counts_with_the_median_of_its_seeds():
  trials = [
    with_curve(64, 0, (0, 0.1), (100, 0.6), (200, 0.8)),
    with_curve(64, 1, (0, 0.1), (120, 0.5), (240, 0.8)),
    with_curve(64, 2, (0, 0.1), (150, 0.4), (300, 0.7)),
  ]
  # After 120 J they have shown 0.6, 0.5 and none; after 240 J 0.8, 0.8, 0.4.
  # What they showed before training is no step: nothing was spent on it.
  assert one(trials).groups[0].best_so_far == (
    (120, 0.5),
    (240, 0.8),
  )


def test_joules_that_are_cpu_time_have_no_front_with_seconds():
  facts = {"meter": modelled(), "estimated": True}
  trials = [to(b, 200.0 + b, 9.0, **facts) for b in (16, 64, 256)]
  assert seconds_front(one(trials)) == ()
  assert accuracy_front(one(trials))
  gpu = [replace(trial, meter={}) for trial in trials]
  assert seconds_front(one(gpu))


def test_no_step_before_the_middle_has_shown_anything():
  trials = [
    with_curve(64, 0, (100, 0.6), (200, 0.8)),
    with_curve(64, 1, (120, 0.5), (240, 0.8)),
  ]
  (first, *_) = one(trials).groups[0].best_so_far
  assert first == (120, 0.55)


def test_an_accuracy_that_falls_again_is_no_step():
  trial = with_curve(64, 0, (100, 0.6), (200, 0.5), (300, 0.7))
  assert one([trial]).groups[0].best_so_far == (
    (100, 0.6),
    (300, 0.7),
  )


def test_most_accuracy_for_the_joules():
  found = one(
    [
      with_curve(16, 0, (50, 0.5), (400, 0.7)),
      with_curve(64, 0, (100, 0.6), (200, 0.8)),
      with_curve(256, 0, (150, 0.55), (500, 0.75)),
    ]
  )
  assert accuracy_front(found) == (
    Point(50, 0.5, 0),
    Point(100, 0.6, 1),
    Point(200, 0.8, 1),
  )
  assert settings_on(accuracy_front(found)) == (0, 1)


def test_a_setting_that_missed_may_be_on_the_front_of_accuracy():
  found = one(
    [
      with_curve(16, 0, (50, 0.5), (60, 0.7), status="missed"),
      with_curve(64, 0, (100, 0.6), (200, 0.8)),
    ]
  )
  assert settings_on(accuracy_front(found)) == (0, 1)


def test_evaluations_without_joules_or_accuracy_are_no_points():
  trial = with_curve(64, 0, (100, 0.6), (None, 0.7), (300, float("nan")))
  assert one([trial]).groups[0].best_so_far == ((100, 0.6),)


def test_one_trial_without_a_curve_leaves_its_setting_out():
  trials = [with_curve(64, 0, (100, 0.6)), record(64, 1, curve=())]
  assert one(trials).groups[0].best_so_far == ()
  failed = record(64, 1, status="failed")
  assert one([trials[0], failed]).groups[0].best_so_far == ((100, 0.6),)


def test_neither_cheaper_nor_quicker_is_off_the_front():
  found = one(
    [to(16, 200, 9), to(64, 220, 5), to(256, 300, 6), to(512, 400, 4)]
  )
  front = seconds_front(found)
  assert [point.group for point in front] == [0, 1, 3]
  assert [(point.joules, point.other) for point in front] == [
    pytest.approx(costs) for costs in ((200, 9), (220, 5), (400, 4))
  ]


def test_equals_stand_side_by_side():
  assert settings_on(seconds_front(one([to(16, 200, 9), to(64, 200, 9)]))) == (
    0,
    1,
  )


def test_what_mostly_missed_is_on_no_front_of_the_target():
  missed = record(16, 0, 10.0, "missed")
  assert settings_on(seconds_front(one([missed, *seeds(64, 200)]))) == (1,)


def test_a_setting_that_missed_seldom_may_be_on_it():
  seldom = [*seeds(16, 10, 20), record(16, 2, 15.0, "missed")]
  assert settings_on(seconds_front(one([*seldom, *seeds(64, 200)])))[0] == 0


def test_known_seconds_do_not_make_joules_known():
  lost = [*seeds(16, 10, 20), record(16, 2, None)]
  found = one([*lost, *seeds(64, 200)])
  group = found.groups[0]
  assert (group.joules is None, group.seconds is None) == (True, False)
  assert settings_on(seconds_front(found)) == (1,)


def test_nothing_known_makes_no_front():
  found = one([record(16, 0, None, reasons=("no meter",)), *seeds(64, 9)])
  assert settings_on(seconds_front(found)) == (1,)
  assert seconds_front(one([record(16, 0, 10.0, "missed")])) == ()


spent = st.tuples(st.integers(1, 20), st.integers(1, 20))


@settings(deadline=None, max_examples=40)
@given(st.lists(spent, min_size=1, max_size=8), st.randoms())
def test_a_front_is_what_nothing_beats(pairs, mixer: random.Random):
  trials = [to(2**i, float(j), float(s)) for i, (j, s) in enumerate(pairs)]
  front = seconds_front(one(mixer.sample(trials, len(trials))))
  beaten = {
    i
    for i, (j, s) in enumerate(pairs)
    for other in pairs
    if other != (j, s) and other[0] <= j and other[1] <= s
  }
  assert set(settings_on(front)) == set(range(len(pairs))) - beaten
  assert [p.joules for p in front] == sorted(p.joules for p in front)
