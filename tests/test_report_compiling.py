"""What compiling adds, and that it was measured seldom."""

import math

import numpy as np
import pytest
from report_records import record, seeds

from jaxpower.records import Compilation
from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.compiling import SCATTER, with_compiling
from jaxpower.report.compare.fitted_settings import fit_settings


def test_compiling_and_warm_up_are_added_to_training():
  trials = seeds(64, 200.0, 200.0, 200.0)
  for trial in trials:
    trial.joules_by_phase["warmup"] = 5.0
  fitted = with_compiling(fit_settings([trials]), [trials])
  assert fitted is not None
  assert fitted.value(0) == pytest.approx(235)
  # The costs of training are equal: what is left is compiling's own scatter.
  assert fitted.draws is not None
  sd = np.exp(fitted.draws[:, 0]).std()
  assert sd == pytest.approx(SCATTER * 35, rel=0.1)


def test_compiling_anew_for_each_seed_makes_it_surer():
  def spread(*hits):
    trials = [
      record(
        64,
        seed,
        200.0,
        compile=Compilation(seconds=3.0, joules=30.0, cache_hit=hit),
      )
      for seed, hit in enumerate(hits)
    ]
    fitted = with_compiling(fit_settings([trials]), [trials])
    assert fitted is not None and fitted.draws is not None
    return np.exp(fitted.draws[:, 0]).std()

  once, always = spread(False, True, True, True), spread(*[False] * 4)
  assert always == pytest.approx(once / 2, rel=0.1)


def test_unknown_joules_of_compiling_make_it_unknown():
  trials = seeds(64, 200.0, 210.0)
  for trial in trials:
    trial.joules_by_phase["warmup"] = None
  assert with_compiling(fit_settings([trials]), [trials]) is None


def test_a_close_cheapest_with_compiling_is_not_named():
  def trials(compiling):
    return [
      record(
        batch,
        seed,
        spent * (1 + 0.01 * seed),
        compile=Compilation(seconds=3.0, joules=joules, cache_hit=False),
      )
      for batch, spent, joules in ((64, 100.0, compiling), (128, 110.0, 20.0))
      for seed in range(4)
    ]

  def ratio(compiling):
    (comparison,) = compare(trials(compiling))
    return comparison.rankings["compile"].ratios[0]

  close, far = ratio(34.0), ratio(200.0)
  assert close and close.low and close.low < 1 < close.value
  assert far and far.low and far.low > 1
  assert math.isclose(far.value, 301.5 / 131.65, rel_tol=0.02)
