import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxpower.report.compare.comparable import natural_key
from jaxpower.wording import (
  energy,
  joule_unit,
  joule_unit_for,
  joules_name,
  label,
  labels,
  measured_or_estimated,
  memory,
  number,
  on_one_line,
  opening,
  partly_measured,
  percent,
  points,
  printable,
  quantity,
  setting,
  value,
  whole_percent,
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


def test_a_field_that_a_trial_does_not_have_is_no_part_of_its_name():
  values = {"transfer": "scratch", "transfer.init_from.data": None}
  assert setting(values) == "start scratch"
  assert value(None) == "-"


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


def test_a_column_of_energy_names_its_unit():
  kilo = joule_unit_for([0.0, 41_834.0, 12.3e6])
  assert joules_name(False, kilo) == "kilojoules"
  assert joules_name(True, kilo) == "estimated kilojoules"
  assert joule_unit(False, kilo) == "kJ"
  assert joule_unit(True, kilo) == "estimated kJ"
  assert energy(1_840.0, False) == "1.84 kJ"
  assert energy(1_840.0, True) == "1.84 kJ estimated"
  assert (joules_name(False), joule_unit(True)) == ("joules", "estimated J")


@pytest.mark.parametrize(
  ("value", "text"),
  [
    (0.0, "0 J"),
    (1e-7, "0.000100 mJ"),
    (0.562, "562 mJ"),
    (0.9996, "1.00 J"),
    (999.4, "999 J"),
    (999.6, "1.00 kJ"),
    (-41_834.0, "-41.8 kJ"),
    (4.2e12, "4200 GJ"),
  ],
)
def test_a_quantity_has_a_prefix(value, text):
  assert quantity(value, "J") == text


def test_shares_and_points():
  assert whole_percent(0.624) == "62"
  assert (points(0.05), points(-0.0241)) == ("+5.0", "-2.4")


def test_trials_that_were_partly_measured():
  assert partly_measured(1, 1) == "1 of 1 trial was only partly measured"
  assert partly_measured(2, 6) == "2 of 6 trials were only partly measured"


def test_what_a_terminal_acts_upon_is_escaped() -> None:
  for code in range(sys.maxunicode + 1):
    category = unicodedata.category(chr(code))
    if category in ("Cc", "Zl", "Zp", "Cs") and code != ord("\n"):
      assert printable(chr(code)) != chr(code), hex(code)
  assert printable("a\nb\u202e\x1b[2J") == "a\nb\\u202e\\x1b[2J"
  assert on_one_line("a\n b\t\x9bc") == "a b \\x9bc"
  assert printable("80 % \u00e4 \u4e2d \u00a0") == "80 % \u00e4 \u4e2d \u00a0"
