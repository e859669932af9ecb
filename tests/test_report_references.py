"""References beside records: what they compare with."""

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from reference_logs import CODECARBON, HEADING, ROW, file
from report_records import GPU, meter, record

from jaxpower.cli.report import main
from jaxpower.folder import record_files
from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import (
  Comparison,
  compare,
  compare_all,
)
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.report.given.reference_files import read
from jaxpower.report.given.references import (
  Reference,
  template,
)
from jaxpower.report.questions import references
from jaxpower.report.questions.references.values import (
  Difference,
  matches,
  obstacles,
)
from jaxpower.report.questions.references.words import in_words


def ours(*joules: float, batch: int = 128, **changes: Any) -> list[TrialRecord]:
  """Trials of a ResNet-18 on one H200; negative joules are of a miss."""
  devices = [{"platform": "gpu", "kind": "NVIDIA H200", "uuid": GPU}]
  model = changes.pop("model", {"name": "resnet18"})
  config = {"data": "cifar10", "model": model, "batch_size": batch}
  return [
    record(
      batch,
      seed,
      spent,
      target_accuracy=0.9,
      config=config | {"precision": "bfloat16"},
      **{
        "provenance": {"host": "gpu-node-07", "devices": devices},
        "meter": meter(GPU, "gpu"),
      }
      | changes,
    )
    for seed, spent in enumerate(joules)
  ]


def tell(given: Sequence[Reference], trials: list[TrialRecord]) -> Section:
  compared = compare_all(trials)
  return references.tell(references.find(compared, Given(tuple(given))))


def texts(differences: Sequence[Difference]) -> tuple[str, ...]:
  return tuple(in_words([difference]) for difference in differences)


def why_not(there: Reference, comparisons: Sequence[Comparison]) -> str:
  return in_words(obstacles(there, comparisons))


def reference(**changes: Any) -> Reference:
  facts = {
    "name": "eager",
    "source": "lab log",
    "hardware": "NVIDIA H200",
    "model": "ResNet-18",
    "data": "CIFAR10",
    "batch_size": 128,
    "target_accuracy": 0.9,
    "joules": 400.0,
    "seconds": 8.0,
    "accuracy": 0.904,
    "boundary": ("gpu",),
    "phases": ("train",),
  }
  return Reference(**facts | changes)


def test_without_references_there_is_no_section():
  assert references.answer(compare_all(ours(190, 200)), Given()) == ()
  (section,) = references.answer(compare_all([]), Given((reference(),)))
  assert section.title == "References"
  assert section.lines == ("eager: not compared: no trial is recorded here.",)


def test_the_same_work_gives_a_ratio():
  (match,) = matches(reference(), compare(ours(190, 200, 220)))
  ratio, seconds, here = (
    match.joules_ratio,
    match.seconds_ratio,
    match.group.joules,
  )
  assert ratio is not None and seconds is not None and here is not None
  assert here.low is not None and here.high is not None
  assert ratio == Estimate(
    here.value / 400, low=here.low / 400, high=here.high / 400
  )
  assert 0.3 < here.low / 400 < 0.475 < 0.55 < here.high / 400 < 0.8
  assert seconds.value == pytest.approx(0.5)
  assert (match.obstacles, match.caveats) == ((), ())


def test_what_the_meters_of_two_boards_may_be_apart_is_said():
  section = tell([reference()], ours(190, 200))
  notes = [note for table in section.tables for note in table.notes]
  assert any("+- 5 % of the energy" in note for note in notes)


def test_the_interval_of_the_reference_widens_the_ratio():
  (match,) = matches(
    reference(joules_low=200.0, joules_high=800.0),
    compare(ours(190, 200, 220)),
  )
  ratio, here = match.joules_ratio, match.group.joules
  assert ratio is not None and here is not None
  assert here.low is not None and here.high is not None
  assert (ratio.low, ratio.high) == (here.low / 800, here.high / 200)


def test_what_mostly_missed_is_not_compared():
  records = ours(-200, -200, 100)
  assert matches(reference(), compare(records)) == ()
  assert tell([reference()], records).lines == (
    "eager: not compared: the energy of the trials here is unknown: 1 of 3"
    " trials reached the target.",
  )


