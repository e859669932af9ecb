"""The table as it stands on a terminal and in a file."""

import io
from dataclasses import replace

import pytest
from report_records import record, seeds
from rich.console import Console

from jaxpower.records import Compilation
from jaxpower.report.cells import estimate
from jaxpower.report.compare.comparison import compare
from jaxpower.report.compare.statistics import Estimate
from jaxpower.report.findings import Table
from jaxpower.report.questions.cheapest.table import cost_table
from jaxpower.report.render.terminal import (
  plain_table,
  say,
  say_wrapped,
  show,
  show_table,
)
from jaxpower.report.report import make
from jaxpower.wording import ACTED_UPON

# Worked out apart from the model: 199 to 227 and 378 to 430 J, of the ratio
# 1.74 to 2.07 (Student's t, four degrees of freedom). The draws are near that.
GOLDEN = """\
batch  reached  joules to 80 %     seconds           ratio             \
J per 1000 examples
16     3 of 3   212 (199-227)      4.00 (4.00-4.00)  1.00              \
10.4 +- 1 %
256    3 of 4   403 (377-431)      4.00 (4.00-4.00)  1.90 (1.74-2.08)  \
19.5 +- 1.1 %
1024   1 of 3   missed within 658  unknown           unknown           \
32.0 +- 1 %
What a setting typically costs over seeds, with its 95 % interval, by one \
model of all settings; intervals of ratios hold for all pairs of settings at \
once. The verdict and most over least expensive are corrected for \
having been chosen by the same trials; raw is the ratio as seen.
Missed within: more than half of the seeds missed the target; this is what \
they spent, and says nothing of what reaching it costs.
Batch 256: 1 of 4 trials failed, without a result.
Most over least expensive: training alone 1.90 (1.74 to 2.08; raw 1.90), \
with compiling 1.79 (1.64 to 1.95; raw 1.79), with evaluation 1.86 (1.70 to \
2.03; raw 1.86), without idle energy 2.54 (2.21 to 2.91; raw 2.54)."""


def sweep():
  return [
    *seeds(16, 204, 212, 221),
    *seeds(256, 390, 400, 420),
    record(256, 3, status="failed"),
    record(1024, 0, 600),
    record(1024, 1, 655, "missed"),
    record(1024, 2, 660, "missed"),
  ]


def shown(records) -> Table:
  (comparison,) = compare(records)
  return cost_table(comparison)


def test_golden():
  assert plain_table(shown(sweep())) == GOLDEN


@pytest.mark.parametrize(
  ("found", "cell"),
  [
    (None, "unknown"),
    (Estimate(212), "212"),
    (Estimate(212, False, 204, 221), "212 (204-221)"),
    (Estimate(212, False, 204, float("inf")), "212 (204 or more)"),
    (Estimate(655, True, 600, float("inf")), "> 655"),
  ],
)
def test_cells(found, cell):
  assert estimate(found) == cell


def test_estimated_stands_in_every_heading_of_joules():
  columns = shown(seeds(64, 200, estimated=True)).columns
  assert all("estimated" in name for name in columns if " J" in name)
  assert columns == (
    "batch",
    "reached",
    "estimated joules to 80 %",
    "seconds",
    "ratio",
    "estimated J per 1000 examples",
  )


def test_measured_joules_are_not_called_estimated():
  assert "estimated" not in plain_table(shown(sweep()))


def test_unknown_joules_are_never_zero():
  (row,) = shown([record(64, 0, None)]).rows
  assert row == ("64", "1 of 1", "unknown", "4.00", "unknown", "unknown")


def test_diverged_trials_are_noted():
  notes = shown([record(64, 0, 10, "diverged"), *seeds(128, 9)]).notes
  assert (
    "Batch 64: 1 of 1 trials diverged; taken as missing the target." in notes
  )


def test_of_one_seed_every_ratio_is_raw():
  quick = replace(
    record(64, 0, 200.0),
    compile=Compilation(seconds=9.0, joules=700.0, cache_hit=False),
  )
  assert shown([quick, *seeds(128, 300)]).notes == (
    "With one seed there is no interval.",
    "Most over least expensive: training alone raw 1.50, with compiling raw"
    " 2.73, with evaluation raw 1.48, without idle energy raw 1.89.",
  )


def test_a_setting_of_one_seed_has_an_interval_from_the_others():
  """Then no note says that there is none."""
  table = shown([*seeds(64, 204, 212, 221), *seeds(128, 400)])
  assert all("(" in row[2] for row in table.rows)
  assert "With one seed there is no interval." not in table.notes


