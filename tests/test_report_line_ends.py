"""Where the names of lines stand: above their ends, none over another."""

import itertools

import pytest

from jaxpower.report.render.line_ends import cut, places, width_of


def overlap(one, other) -> bool:
  return one.level == other.level and (
    one.left < other.right and other.left < one.right
  )


@pytest.mark.parametrize(
  "rises", [(2.0, 2.1, 2.2), (2.2, 2.0, 2.1), (2.0, 2.0, 2.0), (0.1, 2.0, 0.2)]
)
def test_no_name_covers_another(rises):
  placed = places([(rise, 1.0) for rise in rises])
  assert [place.rise for place in placed] == [*rises]
  for one, other in itertools.combinations(placed, 2):
    assert not overlap(one, other)


def test_far_ends_share_a_level_and_near_ones_do_not():
  far = places([(1.0, 0.5), (2.0, 0.5)])
  assert [place.level for place in far] == [0, 0]
  near = places([(2.0, 0.5), (2.2, 0.5)])
  assert [place.level for place in near] == [0, 1]


def test_a_name_stands_above_each_line_that_rises_through_it():
  placed = places([(1.0, 0.2), (1.5, 0.2), (2.0, 1.4)])
  assert [place.level for place in placed] == [0, 0, 1]


def test_a_name_without_room_on_its_left_begins_there():
  (place,) = places([(0.3, 1.0)])
  assert (place.left, place.right, place.rise) == (0.0, 1.0, 0.3)


def test_a_longer_name_is_wider():
  short, long = width_of("16"), width_of("batch 1024")
  assert 0.1 < short < long < 1.0


def test_a_name_that_is_wider_than_the_panel_is_cut():
  name = "a model of a name that is too long for any panel"
  found = cut(name, 1.5)
  assert found.endswith("...") and name.startswith(found[:-3])
  assert 1.2 < width_of(found) <= 1.5
  assert cut("16", 1.5) == "16"
