"""Every config file says what it is for and expands to trials."""

import ast
import pathlib

import pytest

from jaxpower import entry, grid

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("arguments", ["", ":quick"])
def test_a_config_expands(path: pathlib.Path, arguments: str) -> None:
  sweep = entry.load_config(f"{path}{arguments}")
  trials = grid.expand(sweep)
  assert sweep.name == path.stem
  assert len(trials) > 1
  for trial in trials:
    grid.check_cadence(trial)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_says_claim_cost_and_command(path: pathlib.Path) -> None:
  text = ast.get_docstring(ast.parse(path.read_text())) or ""
  assert "Claim: " in text
  assert "Cost: " in text
  assert f"--config=configs/{path.name}" in text