def test_a_miss_among_reached_trials_makes_the_ratio_larger():
  ratios = [
    match.joules_ratio.value
    for spent in ((190, 200, -220), (190, 200, 220))
    for match in matches(reference(), compare(ours(*spent)))
    if match.joules_ratio
  ]
  assert ratios[0] > ratios[1]


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"data": "cifar100"}, "data cifar100 there, cifar10 here"),
    ({"data": ""}, "its data is unknown"),
    ({"model": "resnet50"}, "model resnet50 there, resnet18 here"),
    (
      {"target_accuracy": 0.93, "accuracy": 0.94},
      "target 93 % there, 90 % here",
    ),
    ({"target_accuracy": None}, "its target is unknown"),
    (
      {"accuracy": 0.85},
      "it stopped at 85 %, below its target of 90 %",
    ),
  ],
)
def test_other_work_gives_no_ratio(changes, said):
  comparisons = compare(ours(190, 200))
  assert matches(reference(**changes), comparisons) == ()
  assert why_not(reference(**changes), comparisons) == said
  section = tell([reference(**changes)], ours(190, 200))
  assert section.lines == (f"eager: not compared: {said}.",)
  assert len(section.tables) == 1


def test_a_model_of_another_width_is_another_model():
  records = ours(190, 200, model={"name": "resnet18", "width": 0.5})
  assert why_not(reference(), compare(records)) == (
    "model ResNet-18 there, resnet18 width 0.5 here"
  )


def test_a_network_of_several_tasks_is_other_work():
  both = {"tasks": ["label", "coarse_label"], "target_accuracy": 0.9}
  several = [
    dataclasses.replace(r, config=r.config | both) for r in ours(190, 200)
  ]
  assert why_not(reference(), compare(several)) == (
    "one label there, tasks label + coarse_label here"
  )


def test_a_target_within_a_tenth_of_a_point_is_the_same():
  comparisons = compare(ours(190, 200))
  assert matches(reference(target_accuracy=0.9008), comparisons)
  assert not matches(reference(target_accuracy=0.9012), comparisons)


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    (
      {"hardware": "NVIDIA A100"},
      "different hardware (NVIDIA A100 there, NVIDIA H200 here)",
    ),
    (
      {"hardware": "2 x H200"},
      "different hardware (2 x H200 there, NVIDIA H200 here)",
    ),
    ({"hardware": ""}, "whether the hardware is the same is unknown"),
    ({"precision": "float32"}, "precision float32 there, bfloat16 here"),
    ({"batch_size": 512}, "batch 512 there, 128 here"),
    ({"estimated": True}, "energy estimated there, measured here"),
    (
      {"boundary": ()},
      "the parts of the machine that its energy covers are not",
    ),
    ({"phases": ()}, "the phases that it covers are not given"),
  ],
)
def test_what_may_mislead_is_said_beside_the_ratio(changes, said):
  (match,) = matches(reference(**changes), compare(ours(190, 200)))
  assert match.joules_ratio is not None
  (note,) = texts(match.caveats)
  assert note.startswith(said)
  (line,) = tell([reference(**changes)], ours(190, 200)).lines
  assert f"Note: {note}." in line


@pytest.mark.parametrize(
  ("there", "told"),
  [("1 x H200", "same"), ("NVIDIA A100", "different"), ("", "unknown")],
)
def test_hardware_is_labelled_beside_the_ratio(there, told):
  section = tell([reference(hardware=there)], ours(190, 200))
  shown = section.tables[1]
  assert shown.rows[0][shown.columns.index("hardware")] == told
  assert shown.rows[0][shown.columns.index("ratio of energy")] != "none"


def test_estimated_joules_are_called_so_on_both_sides():
  modelled = ours(190, 200, estimated=True, meter=meter(GPU, "gpu", True))
  section = tell([reference(estimated=True)], modelled)
  given, beside = section.tables
  assert given.rows[0][given.columns.index("joules")] == "400, estimated"
  assert beside.rows[0][3:5] == ("195 (141-269), estimated", "400, estimated")
  measured = tell([reference()], ours(190, 200)).tables[1]
  assert measured.rows[0][3:5] == ("195 (141-269)", "400")


