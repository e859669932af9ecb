"""A report of a run folder: what it says and what it leaves there."""

import inspect
import io
import pathlib
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from markupsafe import escape
from report_records import GPU, devices, grid, modelled, record, seeds
from rich.console import Console

from jaxpower import report
from jaxpower.report.findings import Section, Table
from jaxpower.report.given import Given
from jaxpower.report.given.assumptions import Assumption
from jaxpower.report.given.references import Reference
from jaxpower.report.report import QUESTIONS, make

SWEEP = {"config": {"vary": {"batch_size": [64, 256]}, "seeds": 3}}
FILES = [
  "cost.png",
  "cost.svg",
  "energy_accuracy.png",
  "energy_accuracy.svg",
  "phases.png",
  "phases.svg",
  "report.html",
  "summary.csv",
  "trials.csv",
]


def printed(made: report.Report) -> str:
  console = Console(file=io.StringIO(), width=80)
  report.show(made, console)
  assert isinstance(console.file, io.StringIO)
  return console.file.getvalue()


def test_files_appear_whole_and_are_named(tmp_path):
  made = report.write(tmp_path, SWEEP, seeds(64, 204, 212))
  assert sorted(path.name for path in tmp_path.iterdir()) == FILES
  assert sorted(path.name for path in made.paths) == FILES
  assert all(path.stat().st_size > 100 for path in made.paths)


def test_written_again_it_is_the_same(tmp_path):
  trials = seeds(64, 204, 212) + seeds(256, 400, 410)
  first = {
    p.name: p.read_bytes() for p in report.write(tmp_path, SWEEP, trials).paths
  }
  again = report.write(tmp_path, SWEEP, trials[::-1])
  changed = [p.name for p in again.paths if p.read_bytes() != first[p.name]]
  assert changed == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
  made = report.write(tmp_path, SWEEP, seeds(64, 204))
  before = {path: path.read_bytes() for path in made.paths}

  def full(self, content):
    self.touch()
    assert self not in before
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("pathlib.Path.write_bytes", full)
  with pytest.raises(OSError, match="No space left"):
    report.write(tmp_path, SWEEP, seeds(64, 300))
  assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_no_file_is_written_in_place(tmp_path, monkeypatch):
  written, write_bytes = [], pathlib.Path.write_bytes

  def noted(self, content):
    written.append(self)
    return write_bytes(self, content)

  monkeypatch.setattr("pathlib.Path.write_bytes", noted)
  made = report.write(tmp_path, SWEEP, seeds(64, 204))
  assert len(written) == len(FILES)
  assert not set(written) & set(made.paths)


def test_it_says_what_is_not_yet_recorded():
  assert report.make(seeds(64, 204, 212), SWEEP).notes == (
    "Not complete: 2 of 6 trials are recorded.",
  )
  counted = report.make(seeds(64, 204), SWEEP | {"trials": 7}).notes
  assert counted == ("Not complete: 1 of 7 trials are recorded.",)
  whole = seeds(64, 204, 212, 221) + seeds(256, 400, 410, 420)
  assert report.make(whole, SWEEP).notes == ()


def test_shown_on_no_terminal(tmp_path):
  made = report.write(tmp_path, {}, seeds(64, 204) + seeds(256, 408))
  assert printed(made).splitlines()[-3:] == [
    "2 trials took 632 J: train 97 % and eval 3 %.",
    str(tmp_path / "report.html"),
    "beside it: trials.csv, summary.csv, cost.png .svg,"
    " energy_accuracy.png .svg, phases.png .svg",
  ]
  assert (
    "Batch 64 was cheapest: 204 J to 80 %. Batch 256 cost 2.0 times as much.\n"
    "- With one seed there is no interval.\n" in printed(made)
  )


def test_two_kinds_of_board_are_told_apart():
  ours, theirs = (
    seeds(64, joules, provenance=devices(GPU, kind=kind))
    for joules, kind in ((204, "NVIDIA H200"), (100, "NVIDIA H100"))
  )
  made = report.make(ours + theirs)
  assert [section.title for section in made.sections] == [
    "NVIDIA H100",
    "NVIDIA H200",
    "Energy by phase",
  ]
  assert made.notes == (
    "These comparisons are not pooled: kind of device differs.",
  )
  assert "cheapest" not in made.sentence
  assert made.sentence.splitlines()[1].startswith("NVIDIA H200: Batch 64: ")


def test_targets_are_told_apart():
  other = seeds(64, 400, target_accuracy=0.85)
  made = report.make(seeds(64, 204) + other)
  titles = [section.title for section in made.sections]
  assert titles == ["to 80 %", "to 85 %", "Energy by phase"]


GRID = {
  (64, 1e-3): (395.0, 400.0, 405.0),
  (64, 1e-2): (198.0, 200.0, 203.0),
  (256, 1e-3): (-800.0, -810.0, -820.0),
  (256, 1e-2): (295.0, 300.0, 310.0),
}


def test_a_grid_has_its_details_and_its_fronts(tmp_path):
  made = report.write(tmp_path, {}, grid(GRID))
  names = {path.name for path in made.paths}
  assert {"pareto.png", "pareto.svg"} <= names
  cheapest, fields, _ = made.sections
  assert [table.columns[0] for table in cheapest.tables] == ["batch"]
  assert [table.columns[0] for table in fields.tables] == ["batch"]
  text = printed(made)
  assert "batch  learning rate 0.001  learning rate 0.01  best" in text
  assert "Pareto front of energy and seconds to the target: batch 64" in text


