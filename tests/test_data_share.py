import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.data.labels import examples_of, kinds_of


@given(
  labels=st.lists(st.integers(0, 4), min_size=1, max_size=300),
  share=st.floats(0.001, 1),
)
def test_classes_keep_their_proportion(labels: list[int], share: float) -> None:
  found = np.array(labels)
  chosen = examples_of(found, share)
  assert chosen.dtype == np.int32
  assert len(chosen) == max(1, round(share * len(labels)))
  assert len(set(chosen)) == len(chosen)
  for label in range(5):
    expected = (found == label).sum() * len(chosen) / len(labels)
    assert abs((found[chosen] == label).sum() - expected) <= 1


@pytest.mark.parametrize("labels", [np.zeros(10), np.zeros((10, 4))])
def test_the_whole_set_is_the_whole_set(labels: np.ndarray) -> None:
  np.testing.assert_array_equal(examples_of(labels, 1.0), np.arange(10))


def test_text_is_taken_at_even_distances() -> None:
  labels = np.arange(40)[::-1].reshape(10, 4)
  np.testing.assert_array_equal(examples_of(labels, 0.5), [0, 2, 4, 6, 8])


def test_each_combination_of_several_labels_is_a_kind() -> None:
  labels = np.array([[0, 1], [1, 0], [0, -1], [0, 1]])
  assert kinds_of(labels, 2).tolist() == [1, 2, 0, 1]
  assert kinds_of(labels, 1) is labels, "text, of which each is its own"
