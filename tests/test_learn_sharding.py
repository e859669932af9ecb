"""Several devices make the updates of one, however arrays lie on them."""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower import data
from jaxpower.architectures import NETWORKS
from jaxpower.config import Model, Optimizer, Trial
from jaxpower.data import DataSet
from jaxpower.learn import networks, placement, tasks, wing
from jaxpower.learn.devices import (
  FSDP_LEAST,
  make_mesh,
  of_state,
  put,
  put_divided,
  replicated,
  split,
  taken,
)
from jaxpower.learn.placement import Placed
from jaxpower.learn.programs import Programs, _call_by_step, _compile_resident
from jaxpower.learn.segment import order_of
from jaxpower.learn.state import TrainState, fresh_state

DEVICES = 8
BATCH = 32
DATA = {"image": "digits", "window": "imu", "text": "austen"}


@functools.cache
def few(name: str) -> DataSet:
  """The first examples of a set; no number of devices divides their count."""
  found = data.load(name)
  train = {key: values[:203] for key, values in found.train.items()}
  test = {key: values[:17] for key, values in found.test.items()}
  if not name.startswith("digits"):  # shorter windows and texts
    train, test = (
      {
        key: values[:, :16] if values.ndim > 1 else values
        for key, values in part.items()
      }
      for part in (train, test)
    )
  return dataclasses.replace(found, train=train, test=test)


def trial_of(model: str, **changes: Any) -> Trial:
  kinds = NETWORKS[model].reads
  kind = next(kind for kind in DATA if kind in kinds)
  wide = {"resnet18": 1 / 16, "resnet50": 1 / 16, "cnn": 1.0}
  deep = {"vit": 0.5, "transformer": 0.5, "decoder": 0.5, "resnet18": 0.5}
  return dataclasses.replace(
    Trial(
      # Of 8 x 8 pixels a ResNet-50 leaves one, and norms of a few numbers, in
      # which rounding grows until two sums of one batch train apart.
      data="digits_28" if model == "resnet50" else DATA[kind],
      model=Model(
        name=model, width=wide.get(model, 0.5), depth=deep.get(model, 1.0)
      ),
      optimizer=Optimizer(name="momentum", learning_rate=0.03),
      batch_size=BATCH,
      evaluate_every_examples=BATCH,
      validation_share=0.0,
      accumulation=1,
    ),
    **changes,
  )


def placed_of(trial: Trial) -> Placed:
  return wing.place(trial, few(trial.data))


def unused(*_: Any) -> Any:
  raise AssertionError("nothing is evaluated")


def updates(
  trial: Trial, steps: int = 3
) -> tuple[list[float], TrainState, jax.stages.Compiled]:
  """Losses, last state and program of some updates, evaluation left out."""
  placed = placed_of(trial)
  program = _compile_resident(placed.spec)
  by_step = placed.spec.program == "step"
  train = functools.partial(_call_by_step, program) if by_step else program
  programs = Programs(train, evaluate=unused, workspace_bytes=0)
  state, losses = fresh_state(placed.spec, trial.seed), []
  for number in range(steps):
    state, loss, _ = wing.train(programs, state, placed, number)
    losses.append(float(loss))
  return losses, state, program


def collectives(program: jax.stages.Compiled) -> dict[str, int]:
  """Counts the collectives of a program, by name."""
  names = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
  text = program.as_text() or ""
  found = re.findall(rf"= \S.* ({names})(?:-start)?\(", text)
  return {name: found.count(name) for name in sorted(set(found))}


@functools.cache
def alone(model: str, **changes: Any) -> tuple[list[float], Any]:
  """What one device makes of a trial."""
  losses, state, _ = updates(trial_of(model, **changes))
  return losses, jax.device_get((state.params, state.batch_stats))


