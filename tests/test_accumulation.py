"""Into how many pieces a batch is computed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.accumulation import LARGEST, SMALLEST, accumulation_of
from jaxpower.config import Model, Trial


@pytest.mark.parametrize(
  ("batch", "devices", "parts"),
  [
    (32, 1, 1),
    (64, 1, 1),
    (512, 1, 8),
    (512, 4, 2),
    (96, 1, 2),
    (100, 1, 2),
    (127, 1, 1),  # divided it would be 127 pieces of one
    (1_000, 1, 20),
  ],
)
def test_a_batch_on_a_cpu(batch: int, devices: int, parts: int) -> None:
  trial = Trial(batch_size=batch)
  assert accumulation_of(trial, on_cpu=True, devices=devices) == parts


@pytest.mark.parametrize(
  ("trial", "on_cpu"),
  [
    (Trial(batch_size=512), False),
    (Trial(batch_size=512, model=Model(name="resnet18")), True),
    (Trial(batch_size=512, dropout=0.1), True),
    (Trial(batch_size=512, framework="torch"), True),
  ],
)
def test_in_one_piece(trial: Trial, on_cpu: bool) -> None:
  assert accumulation_of(trial, on_cpu=on_cpu, devices=1) == 1


def test_pytorch_takes_a_transformers_batch_in_pieces() -> None:
  trial = Trial(
    batch_size=512, framework="torch", model=Model(name="transformer")
  )
  assert accumulation_of(trial, on_cpu=True, devices=1) == 8


@pytest.mark.parametrize("asked", [1, 4])
def test_what_a_trial_says_holds(asked: int) -> None:
  trial = Trial(batch_size=512, accumulation=asked)
  assert accumulation_of(trial, on_cpu=True, devices=1) == asked


@given(st.integers(1, 5_000), st.integers(1, 8))
def test_pieces_are_equal_and_neither_small_nor_large(
  share: int, devices: int
) -> None:
  trial = Trial(batch_size=share * devices)
  parts = accumulation_of(trial, on_cpu=True, devices=devices)
  assert share % parts == 0
  assert parts == 1 or SMALLEST <= share // parts <= LARGEST
