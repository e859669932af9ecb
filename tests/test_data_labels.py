import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import data
from jaxpower.data.labels import classes_of, strata, subset_indices


@given(
  labels=st.lists(st.integers(0, 4), min_size=1, max_size=300),
  share=st.floats(0.001, 1),
)
def test_classes_keep_their_proportion(labels: list[int], share: float) -> None:
  stratum = np.array(labels)
  chosen = subset_indices(stratum, share)
  assert chosen.dtype == np.int32
  assert len(chosen) == max(1, round(share * len(labels)))
  assert len(set(chosen)) == len(chosen)
  for label in range(5):
    expected = (stratum == label).sum() * len(chosen) / len(labels)
    assert abs((stratum[chosen] == label).sum() - expected) <= 1


@pytest.mark.parametrize("labels", [np.zeros(10), np.zeros((10, 4))])
def test_the_whole_set_is_the_whole_set(labels: np.ndarray) -> None:
  np.testing.assert_array_equal(subset_indices(labels, 1.0), np.arange(10))


def test_text_is_taken_at_even_distances() -> None:
  labels = np.arange(40)[::-1].reshape(10, 4)
  np.testing.assert_array_equal(subset_indices(labels, 0.5), [0, 2, 4, 6, 8])


def test_each_combination_of_several_labels_is_a_kind() -> None:
  labels = np.array([[0, 1], [1, 0], [0, -1], [0, 1]])
  assert strata(labels, 2).tolist() == [1, 2, 0, 1]
  assert strata(labels, 1) is labels, "text, of which each is its own"


def test_other_labels_stay_behind() -> None:
  windows = data.load("imu")
  narrowed = data.for_tasks(windows, ("subject",))
  assert set(narrowed.train) == {"input", "label"}
  assert narrowed.facts.classes == windows.facts.labels["subject"]
  assert classes_of(narrowed.facts, ("subject",)) == (narrowed.facts.classes,)
  assert narrowed.train["input"] is windows.train["input"], "no copy"
  np.testing.assert_array_equal(narrowed.test["label"], windows.test["subject"])


def test_an_example_without_any_label_is_left_out() -> None:
  facts = dataclasses.replace(
    data.describe("digits_28"), labels={"a": 3, "b": 3, "c": 3}
  )
  part: dict[str, Any] = {
    "input": np.arange(4),
    "a": np.array([0, -1, -1, 2]),
    "b": np.array([-1, 1, -1, 2]),
    "c": np.array([-1, -1, 0, -1]),
  }
  whole = data.DataSet(facts, part, part, np.zeros(1), np.ones(1), "0" * 64)
  narrowed = data.for_tasks(whole, ("a", "b"))
  np.testing.assert_array_equal(narrowed.train["input"], [0, 1, 3])
  np.testing.assert_array_equal(
    narrowed.test["label"], [[0, -1], [-1, 1], [2, 2]]
  )


def test_text_read_for_its_next_token_is_left_as_it_is() -> None:
  novels = data.load("austen")
  narrowed = data.for_tasks(novels, ("label",))
  assert narrowed.train["label"] is novels.train["label"]
  assert data.for_tasks(novels, ("novel",)).facts.classes == 6
