"""A training that begins from another's backbone, the same in both wings."""

import contextlib
import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower import data
from jaxpower import weights as folders
from jaxpower.config import (
  Model,
  Optimizer,
  Transfer,
  Trial,
  by_id,
  to_dict,
  trial_id,
  with_seed,
)
from jaxpower.data import DataSet
from jaxpower.learn import checkpoint as jax_checkpoint
from jaxpower.learn import state as jax_state
from jaxpower.plan import checks, pretraining
from jaxpower.records import TrialRecord
from jaxpower.weights import WeightsError
from jaxpower.wings import wing_of
from tests import twins

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import checkpoint, flax_weights, programs, wing
from jaxpower.learn_torch import state as torch_state
from jaxpower.learn_torch.spec import network_of

TRIAL = Trial(
  data="digits",
  model=Model(width=0.25),
  optimizer=Optimizer(name="adam", learning_rate=0.01, weight_decay=0.01),
  batch_size=32,
  evaluate_every_examples=128,
  budget_examples=1_024,
  devices=1,
  framework="torch",
)
RESNET = dataclasses.replace(
  TRIAL, model=Model(name="resnet18", width=0.05, depth=0.5)
)
FRAMEWORKS = ("jax", "torch")


@functools.cache
def small() -> DataSet:
  """A set with few examples."""
  whole = data.load("digits")
  train, test = (
    {name: values[:200] for name, values in part.items()}
    for part in (whole.train, whole.test)
  )
  return dataclasses.replace(whole, train=train, test=test)


def of(trial: Trial, framework: str, **transfer: Any) -> Trial:
  """The trial in a framework, begun from itself unless `transfer` says else."""
  alone = dataclasses.replace(trial, framework=framework)
  origin = {} if "weights" in transfer else {"init_from": alone}
  return dataclasses.replace(alone, transfer=Transfer(**origin, **transfer))


@functools.cache
def compiled(framework: str, spec: Any) -> Any:
  return wing_of(framework).compile_programs(spec)


def begun(trial: Trial, folder: pathlib.Path | None = None) -> Any:
  """The placed trial, its wing and programs, and the state it starts from."""
  wing = wing_of(trial.framework)
  placed = wing.place(trial, small())
  programs = compiled(trial.framework, placed.spec)
  return placed, wing, programs, wing.start(placed, folder)


def course(
  trial: Trial, folder: pathlib.Path | None = None, segments: int = 2
) -> tuple[np.ndarray, Any]:
  """Loss over each segment, and on the test set after it; the last state."""
  placed, wing, programs, state = begun(trial, folder)
  losses = []
  for segment in range(segments):
    state, loss, _ = wing.train(programs, state, placed, segment)
    metrics = wing.evaluate(programs, state, placed)
    losses.append((float(loss), float(metrics["loss"])))
  return np.array(losses), state


def as_jax(trial: Trial, state: Any) -> Any:
  """What a state of the PyTorch wing holds, as Flax names and lays it."""
  network = network_of(wing.place(trial, small()).spec)
  return flax_weights.to_jax(network, state.weights | state.statistics)


def same(one: Any, other: Any) -> None:
  jax.tree.map(np.testing.assert_array_equal, one, jax.device_get(other))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
  """The folder of a pretraining of eight updates in each wing."""
  root = tmp_path_factory.mktemp("checkpoints")
  for framework in FRAMEWORKS:
    _, state = course(dataclasses.replace(TRIAL, framework=framework))
    wing_of(framework).save(root / framework, state)
  return {framework: root / framework for framework in FRAMEWORKS}


@pytest.mark.parametrize(
  "transfer",
  [{}, {"backbone_rate": 0.1}, {"freeze": True}],
  ids=["fine-tuned", "slower", "frozen"],
)
def test_both_wings_go_on_the_same(
  transfer: dict[str, Any], pretrained: dict[str, Any]
) -> None:
  trials = {name: of(TRIAL, name, **transfer) for name in FRAMEWORKS}
  first, last, losses, counts = {}, {}, {}, set()
  for name, trial in trials.items():
    *_, state = begun(trial, pretrained[name])
    counts.add(wing_of(name).count_parameters(state))
    first[name] = wing_of(name).copy(state)
    losses[name], last[name] = course(trial, pretrained[name])
  # Sixteen updates in float32, eight of them before.
  np.testing.assert_allclose(losses["torch"], losses["jax"], rtol=1e-4)
  assert losses["torch"][1, 0] < losses["torch"][0, 0]  # it learned
  assert len(counts) == 1  # a frozen backbone is counted
  before, _ = as_jax(trials["torch"], first["torch"])
  after, _ = as_jax(trials["torch"], last["torch"])
  same(before["head"], first["jax"].params["head"])  # drawn, to the bit
  for part in before.keys() - {"head"}:
    kept = np.array_equal(before[part]["kernel"], after[part]["kernel"])
    assert kept == ("freeze" in transfer)


