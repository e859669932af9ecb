"""A network of the user's in PyTorch, with and without a twin in JAX."""

import copy
import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower import data, torch_wing, trial, user_code
from jaxpower.config import (
  ConfigError,
  Model,
  Optimizer,
  Transfer,
  Trial,
  trial_id,
)
from jaxpower.learn_torch import flax_weights, networks, own
from jaxpower.learn_torch.backbone import freeze
from jaxpower.plan import identity
from jaxpower.power import Monitor, SimulatedSource
from jaxpower.records import TrialRecord
from jaxpower.wings import wing_of
from tests import user_files

FACTS = dataclasses.replace(
  data.describe("digits"), input_shape=(4, 4, 1), labels={"label": 3}
)
BOTH = user_files.LINEN + user_files.TORCH
EASY = Trial(
  data="sets.py:load",
  model=Model(name="nets.py:Wide", options={"width": 16}),
  optimizer=Optimizer(learning_rate=0.03),
  batch_size=20,
  evaluate_every_examples=100,
  budget_examples=400,
  target_accuracy=0.9,
  idle_seconds=0.01,
  devices=1,
)


@pytest.fixture
def here(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(trial, "INFER_PERIODS", 0.1)
  return user_files.write(
    tmp_path,
    nets=BOTH,
    sets=user_files.ARRAYS,
    wide_arrays=user_files.HELPER,
  )


def run(asked: Trial, folder: pathlib.Path) -> TrialRecord:
  asked = copy.deepcopy(asked)
  identity.fill_in(asked)
  wing = wing_of(asked.framework)
  with Monitor([SimulatedSource(100.0)], wait=wing.wait) as monitor:
    return trial.run(
      asked, {}, monitor=monitor, cache={}, folder=folder, provenance={}
    )


def in_torch(asked: Trial, **fields: Any) -> Trial:
  return dataclasses.replace(asked, framework="torch", **fields)


def test_both_frameworks_train_the_users_network_on_the_users_data(
  here: pathlib.Path,
) -> None:
  ours, theirs = run(in_torch(EASY), here), run(EASY, here)
  assert ours.status == theirs.status == "reached"
  assert ours.parameters == theirs.parameters == 16 * 16 + 16 + 16 * 3 + 3
  assert ours.numerics["first_weights"] == "JAX's"
  for a, b in zip(ours.curve, theirs.curve, strict=True):
    assert a.loss == pytest.approx(b.loss, rel=1e-3)
  assert ours.config["model"]["fingerprint"] == user_code.checksum(
    here / "nets.py"
  )
  found = data.describe("sets.py:load").fingerprint
  assert ours.config["data_fingerprint"] == found


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_a_backbone_is_transferred_and_frozen(
  framework: str, here: pathlib.Path
) -> None:
  source = dataclasses.replace(EASY, framework=framework)
  run(source, here)
  records = [
    run(
      dataclasses.replace(
        source,
        transfer=Transfer(init_from=source, freeze=True, features=features),
      ),
      here,
    )
    for features in ("every", "once")
  ]
  assert [r.status for r in records] == ["reached", "reached"]
  every, once = (r.curve[-1].loss for r in records)
  assert every == pytest.approx(once, rel=1e-3)


def test_without_a_twin_pytorch_draws_and_the_record_says_so(
  here: pathlib.Path,
) -> None:
  alone = Model(name="nets.py:Alone", options={"width": 16})
  record = run(in_torch(EASY, model=alone), here)
  again = run(in_torch(EASY, model=alone), here)
  other = run(in_torch(EASY, model=alone, seed=1), here)
  assert record.status == "reached"
  assert record.numerics["first_weights"] == (
    "PyTorch's own: the file has no Flax module of that name"
  )
  assert record.curve[0].loss == again.curve[0].loss != other.curve[0].loss
  (here / "nets.py").write_text(BOTH.replace("Alone(", "WideXTorch("))
  text = (here / "nets.py").read_text()
  (here / "nets.py").write_text(text.replace("class Wide(", "class WideX("))
  spec = torch_wing.place(
    in_torch(EASY, model=Model(name="nets.py:WideX")), data.load("sets.py:load")
  ).spec
  why = torch_wing.why_not_jax(spec)
  assert why.startswith("weights do not fit: batch_stats/norm/mean is missing")


def test_twins_that_compute_unlike_things_are_told(here: pathlib.Path) -> None:
  path = here / "nets.py"
  path.write_text(BOTH.replace("x.flatten(1)", "x.transpose(1, 2).flatten(1)"))
  placed = torch_wing.place(in_torch(EASY), data.load("sets.py:load"))
  said = torch_wing.numerics(placed)["first_weights"]
  assert said.startswith("JAX's, but the twins are no twins: with the same")


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_several_tasks_and_a_share_of_the_users_data(
  framework: str, here: pathlib.Path
) -> None:
  path = here / "sets.py"
  path.write_text(
    path.read_text()
    + """

def two():
  splits = load()
  return {
    name: {"input": x, "label": y, "parity": y % 2}
    for name, (x, y) in splits.items()
  }
"""
  )
  record = run(
    dataclasses.replace(
      EASY,
      data="sets.py:two",
      framework=framework,
      tasks=("label", "parity"),
      data_share=0.5,
      streaming="always",
    ),
    here,
  )
  assert record.status == "reached"
  assert record.curve[-1].accuracies.keys() == {"label", "parity"}
  assert record.validation_examples == 20


def test_layers_in_a_list_are_found_under_the_names_of_both_flaxes() -> None:
  class Net(torch.nn.Module):
    def __init__(self) -> None:
      super().__init__()
      self.convs = torch.nn.ModuleList([torch.nn.Conv1d(2, 3, 4)])
      self.head = torch.nn.Linear(3, 5)

  kernel = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
  conv = {"kernel": kernel, "bias": np.zeros(3, np.float32)}
  dense = {"kernel": np.ones((3, 5)), "bias": np.ones(5)}
  for params in ({"convs_0": conv}, {"convs": {"0": conv}}):
    found = flax_weights.from_jax(Net(), {**params, "head": dense}, {})
    np.testing.assert_array_equal(
      found["convs.0.weight"].numpy(), kernel.transpose(2, 1, 0)
    )


def test_a_frozen_batch_norm_of_pytorchs_own_keeps_its_statistics(
  here: pathlib.Path,
) -> None:
  network: Any = networks.build(
    Model(name="nets.py:Alone"), 3, input_shape=(4, 4, 1)
  )
  inputs = torch.randn(6, 4, 4, 1)
  network.train()(inputs)
  moved = network.norm.running_mean.clone()
  assert moved.abs().max() > 0
  freeze(network)
  network.train()(inputs)
  assert torch.equal(network.norm.running_mean, moved)


@pytest.mark.parametrize(
  ("change", "line"),
  [
    (("self.head =", "self.last ="), "has no nn.Linear named 'head'; its"),
    (("classes, input", "class_, input"), "takes no argument classes; did you"),
    (("(width, classes)", "(width, 7)"), "to (2, 7), not to logits (2, 3)"),
    (("torch.nn.Module", "object"), "has no WideTorch, and Wide is no"),
    (("flatten(1)", "flatten(9)"), "IndexError: Dimension out of range"),
    (("self.hidden =", "self.double()\n    self.hidden ="), None),
    (
      ("(width, classes)", "(width, classes, dtype=torch.float64)"),
      "head.weight is torch.float64",
    ),
  ],
)
def test_what_the_trainer_cannot_use_is_one_line(
  change: tuple[str, str], line: str | None, here: pathlib.Path
) -> None:
  (here / "nets.py").write_text(BOTH.replace(*change))
  asked = in_torch(EASY, model=Model(name="nets.py:Wide"))
  if line is None:
    own.check(asked, FACTS, 3, text=False)
    return
  with pytest.raises(ConfigError) as raised:
    own.check(asked, FACTS, 3, text=False)
  assert str(raised.value).startswith("model.name: nets.py")
  assert line in str(raised.value)
  assert "\n" not in str(raised.value)


def test_an_edited_file_is_another_trial_and_refused_where_it_was_planned(
  here: pathlib.Path,
) -> None:
  asked = dataclasses.replace(EASY, model=Model(name="nets.py:Wide"))
  identity.fill_in(asked)
  before = trial_id(asked)
  (here / "nets.py").write_text(BOTH + "# edited\n")
  with pytest.raises(user_code.UserCodeError, match="not the file that"):
    networks.build(asked.model, 3, input_shape=(4, 4, 1))
  identity.fill_in(asked)
  assert trial_id(asked) != before