@pytest.mark.parametrize(
  ("there", "here", "caveats"),
  [
    (True, True, ()),
    (False, False, ()),
    (None, False, ()),
    (True, False, ("energy estimated there, measured here",)),
    (False, True, ("energy measured there, estimated here",)),
    (
      None,
      True,
      ("whether its energy is estimated is not given, here it is",),
    ),
  ],
)
def test_only_a_difference_in_what_is_estimated_is_noted(there, here, caveats):
  facts = {"estimated": True, "meter": meter(GPU, "gpu", True)} if here else {}
  (match,) = matches(reference(estimated=there), compare(ours(190, **facts)))
  assert texts(match.caveats) == caveats


def test_another_boundary_gives_no_ratio_of_joules():
  there = reference(boundary=("gpu", "cpu"))
  (match,) = matches(there, compare(ours(190, 200)))
  assert match.joules_ratio is None
  assert match.seconds_ratio is not None
  assert texts(match.obstacles) == ("its energy covers gpu + cpu, here gpu",)
  assert match.obstacles == (Difference("boundary", ("gpu", "cpu"), ("gpu",)),)
  (line,) = tell([there], ours(190, 200)).lines
  assert line == (
    "eager: here jax, batch 128 needed 0.500 times its time (0.500 to 0.500)."
    " Not compared: its energy covers gpu + cpu, here gpu."
  )


def test_the_parts_of_a_log_are_taken_as_the_records_count(tmp_path):
  said = "model=resnet18,data=cifar10,target_accuracy=0.9,phases=train"
  eager = read(f"{file(tmp_path, CODECARBON)}:{said}")[0]
  (match,) = matches(eager, compare(ours(28_800, 28_800)))
  assert match.joules_there == pytest.approx(57_600)
  assert match.joules_ratio is not None
  assert match.joules_ratio.value == pytest.approx(0.5)
  assert match.caveats == ()  # of the GPU alone nothing is modelled
  package = {GPU: 1.0, "package-0": 1.0}
  both = meter(GPU, "gpu")
  both["domains"].append({"domain": "package-0", "kind": "cpu"})
  records = ours(28_800, 28_800, joules_by_domain=package, meter=both)
  (match,) = matches(eager, compare(records))
  assert match.joules_there == pytest.approx(70_560)
  assert texts(match.caveats) == ("energy estimated there, measured here",)


@pytest.mark.parametrize(
  ("phases", "joules"),
  [
    (("train",), 200.0),
    (("compile", "train"), 230.0),
    (("train", "eval"), 210.0),
  ],
)
def test_the_same_phases_are_counted(phases, joules):
  (match,) = matches(reference(phases=phases), compare(ours(200, 200)))
  assert match.joules_ratio is not None
  assert match.joules_ratio.value == pytest.approx(joules / 400)
  assert (match.seconds_ratio is None) == (phases != ("train",))


def test_phases_that_records_cannot_add_up():
  (match,) = matches(
    reference(phases=("setup", "train")), compare(ours(190, 200))
  )
  assert (match.joules_ratio, match.seconds_ratio) == (None, None)
  assert texts(match.obstacles) == (
    "its energy covers the phases setup + train",
    "its time covers the phases setup + train",
  )


def test_the_same_batch_is_taken_before_a_cheaper_one():
  records = ours(190, 200) + ours(90, 100, batch=64)
  for batch, taken in ((128, 128), (64, 64), (512, 64), (None, 64)):
    (match,) = matches(reference(batch_size=batch), compare(records))
    assert match.group.varied == {"batch_size": taken}


def test_a_failed_first_seed_hides_neither_device_nor_boundary():
  failed = ours(1)[0]
  failed = dataclasses.replace(
    failed,
    status="failed",
    joules_by_domain={},
    meter={},
    provenance={"host": "gpu-node-07"},
  )
  others = [dataclasses.replace(r, seed=r.seed + 1) for r in ours(200, 200)]
  (match,) = matches(reference(), compare([failed, *others]))
  assert (match.obstacles, match.caveats) == ((), ())