SLOW = pytest.mark.slow
PROOF = (SLOW, pytest.mark.proof)
CASES = [
  ("cnn", {"sharding": "fsdp", "data_sharding": "divided"}),
  ("cnn", {"data_sharding": "divided", "augmentation": "crop"}),
  pytest.param("cnn", {"sharding": "fsdp", "accumulation": 4}, marks=SLOW),
  ("decoder", {"sharding": "fsdp", "data_sharding": "divided"}),
  *(
    pytest.param(model, {}, marks=PROOF)
    for model in ("cnn", "decoder", "transformer", "vit")
  ),
  pytest.param("transformer", {"sharding": "fsdp"}, marks=SLOW),
  pytest.param("vit", {"sharding": "fsdp", "dropout": 0.2}, marks=SLOW),
  pytest.param("vit", {"data_sharding": "divided"}, marks=SLOW),
  pytest.param("resnet18", {"batch_norm": "global"}, marks=SLOW),
  pytest.param(
    "resnet18", {"batch_norm": "global", "sharding": "fsdp"}, marks=SLOW
  ),
  pytest.param(
    "resnet50",
    {"batch_norm": "global", "sharding": "fsdp", "data_sharding": "divided"},
    marks=PROOF,
  ),
]


@pytest.mark.parametrize(("model", "changes"), CASES)
def test_eight_devices_equal_one(model: str, changes: dict[str, Any]) -> None:
  lie = ("sharding", "data_sharding", "batch_norm")
  same = {name: v for name, v in changes.items() if name not in lie}
  expected, weights = alone(model, **same)
  losses, state, _ = updates(trial_of(model, devices=DEVICES, **changes))
  np.testing.assert_allclose(losses, expected, rtol=2e-5)
  # Rounding grows in the many batch norms of a ResNet-50.
  atol = 5e-4 if model == "resnet50" else 2e-5
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=atol),
    jax.device_get((state.params, state.batch_stats)),
    weights,
  )
  divided = [
    leaf
    for leaf in jax.tree.leaves((state.params, state.opt_state))
    if not leaf.sharding.is_fully_replicated
  ]
  assert bool(divided) == (changes.get("sharding") == "fsdp")
  for leaf in divided:
    (shard, *_) = leaf.addressable_shards
    assert shard.data.size * DEVICES == leaf.size >= FSDP_LEAST


@pytest.mark.parametrize(
  ("model", "sharding"),
  [
    ("resnet18", "replicated"),
    pytest.param("resnet18", "fsdp", marks=PROOF),
    pytest.param("resnet50", "replicated", marks=PROOF),
    pytest.param("resnet50", "fsdp", marks=PROOF),
  ],
)
def test_batch_norms_of_each_device_by_hand(model: str, sharding: str) -> None:
  trial = trial_of(model, devices=DEVICES, sharding=sharding)
  losses, state, program = updates(trial, steps=2)
  if sharding == "replicated":
    # As without batch norms; XLA sends the many gradients of ResNet-50 in two.
    times = 2 if model == "resnet50" else 1
    assert collectives(program) == {"all-reduce": times}
  expected, params, stats = by_hand(trial, parts=DEVICES, steps=len(losses))
  # Of four examples a device the last variances are of few numbers: rounding
  # grows in them, most in the many norms of a ResNet-50 (5e-5 was seen).
  rtol = 2e-4 if model == "resnet50" else 2e-5
  np.testing.assert_allclose(losses, expected, rtol=rtol)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
    jax.device_get((state.params, state.batch_stats)),
    jax.device_get((params, stats)),
  )


@SLOW
def test_batch_norms_of_the_whole_batch_send_their_statistics() -> None:
  trial = trial_of("resnet18", devices=DEVICES, batch_norm="global")
  _, _, program = updates(trial, steps=0)
  assert collectives(program)["all-reduce"] > 10  # 19; one of each device


