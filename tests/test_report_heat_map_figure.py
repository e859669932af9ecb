"""A grid of costs; how it looks is for the eye."""

from drawings import face, name, rectangles
from matplotlib.colors import to_hex

from jaxpower.report.charts import HeatMap
from jaxpower.report.render.figure_style import AS_IS, NARROW
from jaxpower.report.render.heat_map_figure import heat_map, shade
from jaxpower.report.render.inline_svg import contrast

CHART = HeatMap(
  title="",
  down="batch",
  across="learning rate",
  rows=("16", "64"),
  columns=("0.001", "0.01", "0.1"),
  joules=((1000.0, 100.0, None), (500.0, 110.0, None)),
  words=(("", "", "missed"), ("", "", "not run")),
  best=frozenset({(0, 1), (1, 1)}),
  name="to 80 %",
)


def axes_of(chart, **how):
  (axes,) = heat_map([chart], **how).axes
  return axes


def cells(axes):
  return [p for p in rectangles(axes) if p.get_width() == 1]


def test_a_cell_says_its_cost_or_why_there_is_none():
  texts = [text.get_text() for text in axes_of(CHART).texts]
  assert texts == ["1000", "100", "missed", "500", "110", "not run"]


def test_dark_is_expensive_and_unknown_has_no_colour():
  known = [1000.0, 100.0, 500.0, 110.0]
  assert shade(100, known) < shade(110, known) < shade(1000, known)
  faces = [face(patch) for patch in cells(axes_of(CHART))]
  assert [each[3] for each in faces] == [1, 1, 0, 1, 1, 0]
  light = [sum(each[:3]) for each in faces]
  assert light[0] < light[3] < light[4] < light[1]


def test_text_is_read_on_its_cell_and_both_keep_their_colours():
  axes = axes_of(CHART)
  for patch, text in zip(cells(axes), axes.texts, strict=True):
    if face(patch)[3]:
      written = to_hex(text.get_color())
      assert contrast(written, to_hex(face(patch))) >= 4.5
      assert name(patch).startswith(AS_IS)
      assert name(text).startswith(AS_IS)


def test_the_best_cells_are_outlined():
  outlines = [p for p in rectangles(axes_of(CHART)) if p.get_width() < 1]
  assert {
    (round(p.get_y() + 0.42), round(p.get_x() + 0.44)) for p in outlines
  } == CHART.best


def test_axes_are_the_fields_and_the_unit_is_said():
  axes = axes_of(CHART)
  assert (axes.get_xlabel(), axes.get_ylabel()) == ("Learning rate", "Batch")
  assert axes.get_title(loc="left") == "Joules to 80 %"
  assert [t.get_text() for t in axes.get_yticklabels()] == ["16", "64"]


def test_a_phone_has_no_room_for_many_numbers():
  many = HeatMap(
    title="",
    down="a",
    across="b",
    rows=("1",),
    columns=tuple(map(str, range(8))),
    joules=(tuple(float(n + 1) for n in range(8)),),
    words=(("",) * 8,),
  )
  assert len(axes_of(many).texts) == 8
  assert not axes_of(many, width=NARROW).texts
