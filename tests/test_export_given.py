"""Facts that no record knows: read strictly, never guessed."""

import pytest

from jaxpower.export import ExportError
from jaxpower.export.given import FACTS, Grid, grid, parse
from jaxpower.report.given.published import GRIDS


def test_facts_are_read():
  words = ["region=Germany", "pue = 1.2"]
  assert parse(words, FACTS, "any") == {"region": "Germany", "pue": "1.2"}


@pytest.mark.parametrize(
  ("words", "reason"),
  [
    (
      ["grid_intensty=3"],
      "unknown fact 'grid_intensty'; did you mean grid_int",
    ),
    (["pue"], "write --given=pue=VALUE"),
    (["pue="], "write --given=pue=VALUE"),
    (["country=France"], "codecarbon takes pue"),
    (["pue=1", "pue=2"], "given twice"),
  ],
)
def test_a_wrong_fact_is_refused_in_a_line(words, reason):
  with pytest.raises(ExportError, match=reason) as caught:
    parse(words, ("pue",), "codecarbon")
  assert "\n" not in str(caught.value)


def test_a_format_without_facts_says_so():
  with pytest.raises(ExportError, match="latex takes none"):
    parse(["pue=1"], (), "latex")


def test_a_region_is_its_published_mean():
  found = grid({"region": "Germany", "pue": "1.5"})
  assert found is not None
  assert found.grams_co2e_per_kwh == GRIDS["Germany"].value
  assert found.pue == 1.5
  assert "Our World in Data" in found.words and "PUE of 1.5" in found.words


def test_no_grid_is_no_number():
  assert grid({}) is None
  assert "no PUE was given" in Grid(380.0, "me").words


@pytest.mark.parametrize(
  ("given", "reason"),
  [
    ({"region": "Germny"}, "did you mean Germany"),
    ({"region": "World", "grid_intensity": "3"}, "not both"),
    ({"grid_intensity": "green"}, "is no number from 0 on"),
    ({"grid_intensity": "nan"}, "is no number from 0 on"),
    ({"grid_intensity": "3", "pue": "0.9"}, "is no number from 1 on"),
    ({"pue": "1.2"}, "says nothing without"),
  ],
)
def test_a_wrong_grid_is_refused(given, reason):
  with pytest.raises(ExportError, match=reason):
    grid(given)
