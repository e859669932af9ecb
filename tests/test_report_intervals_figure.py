"""Rows of values with intervals; how they look is for the eye."""

import dataclasses
import math

import pytest
from drawings import xs

from jaxpower.report.charts import Intervals, Mark
from jaxpower.report.render.figure_style import COLORS, NARROW
from jaxpower.report.render.intervals_figure import intervals, place

RATIOS = Intervals(
  title="here",
  axis="jax over torch",
  rows=("batch 32", "batch 512"),
  marks=(
    Mark(0, 0, 0.44, 0.28, 0.68),
    Mark(1, 0, 0.7, 0.4, math.inf),
    Mark(0, 1, 0.9),
  ),
  series=("energy", "examples"),
  ratios=True,
  ends=("jax less", "jax more"),
)


def axes_of(chart, **how):
  (axes,) = intervals([chart], **how).axes
  return axes


def lines(axes, color):
  """Ends on the x axis of each bar of a colour, and places of its markers."""
  drawn = [line for line in axes.lines if line.get_color() == color]
  return [tuple(xs(line)) for line in drawn]


def test_each_value_is_a_marker_on_its_interval():
  axes = axes_of(RATIOS)
  end = axes.get_xlim()[1]
  assert lines(axes, COLORS[0]) == [(0.28, 0.68), (0.44,), (0.4, end), (0.7,)]
  assert lines(axes, COLORS[1]) == [(0.9,)]


def test_ratios_stand_around_one_in_logs_and_say_what_lies_where():
  axes = axes_of(RATIOS)
  assert axes.get_xscale() == "log"
  low, high = axes.get_xlim()
  assert low < 0.28 and high > 1
  assert [1, 1] in [xs(line) for line in axes.lines]
  assert axes.get_xlabel().splitlines()[1].split() == [
    *("←", "jax", "less", "jax", "more", "→")
  ]


def test_series_of_a_row_stand_apart_and_within_it():
  first, _, second = (place(mark, RATIOS) for mark in RATIOS.marks)
  assert -0.5 < first < 0 < second < 0.5


def test_shares_are_from_none_to_all():
  shares = Intervals(
    title="", axis="Share", rows=("batch",), marks=(Mark(0, 0, 0.6, 0, 0.8),)
  )
  axes = axes_of(shares)
  assert axes.get_xlim() == (0, 1)
  assert axes.xaxis.get_major_formatter()(0.6) == "60%"
  assert not axes.figure.legends


def test_a_phone_has_long_names_of_series_below_each_other():
  long = dataclasses.replace(RATIOS, series=("energy", "energy per example"))
  wide, narrow = intervals([long]), intervals([long], width=NARROW)
  lines = []
  for figure in (wide, narrow):
    figure.draw_without_rendering()
    words = figure.legends[0].get_texts()
    lines.append(len({round(w.get_window_extent().y0) for w in words}))
  assert lines == [1, 2]
  assert narrow.get_figwidth() == pytest.approx(NARROW)


def test_rows_are_read_from_the_top():
  axes = axes_of(RATIOS)
  assert [t.get_text() for t in axes.get_yticklabels()] == [*RATIOS.rows]
  assert axes.get_ylim() == (1.5, -0.5)


def test_a_phone_has_room_for_many_long_names_of_series():
  names = tuple(f"a system of a long name, number {n}" for n in range(12))
  many = dataclasses.replace(RATIOS, series=names)
  figure = intervals([many], width=NARROW)
  figure.canvas.draw()  # a warning is an error: no axes of no height
  (axes,) = figure.axes
  rows = axes.get_window_extent().height / figure.dpi
  assert rows > 1  # inch
