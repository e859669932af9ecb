"""Frameworks side by side: what is paired, refused and said."""

import io
import re

import pytest
from report_records import GPU, PHASES, devices, meter, record, seeds, side
from rich.console import Console

from jaxpower import report
from jaxpower.records import Compilation, TrialRecord
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.findings import Section
from jaxpower.report.given import Given
from jaxpower.report.questions import frameworks
from jaxpower.report.questions.frameworks.values import SideBySide
from jaxpower.report.questions.frameworks.words import ratios_chart
from jaxpower.report.render import page
from jaxpower.report.render.figures import Drawn

OTHER_GPU = "GPU-91bc77e2-0d4f-4a3b-8c61-7e5f2a9b0c1d"


def find(records: list[TrialRecord]) -> SideBySide:
  side_by_side = frameworks.find(compare_all(records))
  assert side_by_side is not None
  return side_by_side


def tell(records: list[TrialRecord]) -> Section:
  return frameworks.tell(find(records))


def cell(section: Section, table: int, row: int, column: str) -> str:
  shown = section.tables[table]
  return shown.rows[row][shown.columns.index(column)]


def test_one_framework_has_no_section():
  assert frameworks.find(compare_all(side("jax", 200, 210))) is None
  assert frameworks.find(compare_all([])) is None
  assert frameworks.answer(compare_all(seeds(64, 204, 212)), Given()) == ()
  sections = report.make(seeds(64, 204, 212)).sections
  assert all(s.title != "Frameworks" for s in sections)


def test_all_that_is_found_of_two_frameworks():
  jax, torch = side("jax", 200, 210, 220), side("torch", 300, 310, 320)
  found = find(jax + torch)
  assert found.frameworks == ("jax", "torch")
  assert [config.comparison for config in found.configs] == [*found.comparisons]
  assert [ratio.config for ratio in found.ratios] == [*found.configs]
  assert (found.separate, found.unmatched, found.numerics) == ((), (), {})


def test_what_each_framework_cost():
  jax = side("jax", 200, 210, 220, peak_memory_bytes=3 * 2**29)
  torch = side("torch", 300, 310, 320, train_seconds=8.0)
  section = tell(jax + torch)
  assert section.tables[0].columns[:4] == (
    "model",
    "batch",
    "framework",
    "reached",
  )
  assert section.tables[0].rows[0] == (
    "resnet18",
    "64",
    "jax",
    "3 of 3",
    "210 (195-226)",
    "320 (320-320)",  # 20,480 examples of 64
    "4.00 (4.00-4.00)",
    "10.2 (9.53-11.0) +- 1 %",
    "5120",
    "32.0",
    "1.50 GiB",
  )
  assert cell(section, 0, 1, "framework") == "torch"
  assert cell(section, 0, 1, "examples per second") == "2560"
  assert cell(section, 0, 1, "peak memory") == "unknown"
  assert section.warnings == ()


def test_a_ratio_is_told_with_its_interval():
  # Seed by seed JAX took exactly half, though seeds differ tenfold.
  jax, torch = (50, 500, 100, 200), (100, 1000, 200, 400)
  section = tell(side("jax", *jax) + side("torch", *torch))
  assert cell(section, 1, 0, "jax over") == "torch"
  assert cell(section, 1, 0, "energy") == "0.500 (0.499-0.501)"
  assert cell(section, 1, 0, "energy per example") == "0.500 (0.499-0.501)"
  assert cell(section, 1, 0, "examples") == "1.00 (1.00-1.00)"
  assert cell(section, 1, 0, "paired seeds") == "4"
  assert section.lines == (
    "Model resnet18, batch 64: jax cost 0.500 times (0.499 to 0.501) the energy"
    " of torch. Per example jax cost 0.500 times (0.499 to 0.501).",
    f"Same devices and meter: jax and torch ran on {GPU}.",
  )