def test_the_head_is_fresh_and_of_each_seed(pretrained: dict[str, Any]) -> None:
  trial = of(TRIAL, "torch")
  heads = [
    begun(config, folder)[-1].weights["head.weight"]
    for config, folder in (
      (TRIAL, None),  # under which the backbone was trained
      (trial, pretrained["torch"]),
      (with_seed(trial, 1), pretrained["torch"]),
    )
  ]
  heads.append(
    torch.load(pretrained["torch"] / "state.pt")["weights"]["head.weight"]
  )
  for number, head in enumerate(heads):
    assert not any(torch.equal(head, other) for other in heads[:number])


def test_a_rule_keeps_nothing_for_what_is_frozen(
  pretrained: dict[str, Any],
) -> None:
  _, state = course(of(TRIAL, "torch", freeze=True), pretrained["torch"], 1)
  shapes = {
    tuple(values.shape)
    for kept in state.moments["state"].values()
    for values in kept.values()
  }
  assert shapes == {(), (10, 16), (10,)}


def test_no_gradient_goes_through_a_frozen_backbone() -> None:
  whole, head = (
    programs.flops_per_step(wing.place(trial, small()).spec) or 0.0
    for trial in (of(TRIAL, "torch"), of(TRIAL, "torch", freeze=True))
  )
  # Forwards, and the gradient of the head's kernel alone: it is as large as the
  # head's own product.
  layers = [4 * 4 * 9 * 4, 2 * 2 * 9 * 4 * 8, 2 * 2 * 8 * 16, 16 * 10]
  assert head == 2 * 32 * (sum(layers) + layers[-1])
  assert head < 0.5 * whole


@pytest.fixture(scope="module")
def imported(
  tmp_path_factory: pytest.TempPathFactory,
) -> tuple[pathlib.Path, Any]:
  """A ResNet that Orbax wrote, its batch statistics all at work."""
  drawn = twins.drawn(twins.Case(RESNET.model, "image"))
  params, batch_stats = drawn["params"], drawn["batch_stats"]
  params["stem"]["kernel"] = params["stem"]["kernel"][:, :, :1]  # of grey
  folder = tmp_path_factory.mktemp("weights") / "resnet"
  jax_checkpoint.save(
    folder, jax_state.TrainState(jnp.int32(0), params, batch_stats, {})
  )
  return folder, drawn


@pytest.mark.parametrize("freeze", [False, True])
def test_imported_weights_come_over_and_stay_where_frozen(
  freeze: bool, imported: tuple[pathlib.Path, Any]
) -> None:
  folder, drawn = imported
  trial = of(RESNET, "torch", weights=str(folder), freeze=freeze)
  placed, _, compiled, state = begun(trial, folder)
  params, batch_stats = as_jax(trial, state)
  assert params["head"]["kernel"].shape[-1] == 10  # there are seven there
  drawn["params"]["head"] = params["head"]
  same(params, drawn["params"])
  same(batch_stats, drawn["batch_stats"])
  # In training a frozen network answers as in a test.
  compiled.hold(state, trial)
  shown = placed.train["input"][:32].float()
  with torch.inference_mode():
    tested = compiled.network.eval()(shown)
    trained = compiled.network.train()(shown)
  assert torch.equal(tested, trained) == freeze
  losses, state = course(trial, folder)
  assert losses[1, 0] < losses[0, 0]
  params, batch_stats = as_jax(trial, state)
  for values, expected in (
    (params["stem"]["kernel"], drawn["params"]["stem"]["kernel"]),
    (params["stem_norm"]["scale"], drawn["params"]["stem_norm"]["scale"]),
    (
      batch_stats["stem_norm"]["mean"],
      drawn["batch_stats"]["stem_norm"]["mean"],
    ),
  ):
    assert np.array_equal(values, expected) == freeze
  if freeze:
    same(batch_stats, drawn["batch_stats"])


