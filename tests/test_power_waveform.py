"""Power over time knows its exact energy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.power.waveform import (
  Constant,
  Sampled,
  Sine,
  Square,
  Steps,
  as_waveform,
)


@given(
  st.sampled_from(
    [
      Constant(120.0),
      Sine(300.0, 150.0, 0.37),
      Square(90.0, 600.0, 0.23, 0.6),
      Steps([100.0, 400.0, 250.0], [0.1, 0.33, 0.05]),
    ]
  ),
  st.floats(0, 5),
  st.floats(0.01, 2),
)
def test_waveforms_know_their_integral(wave, start, length):
  cells = 4000
  step = length / cells
  total = sum(wave.watts(start + (i + 0.5) * step) * step for i in range(cells))
  exact = wave.joules(start + length) - wave.joules(start)
  assert exact == pytest.approx(total, rel=5e-3, abs=600 * step)


def test_any_function_is_a_waveform():
  wave = as_waveform(lambda t: 100 + 10 * t)
  assert isinstance(wave, Sampled)
  assert wave.joules(2.0) == pytest.approx(220.0, rel=1e-6)
  assert isinstance(as_waveform(50), Constant)
