import numpy as np
import pytest

from jaxpower import schedule
from jaxpower.config import Optimizer, Trial


def trial(batch_size: int = 10, **fields: float | str) -> Trial:
  return Trial(
    batch_size=batch_size,
    budget_examples=1000,
    evaluate_every_examples=100,
    optimizer=Optimizer(learning_rate=0.5, **fields),  # pyright: ignore
  )


def test_constant_is_constant() -> None:
  rates = schedule.learning_rates(trial(), 3, 4)
  assert rates.dtype == np.float32
  np.testing.assert_array_equal(rates, np.full(4, 0.5, np.float32))


def test_cosine_falls_from_the_rate_to_zero_at_the_budget() -> None:
  rates = schedule.learning_rates(trial(schedule="cosine"), 0, 101)
  assert rates[0] == 0.5
  assert rates[50] == pytest.approx(0.25)
  assert rates[100] == pytest.approx(0, abs=1e-7)
  assert (np.diff(rates) < 0).all()


def test_warm_up_rises_linearly_to_the_rate() -> None:
  rates = schedule.learning_rates(trial(warmup_examples=50), 0, 7)
  np.testing.assert_allclose(
    rates, [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5], rtol=1e-6
  )


def test_a_schedule_is_the_same_segment_by_segment() -> None:
  cosine = trial(schedule="cosine", warmup_examples=100)
  whole = schedule.learning_rates(cosine, 0, 100)
  parts = [
    schedule.learning_rates(cosine, start, 20) for start in range(0, 100, 20)
  ]
  np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_warm_up_starts_at_a_25th_and_rises_for_a_tenth() -> None:
  rates = schedule.learning_rates(trial(schedule="warm_up"), 0, 101)
  assert rates[0] == pytest.approx(0.5 / 25)
  assert rates[5] == pytest.approx(0.5 * (1 + 1 / 25) / 2)
  np.testing.assert_allclose(rates[10:], 0.5)


def test_step_falls_tenfold_at_half_and_at_three_quarters() -> None:
  rates = schedule.learning_rates(trial(schedule="step"), 0, 101)
  np.testing.assert_allclose(
    rates[[0, 49, 50, 74, 75, 100]], [0.5, 0.5, 0.05, 0.05, 0.005, 0.005]
  )


def test_one_cycle_rises_to_the_rate_and_falls_below_its_start() -> None:
  rates = schedule.learning_rates(trial(schedule="one_cycle"), 0, 101)
  assert rates[0] == pytest.approx(0.5 / 25)
  assert rates[15] == pytest.approx(0.5 * (1 + 1 / 25) / 2)
  assert rates[30] == 0.5
  assert rates[100] == pytest.approx(0.5e-4)
  assert (np.diff(rates[:31]) > 0).all()
  assert (np.diff(rates[30:]) < 0).all()


def test_a_schedule_may_end_before_the_budget() -> None:
  short = trial(schedule="cosine", schedule_examples=500)
  rates = schedule.learning_rates(short, 0, 101)
  assert rates[25] == pytest.approx(0.25)
  np.testing.assert_allclose(rates[50:], 0, atol=1e-7)


@pytest.mark.parametrize(
  ("scaling", "rates"),
  [
    ("none", [0.5, 0.5, 0.5]),
    ("linear", [0.25, 0.5, 2.0]),
    ("sqrt", [0.5 / 2**0.5, 0.5, 1.0]),
  ],
)
def test_the_rate_is_scaled_with_the_batch(
  scaling: str, rates: list[float]
) -> None:
  first_rates = [
    schedule.learning_rates(
      trial(batch_size, scaling=scaling, reference_batch_size=10), 0, 1
    )[0]
    for batch_size in (5, 10, 40)
  ]
  np.testing.assert_allclose(first_rates, rates, rtol=1e-6)
