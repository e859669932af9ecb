"""What the figure shows; how it looks is for the eye."""

import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from report_records import GPU, curve, devices, record, seeds

from jaxpower.records import from_json, to_json
from jaxpower.report.compare.comparison import compare
from jaxpower.report.findings import Figure
from jaxpower.report.render import energy_accuracy_figure, figures
from jaxpower.report.render.energy_accuracy_figure import (
  energy_accuracy,
  median_trial,
)
from jaxpower.report.render.figure_style import shades
from jaxpower.report.render.inline_svg import contrast


def draw(records):
  return energy_accuracy(compare(records))


def axes_of(records):
  (axes,) = draw(records).axes
  return axes


def ys(line) -> list[float]:
  return np.asarray(line.get_ydata()).tolist()


def legend_of(axes):
  legend = axes.get_legend()
  assert legend is not None
  return legend


def curves(axes):
  """The lines of trials: x and y of each, its colour, whether it is bold."""
  return [
    (np.asarray(segment), tuple(color), lines.get_linewidth()[0] > 2)
    for lines in axes.collections
    if isinstance(lines, LineCollection)
    for segment, color in zip(
      lines.get_segments(), lines.get_colors(), strict=True
    )
  ]


def bold(axes):
  return [points for points, _, is_bold in curves(axes) if is_bold]


def mark(axes):
  """The one mark in which a line ends: its filling and its outline."""
  (marks,) = [c for c in axes.collections if not isinstance(c, LineCollection)]
  return marks.get_facecolor()[0], marks.get_edgecolor()[0], marks.get_paths()


def test_a_bold_line_per_setting_and_the_target():
  axes = axes_of(seeds(64, 204, 221, 212) + seeds(256, 390, 400, 420))
  assert [max(points[:, 0]) for points in bold(axes)] == [212, 400]
  dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
  assert [ys(line)[0] for line in dashed] == [80]
  legend = legend_of(axes)
  assert legend.get_title().get_text() == "batch"
  assert [t.get_text() for t in legend.get_texts()] == ["64", "256"]


def test_the_bold_line_is_the_trial_of_median_energy_misses_last():
  trials = [
    record(64, 0, 300),
    record(64, 1, 100, "missed"),
    record(64, 2, 200),
    record(64, 3, status="failed"),
  ]
  (comparison,) = compare(trials)
  middle = median_trial(comparison.groups[0])
  assert middle is not None
  assert middle.seed == 0


def test_of_many_trials_some_are_drawn_and_the_bold_ones_always(monkeypatch):
  trials = seeds(64, *range(100, 130)) + seeds(256, *range(200, 230))
  assert len(curves(axes_of(trials))) == 60
  monkeypatch.setattr(energy_accuracy_figure, "MOST_LINES", 20)
  axes = axes_of(trials)
  assert 20 <= len(curves(axes)) <= 22
  assert [max(points[:, 0]) for points in bold(axes)] == [114, 214]


def test_a_miss_ends_in_an_open_point():
  missed, outline, circle = mark(axes_of([record(64, 0, 655, "missed")]))
  assert tuple(missed) == (1, 1, 1, 1) != tuple(outline)
  reached, outline, again = mark(axes_of([record(64, 0, 212)]))
  assert tuple(reached) == tuple(outline) and len(again[0]) == len(circle[0])
  *_, cross = mark(axes_of([record(64, 0, 212, "diverged")]))
  assert len(cross[0]) != len(circle[0])


def test_evaluations_without_a_number_are_left_out():
  gone = record(64, 0, 212, "diverged")
  *seen, last = gone.curve
  trial = replace(gone, curve=(*seen, replace(last, accuracy=float("nan"))))
  stored = from_json(to_json(trial))
  assert stored.curve[-1].accuracy is None
  for found in (trial, stored):
    assert bold(axes_of([found]))[0][-1, 0] == pytest.approx(0.9 * 212)


def test_open_points_are_explained():
  trials = [*seeds(64, 204), record(256, 0, 655, "missed")]
  texts = [t.get_text() for t in legend_of(axes_of(trials)).get_texts()]
  assert texts == ["64", "256", "reached", "missed"]


@pytest.mark.parametrize(
  ("estimated", "label"),
  [(True, "Estimated joules of training"), (False, "Joules of training")],
)
def test_estimated_joules_are_called_so(estimated, label):
  axes = axes_of(seeds(64, 204, estimated=estimated))
  assert axes.get_xlabel() == label


