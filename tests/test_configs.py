"""Every config file says what it is for and expands to trials."""

import ast
import dataclasses
import importlib.util
import pathlib

import pytest

from jaxpower import data, machine, sweep
from jaxpower.cli import run
from jaxpower.config import by_id, put
from jaxpower.messages import Ready
from jaxpower.plan import checks, grid, pretraining, windows

ROOT = pathlib.Path(__file__).parent.parent
SENSOR = {"counter_period_seconds": 0.1}
H100 = Ready(
  platform="gpu",
  device_kind="NVIDIA H100 80GB HBM3",
  devices=1,
  meter={"domains": [{"kind": "gpu", "counted": True, "sensor": SENSOR}]},
)
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
  path: pathlib.Path,
  arguments: str,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  if path.stem == "frameworks" and not importlib.util.find_spec("torch"):
    pytest.skip("PyTorch is not installed")
  _know_the_full_set(monkeypatch)
  plan = sweep.plan(run.load_config(f"{path}:{arguments}"), tmp_path)
  assert len(plan.left) > 1


def _know_the_full_set(monkeypatch: pytest.MonkeyPatch) -> None:
  """Describes a set that need not be here by its bundled part, its like."""
  alike, describe = {"fashion_mnist": "fashion_mnist_6k"}, data.describe
  monkeypatch.setattr(data, "describe", lambda n: describe(alike.get(n) or n))


GPU = ("batch", "learning_rate", "transfer", "multitask", "frameworks")


@pytest.mark.parametrize("name", GPU)
@pytest.mark.parametrize("model", ["", ",model=vit"])
def test_a_config_has_the_size_of_a_gpu(
  name: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  _know_the_full_set(monkeypatch)
  asked = run.load_config(f"{ROOT / 'configs' / name}.py:gpu{model}")
  assert asked.name == f"{name}-gpu"
  trials = pretraining.with_sources(by_id(grid.expand(asked))).values()
  for trial in trials:
    checks.check_cadence(trial)
    trial.data = trial.data.split("+")[0]  # all of one shape
    assert trial.precision == "bfloat16" and not trial.stop_at_target
    assert trial.model.name == ("vit" if model else "resnet18")
    assert windows.short_windows([trial], H100) == ""
    looks = trial.budget_examples / trial.evaluate_every_examples
    lasting = looks * windows.window_seconds(trial, H100)
    if not model:  # of a ViT another share of the peak is assumed
      assert lasting == pytest.approx(30.5, rel=0.02)
  assert len(trials) <= 8


def test_auto_takes_the_size_of_the_device(monkeypatch, tmp_path) -> None:
  path = ROOT / "configs" / "batch.py"
  assert run.load_config(f"{path}:auto") == run.load_config(str(path))
  monkeypatch.setattr(machine, "trains_on_gpu", lambda *_: True)
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  chosen = run.load_config(f"{path}:auto")
  assert (chosen.name, chosen.data) == ("batch-gpu", "fashion_mnist_6k")
  sweep.plan(chosen, tmp_path / "runs")  # no set of another machine is needed
  monkeypatch.setattr(data, "describe", lambda name: name)
  assert run.load_config(f"{path}:auto").data == "fashion_mnist"


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
    pytest.param("epoch_program.py:quick", marks=pytest.mark.proof),
    "learning_rate.py:quick,data=imu",
    pytest.param("transfer.py:quick", marks=pytest.mark.proof),
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