def test_the_figure_tells_learning_apart_from_speed():
  found = find(side("jax", 90, 95) + side("torch", 180, 190))
  chart = ratios_chart(found)
  assert chart.rows == ("model resnet18, batch 64, torch",)
  assert chart.short == ("resnet18, 64, torch",)
  assert chart.series == (
    "energy to the target",
    "examples to the target",
    "energy per example",
  )
  (ratio,) = found.ratios
  told = (ratio.joules, ratio.examples, ratio.joules_per_example)
  assert [(m.value, m.low, m.high) for m in chart.marks] == [
    (each.value, each.low, each.high) for each in told if each
  ]
  assert len(chart.marks) == 3
  (figure,) = frameworks.tell(found).figures
  assert figure.panels == (chart,)


def test_intervals_are_said_to_hold_for_all_ratios_at_once():
  at_once = "95 % intervals that hold for all ratios of a column at once"
  section = tell(side("jax", 90, 95) + side("torch", 180, 190))
  assert at_once in section.tables[1].notes[0]
  assert "luck of rounding" in section.tables[1].notes[1]
  assert "each for its own cell" in section.tables[0].notes[0]
  assert not any("bootstrap" in n for t in section.tables for n in t.notes)


def test_a_seed_run_twice_counts_once():
  jax = side("jax", 50, 500) + side("jax", 200)
  torch = side("torch", 100, 1000) + side("torch", 400)
  section = tell(jax + torch)
  assert cell(section, 0, 0, "reached") == "2 of 2"
  assert cell(section, 1, 0, "paired seeds") == "2"
  alone = tell(side("jax", 100, 500) + side("torch", 200, 1000))
  assert cell(section, 1, 0, "energy") == cell(alone, 1, 0, "energy")


def test_without_common_seeds_there_is_a_ratio_all_the_same():
  records = side("jax", 50, 52) + side("torch", 100, 103, first_seed=7)
  section = tell(records)
  assert cell(section, 1, 0, "paired seeds") == "none"
  assert cell(section, 1, 0, "energy").startswith("0.50")


def test_the_better_of_eager_and_compiled_is_marked():
  section = tell(
    side("jax", 90, 100, 110)
    + side("torch", 180, 200, 220)
    + side("torch_compile", 120, 125, 130)
  )
  column = section.tables[1].columns.index("jax over")
  assert [row[column] for row in section.tables[1].rows] == [
    "torch",
    "torch_compile (cheapest other)",
  ]
  assert cell(section, 1, 0, "energy").startswith("0.500 ")
  assert re.match(
    r"Model resnet18, batch 64: jax cost 0\.79\d times \(0\.\d+ to 0\.\d+\) the"
    r" energy of torch_compile, by estimate the cheapest of the others\.",
    section.lines[0],
  )
  assert not section.lines[1].startswith("Model")
  assert "Cheapest other: by estimate" in section.tables[1].notes[-1]


def test_what_missed_too_often_is_said_and_leaves_no_cheapest():
  eager, compiled = side("torch", 180, 200), side("torch_compile", -50, -60)
  records = side("jax", 90, 100) + eager + compiled
  found = find(records).ratios
  assert {ratio.cheapest_other for ratio in found} == {None}
  assert found[1].joules is None
  section = tell(records)
  rows = section.tables[1].rows
  assert not any("cheapest" in cell for row in rows for cell in row)
  assert cell(section, 1, 1, "energy") == "unknown"
  assert section.lines[0].startswith("Model resnet18, batch 64: jax cost 0.5")
  assert section.lines[1] == (
    "Model resnet18, batch 64: 2 of 2 seeds of torch_compile did not reach 80 %"
    " within 50.0 J, so its cost is unknown."
  )


def test_a_side_of_unknown_energy_leaves_no_better():
  unseen = side("torch_compile", 1, 2, joules_to_accuracy=None)
  section = tell(side("jax", 90, 100) + side("torch", 180, 200) + unseen)
  assert cell(section, 1, 0, "jax over") == "torch"
  assert cell(section, 1, 1, "energy") == "unknown"
  assert not any("did not reach" in line for line in section.lines)


