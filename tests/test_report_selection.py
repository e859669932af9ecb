"""What choosing the cheapest and the worst by the same data does."""

import math

import numpy as np
import pytest
from test_report_model import cells, drawn

from jaxpower.report.compare.model import fit
from jaxpower.report.compare.selection import extremes


def test_far_apart_settings_need_no_correction():
  logs = drawn(1, sd=0.02) + np.array([0.0, 0.5, 1.0, 2.0])[:, None]
  fitted = fit(cells(logs))
  found = extremes(fitted)
  assert found and found.ratio
  assert (found.cheapest, found.dearest) == (0, 3)
  means = logs.mean(axis=1)
  assert found.raw == pytest.approx(math.exp(means[3] - means[0]))
  assert found.ratio.value == pytest.approx(found.raw, rel=0.002)
  assert found.ratio.low and found.ratio.low > 6
  assert found.cheapest_cost.value == pytest.approx(math.exp(means[0]))


def test_alike_settings_are_shrunk_together():
  found = extremes(fit(cells(drawn(2, settings=12, seeds=2, share=0.0))))
  assert found and found.ratio and found.ratio.high
  assert found.ratio.low == 1.0
  assert found.ratio.value < found.raw < found.ratio.high
  # What looks cheapest is more expensive than it looks.
  fitted = fit(cells(drawn(2, settings=12, seeds=2, share=0.0)))
  assert found.cheapest_cost.value > fitted.value(found.cheapest)


def test_one_seed_has_the_raw_ratio_alone():
  found = extremes(fit(cells([[0.0], [1.0]])))
  assert found and found.ratio is None
  assert found.raw == pytest.approx(math.e)


def test_one_setting_has_no_extremes():
  assert extremes(fit(cells([[0.0, 1.0]]))) is None


def test_equal_settings_are_one():
  found = extremes(fit(cells(np.zeros((3, 3)))))
  assert found and found.ratio and found.ratio.value == pytest.approx(1)


@pytest.mark.parametrize("arrangement", ["even", "halves", "one out"])
def test_worst_over_best_is_held_however_settings_lie(arrangement):
  truth = {
    "even": np.linspace(0, 0.4, 8),
    "halves": np.repeat([0, 0.4], 4),
    "one out": np.array([0.0] * 7 + [0.4]),
  }[arrangement]
  sweeps, held = 80, 0
  for number in range(sweeps):
    logs = truth[:, None] + drawn((number, 19), settings=8, seeds=3)
    found = extremes(fit(cells(logs)))
    assert found and found.ratio and found.ratio.low and found.ratio.high
    held += found.ratio.low <= math.exp(0.4) <= found.ratio.high
  assert held / sweeps >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / sweeps)


def test_the_ratio_is_as_often_above_the_truth_as_below():
  ratios = []
  for number in range(80):
    logs = np.linspace(0, 0.6, 6)[:, None] + drawn((number, 20), settings=6)
    found = extremes(fit(cells(logs)))
    assert found and found.ratio
    ratios.append((found.raw, found.ratio.value))
  raw, corrected = np.array(ratios).T
  assert np.median(raw) > math.exp(0.62)
  assert np.median(corrected) == pytest.approx(math.exp(0.6), rel=0.06)
