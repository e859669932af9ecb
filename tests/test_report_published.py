"""The published numbers that an assumption may name."""

import pytest

from jaxpower.report.given.published import GPUS, GRIDS


def test_every_number_has_a_source_and_a_year():
  for number in (*GRIDS.values(), *GPUS.values()):
    assert number.source
    assert number.date in ("2022", "2023", "2024", "2025", "2026")
    assert number.value > 0


def test_all_regions_are_there():
  assert len(GRIDS) == 220
  assert {"World", "Africa", "European Union (27)", "Taiwan"} <= GRIDS.keys()


@pytest.mark.parametrize(
  ("region", "grams", "year"),
  [
    ("France", 41.44, "2025"),
    ("Indonesia", 680.25, "2024"),
    ("Poland", 588.6, "2025"),
    ("Ukraine", 250.47, "2022"),
    ("United States", 384.4, "2025"),
    ("World", 458.29, "2025"),
  ],
)
def test_grids_as_they_were_published(region, grams, year):
  assert (GRIDS[region].value, GRIDS[region].date) == (grams, year)


def test_a_board_of_eight_is_shared():
  assert (GPUS["H100"].value, GPUS["B200"].value) == (164, 284.25)
  assert "2,274 kg for a board of eight" in GPUS["B200"].source