def test_no_bound_is_told_as_a_cost():
  section = tell(side("jax", -400, -410, 390) + side("torch", 100, 100, 101))
  assert cell(section, 0, 0, "joules to 80 %") == "unknown"
  assert cell(section, 0, 0, "seconds to 80 %") == "unknown"
  assert cell(section, 0, 0, "steps to 80 %") == "unknown"
  assert cell(section, 1, 0, "energy") == "unknown"
  assert (
    "2 of 3 seeds of jax did not reach 80 % within 400 J" in (section.lines[0])
  )
  assert not any(">" in c for t in section.tables for r in t.rows for c in r)


def test_frameworks_that_do_not_differ_measurably():
  section = tell(side("jax", 90, 110, 100) + side("torch", 100, 100, 101))
  assert (
    "jax and torch do not differ measurably: ratio 0.99" in section.lines[0]
  )
  assert "Per example they do not differ measurably" in section.lines[0]


def test_one_seed_has_no_interval():
  section = tell(side("jax", 90) + side("torch", 100))
  assert (
    "jax cost 0.900 times the energy of torch. With one seed there is no"
    " interval: how far another seed would differ cannot be known."
    in section.lines[0]
  )
  assert cell(section, 1, 0, "energy") == "0.900"


def test_phases_stand_beside_each_other():
  compiled = Compilation(seconds=40.0, joules=900.0, cache_hit=True)
  section = tell(side("jax", 90) + side("torch_compile", 95, compile=compiled))
  shown = section.tables[-1]
  assert shown.columns[2:] == (
    "framework",
    "setup J",
    "compile J",
    "warmup J",
    "train J",
    "eval J",
    "infer J",
  )
  assert shown.rows[0][2:] == (
    "jax",
    "5.00",
    "30.0",
    "2.00",
    "90.0",
    "10.0",
    "1.00",
  )
  assert cell(section, -1, 1, "compile J") == "900"
  assert cell(section, 0, 1, "compile + warm-up J") == "902"


def test_an_unknown_phase_is_not_zero():
  section = tell(
    side("jax", 90) + side("torch", 95, joules_by_phase={"train": 95.0})
  )
  assert cell(section, -1, 1, "warmup J") == "unknown"
  assert cell(section, 0, 1, "compile + warm-up J") == "unknown"


def test_every_case_has_its_own_ratio():
  records = [
    trial
    for batch, joules in ((64, 100.0), (256, 300.0))
    for trial in side("jax", joules, batch=batch)
    + side("torch", 2 * joules, batch=batch)
  ]
  section = tell(records)
  assert [row[1] for row in section.tables[1].rows] == ["64", "256"]
  assert [row[3] for row in section.tables[1].rows] == ["0.500", "0.500"]


def test_the_framework_is_a_column_of_the_main_table():
  records = side("jax", 90, 95) + side("torch", 180, 190)
  main, *_, beside = report.make(records).sections
  table = main.tables[0]
  assert beside.title == "Frameworks"
  assert table.columns[:2] == ("batch", "framework")
  assert [row[1] for row in table.rows] == ["jax", "torch"]


def elsewhere(*joules, kind="NVIDIA H100", **changes):
  """PyTorch's trials on another GPU, by default one of another kind."""
  provenance = devices(OTHER_GPU, kind=kind)
  billed = {OTHER_GPU: 185.0}
  changes = {"joules_by_domain": billed, "provenance": provenance} | changes
  return side("torch", *joules, **changes)


def test_other_gpus_give_a_warning_and_no_ratio():
  section = tell(side("jax", 90, 95) + elsewhere(180, 190))
  assert section.warnings == (
    "jax and torch were not run on the same kind of device: jax: NVIDIA H200;"
    " torch: NVIDIA H100. There is no ratio between them.",
  )
  assert len(section.tables) == 2
  assert {cell(section, 0, row, "where") for row in (0, 1)} == {
    "NVIDIA H100",
    "NVIDIA H200",
  }
  assert section.lines == ()