def by_hand(trial: Trial, parts: int, steps: int) -> tuple[Any, Any, Any]:
  """Trains on one device with a network called on each part by itself."""
  one = dataclasses.replace(trial, devices=1)
  placed = placed_of(one)
  network = networks.build(one.model, 10, precision="float32")
  scale = {n: jnp.asarray(np.asarray(v)) for n, v in placed.scale.items()}

  @jax.jit
  def step(params: Any, stats: Any, images: Any, labels: Any) -> Any:
    def of_part(params: Any, images: Any, labels: Any) -> Any:
      logits, new = network.apply(
        {"params": params, "batch_stats": stats},
        tasks.normalise(images, scale["mean"], scale["std"], jnp.float32),
        train=True,
        mutable=["batch_stats"],
      )
      return tasks.losses(logits, labels).mean(), new["batch_stats"]

    def loss_of(params: Any) -> Any:
      divided = (x.reshape(parts, -1, *x.shape[1:]) for x in (images, labels))
      losses, new = jax.vmap(of_part, (None, 0, 0))(params, *divided)
      return losses.mean(), jax.tree.map(lambda x: x[0], new)

    return jax.value_and_grad(loss_of, has_aux=True)(params)

  state = fresh_state(placed.spec, trial.seed)
  params, stats = state.params, state.batch_stats
  moments, losses = jax.tree.map(jnp.zeros_like, params), []
  rule = trial.optimizer
  for number in range(steps):
    (index,) = order_of(one, placed.chosen, number, 1)
    batch = (np.asarray(placed.train[n])[index] for n in ("input", "label"))
    (loss, stats), grads = step(params, stats, *batch)
    moments = jax.tree.map(lambda m, g: rule.momentum * m + g, moments, grads)
    params = jax.tree.map(
      lambda p, m: p - rule.learning_rate * m, params, moments
    )
    losses.append(float(loss))
  return losses, params, stats


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_a_divided_set_gives_the_examples_asked_for(kind: str) -> None:
  mesh, random = make_mesh(DEVICES), np.random.default_rng(0)
  values = random.integers(0, 255, (203, 3, 2)).astype(kind)
  index = random.integers(0, 203, 24).astype(np.int32)
  held = put_divided(values, mesh)
  assert len(held) == 208
  look_up = jax.jit(functools.partial(taken, mesh))
  found = look_up(held, put(index, replicated(mesh)))
  np.testing.assert_array_equal(found, values[index])
  assert found.sharding.is_equivalent_to(split(mesh), found.ndim)


def test_what_fsdp_divides() -> None:
  mesh = make_mesh(DEVICES)
  shapes = {"kernel": (3, 3, 64, 128), "odd": (9, 127, 3), "bias": (512,)}
  arrays = {n: jax.ShapeDtypeStruct(s, "float32") for n, s in shapes.items()}
  found = of_state(mesh, "fsdp", arrays)
  assert found == {
    "kernel": split(mesh, axis=3),
    "odd": replicated(mesh),
    "bias": replicated(mesh),
  }
  whole = of_state(mesh, "replicated", arrays)
  assert set(whole.values()) == {replicated(mesh)}


@pytest.mark.parametrize(
  ("room", "asked", "streamed", "divided"),
  [
    (4.0, "auto", False, False),  # of each device, in sets
    (1.0, "auto", False, True),
    (0.2, "auto", True, False),
    (4.0, "divided", False, True),
    (1.0, "replicated", True, False),
    (None, "auto", False, False),
  ],
)
def test_where_a_set_lies(
  room: float | None,
  asked: str,
  streamed: bool,
  divided: bool,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  sets = few("digits")
  parts = sets.train, sets.test
  size = sum(p[n].nbytes for p in parts for n in ("input", "label"))
  memory = None if room is None else int(room * size)
  monkeypatch.setattr(placement, "memory_bytes", lambda *_: memory)
  placed = placed_of(trial_of("cnn", devices=DEVICES, data_sharding=asked))
  assert bool(placed.host) == streamed
  assert placed.spec.data_divided == divided
  if not streamed:
    (shard, *_) = placed.train["input"].addressable_shards
    assert len(shard.data) == (26 if divided else 203)


def test_a_divided_state_is_saved_and_evaluated(tmp_path: Any) -> None:
  trial = trial_of("cnn", devices=DEVICES, sharding="fsdp")
  placed = placed_of(trial)
  programs = wing.compile_programs(placed.spec)
  state = wing.start(placed)
  wing.save(tmp_path / "state", wing.copy(state))
  back = wing.restore(tmp_path / "state", state)
  for one, other in zip(
    jax.tree.leaves(state), jax.tree.leaves(back), strict=True
  ):
    np.testing.assert_array_equal(one, other)
    assert one.sharding == other.sharding
  whole = placed_of(trial_of("cnn"))
  expected = wing.evaluate(
    wing.compile_programs(whole.spec), wing.start(whole), whole
  )
  found = wing.evaluate(programs, back, placed)
  np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
  assert float(found["accuracy"]) == float(expected["accuracy"])
