"""What the fronts show; how they look is for the eye."""

import numpy as np
from matplotlib.text import Annotation
from report_records import GPU, devices, grid, modelled, record, seeds

from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.pareto import with_fronts
from jaxpower.report.questions.cheapest.words import front_lines
from jaxpower.report.render.figure_style import FAINT
from jaxpower.report.render.figures import render
from jaxpower.report.render.pareto_figure import pareto


def to(batch, joules, seconds, **changes):
  return record(batch, 0, joules, seconds_to_accuracy=seconds, **changes)


TRIALS = [to(16, 200, 9.0), to(64, 220, 5.0), to(256, 300, 6.0)]


def panels(trials):
  return pareto(with_fronts(compare(trials))).axes


def labels(axes) -> list[str]:
  """The names that stand above points of the front."""
  names = [text for text in axes.texts if isinstance(text, Annotation)]
  return [text.get_text() for text in names if text.arrow_patch]


def breaks(axes) -> int:
  """Counts the lines of settings off the front, which are drawn as one."""
  return sum(int(np.isnan(line.get_ydata()).sum()) for line in axes.lines)


def points(axes) -> int:
  """Counts what is drawn: a marker off the front, an offset on it."""
  off_front = sum(
    len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"
  )
  return off_front + sum(len(c.get_offsets()) for c in axes.collections)


def test_settings_on_a_front_are_named():
  (comparison,) = compare(TRIALS)
  assert front_lines(comparison) == (
    "Pareto front of energy and accuracy: batch 16.",
    "Pareto front of energy and seconds to the target: batch 16; batch 64.",
  )
  left, right = panels(TRIALS)
  assert labels(left) == ["batch 16"]
  assert labels(right) == ["batch 16", "batch 64"]
  (legend,) = left.figure.legends
  assert [text.get_text() for text in legend.get_texts()] == [
    "on the front, named at its last point",
    "others",
  ]


def test_of_a_long_front_some_are_named():
  trials = [to(2**n, 100.0 * 1.2**n, 40.0 - n) for n in range(20)]
  _, right = panels(trials)
  assert labels(right) == [f"batch {2**n}" for n in range(0, 20, 3)]
  (front,) = right.collections
  assert len(np.asarray(front.get_offsets())) == 20
  colors = np.asarray(front.get_facecolor())
  assert len(np.unique(colors, axis=0)) == 8  # with the grey


def test_grey_settings_are_one_line():
  left, _ = panels([*TRIALS, *(to(512 + n, 400.0 + n, 7.0) for n in range(30))])
  grey = [line for line in left.lines if line.get_color() == FAINT]
  assert len(grey) == 1
  assert np.isnan(grey[0].get_ydata()).sum() == 32


def test_estimated_joules_are_called_so():
  trials = [to(b, 200.0 + b, 9.0, estimated=True) for b in (16, 64, 256)]
  (comparison,) = compare(trials)
  assert all("estimated energy" in line for line in front_lines(comparison))
  assert {a.get_xlabel() for a in panels(trials)} == {
    "Estimated joules of training"
  }


def test_joules_that_are_cpu_time_have_no_front_with_seconds():
  facts = {"meter": modelled(), "estimated": True}
  trials = [to(b, 200.0 + b, 9.0, **facts) for b in (16, 64, 256)]
  (comparison,) = compare(trials)
  (line,) = front_lines(comparison)
  assert "energy and accuracy" in line
  (left,) = panels(trials)
  assert labels(left)[0] == "batch 16"
  # Beside a measured comparison the row stays, without the panel.
  assert len(panels([*trials, *TRIALS])) == 3


def test_measured_joules_are_not():
  assert {a.get_xlabel() for a in panels(TRIALS)} == {"Joules of training"}


def test_what_mostly_missed_has_no_point_of_joules_and_seconds():
  """It is on the left all the same: accuracy and joules of it are known."""
  left, right = panels(TRIALS)
  more_left, more_right = panels([*TRIALS, record(512, 0, 900.0, "missed")])
  assert points(more_right) == points(right) == 3
  assert breaks(more_left) == breaks(left) + 1


def test_two_settings_or_none_known_are_not_drawn():
  assert with_fronts(compare(TRIALS[:2])) == ()
  blind = [record(b, 0, None, curve=()) for b in (16, 64, 256)]
  assert with_fronts(compare(blind)) == ()
  (comparison,) = compare(blind)
  assert front_lines(comparison) == ()


def test_nobody_reached_still_shows_accuracy():
  missed = [record(b, 0, 500.0 + b, "missed") for b in (16, 64, 256)]
  left, right = panels(missed)
  assert labels(left)[0] == "batch 16"
  assert labels(right) == []
  assert points(right) == 0
  assert [text.get_text() for text in right.texts] == [
    "No setting has both its energy and its seconds known"
  ]


def test_unknown_seconds_are_said_to_be():
  trials = [to(b, 200.0, None) for b in (16, 64, 256)]
  _, right = panels(trials)
  assert [text.get_text() for text in right.texts] == [
    "No setting has both its energy and its seconds known"
  ]


def test_a_row_per_comparison():
  other = [
    r
    for b in (16, 64, 256)
    for r in seeds(b, 100, provenance=devices(GPU, kind="NVIDIA H100"))
  ]
  assert len(panels([*TRIALS, *other])) == 4


def test_rendered_twice_it_is_the_same():
  trials = grid({(b, r): (b + 9.0,) for b in (16, 64) for r in (0.1, 0.2)})
  first, again = (
    render(pareto(with_fronts(compare(trials))), "svg") for _ in range(2)
  )
  assert first == again


def test_large_energies_are_drawn_in_the_unit_of_the_table():
  trials = [to(b, 41_834.0 + b, 9.0, estimated=True) for b in (16, 64, 256)]
  for axes in panels(trials):
    assert axes.get_xlabel() == "Estimated kilojoules of training"
    assert axes.xaxis.get_major_formatter()(50_000.0) == "50"