def test_equal_gpus_give_a_ratio_and_a_warning_where_none_is_shared():
  equal = elsewhere(180, 190, kind="NVIDIA H200")
  section = tell(side("jax", 90, 95) + equal)
  assert section.warnings == (
    "jax and torch ran on equal boards or hosts, but on none in common: their"
    " ratio includes how much these differ, and the meters of two boards, each"
    " by +- 5 %.",
  )
  assert cell(section, 1, 0, "energy").startswith("0.500 ")
  assert section.lines[-1] == (
    "Equal devices and meter: jax and torch ran on 2 boards of NVIDIA H200."
  )
  shared = tell(side("jax", 90, 95) + equal[:1] + side("torch", 190))
  assert shared.warnings == ()


def test_equal_gpus_give_no_ratio_where_boards_are_kept_apart():
  equal = elsewhere(180, 190, kind="NVIDIA H200")
  compared = compare_all(side("jax", 90, 95) + equal, by="board")
  (section,) = frameworks.answer(compared, Given())
  assert "were not run on the same boards" in section.warnings[0]


def test_a_meter_that_bills_an_idle_gpu_is_another_meter():
  both = {GPU: 100.0, OTHER_GPU: 100.0}
  jax = side("jax", 90)
  torch = side("torch", 180, joules_by_domain=both)
  assert "were not measured by the same meter" in tell(jax + torch).warnings[0]


def test_jax_on_a_gpu_and_torch_on_the_cpu():
  cpu = [{"platform": "cpu", "kind": "cpu", "index": i} for i in range(4)]
  torch = side("torch", 900, provenance=devices() | {"devices": cpu})
  section = tell(side("jax", 90) + torch)
  assert "jax: NVIDIA H200; torch: AMD EPYC 9654." in section.warnings[0]
  assert len(section.tables) == 2


def test_the_same_cpu_is_named():
  cpu = [{"platform": "cpu", "kind": "cpu", "index": i} for i in range(2)]
  where = {
    "provenance": devices() | {"devices": cpu},
    "joules_by_domain": {"package-0": 100.0},
  }
  section = tell(side("jax", 90, **where) + side("torch", 180, **where))
  assert section.warnings == ()
  assert section.lines[-1] == (
    "Same devices and meter: jax and torch ran on the CPU of gpu-node-07, AMD"
    " EPYC 9654."
  )


def test_other_numbers_and_meters_are_named():
  jax = side("jax", 90)
  two = side("torch", 180, provenance=devices(GPU, OTHER_GPU))
  (separate,) = find(jax + two).separate
  assert (separate.framework, separate.differs) == ("torch", "devices")
  assert (
    "not run on as many devices: jax: NVIDIA H200; torch: 2 x"
    in (tell(jax + two).warnings[0])
  )
  seen = side("torch", 180, joules_by_domain={GPU: 180.0, "package-0": 20.0})
  assert (
    "not run beside the same CPU: jax: NVIDIA H200; torch: NVIDIA H200 beside"
    " AMD EPYC 9654" in tell(jax + seen).warnings[0]
  )
  modelled = side("torch", 180, estimated=True, meter=meter(GPU, "gpu", True))
  assert "jax: measured; torch: estimated." in tell(jax + modelled).warnings[0]


def test_a_device_that_is_not_recorded_gives_a_warning():
  package = {"package-0": 100.0}
  where = {"provenance": devices(None), "joules_by_domain": package}
  records = side("jax", 90, **where) + side("torch", 180, **where)
  section = tell(records)
  assert section.warnings == (
    "Whether jax and torch ran on the same device is not recorded.",
  )
  assert not any("Same devices" in line for line in section.lines)


def test_configs_that_differ_in_more_give_no_ratio():
  records = side("jax", 90, batch=64) + side("torch", 90, batch=128)
  assert find(records).unmatched == ("torch",)
  section = tell(records)
  assert len(section.tables) == 2
  assert section.lines == (
    "jax and torch ran no config in common: their configs differ in more than"
    " the framework, so there is no ratio.",
  )


