"""What power a training drew over time."""

from array import array

import pytest
from report_records import record, seeds

from jaxpower.folder import timelines as folder_timelines
from jaxpower.power import Chunk, Window
from jaxpower.report.charts import Power, Stretch
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.given import Given
from jaxpower.report.given.timelines import Timeline, find
from jaxpower.report.questions.power import answer, stretches, typical_trial

BY_DOMAIN = {"train": {"GPU-1": 480.0, "cpu": None}}


def written(folder, trial_id):
  seconds = array("d", range(12))
  watts = array("d", [120.0] * 12)
  chunk = Chunk("GPU-1", seconds, array("d", [float("nan")] * 12), watts)
  windows = [
    Window("compile", 1.0, 2.0, None, None, ()),
    Window("train", 3.0, 4.0, None, None, ()),
  ]
  path = folder / "timelines" / f"{trial_id}.parquet"
  folder_timelines.write(path, [chunk], windows)


def test_the_median_trial_of_the_cheapest_setting_is_shown(tmp_path):
  trials = [
    record(b, s, j + s, joules_by_phase_and_domain=BY_DOMAIN)
    for b, j in ((64, 200), (256, 900))
    for s in (2, 0, 1)
  ]
  compared = compare_all(trials)
  shown = typical_trial(compared.comparisons[0])
  assert shown is not None and (shown.varied, shown.seed) == (
    {"batch_size": 64},
    1,
  )
  assert answer(compared, Given()) == ()
  for trial in trials:
    written(tmp_path, trial.trial_id)
  (section,) = answer(compared, Given(timelines=find([tmp_path])))
  # 480 J in the 4 s of training; what is unknown is not told.
  assert section.lines[0] == "Batch 64, seed 1 drew 120 W by GPU-1 in training."
  (chart,) = section.figures[0].panels
  assert isinstance(chart, Power)
  assert chart.title == "Batch 64, seed 1"
  (domain,) = chart.domains
  assert domain.domain == "GPU-1"
  known = [w for w in domain.watts if w is not None]
  assert known == pytest.approx([120] * len(known)) and known
  assert chart.stretches == (
    Stretch("compile", 0, 2),
    Stretch("train", 2, 6),
  )


def test_a_timeline_that_cannot_be_read_is_said_and_stops_nothing(tmp_path):
  (trial,) = trials = seeds(64, 200)
  written(tmp_path, trial.trial_id)
  (tmp_path / "timelines" / f"{trial.trial_id}.parquet").write_bytes(b"torn")
  (section,) = answer(compare_all(trials), Given(timelines=find([tmp_path])))
  assert section.figures == ()
  assert section.lines[0].startswith("A timeline could not be read: ")


def test_of_very_many_windows_each_stretch_has_the_phase_that_took_most():
  windows = tuple(
    (phase, start + at, start + end)
    for start in range(4)
    for phase, at, end in (("train", 0.0, 0.8), ("eval", 0.8, 1.0))
  )
  edges = (0.0, 1.0, 2.0, 3.0, 4.0)
  assert [*stretches(Timeline(edges, {}, windows))] == [
    Stretch("train", 0.0, 4.0)
  ]
  few = Timeline(tuple(map(float, range(20))), {}, windows)
  assert [*stretches(few)] == [Stretch(*window) for window in windows]
