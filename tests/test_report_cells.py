"""How estimates and energy stand in cells and sentences."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import seeds

from jaxpower.report.cells import (
  bounded,
  estimate,
  joules,
  joules_interval,
  misses,
  number_or_unknown,
  unit_of,
  unit_to_target,
)
from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.statistics import Estimate
from jaxpower.wording import JOULES, joule_unit, joules_name

ENERGIES = st.floats(1e-4, 1e13)


@pytest.mark.parametrize(
  ("energies", "name", "cells"),
  [
    ((0.562, 41.8), "joules", ["0.562", "41.8"]),
    ((200.0, 41_834.0), "joules", ["200", "41,800"]),
    ((999.4,), "joules", ["999"]),
    ((999.6,), "kilojoules", ["1.00"]),
    ((41_834.0, 1_234_567.0), "kilojoules", ["41.8", "1230"]),
    ((12_300_000.0,), "megajoules", ["12.3"]),
    ((4.2e9, 1e12), "gigajoules", ["4.20", "1000"]),
    ((0.0, 41_834.0), "kilojoules", ["0", "41.8"]),
    ((0.0, 0.0), "joules", ["0", "0"]),
    ((None, 41_834.0), "kilojoules", ["unknown", "41.8"]),
    ((None,), "joules", ["unknown"]),
    ((), "joules", []),
  ],
)
def test_a_column_has_the_unit_of_its_least_known_value(energies, name, cells):
  unit = unit_of(energies)
  assert joules_name(False, unit) == name
  assert [number_or_unknown(value, unit) for value in energies] == cells
  estimates = [None if v is None else Estimate(v) for v in energies]
  assert unit_of(estimates) == unit
  assert [estimate(value, unit) for value in estimates] == cells


def test_lower_bounds_and_intervals_are_in_the_unit_too():
  unit = unit_of([Estimate(41_834.0, True), Estimate(50_000.0)])
  assert (joule_unit(True, unit), joule_unit(False)) == ("estimated kJ", "J")
  assert estimate(Estimate(41_834.0, True, 1.0, math.inf), unit) == "> 41.8"
  interval = Estimate(41_834.0, low=39_120.0, high=44_000.0)
  assert estimate(interval, unit) == "41.8 (39.1-44.0)"
  endless = Estimate(41_834.0, low=900.0, high=math.inf)
  assert estimate(endless, unit) == "41.8 (0.900 or more)"
  assert bounded(41_834.0, 418.0, unit) == "41.8 +- 1 %"
  assert bounded(41_834.0, None, unit) == "41.8"
  assert bounded(None, None, unit) == "unknown"


@given(st.lists(ENERGIES, min_size=1))
def test_a_cell_times_its_unit_is_the_energy(energies):
  unit = unit_of(energies)
  for value in energies:
    shown = float(estimate(Estimate(value), unit).replace(",", ""))
    third_figure = 10.0 ** (math.floor(math.log10(value)) - 2)
    assert abs(shown * unit.joules - value) <= 0.5000001 * third_figure


@given(st.lists(ENERGIES, min_size=1))
def test_no_cell_of_another_unit_than_joules_is_a_fraction(energies):
  unit = unit_of(energies)
  if unit != JOULES:
    assert all(value / unit.joules >= 0.9995 for value in energies)


@pytest.mark.parametrize(
  ("value", "text"),
  [
    (None, "unknown joules"),
    (Estimate(0.0), "0 J"),
    (Estimate(0.5624), "562 mJ"),
    (Estimate(212.0), "212 J"),
    (Estimate(41_834.0, low=39_120.0, high=44_000.0), "41.8 kJ"),
    (Estimate(41_834.0, at_least=True), "at least 41.8 kJ"),
    (Estimate(12_300_000.0), "12.3 MJ"),
  ],
)
def test_energy_in_a_sentence_has_its_own_prefix(value, text):
  assert joules(value, estimated=False) == text
  mark = "" if value is None else " estimated"
  assert joules(value, estimated=True) == text + mark


def test_an_interval_in_a_sentence_has_the_prefix_of_its_value():
  value = Estimate(41_834.0, low=900.0, high=44_000.0)
  assert joules_interval(value, False) == "41.8 kJ (0.900 to 44.0)"
  modelled = joules_interval(value, True)
  assert modelled == "41.8 kJ estimated (0.900 to 44.0)"
  millis = Estimate(0.547, low=0.456, high=0.613)
  assert joules_interval(millis, False) == "547 mJ (456 to 613)"
  assert joules_interval(Estimate(212.0), False) == "212 J"
  assert joules_interval(None, False) == "unknown joules"


def test_settings_of_a_comparison_share_a_unit():
  (comparison,) = compare(seeds(64, 41_834.0) + seeds(256, -12_300_000.0))
  assert unit_to_target(comparison).symbol == "kJ"
  (missed,) = compare(seeds(256, -12_300_000.0))
  assert unit_to_target(missed).symbol == "MJ"


def test_misses_say_how_many_and_within_what():
  assert misses(2, 3, "torch", "84 %", 15.0, False) == (
    "2 of 3 seeds of torch did not reach 84 % within 15.0 J"
  )
  assert misses(1, 1, "torch", "84 %", None, True) == (
    "1 of 1 seed of torch did not reach 84 %"
  )
