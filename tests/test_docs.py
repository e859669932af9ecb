"""The pages' examples are run, and the files they point to are there."""

import pathlib
import re

import pytest

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
