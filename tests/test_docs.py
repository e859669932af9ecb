"""Examples in the docs run, quotations are current, files named are there."""

import functools
import json
import pathlib
import re
import subprocess
from typing import Any

import pytest

from benchmarks import schedulers
from jaxpower import config
from jaxpower.architectures import MODELS
from jaxpower.cli.config_file import load_config
from jaxpower.plan.grid import expand
from scripts import write_docs

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = (
  *("benchmarks", "configs", "docs", "jaxpower", "scripts", "tests"),
  *("learn", "learn_torch"),
)
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./]*\w/?")
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
# What a report prints with any of its tables of energy.
REPORT = re.compile(r"joules to \d|joules to every target|^Medians over", re.M)
FIX = "run `python scripts/write_docs.py`"


def blocks(page: str) -> list[str]:
  text = (ROOT / "docs" / page).read_text()
  return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.slow
def test_the_example_in_python(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
  monkeypatch.delenv("XLA_FLAGS", raising=False)  # as a user runs it
  monkeypatch.chdir(tmp_path)
  (code,) = blocks("python.md")
  exec(compile(code, "docs/python.md", "exec"), {})
  first, second, verdict, *_ = capsys.readouterr().out.strip().splitlines()
  assert first.startswith("{") and second.startswith("{")
  assert "learning rate" in verdict.lower() and "cheapest" in verdict
  assert (tmp_path / "runs" / "rates" / "records").is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
  for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
    if "://" not in target:
      assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_field_of_a_config_is_told_with_its_default() -> None:
  text = (ROOT / "docs" / "config.md").read_text()
  rows = re.findall(r"^\| `([\w.]+)` \| `(.*?)` \|", text, re.MULTILINE)
  whole: Any = config.to_dict(config.Sweep())
  defaults = {
    path: functools.reduce(
      lambda part, name: part[name], path.split("."), whole
    )
    for path in config.field_types(config.Sweep())
    if path not in ("execution", "model", "optimizer", "transfer")
  }
  assert {path: json.loads(default) for path, default in rows} == defaults


@pytest.mark.parametrize(
  ("field", "words"),
  [
    ("model.name", MODELS),
    ("optimizer.name", tuple(config.OPTIMIZERS)),
    ("optimizer.schedule", config.SCHEDULES),
    ("optimizer.scaling", config.SCALINGS),
    ("augmentation", config.AUGMENTATIONS),
    ("framework", config.FRAMEWORKS),
    ("matmul_precision", config.MATMUL_PRECISIONS),
    ("precision", config.PRECISIONS),
    ("processes", config.PROCESSES),
    ("program", config.PROGRAMS),
    ("streaming", config.STREAMING),
    ("sharding", config.SHARDINGS),
    ("data_sharding", config.DATA_SHARDINGS),
    ("batch_norm", config.BATCH_NORMS),
    ("task_weighting", config.TASK_WEIGHTINGS),
  ],
)
def test_every_word_of_a_field_is_told(
  field: str, words: tuple[str, ...]
) -> None:
  text = (ROOT / "docs" / "config.md").read_text()
  (row,) = re.findall(rf"^\| `{re.escape(field)}` .*", text, re.MULTILINE)
  told = set(re.findall(r'`"?([a-z_0-9]+)"?`', row.split("|", 2)[2]))
  assert set(words) <= told


def test_the_page_of_the_config_has_what_the_code_has() -> None:
  page = write_docs.CONFIG_PAGE.read_text()
  assert write_docs.with_fields(page) == page, FIX


def test_a_row_of_the_config_follows_the_code() -> None:
  page = "| `seeds` | `7` | of each |\n| `optimizer.momentum` | `1` | none |\n"
  assert write_docs.with_fields(page) == (
    "| `seeds` | `3` | of each |\n"
    "| `optimizer.momentum` | `0.9` | of `momentum` and `nesterov` |\n"
  )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_reports_are_what_the_report_says_now(
  page: pathlib.Path,
) -> None:
  text = page.read_text()
  assert write_docs.with_reports(text) == text, FIX


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_report_is_quoted_without_its_marker(page: pathlib.Path) -> None:
  text = page.read_text()
  for block in FENCED.finditer(text):
    if REPORT.search(block[0]):
      line_before = text[: block.start()].rstrip("\n").rpartition("\n")[2]
      assert write_docs.MARKER.fullmatch(line_before), block[0]


def test_every_committed_folder_is_quoted_in_the_results() -> None:
  text = (ROOT / "docs" / "results.md").read_text()
  folders = sorted(path.name for path in write_docs.RUNS.iterdir())
  assert sorted(write_docs.MARKER.findall(text)) == folders


def test_a_marked_block_is_rewritten_and_nothing_else() -> None:
  page = "Before.\n\n<!-- report: {} -->\n```\n{}```\n\n```\nother\n```\n"
  stale = page.format("batch", "stale\n")
  rewritten = write_docs.with_reports(stale)
  assert rewritten == page.format("batch", write_docs.quotation("batch"))
  assert "one model of all settings" in rewritten


def test_a_part_of_a_report_is_its_table_and_its_sentence() -> None:
  whole = write_docs.quotation("batch").splitlines()
  table, sentence = write_docs.quotation("batch, table and sentence").split(
    "\n\n"
  )
  assert table.splitlines() == whole[:5]
  assert whole[0].startswith("batch  reached")
  assert sentence.startswith("Batch 16 was cheapest:")
  assert sentence.rstrip("\n") in "\n".join(whole)


def test_a_wrapped_report_is_the_printed_one_but_for_its_line_breaks() -> None:
  printed = write_docs.printed("batch_learning_rate")
  quoted = write_docs.quotation("batch_learning_rate")
  assert quoted.split() == printed.split()
  rows = [line for line in printed.splitlines() if write_docs.is_row(line)]
  # Two tables: of an incomplete grid no shares are known.
  assert len(rows) == 13 + 5
  assert [x for x in quoted.splitlines() if write_docs.is_row(x)] == rows


@pytest.mark.parametrize(
  ("page", "reason"),
  [
    ("<!-- report: batch -->\n\nNo block.\n", "without its block"),
    ("<!-- report: batsh -->\n```\n```\n", "no report of 'batsh'"),
    ("<!-- report: batch, half -->\n```\n```\n", "no report of"),
  ],
)
def test_a_marker_that_names_nothing_is_refused(page: str, reason: str) -> None:
  with pytest.raises(ValueError, match=reason):
    write_docs.with_reports(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: pathlib.Path) -> None:
  for name in PATH.findall(page.read_text()):
    assert any((root / name).exists() for root in (ROOT, ROOT / "jaxpower")), (
      f"{page.name}: {name}"
    )


def test_the_tree_in_the_readme_is_the_tree() -> None:
  text = (ROOT / "README.md").read_text()
  (tree,) = re.findall(r"^scripts/\n.*?(?=^```)", text, re.M | re.S)
  folders = [ROOT]
  for line in tree.splitlines():
    name = line.split()[0]
    depth = (len(line) - len(line.lstrip())) // 2
    path = folders[depth] / name
    folders[depth + 1 :] = [path]
    assert path.exists(), name


def test_the_job_of_kubernetes_runs_the_trial_of_its_index(
  tmp_path: pathlib.Path,
) -> None:
  job = schedulers.job()
  spec = job["spec"]
  assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
  # What backoffLimitPerIndex asks for (the API's validation of a Job).
  assert spec["completionMode"] == "Indexed"
  assert spec["template"]["spec"]["restartPolicy"] == "Never"
  (container,) = spec["template"]["spec"]["containers"]
  python = tmp_path / "python"
  python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
  python.chmod(0o755)
  environ = {"PATH": f"{tmp_path}:/bin:/usr/bin", "JOB_COMPLETION_INDEX": "7"}
  said = subprocess.run(
    [*container["command"], *container["args"]],
    env=environ,
    capture_output=True,
    text=True,
  ).stdout.split()
  assert said[0] == "scripts/run.py" and said[-1] == "--only=8"
  sweep = load_config("configs/batch.py")
  assert spec["completions"] == len(expand(sweep)), "as many as --dry-run lists"
