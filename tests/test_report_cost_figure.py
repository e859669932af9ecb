"""What the figure of costs shows; how it looks is for the eye."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from report_records import record, seeds

from jaxpower.report.compare.comparison import compare
from jaxpower.report.render.cost_figure import cost, in_rows, seed_costs


def draw(records):
  figure = cost(compare(records))
  figure.draw_without_rendering()
  return figure


def axes_of(records):
  (axes,) = draw(records).axes
  return axes


def marks(axes, marker):
  """Where markers of a kind stand, as pairs of x and y."""
  lines = [line for line in axes.lines if line.get_marker() == marker]
  return {
    (float(x), float(y))
    for line in lines
    for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
  }


def test_every_setting_has_its_cost_and_every_seed_a_dot():
  axes = axes_of(seeds(64, 204, 221, 212) + seeds(256, 390, 400, 420))
  (comparison,) = compare(seeds(64, 204, 221, 212) + seeds(256, 390, 400, 420))
  points = marks(axes, "o")
  assert {y for x, y in points if x == pytest.approx(0.22)} == {204, 221, 212}
  typical = [group.joules.value for group in comparison.groups if group.joules]
  assert {(0.0, typical[0]), (1.0, typical[1])} <= points
  assert [t.get_text() for t in axes.get_xticklabels()] == ["64", "256"]
  assert axes.get_xlabel() == "Batch"
  assert axes.get_ylabel() == "Joules of training to 80 %"
  assert axes.get_ylim()[0] == 0  # ratios are seen as ratios


def test_the_interval_is_that_of_the_table():
  trials = seeds(64, 204, 221, 212) + seeds(256, 390, 400, 420)
  (comparison,) = compare(trials)
  cost = comparison.groups[0].joules
  (bars, *_) = axes_of(trials).collections
  assert isinstance(bars, LineCollection)
  low, high = np.asarray(bars.get_segments()[0])[:, 1]
  assert cost is not None
  assert (low, high) == pytest.approx((cost.low, cost.high))


def test_a_missed_seed_is_an_open_arrow_at_what_it_spent():
  trials = [record(64, 0, 300), record(64, 1, 320), record(64, 2, -655)]
  (comparison,) = compare(trials)
  assert seed_costs(comparison.groups[0]) == ([300, 320], [655])
  axes = axes_of(trials)
  assert {y for _, y in marks(axes, "^")} == {655}
  (line,) = [each for each in axes.lines if each.get_marker() == "^"]
  assert line.get_markerfacecolor() == "white"
  texts = [t.get_text() for t in draw(trials).legends[0].get_texts()]
  assert texts[-1] == "a seed that missed the target: more than this"


def test_one_seed_is_called_so_and_drawn_once():
  trials = seeds(64, 204) + seeds(256, 390)
  assert len(marks(axes_of(trials), "o")) == 2
  texts = [t.get_text() for t in draw(trials).legends[0].get_texts()]
  assert texts == ["cost of the seed"]


def test_settings_of_two_fields_are_rows_from_the_top():
  trials = [
    record(seed=s, joules=100 * b + s, varied={"batch_size": b, "dropout": d})
    for s in (0, 1)
    for b in (1, 2)
    for d in (0.0, 0.1)
  ]
  (comparison,) = compare(trials)
  assert in_rows(comparison)
  axes = axes_of(trials)
  names = [t.get_text() for t in axes.get_yticklabels()]
  assert names[0] == "batch 1, dropout 0"
  assert axes.get_ylim() == (3.5, -0.5)
  assert axes.get_xlabel() == "Joules of training to 80 %"


def test_the_figure_grows_with_its_rows():
  few = [record(batch, joules=100.0 + batch) for batch in range(1, 12)]
  many = [record(batch, joules=100.0 + batch) for batch in range(1, 61)]
  assert draw(many).get_figheight() > 3 * draw(few).get_figheight()


def test_a_setting_of_unknown_cost_keeps_its_place():
  trials = [*seeds(64, 204, 221), record(256, 0, None), record(256, 1, None)]
  axes = axes_of(trials)
  assert [t.get_text() for t in axes.get_xticklabels()] == ["64", "256"]
  assert all(x < 0.5 for x, _ in marks(axes, "o"))


def test_nothing_known_is_said():
  axes = axes_of([record(64, 0, None), record(64, 1, None)])
  (text,) = axes.texts
  assert text.get_text().startswith("Nothing to draw: ")


def test_of_very_many_settings_the_cheapest_are_drawn():
  many = [record(batch, joules=500.0 - batch) for batch in range(1, 101)]
  names = [t.get_text() for t in axes_of(many).get_yticklabels()]
  assert names == [*map(str, range(41, 101))]