def test_each_framework_has_its_own_match():
  torch = ours(
    300,
    300,
    framework="torch",
    varied={"batch_size": 128, "framework": "torch"},
  )
  ratios = [
    (match.framework, match.joules_ratio.value)
    for match in matches(reference(), compare(ours(200, 200) + torch))
    if match.joules_ratio
  ]
  assert ratios == [
    ("jax", pytest.approx(0.5)),
    ("torch", pytest.approx(0.75)),
  ]


def test_a_start_from_pretrained_weights_is_said():
  records = ours(190, 200, init_from="0123456789ab")
  (match,) = matches(reference(), compare(records))
  assert texts(match.caveats) == (
    "training here began from pretrained weights",
  )


def test_trials_of_unknown_energy_give_no_ratio():
  records = ours(190, joules_to_accuracy=None)
  assert matches(reference(), compare(records)) == ()
  assert "energy of the trials here is unknown" in why_not(
    reference(), compare(records)
  )
  assert "no trial is recorded" in why_not(reference(), ())


def run_folder(path: pathlib.Path, trials: list[TrialRecord]) -> str:
  path.mkdir()
  for trial in trials:
    record_files.write(path, trial)
  return str(path)


def test_the_command_shows_them_below_one_report(tmp_path, capsys):
  first = run_folder(tmp_path / "first", ours(24_000, 24_000))
  path = file(tmp_path, HEADING + ROW)
  assert main([first], references=[path]) == 0
  out = capsys.readouterr().out
  assert "\nReferences\n" in out
  assert (
    "ResNet-18 in PyTorch: here jax, batch 128 needed 0.500 times its energy"
    " (0.500 to 0.500) and 0.0356 times its time (0.0356 to 0.0356). Note:"
    " the phases that it covers are not given, here training alone; the parts"
    " of the machine that its energy covers are not given." in out
  )
  second = run_folder(tmp_path / "second", ours(20_000, 21_000, batch=64))
  assert main([first, second], references=[path]) == 0
  out = capsys.readouterr().out
  assert out.count("References") == 1


def test_a_bad_reference_prints_nothing(tmp_path, capsys):
  folder = run_folder(tmp_path / "first", ours(24_000))
  path = file(tmp_path, HEADING.replace("joules", "joule") + ROW)
  assert main([folder], references=[path]) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err == (
    f"report: {path}, row 1, unknown column 'joule'; did you mean joules?\n"
  )


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, "scripts/report.py", *arguments],
    cwd=pathlib.Path(__file__).parent.parent,
    env={"PYTHONPATH": ".", "PATH": ""},
    capture_output=True,
    text=True,
  )


def test_the_script_itself(tmp_path):
  folder = run_folder(tmp_path / "first", ours(24_000))
  path = file(tmp_path, HEADING + ROW)
  done = script(folder, f"--reference={path}", f"--reference={path}")
  assert (done.returncode, done.stderr) == (0, "")
  assert done.stdout.count("needed 0.500 times its energy") == 2


def test_the_script_prints_the_template():
  done = script("--reference_template")
  assert (done.returncode, done.stderr, done.stdout) == (0, "", template())


def test_large_energies_are_in_one_unit_a_table():
  there = reference(joules=48_000.0, joules_low=40_000.0, joules_high=50_000.0)
  other = reference(name="big", data="imagenet", joules=12.3e6)
  given, beside = tell([there, other], ours(41_834.0, 41_834.0)).tables
  cells = [row[given.columns.index("kilojoules")] for row in given.rows]
  assert cells == ["48.0 (40.0-50.0)", "12,300"]
  assert beside.columns[3:5] == ("kilojoules here", "kilojoules there")
  assert beside.rows[0][3:5] == ("41.8 (41.8-41.8)", "48.0")
  # 390 J here beside 48,000 J there: joules for both.
  beside = tell([there], ours(390.0, 390.0)).tables[1]
  assert beside.columns[3:5] == ("joules here", "joules there")
  assert beside.rows[0][3:5] == ("390 (390-390)", "48,000")
