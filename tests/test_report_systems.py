"""The same settings on several systems: what holds on all of them."""

from dataclasses import replace

import pytest
from report_records import GPU, devices, seeds

from jaxpower.power import window
from jaxpower.records import TrialRecord
from jaxpower.report import make
from jaxpower.report.charts import Intervals
from jaxpower.report.compare.comparable import pool
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.compare.system import BOARD_GAIN
from jaxpower.report.given import Given
from jaxpower.report.questions.systems import Systems, answer, find

H100, H200, A100 = "NVIDIA H100", "NVIDIA H200", "NVIDIA A100"
COUNTER = {"domains": [{"domain": GPU, "kind": "gpu", "method": "counter"}]}


def on(kind, costs, **changes) -> list[TrialRecord]:
  """Three seeds of each batch size, whose median costs are given."""
  facts = {"provenance": devices(GPU, kind=kind), "meter": COUNTER} | changes
  return [
    trial
    for batch, joules in costs.items()
    for trial in seeds(batch, joules, 0.99 * joules, 1.01 * joules, **facts)
  ]


def one(records) -> Systems:
  (found,) = find(compare_all(records))
  return found


def tell(records):
  (section,) = answer(compare_all(records), Given())
  return section


def test_one_system_has_no_section():
  assert find(compare_all(on(H100, {16: 10, 64: 20}))) == ()
  titles = [s.title for s in make(on(H100, {16: 10, 64: 20})).sections]
  assert "Systems" not in titles


def test_other_goals_are_no_other_systems():
  strict = on(H200, {16: 10, 64: 20}, target_accuracy=0.9)
  assert find(compare_all(on(H100, {16: 10, 64: 20}) + strict)) == ()


def test_ratios_are_to_one_base_within_each_system():
  found = one(on(H100, {16: 10, 64: 20}) + on(H200, {16: 300, 64: 900}))
  assert [each.name for each in found.systems] == [H100, H200]
  assert (found.settings[found.base], found.left_out) == ({"batch_size": 16}, 0)
  first, second = (each.ratios for each in found.systems)
  assert (first[0], second[0]) == (Estimate(1.0), Estimate(1.0))
  assert first[1] is not None and first[1].value == pytest.approx(2)
  assert second[1] is not None and second[1].value == pytest.approx(3)


def test_ratios_hold_for_all_settings_of_a_system_at_once():
  """Those of a report with more settings are wider, each on its own."""
  noisy = {16: (10, 12), 64: (20, 21), 256: (30, 28)}
  trials = [
    trial
    for kind in (H100, H200)
    for batch, joules in noisy.items()
    for trial in seeds(
      batch, *joules, provenance=devices(GPU, kind=kind), meter=COUNTER
    )
  ]
  first = one(trials).systems[0]
  at_once = first.ratios[1]
  alone = first.comparison.fit.ratio(1, 0)
  assert at_once is not None and alone is not None
  assert at_once.value == alone.value
  assert at_once.low is not None and alone.low is not None
  assert at_once.low < alone.low


def test_a_ranking_that_holds():
  h100 = on(H100, {16: 10, 64: 20, 256: 90})
  h200 = on(H200, {16: 300, 64: 900, 256: 1000})
  section = tell(h100 + h200)
  assert section.lead == (
    "Batch 16 is cheapest on both systems. The ranking holds: every system has"
    " the same one of any two settings cheaper (3 pairs)."
  )
  (table,) = section.tables
  assert table.columns == ("batch", H100, H200)
  assert table.rows[0] == ("16", "1.00", "1.00")
  assert [row[0] for row in table.rows] == ["16", "64", "256"]
  assert table.rows[1][1].startswith("2.00 (")
  assert table.rows[2][2].startswith("3.33 (")


def test_the_figure_has_the_ratios_of_each_system():
  h100 = on(H100, {16: 10, 64: 20, 256: 90})
  h200 = on(H200, {16: 300, 64: 900, 256: 1000})
  (figure,) = tell(h100 + h200).figures
  (chart,) = figure.panels
  assert isinstance(chart, Intervals)
  assert chart.rows == ("batch 16", "batch 64", "batch 256")
  assert chart.series == (H100, H200) and chart.short == ("16", "64", "256")
  found = {(m.row, m.series): m.value for m in chart.marks}
  assert found == pytest.approx(
    {(0, 0): 1, (1, 0): 2, (2, 0): 9, (0, 1): 1, (1, 1): 3, (2, 1): 10 / 3}
  )