def test_numerics_that_differ_have_a_line_each():
  jax = {"batch_statistics": "global", "tf32": False, "layout": "NHWC"}
  torch = {"batch_statistics": "per device", "tf32": False}
  records = side("jax", 90, numerics=jax) + side("torch", 95, numerics=torch)
  assert find(records).numerics == {
    "batch_statistics": {"jax": ("global",), "torch": ("per device",)},
    "layout": {"jax": ("NHWC",), "torch": ()},
  }
  section = tell(records)
  assert section.lines[2:] == (
    "Numerics, batch statistics: jax global; torch per device.",
    "Numerics, layout: jax NHWC; torch not recorded.",
  )


def test_failed_trials_are_counted_and_give_no_ratio():
  failed = [
    record(
      64,
      0,
      status="failed",
      framework="torch",
      varied={"batch_size": 64, "framework": "torch"},
      config=side("torch", 1)[0].config,
    )
  ]
  section = tell(side("jax", 90, 95) + failed)
  assert cell(section, 0, 1, "reached") == "0 of 1"
  assert cell(section, 0, 1, "joules to 80 %") == "unknown"
  assert cell(section, 1, 0, "energy") == "unknown"


def test_estimated_energy_is_called_so():
  facts = {"estimated": True, "meter": meter(GPU, "gpu", True)}
  section = tell(side("jax", 90, **facts) + side("torch", 95, **facts))
  assert "estimated joules to 80 %" in section.tables[0].columns
  assert "train estimated J" in section.tables[-1].columns
  assert section.tables[1].columns[3] == "estimated energy"
  assert "the estimated energy of torch" in section.lines[0]


def apart() -> list[TrialRecord]:
  return side("jax", 90) + elsewhere(180)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_warning_is_red_where_there_is_colour(terminal):
  console = Console(
    file=io.StringIO(),
    width=120,
    force_terminal=terminal,
    color_system="standard" if terminal else None,
  )
  report.show(report.make(apart()), console)
  assert isinstance(console.file, io.StringIO)
  text = console.file.getvalue()
  assert "WARNING: jax and torch were not run on the same kind" in text
  assert ("\x1b[1;31mWARNING" in text) == terminal


def test_a_warning_is_red_on_the_page():
  made = report.make(apart())
  drawn = {
    figure.name: Drawn(figure.name, {"svg": b"<svg/>"}, b"<svg/>")
    for section in made.sections
    for figure in section.figures
  }
  text = page.render(made, "x", drawn, ())
  assert '<p class="warning">WARNING: jax and torch were not' in text
  assert ".warning { color: var(--alarm)" in text


def test_large_energies_are_in_one_unit_a_column():
  section = tell(side("jax", 41_834, 41_900) + side("torch", 12.3e6, 12.3e6))
  assert cell(section, 0, 0, "kilojoules to 80 %").startswith("41.9 (41.")
  assert cell(section, 0, 1, "kilojoules to 80 %").startswith("12,300 (")
  assert cell(section, 0, 0, "kJ per 1000 examples").startswith("2.04 (")
  # 2 J of warm-up: all phases are in joules.
  assert cell(section, 0, 0, "compile + warm-up J") == "32.0"
  assert cell(section, -1, 0, "warmup J") == "2.00"
  assert cell(section, -1, 1, "train J") == "12,300,000"


def test_phases_share_a_unit():
  phases = dict.fromkeys(PHASES, 41_834.0)
  compiled = Compilation(seconds=40.0, joules=2000.0, cache_hit=False)
  facts = {"joules_by_phase": phases, "compile": compiled}
  section = tell(side("jax", 90, **facts) + side("torch", 95, **facts))
  assert cell(section, -1, 0, "train kJ") == "41.8"
  assert cell(section, -1, 1, "compile kJ") == "2.00"
  assert cell(section, 0, 1, "compile + warm-up kJ") == "43.8"
