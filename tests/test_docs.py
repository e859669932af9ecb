"""The pages' examples are run, and the files they point to are there."""

import functools
import json
import pathlib
import re
from typing import Any

import pytest

from jaxpower import config
from jaxpower.architectures import MODELS
from scripts import write_config_docs

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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
  *trials, sentence = capsys.readouterr().out.strip().splitlines()
  assert len(trials) == 2
  assert "learning rate" in sentence.lower()
  assert (tmp_path / "runs" / "rates" / "records.jsonl").exists()


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
    if path not in ("model", "optimizer", "transfer")
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
    ("program", config.PROGRAMS),
    ("streaming", config.STREAMING),
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
  page = write_config_docs.PAGE.read_text()
  fix = "run `python scripts/write_config_docs.py`"
  assert write_config_docs.rewrite(page) == page, fix


def test_a_row_of_the_config_follows_the_code() -> None:
  page = "| `seeds` | `7` | of each |\n| `optimizer.momentum` | `1` | none |\n"
  assert write_config_docs.rewrite(page) == (
    "| `seeds` | `3` | of each |\n"
    "| `optimizer.momentum` | `0.9` | of `momentum` and `nesterov` |\n"
  )