def test_two_settings_make_no_front(tmp_path):
  made = report.write(tmp_path, {}, seeds(64, 204) + seeds(256, 408))
  assert not any("pareto" in path.name for path in made.paths)
  section = made.sections[0]
  assert section.lines == ()
  assert len(section.tables) == 1


def test_no_records():
  assert printed(report.make([])) == "No trial is recorded yet.\n"


def test_failed_trials_alone_still_make_a_report(tmp_path):
  made = report.write(tmp_path, SWEEP, [record(64, 0, status="failed")])
  assert made.sentence == "Every trial failed: worker died (signal 9)."
  # There is no energy to draw by phase.
  assert len(made.paths) == len(FILES) - 2


def test_matplotlib_is_loaded_only_to_draw():
  code = (
    "import sys, jaxpower.report;"
    " sys.exit('matplotlib' in sys.modules or 'jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_sections_stand_after_the_comparisons(tmp_path, monkeypatch):
  table = Table(("start", "joules"), (("scratch", "212"),), ("A note.",))
  told = Section(
    title="Pretraining & <transfer>",
    tables=(table,),
    lines=("It pays from 3 on.",),
  )
  asked = SimpleNamespace(
    answer=lambda compared, given: (told,) if compared.records else ()
  )
  module = sys.modules["jaxpower.report.report"]
  monkeypatch.setattr(module, "QUESTIONS", (*module.QUESTIONS, asked))
  assert report.make([]).sections == ()
  made = report.write(tmp_path, SWEEP, seeds(64, 204, 212))
  text = printed(made)
  lines = ["Pretraining & <transfer>", "scratch  212", "A note.", "It pays"]
  places = [text.index(line) for line in ("Batch", *lines)]
  assert places == sorted(places)
  page = (tmp_path / "report.html").read_text()
  assert "<h2>Pretraining &amp; &lt;transfer&gt;</h2>" in page
  assert "<td>scratch</td>" in page
  assert "<p>It pays from 3 on.</p>" in page


def test_estimated_stands_wherever_a_joule_does():
  facts = {"meter": modelled(), "estimated": True}
  trials = [
    *seeds(16, 200, 210, 220, **facts),
    *seeds(64, 240, 300, 310, **facts),
    *seeds(256, 900, -950, -990, **facts),
  ]
  values = {"trainings": 10, "pue": 1.5, "grid_intensity": 400}
  assumed = {
    name: Assumption(value, "", "a test", "2026")
    for name, value in values.items()
  }
  for part in (trials, trials[:3]):
    made = make(part, given=Given(assumptions=assumed))
    sentences = "\n".join(
      line
      for s in made.sections
      for line in (s.lead, *s.sure, *s.lines, *_notes(s))
    )
    bare = re.findall(r"\d [kMGm]?J\b(?! estimated)", sentences)
    assert bare == [], sentences
    assert re.search(r"\d J estimated", sentences)
    heads = [c for s in made.sections for t in s.tables for c in t.columns]
    energies = [h for h in heads if re.search(r"joules|\bk?J\b|Wh|energy", h)]
    assert len(energies) > 5
    assert all("estimated" in head for head in energies), energies


def _notes(section):
  return [note for table in section.tables for note in table.notes]


def test_a_ratio_of_cpu_time_is_called_so():
  facts = {"meter": modelled(), "estimated": True}
  trials = [t for b in (16, 64, 256) for t in seeds(b, 200 + b, **facts)]
  cheapest, limits, _ = make(trials).sections
  assert "ratio of CPU time" in cheapest.tables[0].columns
  assert "are ratios of CPU time" in limits.lines[0]
  *_, pareto = cheapest.figures
  assert "Right" not in pareto.caption
  measured, _ = make(
    [t for b in (16, 64, 256) for t in seeds(b, 200 + b)]
  ).sections
  assert "ratio" in measured.tables[0].columns
  assert "and seconds" in measured.figures[-1].caption


def test_every_question_is_asked_in_its_place():
  modules = [question for question in QUESTIONS if inspect.ismodule(question)]
  names = [module.__name__.rpartition(".")[2] for module in modules]
  assert names == [
    "cheapest",
    "after_target",
    "systems",
    "limits",
    "which_field",
    "phases",
    "power",
    "devices",
    "frameworks",
    "transfer",
    "multitask",
    "references",
    "lifecycle",
  ]


def test_references_and_life_cycle_are_on_the_page_too(tmp_path):
  reference = Reference(name="a paper", source="Somebody 2024", joules=100.0)
  pue = Assumption(1.5, "ratio", "the operator", "2026")
  given = Given((reference,), {"pue": pue})
  made = report.write(tmp_path, SWEEP, seeds(64, 204, 212), given)
  page = (tmp_path / "report.html").read_text()
  assert len(made.sections) == 4
  for section in made.sections[1:]:
    assert f"<h2>{section.title}</h2>" in page
    assert all(f"<p>{escape(line)}</p>" in page for line in section.lines)
  assert "a paper" in page and "the operator" in page
