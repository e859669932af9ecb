"""Every config file says what it is for and expands to trials."""

import ast
import dataclasses
import importlib.util
import pathlib

import pytest

from jaxpower import sweep
from jaxpower.cli import run
from jaxpower.config import by_id, put
from jaxpower.plan import checks, grid, pretraining

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("arguments", ["", ":quick"])
def test_a_config_expands(path: pathlib.Path, arguments: str) -> None:
  asked = run.load_config(f"{path}{arguments}")
  trials = grid.expand(asked)
  # Another folder: a quick form is no part of the sweep.
  assert asked.name == path.stem + arguments.replace(":", "-")
  assert len(trials) > 1
  for trial in trials:
    checks.check_cadence(trial)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
  ("framework", "quick"), [("torch", ""), ("torch_compile", ",quick")]
)
def test_a_config_takes_a_framework(
  path: pathlib.Path, framework: str, quick: str
) -> None:
  asked = run.load_config(f"{path}:framework={framework}{quick}")
  trials = pretraining.with_sources(by_id(grid.expand(asked))).values()
  beside = {"jax"} if path.stem == "frameworks" else set()
  assert {trial.framework for trial in trials} == {framework} | beside


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_says_claim_cost_and_command(path: pathlib.Path) -> None:
  text = ast.get_docstring(ast.parse(path.read_text())) or ""
  assert "Claim: " in text
  assert "Cost: " in text
  assert f"--config=configs/{path.name}" in text


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
  "arguments", ["model=vit", "model=transformer,data=imu"]
)
def test_a_config_takes_a_transformer(
  path: pathlib.Path, arguments: str, tmp_path: pathlib.Path
) -> None:
  if path.stem == "frameworks" and not importlib.util.find_spec("torch"):
    pytest.skip("PyTorch is not installed")
  plan = sweep.plan(run.load_config(f"{path}:{arguments}"), tmp_path)
  assert len(plan.left) > 1


def test_a_batch_sweep_scales_its_rate_where_it_is_asked_to() -> None:
  path = ROOT / "configs" / "batch.py"
  plain, scaled = (
    {trial.optimizer.scaling for trial in grid.expand(run.load_config(words))}
    for words in (str(path), f"{path}:scaling=sqrt")
  )
  assert (plain, scaled) == ({"none"}, {"sqrt"})


def test_each_start_of_transfer_has_the_same_rates_and_pretraining_its_own():
  asked = run.load_config(str(ROOT / "configs" / "transfer.py"))
  put(asked, "optimizer.weight_decay", 0.1)
  put(asked, "model.width", 2.0)
  trials = grid.expand(asked)
  rates: dict[tuple[bool, bool], set[float]] = {}
  for trial in trials:
    start = trial.transfer.init_from is not None, trial.transfer.freeze
    rates.setdefault(start, set()).add(trial.optimizer.learning_rate)
    assert trial.optimizer.weight_decay == 0.1
  assert list(rates.values()) == [{0.003, 0.01, 0.03}] * 3
  origins = [t.transfer.init_from for t in trials if t.transfer.init_from]
  assert {o.optimizer.learning_rate for o in origins} == {0.003}
  assert {o.optimizer.weight_decay for o in origins} == {0.0}
  assert {o.model.width for o in origins} == {2.0}


def test_transfer_takes_features_once():
  path = ROOT / "configs" / "transfer.py"
  trials = grid.expand(run.load_config(f"{path}:features=once,quick"))
  found = {t.transfer.freeze: t.transfer.features for t in trials}
  assert found == {False: "every", True: "once"}


@pytest.mark.slow
@pytest.mark.parametrize(
  "words",
  [
    "epoch_program.py:quick",
    "learning_rate.py:quick,data=imu",
    "transfer.py:quick",
  ],
)
def test_a_quick_form_trains(
  words: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
  asked = run.load_config(f"{ROOT / 'configs' / words}")
  asked = dataclasses.replace(asked, idle_seconds=0.0)
  found = sweep.run(asked, tmp_path, meter="estimate")
  assert {record.status for record in found} <= {"reached", "missed"}
  assert "reached" in {record.status for record in found}
