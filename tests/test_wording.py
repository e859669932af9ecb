import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.report.compare.comparable import natural_key
from jaxpower.wording import (
  label,
  labels,
  measured_or_estimated,
  memory,
  number,
  opening,
  percent,
  setting,
)


@pytest.mark.parametrize(
  ("path", "word"),
  [
    ("batch_size", "batch"),
    ("optimizer.learning_rate", "learning rate"),
    ("optimizer.name", "optimizer"),
    ("model.name", "model"),
    ("model.width", "width"),
    ("precision", "precision"),
  ],
)
def test_a_path_is_told_as_a_person_would(path, word):
  assert label(path) == word


def test_two_paths_with_one_label_are_told_in_full():
  assert labels(["head.width", "model.width", "batch_size"]) == {
    "head.width": "head width",
    "model.width": "model width",
    "batch_size": "batch",
  }


def test_a_setting_names_all_that_varies():
  values = {"batch_size": 64, "optimizer.learning_rate": 0.001}
  assert setting(values) == "batch 64, learning rate 0.001"
  assert opening({"precision": "bfloat16"}) == "Precision bfloat16"
  assert opening({"optimizer.name": "SGD"}) == "Optimizer SGD"
  for both in (["label", "subject"], ("label", "subject")):
    assert setting({"tasks": both}) == "tasks label + subject"
  assert setting({}) == ""


@pytest.mark.parametrize(
  ("item", "text"),
  [
    (212.4, "212"),
    (4.1, "4.10"),
    (0.0412, "0.0412"),
    (9.996, "10.0"),
    (999.6, "1000"),
    (1840, "1840"),
    (12_345, "12,300"),
    (1.2e-6, "1.20e-06"),
    (0, "0"),
    (-4.1, "-4.10"),
    (float("inf"), "unknown"),
  ],
)
def test_three_significant_figures(item, text):
  assert number(item) == text


@given(st.floats(1e-4, 1e9), st.integers(1, 6))
def test_a_number_shown_is_the_number_rounded(item, figures):
  shown = float(number(item, figures).replace(",", ""))
  assert shown == pytest.approx(float(f"{item:.{figures}g}"), rel=1e-12)


def test_percent():
  assert percent(0.8) == "80 %"
  assert percent(0.925) == "92.5 %"


def test_memory_has_a_binary_prefix():
  assert memory(2**20 / 2) == "0.500 MiB"
  assert memory(2**29) == "512 MiB"
  assert memory(3 * 2**29) == "1.50 GiB"


def test_what_is_modelled_is_called_estimated():
  assert (measured_or_estimated(False), measured_or_estimated(True)) == (
    "measured",
    "estimated",
  )


def test_numbers_sort_by_size_and_before_words():
  values = ["sgd", 1024, 64, "adam", None, 0.5]
  assert sorted(values, key=natural_key) == [
    0.5, 64, 1024, "adam", "sgd", None
  ]  # fmt: skip
