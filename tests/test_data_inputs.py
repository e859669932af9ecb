import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.data import inputs


@given(text=st.binary(max_size=40), length=st.integers(1, 30))
def test_bytes_are_kept_until_the_length(text: bytes, length: int):
  tokens = inputs.byte_tokens(text, length)
  assert tokens.dtype == np.uint16
  held = list(tokens[: len(text)])
  assert held == [byte + 1 for byte in text[:length]]
  assert tokens.tolist() == held + [0] * (length - len(held))


def test_the_largest_byte_is_no_padding():
  assert inputs.byte_tokens(b"\xff\x00", 3).tolist() == [256, 1, 0]


@pytest.mark.parametrize(
  "shape", [(9, 17, 3), (17, 9, 3), (8, 8, 1), (3, 300, 3), (40, 41, 1)]
)
def test_a_photo_becomes_a_square(shape: tuple[int, int, int]):
  photo = np.full(shape, 77, np.uint8)
  squared = inputs.square(photo, 8)
  assert squared.shape == (8, 8, shape[2])
  assert squared.dtype == np.uint8
  assert (squared == 77).all()


def test_the_middle_is_kept_and_no_row_is_skipped():
  photo = np.zeros((40, 80, 1), np.uint8)
  photo[:, 20:60] = 100  # the middle
  photo[1::2] //= 2  # rows that plain sampling of every fourth would miss
  squared = inputs.square(photo, 10)
  np.testing.assert_allclose(squared[2:-2, 1:-1], 75, atol=5)
  assert inputs.square(photo, 20)[10, 0] > 60


def test_the_photo_of_right_size_is_untouched():
  photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
  np.testing.assert_array_equal(inputs.square(photo, 12), photo)


def test_passages_do_not_overlap():
  cut = inputs.passages(bytes(range(10)), count=2, length=3)
  assert cut["input"].tolist() == [[1, 2, 3], [5, 6, 7]]
  assert cut["label"].tolist() == [[2, 3, 4], [6, 7, 8]]
  with pytest.raises(ValueError, match="10 bytes of at least 12"):
    inputs.passages(bytes(range(10)), count=3, length=3)
