"""Trials of the same training: repeats, and what they say of the noise."""

import math
import statistics
from dataclasses import replace

import pytest
from report_records import devices, record, seeds

from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.costs import costs, mean_cost
from jaxpower.report.compare.repeats import (
  Observation,
  by_setting_and_seed,
  observations,
  repeat_noise,
  status_by_seed,
)
from jaxpower.report.compare.statistics import Cost
from jaxpower.report.report import make

A, B = "GPU-a", "GPU-b"
MEAN = Cost(statistics.geometric_mean([100.0, 400.0]))  # 200 J


def on(uuid, seed, joules, batch=64):
  return record(batch, seed, joules, provenance=devices(uuid))


def test_repeats_give_one_cost_their_geometric_mean():
  trials = seeds(64, 100.0, 300.0) + seeds(64, 400.0)
  assert costs(trials) == (MEAN, Cost(300.0))


def test_a_mean_of_repeats_is_a_lower_bound_where_one_of_them_is():
  costs_of_repeats = [Cost(100.0), Cost(400.0, True)]
  assert mean_cost(costs_of_repeats) == Cost(MEAN.value, True)


def test_costs_that_are_not_above_zero_are_averaged_by_sum():
  assert mean_cost([Cost(-2.0), Cost(6.0)]) == Cost(2.0)
  assert mean_cost([Cost(0.0), Cost(0.0)]) == Cost(0.0)


def test_an_unknown_repeat_leaves_the_cost_unknown():
  assert costs([record(64, 0, 100.0), record(64, 0, None)]) is None


def test_repeats_are_put_together_by_setting_seed_and_board():
  trials = [on(A, 0, 1.0), on(B, 0, 2.0), on(A, 0, 3.0), on(A, 0, 4.0, 128)]
  assert list(by_setting_and_seed(trials).values()) == [
    (trials[0], trials[2]),
    (trials[1],),
    (trials[3],),
  ]


def test_observations_are_one_for_each_seed_and_board():
  first = [on(A, 0, 100.0), on(A, 0, 400.0), on(B, 0, 300.0), on(A, 1, -500.0)]
  second = [on(B, 0, 50.0, 128), record(128, 1, status="failed")]
  unknown = [on(B, 0, None, 256)]
  assert observations([first, second, unknown]) == (
    (
      Observation(cost=MEAN, seed=0, board=A, repeats=2),
      Observation(cost=Cost(300.0), seed=0, board=B, repeats=1),
      Observation(cost=Cost(500.0, True), seed=1, board=A, repeats=1),
    ),
    (Observation(cost=Cost(50.0), seed=0, board=B, repeats=1),),
    None,
  )


def test_a_seed_reached_its_target_only_if_every_repeat_did():
  statuses = status_by_seed(
    [
      record(seed=0),
      record(seed=0, status="failed"),
      record(seed=1),
      record(seed=1, status="missed"),
      record(seed=2, status="missed"),
      record(seed=2, status="diverged"),
      record(seed=3, status="failed"),
    ]
  )
  assert statuses == {0: "reached", 1: "missed", 2: "diverged", 3: "failed"}


def test_noise_is_pooled_over_trials_by_degrees_of_freedom():
  step = 0.2
  trials = [
    *(on(A, 0, 100 * math.exp(x * step)) for x in (-1, 0, 1)),  # variance 0.04
    *(on(A, 1, 300 * math.exp(x * step)) for x in (0, 1)),  # variance 0.02
    on(A, 2, 900.0),
  ]
  noise = repeat_noise(trials)
  assert noise is not None
  variance = (2 * 0.04 + 1 * 0.02) / 3
  assert noise.variation == pytest.approx(math.sqrt(math.exp(variance) - 1))
  assert (noise.degrees_of_freedom, noise.trials) == (3, 2)
  assert (noise.fewest, noise.most) == (2, 3)


def test_what_differs_in_more_than_noise_tells_nothing_of_it():
  later = replace(on(A, 0, 900.0), examples=40_960)  # a look more
  for other in (on(B, 0, 900.0), on(A, 1, 900.0), on(A, 0, -900.0), later):
    assert repeat_noise([on(A, 0, 100.0), other]) is None


def test_a_sweep_run_twice_has_as_many_seeds_as_once():
  """Twelve trials and the same a hundredth dearer: 3 of 3, not 6 of 6."""
  once = seeds(64, 204, 212, 221) + seeds(256, 400, 410, 425)
  twice = once + [
    replace(
      trial,
      joules_to_accuracy=1.01 * (trial.joules_to_accuracy or 0),
      train_joules=1.01 * (trial.train_joules or 0),
    )
    for trial in once
  ]
  (comparison,) = compare(twice)
  assert [(g.seeds, len(g.records)) for g in comparison.groups] == [(3, 6)] * 2
  section = make(twice).sections[0]
  (table,) = section.tables
  assert [row[1] for row in table.rows] == ["3 of 3", "3 of 3"]
  assert "A seed counts once, as the mean of its 2 trials." in table.notes
  assert (
    "The same training measured again differs by 0.70 % (6 trials measured 2"
    " times)." in table.notes
  )
  alone = make(once).sections[0].tables[0]
  # 1.005 times as much, and intervals as wide as those of three seeds.
  assert [row[4] for row in alone.rows] == [row[4] for row in table.rows]
  assert not any("counts once" in note for note in alone.notes)
  assert alone.notes[0] == table.notes[0]