def test_a_ranking_that_does_not_hold():
  h100, h200 = on(H100, {16: 40, 64: 20}), on(H200, {16: 60, 64: 30})
  a100 = on(A100, {16: 5, 64: 900})  # cheaper by far, but on one alone
  section = tell(h100 + h200 + a100)
  assert section.lead == (
    "Batch 64 is cheapest on 2 of 3 systems; batch 16 is on NVIDIA A100. No two"
    " settings are in the same order on every system. The ranking does not"
    " hold: batch 16 and batch 64 measurably differ the other way round on"
    " another system."
  )


def test_an_order_that_no_system_is_sure_of_contradicts_nothing():
  section = tell(on(H100, {16: 20, 64: 20.1}) + on(H200, {16: 30.1, 64: 30}))
  assert "nothing contradicts one ranking for all" in section.lead


def test_settings_of_one_system_alone_are_left_out():
  h100 = on(H100, {16: 10, 64: 20, 1024: 1})
  section = tell(h100 + on(H200, {16: 300, 64: 900, 256: 1}))
  assert [row[0] for row in section.tables[0].rows] == ["16", "64"]
  assert (
    "Left out: 2 settings that only some of the systems ran."
    in section.tables[0].notes
  )
  assert find(compare_all(on(H100, {16: 10}) + on(H200, {16: 300}))) == ()


def test_a_setting_that_was_seldom_reached_is_unknown_and_no_pair():
  h100, h200 = on(H100, {16: 10, 64: -20}), on(H200, {16: 30, 64: -60})
  section = tell(h100 + h200)
  assert section.tables[0].rows[1][1:] == ("unknown", "unknown")
  assert "Of no two settings every system knows" in section.lead


def test_joules_are_divided_across_systems_of_one_method_only():
  h100, h200 = on(H100, {16: 10, 64: 20}), on(H200, {16: 30, 64: 90})
  first, second = tell(h100 + h200).lines
  assert first == f"{H100}: batch 16 took 10.0 J."
  assert second.startswith(f"{H200}: batch 16 took 30.0 J, 3.00 (")
  assert second.endswith(f" times that of {H100}.")
  other = {"domains": [COUNTER["domains"][0] | {"method": "power_average"}]}
  integral = tell(h100 + on(H200, {16: 30, 64: 90}, meter=other)).lines
  assert "times" not in " ".join(integral)
  modelled = on(H200, {16: 30, 64: 90}, estimated=True)
  lines = tell(h100 + modelled).lines
  assert "times" not in " ".join(lines)
  assert any("30.0 J estimated" in line for line in lines)


def test_how_far_the_sensors_of_two_boards_may_be_apart_is_said():
  assert BOARD_GAIN == window.BOARD_GAIN
  section = tell(on(H100, {16: 10, 64: 20}) + on(H200, {16: 30, 64: 90}))
  assert any("between boards it may be +- 5 %" in n for n in notes(section))
  modelled = on(H200, {16: 30, 64: 90}, estimated=True)
  guessed = tell(on(H100, {16: 10, 64: 20}) + modelled)
  assert not any("between boards" in note for note in notes(guessed))


def notes(section):
  return [note for table in section.tables for note in table.notes]


def test_a_field_that_only_differs_between_systems_names_no_setting():
  """One folder on one board, one on two: `pool` has devices vary."""
  ours, theirs = on(H100, {16: 10, 64: 20}), on(H200, {16: 30, 64: 90})
  pooled = pool(
    [replace(t, config=t.config | {"devices": 1}) for t in ours]
    + [replace(t, config=t.config | {"devices": 2}) for t in theirs]
  )
  found = one(pooled)
  assert [*found.settings] == [{"batch_size": 16}, {"batch_size": 64}]
  assert found.fixed == ("devices",)
  note = "Systems differ in devices too: see their own tables."
  assert note in tell(pooled).tables[0].notes


@pytest.mark.parametrize("watts", [400.0, 700.0])
def test_a_power_limit_makes_another_system(watts):
  def limited(limit):
    state = {"uuid": GPU, "name": H100, "power_limit_watts": limit}
    return COUNTER | {"gpus": {"start": [state]}}

  ours = on(H100, {16: 10, 64: 20}, meter=limited(700.0))
  theirs = on(H100, {16: 9, 64: 18}, meter=limited(watts))
  found = find(compare_all(ours + theirs))
  assert len(found) == (watts != 700.0)
  if found:
    names = [each.name for each in found[0].systems]
    assert names == ["limit 400 W", "limit 700 W"]
