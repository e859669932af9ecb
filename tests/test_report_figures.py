"""What the figure shows; how it looks is for the eye."""

import itertools
import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.text import Annotation, Text
from report_records import GPU, curve, devices, record, seeds

from jaxpower.records import from_json, to_json
from jaxpower.report.compare.comparison import compare
from jaxpower.report.findings import Figure
from jaxpower.report.render import figures
from jaxpower.report.render.energy_accuracy_figure import (
  energy_accuracy,
  median_trial,
)
from jaxpower.report.render.figure_style import FAINT, NARROW, WIDE, shades
from jaxpower.report.render.inline_svg import contrast


def draw(records):
  return energy_accuracy(compare(records))


def axes_of(records):
  (axes,) = draw(records).axes
  return axes


def xs(line) -> list[float]:
  return np.asarray(line.get_xdata()).tolist()


def ys(line) -> list[float]:
  return np.asarray(line.get_ydata()).tolist()


def legend_texts(axes):
  """What the legend above all panels says."""
  texts = [t for found in axes.figure.legends for t in found.get_texts()]
  return [text.get_text() for text in texts]


def named(axes):
  """The names at the ends of lines, and the points that they lead to."""
  names = [text for text in axes.texts if isinstance(text, Annotation)]
  return {
    text.get_text(): tuple(map(float, text.xy))
    for text in names
    if text.arrow_patch is not None
  }


def bold(axes):
  return [line for line in axes.lines if line.get_linewidth() > 2]


def test_a_bold_line_per_setting_and_the_target():
  axes = axes_of(seeds(64, 204, 221, 212) + seeds(256, 390, 400, 420))
  assert [max(xs(line)) for line in bold(axes)] == [212, 400]
  dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
  assert [ys(line)[0] for line in dashed] == [80]
  assert named(axes) == {"batch 64": (212, 81), "batch 256": (400, 81)}


def test_the_band_is_what_all_trials_of_a_setting_did():
  axes = axes_of(seeds(64, 204, 221, 212) + seeds(256, 390))
  (band,) = axes.collections
  corners = np.asarray(band.get_paths()[0].vertices)
  assert corners[:, 0].min() == pytest.approx(22.1)  # all were evaluated by now
  assert corners[:, 0].max() == pytest.approx(221)
  for x, y in zip(xs(bold(axes)[0])[2:], ys(bold(axes)[0])[2:], strict=True):
    at = corners[np.isclose(corners[:, 0], x), 1]
    assert at.min() < y <= at.max()
  texts = legend_texts(axes)
  assert texts == ["the median trial", "all trials of a setting"]


def test_of_one_seed_there_is_no_band():
  axes = axes_of(seeds(64, 204) + seeds(256, 390))
  assert not axes.collections and not legend_texts(axes)


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


def test_a_miss_ends_in_an_open_point():
  (line,) = axes_of([record(64, 0, 655, "missed")]).lines[1:2]
  assert line.get_markerfacecolor() == "white"
  (line,) = axes_of([record(64, 0, 212)]).lines[1:2]
  assert line.get_markerfacecolor() != "white"
  (line,) = axes_of([record(64, 0, 212, "diverged")]).lines[1:2]
  assert line.get_marker() == "X"


def test_each_seed_has_a_mark_where_it_ended():
  trials = [
    record(64, 0, 200),
    record(64, 1, 210),
    record(64, 2, 655, "missed"),
  ]
  marks = [line for line in axes_of(trials).lines if line.get_markersize() == 4]
  found = {line.get_markerfacecolor() == "white": xs(line) for line in marks}
  assert found == {False: [200], True: [655]}  # 210 is the median, and bold


def test_evaluations_without_a_number_are_left_out():
  gone = record(64, 0, 212, "diverged")
  *seen, last = gone.curve
  trial = replace(gone, curve=(*seen, replace(last, accuracy=float("nan"))))
  stored = from_json(to_json(trial))
  assert stored.curve[-1].accuracy is None
  for found in (trial, stored):
    assert xs(bold(axes_of([found]))[0])[-1] == pytest.approx(0.9 * 212)


def test_open_points_are_explained():
  trials = [*seeds(64, 204), record(256, 0, 655, "missed")]
  assert legend_texts(axes_of(trials)) == ["reached", "missed"]


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
  assert [*named(axes)] == [f"batch {n}" for n in range(170, 260, 10)]
  assert len({line.get_color() for line in bold(axes)}) == 9
  assert legend_texts(axes) == ["16 other settings"]
  (grey,) = [line for line in axes.lines if line.get_color() == FAINT]
  ends = [x for x, after in itertools.pairwise(xs(grey)) if np.isnan(after)]
  assert ends == [500 - batch for batch in range(10, 170, 10)]


def test_a_setting_of_unknown_energy_is_told_and_not_named():
  axes = axes_of([*seeds(64, 204), *seeds(256, 390), record(16, 0, None)])
  assert [*named(axes)] == ["batch 64", "batch 256"]
  assert legend_texts(axes) == ["1 setting of unknown energy: not drawn"]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_name_covers_another(width):
  trials = [
    record(batch, 0, 200 + step, varied={"batch_size": batch, "seed": 10**step})
    for step, batch in enumerate(range(1, 10))
  ]
  figure = energy_accuracy(compare(trials), width)
  figure.draw_without_rendering()
  (axes,) = figure.axes
  names = [t for t in axes.texts if getattr(t, "arrow_patch", None)]
  # Of the names alone: an annotation's own reaches to what it points at.
  boxes = [Text.get_window_extent(text) for text in names]
  assert len(boxes) == 9
  for one, other in itertools.combinations(boxes, 2):
    assert not one.overlaps(other)
  frame = axes.get_window_extent()
  highest = max(y for line in bold(axes) for y in ys(line))
  top = axes.transData.transform((1, highest))[1]
  for box in boxes:
    assert frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1
    assert top <= box.y0 and box.y1 <= frame.y1 + 1
  assert len({box.y0 for box in boxes}) > 1


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
  assert xs(bold(axes)[0])[-1] == pytest.approx(41_834.0)
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
