"""A life cycle from records and assumptions."""

import pathlib
import subprocess
import sys

import pytest
from lives import (
  EMBODIED,
  GPU_DEVICE,
  assume,
  compared,
  said,
  section,
  stage_rows,
  study,
  sweep,
  trial,
)
from report_records import GPU, meter, modelled, record

from jaxpower.cli.report import main
from jaxpower.folder import record_files as store
from jaxpower.report.charts import Stacks
from jaxpower.report.given import Given
from jaxpower.report.given.assumptions import template
from jaxpower.report.questions import lifecycle
from jaxpower.report.questions.lifecycle.values import hardware_of

ROOT = pathlib.Path(__file__).parent.parent


def test_the_stages_and_their_sum():
  columns, rows = stage_rows(sweep(), trainings=10, inferences=1e6)
  assert columns[2] == "kilojoules"
  assert rows["search"][:2] == ("9 trials, every phase", "2.10")
  assert rows["training"][:2] == ("10 trainings", "1.40 (1.28-1.53)")
  assert rows["inference"][:2] == (
    "1,000,000 examples",
    "40.0 (40.0-40.0)",
  )
  # A whole training has 40 J beside its train phase: 2100 + 1400 + 40000.
  assert rows["total"][1].startswith("43.5 (43.")
  assert "pretraining" not in rows


def test_the_figure_has_a_bar_of_the_stages_of_the_table():
  assumed = assume(trainings=10, inferences=1e6)
  (figure,) = section(sweep(), assumed).figures
  (chart,) = figure.panels
  assert isinstance(chart, Stacks)
  assert chart.parts == ("search", "training", "inference")
  (bar,) = chart.joules
  assert bar[0] == 2100 and bar[2] == pytest.approx(40_000)
  assert bar[1] == pytest.approx(1400, rel=0.01)
  unknown = [trial(64, 0, None, joules_by_phase={}, train_joules=None)]
  assert section(unknown, assumed).figures == ()


def test_without_plans_one_training_and_no_inference():
  _, rows = stage_rows(sweep(), pue=1.5)
  assert rows["training"][:2] == ("1 training", "140 (128-153)")
  assert "inference" not in rows
  lines = said(sweep(), pue=1.5)
  assert "one training is counted, since without one there is" in lines
  assert "Not given, so not counted: downstream tasks, inferences," in lines
  assert "one training is counted" not in said(sweep(), trainings=1)


def test_multipliers_stand_in_columns_of_their_own():
  columns, rows = stage_rows(sweep(), pue=2.0, grid_intensity=500.0, **EMBODIED)
  assert columns == (
    "stage",
    "counts",
    "joules",
    "Wh at the meter",
    "Wh with PUE",
    "g CO2e operational",
    "g CO2e embodied, GPUs and host",
  )
  # 2100 J are 0.5833 Wh; 324 s are 0.09 h, at 150 + 100 g an hour.
  assert rows["search"][1:] == ("2100", "0.583", "1.17", "0.583", "22.5")


def test_joules_are_the_same_under_any_assumption():
  plain, changed = (
    stage_rows(sweep(), **values)[1]
    for values in ({"trainings": 1}, {"trainings": 1, "pue": 3.0} | EMBODIED)
  )
  assert {k: v[1] for k, v in plain.items()} == {
    k: v[1] for k, v in changed.items()
  }


def test_large_energies_are_in_kwh():
  columns, rows = stage_rows(sweep(), inferences=9e8)
  assert columns[3] == "kWh at the meter"
  assert rows["inference"][2] == "10.0 (10.0-10.0)"


def test_no_pue_is_said_not_taken_as_one():
  columns, _ = stage_rows(sweep(), grid_intensity=500.0)
  assert "g CO2e operational, no PUE" in columns
  assert not any("with PUE" in column for column in columns)


def test_gpus_are_counted_where_trials_ran_on_as_many():
  cpu = {"provenance": {"devices": [{"platform": "cpu"}]}}
  two = {"provenance": {"devices": [GPU_DEVICE] * 2}}
  given = assume(**EMBODIED)
  count = lambda trials: hardware_of(trials, given).gpus
  assert count([trial(64, 0, 1.0), trial(64, 1, 1.0)]) == 1
  assert count([trial(64, 0, 1.0, **cpu)]) == 0
  assert count([trial(64, 0, 1.0), trial(64, 1, 1.0, **two)]) is None
  assert count([record(64, 0)]) == 1  # told by its meter
  assert count([record(64, 0, meter=meter("package-0", "cpu"))]) is None
  assert count([]) is None


