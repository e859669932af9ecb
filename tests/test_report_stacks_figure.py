"""Bars made of parts; how they look is for the eye."""

import pytest
from drawings import face, name, rectangles
from matplotlib.colors import to_hex

from jaxpower.report.charts import Stacks
from jaxpower.report.render.figure_style import AS_IS, NARROW, PHASES
from jaxpower.report.render.stacks_figure import stacks

CHART = Stacks(
  title="",
  of="of a trial",
  rows=("batch 16", "batch 64"),
  parts=("compile", "train"),
  joules=((3000.0, 1000.0), (None, 2000.0)),
  estimated=True,
)


def axes_of(chart):
  (axes,) = stacks([chart]).axes
  return axes


def test_parts_follow_each_other_and_unknown_ones_have_no_bar():
  bars = [
    (b.get_x(), b.get_width(), round(b.get_y() + b.get_height() / 2))
    for b in rectangles(axes_of(CHART))
  ]
  assert bars == [(0, 3000, 0), (3000, 1000, 0), (0, 2000, 1)]


def test_numbers_are_shares_of_their_bar():
  texts = [text.get_text() for text in axes_of(CHART).texts]
  assert texts == ["75 %", "25 %", "100 %"]


def test_joules_are_in_one_unit_and_called_estimated():
  axes = axes_of(CHART)
  assert axes.get_xlabel() == "Estimated kilojoules of a trial"
  assert axes.xaxis.get_major_formatter()(2000.0) == "2"


def test_a_phase_has_its_own_colour_and_keeps_it_on_a_dark_page():
  patches = rectangles(axes_of(CHART))
  assert [to_hex(face(patch)) for patch in patches] == [
    PHASES["compile"],
    PHASES["train"],
    PHASES["train"],
  ]
  assert all(name(patch).startswith(AS_IS) for patch in patches)


def test_only_parts_that_are_drawn_are_explained():
  chart = Stacks(
    title="", of="", rows=("a",), parts=("eval", "train"), joules=((0.0, 5.0),)
  )
  (legend,) = stacks([chart]).legends
  assert [text.get_text() for text in legend.get_texts()] == ["train"]
  assert axes_of(chart).get_xlim()[1] == pytest.approx(5.1)


def test_a_phone_has_room_for_a_legend_of_many_parts():
  parts = tuple(PHASES)
  joules = (tuple(100.0 for _ in parts),)
  chart = Stacks(
    title="",
    of="of a trial",
    rows=("batch 16",),
    parts=parts,
    joules=joules,
    estimated=True,
  )
  drawn = stacks([chart], NARROW)
  drawn.canvas.draw()  # a warning is an error: no axes of no height
  (axes,) = drawn.axes
  assert axes.get_window_extent().height > 20
