"""What is held back to decide is the same for all, and nothing learns it."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import data
from jaxpower.data.labels import chosen_indices
from jaxpower.data.validation import Rows, drawn, hold_back, left_examples


def as_bytes(inputs: Any) -> set[bytes]:
  return {example.tobytes() for example in inputs[:]}


@given(
  labels=st.lists(st.integers(0, 4), min_size=2, max_size=300),
  share=st.floats(0.001, 0.99),
)
def test_classes_keep_their_proportion(labels: list[int], share: float) -> None:
  split = {"input": np.zeros(len(labels)), "label": np.array(labels)}
  held = drawn(split, share)
  assert len(held) == len(set(held)) == max(1, round(share * len(labels)))
  assert held.tolist() == sorted(held)
  assert held.tolist() == drawn(split, share).tolist()
  for label in range(5):
    expected = labels.count(label) * len(held) / len(labels)
    assert abs((split["label"][held] == label).sum() - expected) <= 1


@pytest.mark.parametrize("name", ["fashion_mnist_6k", "digits_28", "austen"])
def test_a_share_is_held_back_and_the_rest_is_left(name: str) -> None:
  whole = data.load(name)
  sets = data.load(name, validation_share=0.1)
  examples = len(whole.train["input"])
  assert sets.validation is not None
  assert sets.left is not None
  assert len(sets.validation["input"]) == round(0.1 * examples)
  assert len(sets.left) == left_examples(whole.facts, 0.1)
  assert len(sets.left) + len(sets.validation["input"]) == examples
  held = np.setdiff1d(np.arange(examples), sets.left)
  for part, values in sets.validation.items():
    np.testing.assert_array_equal(values, whole.train[part][held])
  assert sets.sha256 == whole.sha256
  np.testing.assert_array_equal(sets.mean, whole.mean)


def test_no_share_holds_nothing_back() -> None:
  sets = data.load("digits", validation_share=0.0)
  assert (sets.validation, sets.left) == (None, None)
  assert list(sets.evaluated) == ["test"]
  assert left_examples(sets.facts, 0.0) == sets.facts.train_examples


def test_a_validation_set_of_its_own_is_taken_whole() -> None:
  digits = data.load("digits")
  facts = dataclasses.replace(digits.facts, validation_examples=360)
  sets = dataclasses.replace(digits, facts=facts, validation=digits.test)
  assert hold_back(sets, 0.3) is sets
  assert left_examples(facts, 0.3) == facts.train_examples
  assert list(sets.evaluated) == ["validation", "test"]


def test_the_same_examples_decide_whatever_is_learned() -> None:
  """Neither the tasks nor the other sets of a mixture change any of them."""
  windows = data.load("imu", validation_share=0.1)
  tasks = [("label",), ("subject",), ("label", "subject")]
  narrowed = [data.for_tasks(windows, task) for task in tasks]
  seen = [as_bytes(n.evaluated["validation"]["input"]) for n in narrowed]
  assert seen[0] == seen[1] == seen[2]
  assert all(n.left is windows.left for n in narrowed)
  alone = data.load("digits_28", validation_share=0.1)
  both = data.load("mnist_5k+digits_28", validation_share=0.1)
  one = data.for_tasks(both, ("digits_28",))
  assert alone.validation is not None
  assert alone.left is not None
  assert as_bytes(one.evaluated["validation"]["input"]) == as_bytes(
    alone.validation["input"]
  )
  assert one.left is not None
  assert as_bytes(one.train["input"][one.left]) == as_bytes(
    alone.train["input"][alone.left]
  )
  shared = data.for_tasks(both, ("mnist_5k", "digits_28"))
  assert shared.left is both.left
  assert len(shared.evaluated["validation"]["label"]) == 400 + 144


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize(
  ("name", "tasks"),
  [
    ("fashion_mnist_6k", ("label",)),
    ("mnist_5k+digits_28", ("digits_28",)),
    ("mnist_5k+digits_28", ("mnist_5k", "digits_28")),
    ("imu", ("subject", "side")),
  ],
)
def test_no_trial_trains_on_what_decides(
  name: str, tasks: tuple[str, ...], share: float
) -> None:
  sets = data.for_tasks(data.load(name, validation_share=0.2), tasks)
  chosen = chosen_indices(sets, len(tasks), share)
  assert sets.left is not None
  assert chosen.dtype == np.int32
  assert set(chosen) <= set(sets.left)
  assert len(chosen) == round(share * len(sets.left))
  decides = as_bytes(sets.evaluated["validation"]["input"])
  assert decides.isdisjoint(as_bytes(sets.train["input"][chosen]))


def test_windows_that_overlap_are_not_divided() -> None:
  """No sample of a recording is both trained on and looked at."""
  sets = data.load("imu", validation_share=0.1)
  assert sets.places is not None
  assert sets.left is not None
  assert sets.validation is not None
  held = np.array(
    [
      index
      for index, row in enumerate(sets.train["input"])
      if row.tobytes() in as_bytes(sets.validation["input"])
    ]
  )
  assert len(held) == len(sets.validation["input"])
  assert 0.08 < len(held) / len(sets.train["input"]) < 0.12
  for recording in np.unique(sets.places[:, 0]):
    of = {
      name: sets.places[index][sets.places[index][:, 0] == recording, 1]
      for name, index in (("left", sets.left), ("held", held))
    }
    windows = sets.places[sets.places[:, 0] == recording, 1]
    assert sorted(windows) == list(range(len(windows)))
    if len(of["held"]):
      # One window lies between them: windows overlap by half.
      assert min(of["held"]) - max(of["left"], default=-2) == 2
      assert max(of["held"]) == max(windows)
  # Neighbours in place are those whose samples overlap.
  order = np.lexsort(sets.places.T[::-1])
  first, second = sets.train["input"][order[:2]]
  np.testing.assert_array_equal(first[50:], second[:50])


def test_rows_are_those_of_the_array() -> None:
  values = np.arange(24).reshape(8, 3)
  rows = Rows(values, np.array([1, 4, 6]))
  np.testing.assert_array_equal(rows[:], values[[1, 4, 6]])
  np.testing.assert_array_equal(rows[1:], values[[4, 6]])
  assert (len(rows), rows.shape, rows.ndim) == (3, (3, 3), 2)
  assert (rows.dtype, rows.nbytes) == (values.dtype, rows[:].nbytes)
