"""When pretraining is paid back; how it looks is for the eye."""

import math

import pytest
from drawings import points

from jaxpower.report.charts import Line, Payback
from jaxpower.report.render.payback_figure import most_tasks, payback

CHART = Payback(
  title="",
  base=Line("from scratch", 0, 100.0),
  lines=(Line("fine-tuned", 300.0, 40.0), Line("frozen", 300.0, 120.0)),
  tasks=((5.0, 3.0, 9.0), (math.inf, None, None)),
)


def test_lines_begin_at_what_was_invested_and_cross_where_it_is_paid_back():
  (axes,) = payback([CHART]).axes
  end = axes.get_xlim()[1]
  lines = [points(line) for line in axes.lines]
  assert lines[:3] == [
    [(0, 0), (end, 100 * end)],
    [(0, 300), (end, 300 + 40 * end)],
    [(0, 300), (end, 300 + 120 * end)],
  ]
  # The interval, then the crossing: 300 + 5 x 40 = 5 x 100.
  assert lines[3:] == [[(3, 500), (9, 500)], [(5, 500)]]


@pytest.mark.parametrize(
  ("tasks", "end"),
  [
    ((5.0, 3.0, 9.0), 9.0),
    ((5.0, 3.0, 500.0), 8.0),
    ((math.inf, None, None), 5.0),
    ((None, None, None), 5.0),
  ],
)
def test_the_axis_ends_beyond_what_is_known(tasks, end):
  chart = Payback(
    title="", base=CHART.base, lines=CHART.lines[:1], tasks=(tasks,)
  )
  assert most_tasks(chart) == pytest.approx(end)
