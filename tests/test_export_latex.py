"""The LaTeX table: every number as the report has it, hostile names as text."""

import re
import shutil
import subprocess

import committed
import pytest
from report_records import record, seeds

from jaxpower.export import ExportError, latex
from jaxpower.report.compare.comparison import compare_all

NUMBER = re.compile(r"\\num\{([^}]*)\}")
HOSTILE = r"\input{x} 100% $a_b$ #1 ~ ^ {} & <b> | `q` 😀 ß"
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\usepackage{siunitx}
\begin{document}
%s
\end{document}
"""


def table(trials) -> str:
  return latex.tables(compare_all(trials), "batch", "1.0")


def rows(text: str) -> list[list[str]]:
  body = text.partition("\\midrule\n")[2].partition("    \\bottomrule")[0]
  return [
    line.strip().removesuffix(r" \\").split(" & ") for line in body.splitlines()
  ]


def test_a_row_has_the_numbers_of_its_setting():
  (comparison,) = committed.compared("batch").comparisons
  text = latex.tables(committed.compared("batch"), "batch", "1.0")
  found = rows(text)
  assert [NUMBER.findall(row[0]) for row in found] == [
    [str(group.varied["batch_size"])] for group in comparison.groups
  ]
  for row, group in zip(found, comparison.groups, strict=True):
    assert row[1] == "3 of 3"
    for cell, estimate in (
      (row[2], group.joules),
      (row[3], group.seconds),
      (row[4], group.ratio),
    ):
      assert estimate is not None
      known = [estimate.value, estimate.low, estimate.high]
      numbers = [float(n) for n in NUMBER.findall(cell)]
      known = [n for n in known if n is not None]
      assert numbers == pytest.approx(known, rel=0.005)


def test_it_says_what_it_is_of_and_that_it_is_estimated():
  text = latex.tables(committed.compared("batch"), "batch run", "1.0")
  assert text.startswith("% By jaxpower 1.0, of batch run.\n% Needs ")
  assert r"cnn on fashion\_mnist\_6k to 84 \%" in text
  assert "estimated joules to 84 \\%" in text
  assert "Energy is estimated, not measured." in text
  assert r"\label{tab:batch-run}" in text


def test_measured_energy_is_not_called_estimated():
  text = table(seeds(64, 200.0, 210.0) + seeds(256, 400.0, 410.0))
  assert "estimated" not in text
  assert "joules to 80" in text
  assert r"$\pm$ \num{" in text  # the meter's bound


def test_unknown_is_an_empty_cell_and_a_miss_no_cost():
  unknown = [*seeds(64, 200.0, 210.0), record(256, joules=None)]
  assert rows(table(unknown))[1][2] == ""
  missed = seeds(64, 200.0, 210.0) + seeds(256, -655.0, -655.0)
  assert rows(table(missed))[1][1:3] == [
    "0 of 2",
    r"missed within \num{655}",
  ]


def test_nothing_to_compare_is_refused():
  with pytest.raises(ExportError, match="no trial"):
    table([])


def test_hostile_text_is_escaped():
  text = latex.escaped(HOSTILE + "\x1b[2J\n")
  assert r"\textbackslash{}input\{x\} 100\% \$a\_b\$ \#1" in text
  assert "U+1F600" in text and "ß" in text
  assert "\x1b" not in text and "\n" not in text


@pytest.mark.proof
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_pdflatex_takes_it(tmp_path):
  """Of a real sweep, of one with misses, and with a hostile name."""
  hostile = seeds(64, 200.0, 210.0, varied={"model.name": HOSTILE})
  texts = [
    latex.tables(committed.compared(name), name, "1.0")
    for name in ("batch", "optimizer", "frameworks")
  ]
  content = DOCUMENT % "\n".join([*texts, table(hostile)])
  (tmp_path / "paper.tex").write_text(content)
  done = subprocess.run(
    ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout[-2000:]
  assert "Undefined" not in done.stdout