def test_a_backbone_s_statistics_come_with_it(
  imported: tuple[pathlib.Path, Any], tmp_path: pathlib.Path
) -> None:
  folder, _ = imported
  _, wing, _, held = begun(of(RESNET, "torch", weights=str(folder)), folder)
  wing.save(tmp_path / "weights", held)
  state = begun(of(RESNET, "torch"), tmp_path / "weights")[-1]
  assert (state.step, state.moments) == (0, None)
  for name, values in (held.weights | held.statistics).items():
    restored = (state.weights | state.statistics)[name]
    assert torch.equal(restored, values), name


def test_a_compiled_training_is_frozen_alike(
  imported: tuple[pathlib.Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
  folder, _ = imported
  # What is captured is all that matters here; making it fast takes a minute.
  compile_ = functools.partial(torch.compile, backend="eager")
  monkeypatch.setattr(torch, "compile", compile_)
  monkeypatch.setattr(programs, "no_disk_cache", contextlib.nullcontext)
  transfer = {"weights": str(folder), "freeze": True}
  plain = of(RESNET, "torch", **transfer)
  losses, state = course(of(RESNET, "torch_compile", **transfer), folder, 1)
  np.testing.assert_allclose(losses, course(plain, folder, 1)[0], rtol=1e-5)
  first = begun(plain, folder)[-1]
  for name, values in first.statistics.items():
    assert torch.equal(state.statistics[name], values), name


def test_several_tasks_learn_a_head_alone() -> None:
  both = dataclasses.replace(
    TRIAL,
    data="imu",
    tasks=("label", "subject"),
    task_weighting="uncertainty",
  )
  sets = data.for_tasks(data.load("imu"), both.tasks)
  trial = of(both, "torch", freeze=True)
  network = network_of(wing.place(trial, sets).spec)
  trained = [n for n, p in network.named_parameters() if p.requires_grad]
  assert sorted(trained) == ["head.bias", "head.log_variances", "head.weight"]


def test_a_backbone_that_does_not_fit_is_named(
  pretrained: dict[str, Any],
) -> None:
  wide = dataclasses.replace(TRIAL, model=Model(width=0.5))
  with pytest.raises(WeightsError) as error:
    begun(of(wide, "torch"), pretrained["torch"])
  assert str(error.value) == (
    f"the weights in {pretrained['torch']} do not fit the network:"
    " convs.0.bias is [4] float32 there, [8] float32 here;"
    " convs.0.weight is [4, 1, 3, 3] float32 there, [8, 1, 3, 3] float32 here;"
    " convs.1.bias is [8] float32 there, [16] float32 here; 3 more"
  )
  with pytest.raises(WeightsError, match=r"norm_1\.bias is absent there"):
    begun(of(RESNET, "torch"), pretrained["torch"])


def saved(folder: pathlib.Path) -> pathlib.Path:
  state = torch_state.TrainState(8, {"hidden.weight": torch.arange(99.0)}, {})
  checkpoint.save(folder, state)
  return folder


def test_damaged_weights_are_not_loaded(tmp_path: pathlib.Path) -> None:
  first = Trial(framework="torch")
  second = Trial(framework="torch", transfer=Transfer(init_from=first))
  checks.check_transfer(second)
  record = TrialRecord(
    trial_id=trial_id(first),
    config=to_dict(first),
    varied={},
    seed=0,
    framework="torch",
    status="reached",
    target_accuracy=0.8,
  )
  done = {record.trial_id: record}
  path = saved(tmp_path / folders.folder_of(record.trial_id)) / "state.pt"
  both = by_id((first, second))
  assert pretraining.unusable(both, done, tmp_path) == {}
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  assert pretraining.unusable(both, done, tmp_path) == {
    record.trial_id: f"{path} is damaged: its checksum is another"
  }
  state = torch_state.TrainState(0, {}, {})
  with pytest.raises(WeightsError, match=r"state\.pt is damaged"):
    checkpoint.restore_backbone(path.parent, state)


class Harm:
  """What a pickle may hold: something that is called when it is read."""

  def __init__(self, path: pathlib.Path):
    self.path = path

  def __reduce__(self) -> Any:
    return pathlib.Path.touch, (self.path,)


def test_nothing_in_a_file_of_weights_is_called(tmp_path: pathlib.Path) -> None:
  folder, mark = saved(tmp_path / "weights"), tmp_path / "called"
  torch.save({"weights": Harm(mark)}, folder / "state.pt")
  folders.seal(folder)
  state = torch_state.TrainState(0, {}, {})
  with pytest.raises(WeightsError, match=r"state\.pt is no state of ours") as e:
    checkpoint.restore_backbone(folder, state)
  assert "\n" not in str(e.value)
  assert not mark.exists()
