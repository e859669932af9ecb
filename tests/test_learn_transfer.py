import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxpower import config, data
from jaxpower.config import Transfer
from jaxpower.learn import checkpoint, optimizer, step, wing
from jaxpower.learn.devices import make_mesh, replicated
from jaxpower.learn.optimizer import hyperparameters
from jaxpower.learn.spec import Spec, spec_of
from jaxpower.learn.state import TrainState, head_of

TRIAL = config.Trial(
  model=config.Model(width=0.25),
  batch_size=32,
  evaluate_every_examples=128,
  devices=4,
)
FROM = dataclasses.replace(TRIAL, transfer=Transfer(init_from=TRIAL))


@pytest.fixture(scope="module")
def sets() -> data.DataSet:
  whole = data.load("fashion_mnist_6k")
  few = [
    {name: values[:300] for name, values in part.items()}
    for part in (whole.train, whole.test)
  ]
  return dataclasses.replace(whole, train=few[0], test=few[1])


def equal(one: Any, other: Any) -> bool:
  return all(
    jax.tree.leaves(
      jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), one, other)
    )
  )


def test_a_backbone_is_bit_equal_on_every_device_and_the_head_is_fresh(
  sets: data.DataSet, tmp_path: pathlib.Path
) -> None:
  source = wing.start(wing.place(TRIAL, sets))
  moved = dataclasses.replace(
    source, params=jax.tree.map(lambda w: w + 0.125, source.params)
  )
  checkpoint.save(tmp_path / "source", moved)
  placed = wing.place(FROM, sets)
  state = wing.start(placed, tmp_path / "source")
  for name, part in state.params.items():
    if name == "head":
      # Not the source's, nor the one under which the source was trained.
      assert not equal(part["kernel"], moved.params[name]["kernel"])
      assert not equal(part["kernel"], source.params[name]["kernel"])
    else:
      assert equal(part, moved.params[name])
  everywhere = replicated(make_mesh(4))
  assert {leaf.sharding for leaf in jax.tree.leaves(state)} == {everywhere}
  assert int(state.step) == 0
  again = wing.start(placed, tmp_path / "source")
  assert equal(again, state)
  other = dataclasses.replace(placed, trial=config.with_seed(FROM, 1))
  head = wing.start(other, tmp_path / "source").params["head"]["kernel"]
  assert not equal(head, state.params["head"]["kernel"])


def test_no_backward_pass_goes_through_a_frozen_backbone(
  sets: data.DataSet,
) -> None:
  full = dataclasses.replace(TRIAL, model=config.Model(), devices=1)
  frozen = dataclasses.replace(full, transfer=Transfer(freeze=True))
  flops = [
    wing.flops_per_step(wing.place(trial, sets).spec)
    for trial in (full, frozen)
  ]
  # Products alone: the whole network forward, and the gradient of the head's
  # kernel, which is as large as the head's own product.
  layers = [14 * 14 * 9 * 16, 7 * 7 * 144 * 32, 1568 * 64, 64 * 10]
  products = 2 * 32 * (sum(layers) + layers[-1])
  assert flops[0] is not None
  assert flops[1] is not None
  assert products < flops[1] < 1.3 * products < 0.5 * flops[0]


RNG = np.random.default_rng(0)
BATCH = {
  "input": RNG.normal(2.0, 3.0, (8, 4, 1)).astype(np.float32),
  "label": RNG.integers(0, 3, 8).astype(np.int32),
  "mean": np.zeros(1, np.float32),
  "std": np.ones(1, np.float32),
}


class Tiny(nn.Module):
  """A backbone with batch statistics under a head, quick to compile."""

  @nn.compact
  def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
    x = nn.Dense(5, name="dense")(inputs.reshape(inputs.shape[0], -1))
    x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
    return nn.Dense(3, name="head")(nn.relu(x))


@functools.cache
def compiled(spec: Spec) -> Any:
  """The update of the tiny network, and the state before the first."""

  @jax.jit
  def first(key: jax.Array) -> TrainState:
    inputs = jnp.asarray(BATCH["input"])
    variables = Tiny().init(key, inputs, train=False)
    params = dict(variables["params"])
    state = optimizer.init(spec.optimizer, step.trained_of(spec, params))
    return TrainState(jnp.int32(0), params, variables["batch_stats"], state)

  update = jax.jit(lambda *given: step.train_step(spec, *given)[0])
  return update, first(jax.random.key(0))


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> Any:
  """The state of the tiny network before and after an update."""
  monkeypatch.setattr(step, "network_of", lambda spec: Tiny())

  def run(trial: config.Trial) -> tuple[TrainState, TrainState]:
    update, before = compiled(spec_of(trial, BATCH, BATCH, classes=3))
    numbers = hyperparameters(trial, np.full((), 0.1, np.float32))
    return before, update(before, BATCH, numbers)

  return run


def trial_of(name: str, **transfer: Any) -> config.Trial:
  return config.Trial(
    batch_size=8,
    evaluate_every_examples=8,
    optimizer=config.Optimizer(name=name, weight_decay=0.01),
    transfer=Transfer(**transfer),
  )


@pytest.mark.parametrize(
  ("name", "accumulation"), [("sgd", 2), ("adamw", 1), ("muon", 1)]
)
def test_a_frozen_backbone_stays_as_it_came(
  name: str, accumulation: int, one_step: Any
) -> None:
  frozen = trial_of(name, freeze=True)
  frozen.accumulation = accumulation
  before, after = one_step(frozen)
  assert not equal(head_of(after.params), head_of(before.params))
  for part in ("dense", "norm"):
    assert equal(after.params[part], before.params[part])
  assert equal(after.batch_stats, before.batch_stats)
  # The rule keeps nothing for what it does not train.
  shapes = {np.shape(leaf) for leaf in jax.tree.leaves(after.opt_state)}
  assert shapes <= {(), (5, 3), (3,)}


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_the_backbone_s_rate_multiplies_its_updates_alone(
  name: str, one_step: Any
) -> None:
  before, whole = one_step(trial_of(name))
  assert not equal(whole.batch_stats, before.batch_stats)
  _, slow = one_step(trial_of(name, backbone_rate=0.25))
  assert equal(slow.params["head"], whole.params["head"])
  for part in ("dense", "norm"):
    jax.tree.map(
      lambda a, b, c: np.testing.assert_allclose(
        b - a, 0.25 * (c - a), rtol=1e-3, atol=1e-6
      ),
      before.params[part],
      slow.params[part],
      whole.params[part],
    )