def test_of_one_setting_the_note_says_nothing_of_ratios():
  assert shown(seeds(64, 204, 212, 221)).notes == (
    "What a setting typically costs over seeds, with its 95 % interval, by one"
    " model of all settings.",
  )


def test_a_way_to_count_that_is_not_known_is_named():
  blind = record(64, 0, 200.0, active_joules_to_accuracy=None)
  notes = shown([blind, *seeds(128, 300)]).notes
  assert notes[-1] == "Unknown for some trials: without idle energy."
  assert not any("Unknown for" in note for note in shown(sweep()).notes)


def printed(no_color: bool | None = None, terminal: bool = True, width=80):
  console = Console(
    file=io.StringIO(),
    force_terminal=terminal,
    no_color=no_color,
    width=width,
    _environ={"TERM": "xterm-256color"},
  )
  show_table(shown(sweep()), console)
  assert isinstance(console.file, io.StringIO)
  return console.file.getvalue()


def test_plain_where_there_is_no_terminal_or_no_colour():
  assert printed(terminal=False) == GOLDEN + "\n"
  assert printed(no_color=True) == GOLDEN + "\n"


def test_drawn_on_a_terminal_within_its_width():
  text = printed()
  assert "\x1b[1m" in text
  lines = [line for line in text.splitlines() if "212 (199-227)" in line]
  assert len(lines) == 1


def test_gaps_are_wider_where_there_is_room():
  assert "16    3 of 3" in printed(width=80)
  assert "16     3 of 3" in printed(width=120)


def test_a_line_is_printed_as_it_is():
  console = Console(file=io.StringIO(), width=20)
  line = "runs/[batch]/:smile: " + 40 * "x"
  say(line, console)
  assert isinstance(console.file, io.StringIO)
  assert console.file.getvalue() == line + "\n"


def test_a_sentence_breaks_between_words_on_a_terminal_only():
  sentence = "CPU power is estimated, not measured."
  for terminal, lines in ((True, 2), (False, 1)):
    file = io.StringIO()
    console = Console(file=file, width=25, force_terminal=terminal)
    say_wrapped(sentence, console)
    found = [line.strip() for line in file.getvalue().splitlines()]
    assert (" ".join(found), len(found)) == (sentence, lines)


def test_values_are_not_read_as_markup_and_stay_ascii():
  odd = Table(("[bold]", "Bäume"), (("[red]x[/]", "1"),))
  assert plain_table(odd) == "[bold]     B\\xe4ume\n[red]x[/]  1"
  console = Console(
    file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}
  )
  show_table(odd, console)
  assert isinstance(console.file, io.StringIO)
  assert "[red]x[/]" in console.file.getvalue()


def test_large_energies_are_in_one_larger_unit_a_column():
  table = shown([*seeds(64, 41_834.0), record(128, 0, 12.3e6, "missed")])
  assert table.columns[2] == "kilojoules to 80 %"
  assert [row[2] for row in table.rows] == ["41.8", "missed within 12,300"]
  assert table.columns[5] == "kJ per 1000 examples"
  assert [row[5] for row in table.rows] == ["2.04 +- 1 %", "601 +- 1 %"]


def test_small_and_large_energies_in_a_column_are_joules():
  table = shown(seeds(64, 200.0) + seeds(128, 41_834.0))
  assert table.columns[2] == "joules to 80 %"
  assert [row[2] for row in table.rows] == ["200", "41,800"]


def test_estimated_large_energies_are_called_so():
  columns = shown(seeds(64, 12.3e6, estimated=True)).columns
  assert columns[2] == "estimated megajoules to 80 %"
  assert columns[5] == "estimated kJ per 1000 examples"


ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e\ud800\r"


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_in_a_record_steers_the_terminal(terminal: bool) -> None:
  trials = [
    record(64, 0, 200.0, varied={"data": ATTACK}, warnings=(ATTACK,)),
    record(64, 1, None, "failed", error=ATTACK, varied={"data": ATTACK}),
    record(64, 2, None, partial=True, reasons=(ATTACK,), varied={"data": "b"}),
  ]
  out = io.StringIO()
  console = Console(file=out, force_terminal=terminal, color_system=None)
  show(make(trials, notes=(ATTACK,)), console)
  assert r"\x1b]0;owned\x07\x1b[2J\x9b1m\u202e\ud800\r" in out.getvalue()
  assert ACTED_UPON.search(out.getvalue()) is None