def test_gpus_that_cannot_be_counted_are_said():
  records = [trial(64, 0, 100.0, provenance={}, meter={})]
  table = section(records, assume(**EMBODIED)).tables[0]
  assert table.columns[-1] == "g CO2e embodied, host alone"
  assert "The number of GPUs is unknown" in said(records, **EMBODIED)
  assert "The number of GPUs" not in said(sweep(), **EMBODIED)


def test_inferences_that_cost_one_training():
  records = sweep()
  lines = said(records, trainings=1)
  # About 140 J over 0.04 J; before all inference 2100 + 140 J.
  assert (
    "At batch 64, 3490 inferences cost as much as one training, 56,000 as much"
    " as all stages before inference." in lines
  )
  assert "56,000 as much as all stages before inference" in said(
    records, inferences=1e6
  )
  table = section(records, assume(trainings=1)).tables[2]
  assert table.columns[1:] == (
    "joules per inference",
    "inferences that cost one training",
  )
  assert [row[2][:6] for row in table.rows] == ["3490 (", "4740 (", "8500 ("]


def test_what_an_inference_costs_is_uncertain_too():
  def per_training(*joules):
    trials = [
      trial(64, seed, 100.0, infer_joules_per_example=spent)
      for seed, spent in enumerate(joules)
    ]
    (life,) = lifecycle.find(compared(trials), Given()).lives
    found = life.inferences[0].per_training
    assert found is not None
    assert found.low is not None and found.high is not None
    return found.value, found.high / found.low

  value, wide = per_training(0.04, 0.04, 0.04)
  assert value == pytest.approx(140 / 0.04, rel=1e-3)
  # Compiling alone is uncertain: 30 J of 140 by 11 %.
  assert wide == pytest.approx(1 + 2 * 1.96 * 3.24 / 140, rel=0.01)
  assert per_training(0.03, 0.04, 0.05)[1] > 2


def test_unknown_inference_is_not_zero():
  records = [trial(64, 0, 100.0, infer_joules_per_example=None)]
  _, rows = stage_rows(records, inferences=1000)
  assert rows["inference"][1] == "unknown"
  assert rows["total"][1] == "> 290"
  assert "In total at least 290 J without inference (unknown)." in said(
    records, inferences=1000
  )
  assert "How many inferences cost as much as training is unknown." in said(
    records, pue=1.5
  )


def test_pretraining_is_shared_over_tasks():
  _, rows = stage_rows(study(), downstream_tasks=10)
  assert rows["pretraining"][:2] == ("1 of 10 tasks", "104")
  # What pretraining spent in other phases than a training's stays: 40 J.
  assert rows["search"][:2] == ("2 trials, every phase", "250")
  assert rows["total"][1] == "414"
  lines = said(study(), downstream_tasks=10)
  assert (
    "The whole sweep, 2 trials and 1 of pretraining, cost 1.26 kJ." in lines
  )
  assert (
    "In total 414 J: pretraining 25 %, search 60 %, training 14 %." in lines
  )


def test_pretraining_that_is_not_shared_is_whole():
  _, rows = stage_rows(study(), trainings=1)
  assert rows["pretraining"][:2] == ("not shared", "1040")


def test_a_pretraining_among_the_trials_counts_once():
  first = trial(256, 0, 90.0, trial_id="aaaa00000000")
  second = trial(64, 0, 20.0, init_from="aaaa00000000")
  _, rows = stage_rows([first, second], downstream_tasks=2)
  assert rows["pretraining"][:2] == ("1 of 2 tasks", "65.0")
  assert rows["search"][:2] == ("1 trial, every phase", "110")


def test_weights_from_elsewhere_count_what_is_given_once():
  def tuned(joules):
    given = {"path": "weights/vit", "joules": joules, "source": "its card"}
    return [
      trial(64, s, 20.0, varied={"transfer": "fine-tuned"}, pretrained=given)
      for s in range(2)
    ]

  _, rows = stage_rows(tuned(5000.0), downstream_tasks=10)
  assert rows["pretraining"][:2] == ("1 of 10 tasks", "500")
  assert (
    "The energy of making weights/vit is given, not measured here: its card."
    in said(tuned(5000.0), trainings=1)
  )
  _, rows = stage_rows(tuned(None), downstream_tasks=10)
  assert rows["pretraining"][1] == "unknown"


def test_pretraining_that_is_not_recorded_is_unknown():
  _, rows = stage_rows(study()[1:], downstream_tasks=10)
  assert rows["pretraining"][1] == "unknown"
  assert rows["total"][1].startswith("> ")


def test_the_boundary_is_named():
  lines = said(sweep(), pue=1.5)
  assert f"The energy covers {GPU}." in lines
  assert "The meter's 95 % error bound is at most 1.0 %" in lines