def test_logarithmic_only_where_the_range_calls_for_it():
  wide, narrow = record(64, 0, 212), record(64, 0, 212)
  assert axes_of([wide]).get_xscale() == "log"  # ten evaluations: 10 times
  short = record(64, 0, 212, curve=narrow.curve[5:])
  assert axes_of([short]).get_xscale() == "linear"


def test_of_many_settings_the_cheapest_have_colours_of_their_own():
  many = [r for batch in range(10, 260, 10) for r in seeds(batch, 500 - batch)]
  axes = axes_of(many)
  texts = [t.get_text() for t in legend_of(axes).get_texts()]
  assert texts == [*map(str, range(170, 260, 10)), "16 others"]
  assert len({color for _, color, is_bold in curves(axes) if is_bold}) == 10


def test_a_panel_per_comparison():
  kinds = ("NVIDIA H100", "NVIDIA H200")
  trials = [
    trial
    for kind in kinds
    for trial in seeds(64, 204, provenance=devices(GPU, kind=kind))
  ]
  titles = [a.get_title(loc="left") for a in draw(trials).axes]
  assert titles == [*kinds]


def test_nothing_to_draw_says_why():
  axes = axes_of([record(64, 0, None, reasons=("no meter on this host",))])
  texts = [text.get_text() for text in axes.texts]
  assert "Nothing to draw: no meter on this host" in texts


def test_rendered_twice_it_is_the_same():
  trials = seeds(64, 204, 212) + seeds(256, 390, 420)
  png, svg = (figures.render(draw(trials), kind) for kind in ("png", "svg"))
  assert png.startswith(b"\x89PNG")
  assert ET.fromstring(svg).tag.endswith("svg")
  assert svg == figures.render(draw(trials), "svg")
  assert png == figures.render(draw(trials), "png")


def test_no_global_figure_is_kept():
  draw(seeds(64, 204))
  pyplot = sys.modules.get("matplotlib.pyplot")
  assert pyplot is None or not pyplot.get_fignums()


def test_large_energies_are_drawn_in_the_unit_of_the_table():
  axes = axes_of(seeds(64, 41_834.0))
  assert axes.get_xlabel() == "Kilojoules of training"
  assert axes.xaxis.get_major_formatter()(20_000.0) == "20"
  assert bold(axes)[0][-1, 0] == pytest.approx(41_834.0)
  short = record(64, 0, 12.3e6, curve=curve(12.3e6, 0.81)[5:])
  axes = axes_of([short])
  assert axes.get_xscale() == "linear"
  assert axes.get_xlabel() == "Megajoules of training"
  assert axes.xaxis.get_major_formatter()(2_500_000.0) == "2.5"


def test_panels_of_three_comparisons_stand_in_two_rows():
  records = [
    record(64, 0, 200.0, target_accuracy=target) for target in (0.6, 0.7, 0.8)
  ]
  figure = draw(records)
  assert len(figure.axes) == 3
  assert len({axes.get_position().y0 for axes in figure.axes}) == 2


@pytest.mark.pdf
@pytest.mark.parametrize("name", ["cost", "energy_accuracy", "pareto"])
def test_dollar_signs_in_a_name_are_no_formula(name: str) -> None:
  broken = r"$x$ $\frac{1$ a_b"
  trials = [
    record(n, seed, 100.0 * n, varied={"model.name": f"{broken}{n}"})
    for n in (1, 2)
    for seed in range(3)
  ]
  figure = Figure(name, compare(trials), "")
  drawn = figures.draw(figure)
  assert [*drawn.files] == ["png", "svg", "pdf"]
  for svg in (drawn.wide, drawn.narrow):
    assert r"$\frac{1$" in "".join(ET.fromstring(svg).itertext())


def test_what_no_file_may_hold_is_escaped() -> None:
  names = ("a\x1b[2J\x00", "b\u202e")  # a terminal's, and a turn of direction
  trials = [
    record(n, seed, 100.0 * n, varied={"model.name": name})
    for n, name in enumerate(names, start=1)
    for seed in range(2)
  ]
  drawn = figures.draw(Figure("cost", compare(trials), ""))
  words = [*ET.fromstring(drawn.wide).itertext()]
  assert "a\\x1b[2J\\x00" in words and "b\\u202e" in words


def test_nine_colours_are_told_apart_on_white() -> None:
  found = shades(9)
  assert min(contrast(color, "#ffffff") for color in found) >= 3
  assert len(set(found)) == 9
