import numpy as np
import pytest

from jaxpower import schedule
from jaxpower.config import Optimizer, Trial


def trial(**fields: float | str) -> Trial:
  return Trial(
    batch_size=10,
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


def test_a_schedule_is_the_same_in_pieces() -> None:
  asked = trial(schedule="cosine", warmup_examples=100)
  whole = schedule.learning_rates(asked, 0, 100)
  pieces = [
    schedule.learning_rates(asked, start, 20) for start in range(0, 100, 20)
  ]
  np.testing.assert_array_equal(whole, np.concatenate(pieces))