def test_an_estimate_by_a_whole_server_holds_its_power_supply():
  described = modelled()
  lines = said([trial(64, 0, 100.0, estimated=True, meter=described)], pue=1.5)
  assert "such as its power supply and fans, is not counted; a PUE" in lines
  described["domains"][0]["assumptions"]["covers"] = "the whole server"
  lines = said([trial(64, 0, 100.0, estimated=True, meter=described)], pue=1.5)
  assert "power supply and fans included; a PUE adds only" in lines


def test_estimated_is_said_everywhere():
  records = [trial(64, 0, 100.0, estimated=True)]
  found = section(records, assume(trainings=1, pue=1.5, grid_intensity=400))
  assert found.tables[0].columns[2:6] == (
    "estimated joules",
    "estimated Wh at the meter",
    "estimated Wh with PUE",
    "estimated g CO2e operational",
  )
  assert found.tables[1].columns[1] == "estimated joules per inference"
  assert "Power is estimated, not measured" in "\n".join(found.lines)


def test_nothing_reached_and_nothing_known():
  missed = [trial(64, seed, 100.0, status="missed") for seed in range(2)]
  lines = said(missed, inferences=10)
  assert "without training and inference (unknown)." in lines
  assert "Which setting is best is unknown." in lines
  failed = [record(64, 0, status="failed")]
  assert "The total is unknown" in said(failed, trainings=1)
  assert section([], assume(trainings=1)).lines


def test_two_kinds_of_board_are_told_apart():
  elsewhere = {"devices": [GPU_DEVICE | {"kind": "NVIDIA H100"}]}
  other = [trial(64, 7, 70.0, provenance=elsewhere)]
  lines = said([*sweep(), *other], trainings=1)
  assert "NVIDIA H100: The whole sweep, 1 trial, cost 120 J." in lines


def test_every_assumption_is_shown_with_its_source():
  shown = section(sweep(), assume(pue=1.58, inferences=1e6)).tables[-1]
  assert shown.columns == ("assumption", "value", "unit", "source", "date")
  assert shown.rows == (
    ("pue", "1.58", "ratio", "a test", "2026"),
    ("inferences", "1,000,000", "examples", "a test", "2026"),
  )


def folder(path, trials):
  path.mkdir()
  for one in trials:
    store.write(path, one)
  return str(path)


def test_the_command_shows_it_after_the_report(tmp_path, capsys):
  file = tmp_path / "life.toml"
  file.write_text(template())
  run = folder(tmp_path / "batch", sweep())
  assert main([run], lifecycle=str(file)) == 0
  out, err = capsys.readouterr()
  report, _, life = out.partition("\nLife cycle\n")
  assert "Batch 64 was cheapest" in report
  assert "pays back the search after 42 trainings" in life
  assert err == ""
  assert main([run]) == 0
  assert "Life cycle" not in capsys.readouterr().out


def test_a_repeated_trial_is_one_of_the_report(tmp_path, capsys):
  run = folder(
    tmp_path / "batch", [record(64, 0, status="failed"), trial(64, 0, 100.0)]
  )
  assert main([run]) == 0
  out = capsys.readouterr().out
  assert "1 of 1" in out
  assert "failed" not in out


def test_a_bad_file_prints_nothing_else(tmp_path, capsys):
  file = tmp_path / "life.toml"
  file.write_text("[pue]\nvalue = 1.5")
  run = folder(tmp_path / "batch", sweep())
  assert main([run], lifecycle=str(file)) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err == f"report: {file}: pue.unit: is missing; every field is needed\n"


def test_the_script_prints_the_template():
  done = subprocess.run(
    [sys.executable, "scripts/report.py", "--lifecycle_template"],
    cwd=ROOT,
    env={"PYTHONPATH": ".", "PATH": ""},
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stderr) == (0, "")
  assert done.stdout == template()


def test_large_energies_are_in_one_unit_a_column():
  records = [
    trial(64, 0, 41_834.0, infer_joules_per_example=1500.0),
    trial(128, 0, 12.3e6, infer_joules_per_example=2000.0),
    trial(256, 0, 12.4e6, infer_joules_per_example=None),
  ]
  found = section(records, assume(trainings=1000, inferences=0))
  stages, search, inferences, _ = found.tables
  assert stages.columns[2] == "megajoules"
  assert [row[2] for row in stages.rows] == ["24.7", "41.9", "0", "66.6"]
  assert search.columns[2] == "kilojoules of a training to 80 %"
  assert [row[2] for row in search.rows] == ["12,300", "12,400", "41.9"]
  assert "24.7 MJ" in search.notes[0]
  assert inferences.columns[1] == "kilojoules per inference"
  assert [row[1] for row in inferences.rows] == ["1.50", "2.00", "unknown"]
  assert "cost 24.7 MJ." in "\n".join(found.lines)
