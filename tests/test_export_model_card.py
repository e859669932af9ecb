"""The block of a model card: grams only where the grid is given."""

import json
import re

import committed
import pytest
from report_records import record, seeds

from jaxpower.export import model_card
from jaxpower.export.given import Grid
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.compare.costs import all_phases

GRID = Grid(380.0, "my supplier", 1.5)


def metadata(text: str) -> dict[str, object]:
  """Reads the front matter: JSON is YAML, so each value is read as JSON."""
  _, front, _ = text.split("---\n", 2)
  assert front.startswith("co2_eq_emissions:\n")
  pairs = re.findall(r"^  (\w+): (.*)$", front, re.M)
  return {name: json.loads(value) for name, value in pairs}


def test_grams_are_of_all_trials_in_all_phases():
  joules = sum(all_phases(r) or 0.0 for r in committed.records("batch"))
  text = model_card.block(committed.compared("batch"), GRID, "France")
  facts = metadata(text)
  grams = joules / 3.6e6 * 1.5 * 380.0
  assert facts["emissions"] == pytest.approx(grams, rel=1e-5)
  assert facts["geographical_location"] == "France"
  assert facts["training_type"] == "pre-training"
  assert "estimated energy of all 12 trials" in str(facts["source"])
  assert "380 g CO2e/kWh (my supplier), times a PUE of 1.5" in text
  assert facts["hardware_used"] == "AMD EPYC, 2 cores"
  assert "One training of cnn on fashion_mnist_6k" in text


def test_without_a_grid_there_are_joules_and_no_grams():
  text = model_card.block(committed.compared("batch"))
  assert "co2_eq_emissions" not in text and "CO2e" not in text
  assert "no intensity of the grid was given" in text
  assert "J estimated (" in text


def test_a_lower_bound_is_no_metadata():
  trials = [*seeds(64, 200.0, 210.0), record(64, 2, status="failed")]
  text = model_card.block(compare_all(trials), GRID)
  assert "co2_eq_emissions" not in text
  assert "Carbon of all trials: at least " in text


def test_unknown_joules_are_no_grams():
  trials = [record(64, joules=None, joules_by_phase={})]
  text = model_card.block(compare_all(trials), GRID)
  assert "not known, since the joules are not" in text
  assert "co2_eq_emissions" not in text


def test_few_grams_have_no_exponent():
  text = model_card.block(compare_all(seeds(64, 1e-6)), Grid(0.1, "me"))
  (line,) = re.findall(r"emissions: (.*)", text.replace("co2_eq_emissions", ""))
  assert "e" not in line and float(line) > 0


def test_markup_in_names_is_text():
  trials = seeds(64, 200.0, varied={"model.name": "<script>"})
  assert "<script>" not in model_card.block(compare_all(trials))
