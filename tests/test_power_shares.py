"""What a bound is of, by the estimators that say so, and when it is widened."""

import math

import pytest

from jaxpower.power.counter import STALE_SECONDS, from_counter
from jaxpower.power.integral import LAG, from_power
from jaxpower.power.shares import COMMON, Shares, added, shares_of, widened

SECONDS = [float(i) for i in range(41)]


def counted(watts, error, start=20.3, end=22.6):
  """A counter of ticks of a second, each of some mean power."""
  joules = [math.fsum(watts[:i]) for i in range(41)]
  errors = [error] * 41
  return from_counter(SECONDS, errors, joules, {}, start, end)


WAVE = [300.0 + 100 * math.sin(i) for i in range(41)]


def test_ticks_at_known_instants_have_nothing_of_their_own():
  shares = counted(WAVE, 0.0).shares
  assert shares.own == 0.0 and shares.edges > 0.9
  assert shares.common == pytest.approx(0.0, abs=1e-9)


def test_ticks_at_instants_known_badly_have_most_of_their_own():
  steady, wave = counted([300.0] * 41, 0.1).shares, counted(WAVE, 0.1).shares
  assert steady.own == pytest.approx(1.0)
  assert 0.1 < wave.own < 1.0
  assert wave.own + wave.edges + wave.late**2 == pytest.approx(1.0)


@pytest.mark.parametrize(("start", "end"), [(20.3, 22.6), (20.3, 20.7)])
def test_the_parts_of_a_counters_bound_add_up(start, end):
  """Also where both edges lie near, and in one tick."""
  shares = counted(WAVE, 0.05, start, end).shares
  parts = shares.own + shares.edges + shares.late**2
  assert parts == pytest.approx(1.0) and min(shares.own, shares.edges) > 0


def test_lateness_is_of_the_power_at_both_edges():
  """It counts the power of before: less joules where power rises."""
  for low, high in ((100.0, 400.0), (400.0, 100.0)):
    found = counted([low] * 21 + [high] * 20, 0.01)
    late = found.shares.late * (found.bound or 0.0) / 1.96
    assert late == pytest.approx((low - high) * STALE_SECONDS)


def test_joules_that_are_carried_on_share_all():
  joules = [math.fsum(WAVE[:i]) for i in range(41)]
  found = from_counter(
    SECONDS, [0.1] * 41, joules, {}, 40.0, 40.9, extrapolate=True
  )
  assert found.shares.own == found.shares.edges == 0.0


def test_integrals_have_what_no_reading_sees():
  found = from_power(SECONDS, WAVE, 20.3, 25.6)
  shares, sd = found.shares, (found.bound or 0.0) / 1.96
  assert shares.unseen > 0.5 and shares.common > 0  # the floor
  low, final = WAVE[20], WAVE[26]
  assert shares.late * sd == pytest.approx(LAG * (low - final))


def test_a_doubt_that_widens_is_common():
  parts = Shares(own=0.5, edges=0.14, late=-0.6)
  wide = widened(parts, 1.0, 2.0)
  assert wide == Shares(own=0.125, edges=0.035, late=-0.3)
  assert wide.common == pytest.approx(0.75)
  assert widened(parts, 0.0, 0.0) == parts


def test_bounds_that_add_in_squares_keep_their_parts():
  both = added(Shares(own=1.0), 3.0, Shares(unseen=0.75, late=-0.5), 4.0)
  assert both.own == pytest.approx(9 / 25)
  assert both.unseen == pytest.approx(12 / 25)
  assert both.late == pytest.approx(-0.4)
  assert both.common == pytest.approx(0.0)
  assert added(COMMON, 0.0, COMMON, 0.0) == COMMON


def test_no_variance_is_common():
  assert shares_of(0.0, own=0.0) == COMMON
  assert COMMON.common == 1.0
