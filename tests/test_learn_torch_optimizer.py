"""Ten updates of every rule, in both wings, from the same weights."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpower import config, schedule
from jaxpower.config import OPTIMIZERS, Optimizer, Trial
from jaxpower.learn import networks as jax_networks
from jaxpower.learn import optimizer as in_jax
from tests.twins import names_in

torch = pytest.importorskip("torch")

from jaxpower.learn_torch import heads
from jaxpower.learn_torch import networks as torch_networks
from jaxpower.learn_torch import optimizer as in_torch

STEPS = 10
BATCH, CLASSES = 8, 5


class Network(torch.nn.Module):
  """A convolution over the whole image, a dense layer, and the head."""

  def __init__(self) -> None:
    super().__init__()
    self.conv = torch.nn.Conv2d(2, 6, 3)
    self.dense = torch.nn.Linear(6, 4)
    self.head = torch.nn.Linear(4, CLASSES)

  def forward(self, images: Any) -> Any:
    x = torch.tanh(self.conv(images)).flatten(1)
    return self.head(torch.tanh(self.dense(x)))


def logits_in_jax(params: Any, images: jax.Array) -> jax.Array:
  def dense(name: str, x: jax.Array) -> jax.Array:
    return x @ params[name]["kernel"] + params[name]["bias"]

  conv = params["conv"]
  x = jnp.einsum("bhwi,hwio->bo", images, conv["kernel"]) + conv["bias"]
  return dense("head", jnp.tanh(dense("dense", jnp.tanh(x))))


def problem(dtype: str) -> tuple[Any, np.ndarray, np.ndarray]:
  """Weights, batches of images and labels, drawn once."""
  draw = np.random.default_rng(7)
  shapes = {"conv": (3, 3, 2, 6), "dense": (6, 4), "head": (4, CLASSES)}
  params = {
    name: {
      "kernel": draw.normal(0, 0.5, shape).astype(dtype),
      "bias": draw.normal(0, 0.1, shape[-1]).astype(dtype),
    }
    for name, shape in shapes.items()
  }
  images = draw.normal(size=(STEPS, BATCH, 3, 3, 2)).astype(dtype)
  labels = draw.integers(0, CLASSES, (STEPS, BATCH))
  return params, images, labels.astype(np.int32)


def to_torch(kernel: np.ndarray) -> np.ndarray:
  """A kernel with its outputs first, as PyTorch keeps it."""
  axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
  return np.ascontiguousarray(kernel.transpose(axes))


@jax.jit
def gradients_in_jax(params: Any, images: jax.Array, labels: jax.Array) -> Any:
  def loss_of(params: Any) -> jax.Array:
    logits = logits_in_jax(params, images)
    scores = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=-1))

  return jax.value_and_grad(loss_of)(params)


@functools.partial(jax.jit, static_argnames=("name", "decay", "muon_matrices"))
def update_in_jax(
  name: str, params: Any, state: Any, grads: Any, numbers: Any, **options: Any
) -> Any:
  with jax.numpy_dtype_promotion("standard"):
    rule = in_jax.build(name, numbers, **options)
    updates, state = rule.update(grads, state, params)
  return optax.apply_updates(params, updates), state


def train_in_jax(
  rule: Optimizer, rates: np.ndarray, dtype: str
) -> tuple[list[float], Any]:
  params, images, labels = problem(dtype)
  with jax.enable_x64(dtype == "float64"):
    params = jax.tree.map(jnp.asarray, params)
    options = {"decay": rule.decay, "muon_matrices": rule.muon_matrices}
    state = in_jax.init(rule.name, params, **options)
    losses = []
    for step, rate in enumerate(rates):
      loss, grads = gradients_in_jax(params, images[step], labels[step])
      words = (rate, rule.momentum, rule.weight_decay, 0, 0, 0, 1)
      numbers = in_jax.Hyperparameters(
        *[np.asarray(word, dtype) for word in words]
      )
      params, state = update_in_jax(
        rule.name, params, state, grads, numbers, **options
      )
      losses.append(float(loss))
    return losses, jax.tree.map(np.asarray, params)


def train_in_torch(
  rule: Optimizer, rates: np.ndarray, dtype: str
) -> tuple[list[float], Any]:
  params, images, labels = problem(dtype)
  network = Network().to(getattr(torch, dtype))
  network.load_state_dict(
    {
      f"{name}.{which}": torch.tensor(
        to_torch(values) if which == "weight" else values
      )
      for name, layer in params.items()
      for which, values in (
        ("weight", layer["kernel"]),
        ("bias", layer["bias"]),
      )
    }
  )
  optimizer = in_torch.build(rule, network)
  losses = []
  for batch, label, rate in zip(images, labels, rates, strict=True):
    loss = torch.nn.functional.cross_entropy(
      network(torch.tensor(batch.transpose(0, 3, 1, 2))),
      torch.tensor(label.astype(np.int64)),
    )
    optimizer.zero_grad()
    loss.backward()
    in_torch.set_rate(optimizer, float(rate))
    optimizer.step()
    losses.append(loss.item())
  return losses, {k: v.numpy() for k, v in network.state_dict().items()}


def assert_equal_courses(rule: Optimizer, dtype: str, tolerance: float) -> None:
  trial = Trial(optimizer=rule, batch_size=BATCH, budget_examples=STEPS * BATCH)
  rates = schedule.learning_rates(trial, 0, STEPS)
  losses, params = train_in_jax(rule, rates, dtype)
  losses_too, weights = train_in_torch(rule, rates, dtype)
  np.testing.assert_allclose(losses_too, losses, rtol=tolerance)
  assert losses[-1] != pytest.approx(losses[0], rel=1e-3)  # it moved
  for name, layer in params.items():
    for ours, theirs in (
      (weights[f"{name}.weight"], to_torch(layer["kernel"])),
      (weights[f"{name}.bias"], layer["bias"]),
    ):
      assert ours.dtype == theirs.dtype == dtype
      np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", names_in(OPTIMIZERS, "jax", "torch"))
def test_ten_updates_are_equal_in_float64(name: str) -> None:
  rule = Optimizer(
    name=name, learning_rate=0.02, weight_decay=0.1, momentum=0.8
  )
  assert_equal_courses(rule, "float64", 1e-11)


@pytest.mark.parametrize("name", names_in(OPTIMIZERS, "jax", "torch"))
def test_ten_updates_are_equal_where_biases_do_not_decay(name: str) -> None:
  rule = Optimizer(
    name=name,
    learning_rate=0.02,
    weight_decay=0.3,
    momentum=0.8,
    decay="weights",
  )
  assert_equal_courses(rule, "float64", 1e-11)
  rates = np.full(STEPS, 0.02)
  _, some = train_in_torch(rule, rates, "float64")
  every = dataclasses.replace(rule, decay="all")
  _, others = train_in_torch(every, rates, "float64")
  assert np.abs(some["head.bias"] - others["head.bias"]).max() > 1e-6


def test_ten_updates_are_equal_where_muon_leaves_the_first_layer(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  for wing in (in_jax, in_torch):
    monkeypatch.setattr(wing, "FIRST_LAYERS", ("conv",))
  for decay in config.DECAYS:
    rule = Optimizer(
      name="muon",
      learning_rate=0.02,
      weight_decay=0.1,
      muon_matrices="hidden",
      decay=decay,
    )
    assert_equal_courses(rule, "float64", 1e-11)


@pytest.mark.parametrize(
  ("name", "shape", "vocabulary", "first"),
  [
    ("cnn", (28, 28, 1), None, "convs.0.weight"),
    ("cnn", (100, 6), None, "convs.0.weight"),
    ("resnet18", (32, 32, 3), None, "stem.weight"),
    ("vit", (28, 28, 1), None, "embed.weight"),
    ("transformer", (100, 6), None, "embed.weight"),
    ("transformer", (128,), 80, None),
    ("decoder", (128,), 80, None),
  ],
)
def test_both_wings_choose_the_same_weights(
  name: str,
  shape: tuple[int, ...],
  vocabulary: int | None,
  first: str | None,
) -> None:
  """What decays, what Muon takes, and that hidden leaves out the first."""
  model = config.Model(name=name, width=0.25)
  network: Any = jax_networks.build(model, 80, vocabulary, precision="float32")
  inputs = jnp.zeros((2, *shape), "float32" if vocabulary is None else "int32")
  params = jax.eval_shape(
    lambda: network.init(jax.random.key(0), inputs, train=False)
  )["params"]
  twin = torch_networks.build(
    model, 80, vocabulary, input_shape=shape, dropout=0.0
  )
  names = {id(weight): name for name, weight in twin.named_parameters()}
  sizes = {}
  for hidden in (False, True):
    taken = in_jax.matrices(params, hidden=hidden)
    ours = jax.tree.leaves(
      jax.tree.map(
        lambda axes, leaf: None if axes is None else leaf.size,
        taken,
        params,
        is_leaf=lambda x: x is None or hasattr(x, "reduction_axis"),
      )
    )
    theirs = in_torch.matrices(twin, hidden=hidden)
    assert sum(ours) == sum(weight.numel() for weight in theirs)
    sizes[hidden] = {names[id(weight)] for weight in theirs}
  assert sizes[False] - sizes[True] == ({first} if first else set())
  labels = jax.tree.leaves(in_jax._labels("weights", params))
  leaves = zip(labels, jax.tree.leaves(params), strict=True)
  decayed = sum(leaf.size for label, leaf in leaves if label == "decayed")
  rule = Optimizer(name="adamw", weight_decay=0.1, decay="weights")
  groups = in_torch.build(rule, twin).param_groups
  assert decayed == sum(p.numel() for p in groups[0]["params"])
  plain = {names[id(p)] for p in groups[1]["params"]}
  for part in ("class_token", "positions", "head.bias"):
    assert part in plain or part not in names.values()
  assert [g["weight_decay"] for g in groups] == [0.1, 0.0]


# optax takes powers for Adam's bias corrections in float32, where 1 - 0.999
# is good to 3e-5 only; PyTorch takes them in float64.
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_ten_updates_are_close_in_float32(name: str) -> None:
  rule = Optimizer(name=name, learning_rate=0.02, weight_decay=0.1)
  assert_equal_courses(rule, "float32", 1e-4)


@pytest.mark.parametrize("name", config.SCHEDULES)
def test_ten_updates_are_equal_under_every_schedule(name: str) -> None:
  rule = Optimizer(name="momentum", learning_rate=0.1, schedule=name)
  assert_equal_courses(rule, "float64", 1e-11)


def test_muon_leaves_the_head_and_the_biases_to_adam() -> None:
  network = Network()
  muon = in_torch.build(Optimizer(name="muon"), network)
  orthogonal, others = muon.param_groups
  assert (orthogonal["rule"], others["rule"]) == ("muon", "nesterov")
  assert orthogonal["params"] == [network.conv.weight, network.dense.weight]
  assert len(others["params"]) == 4


def test_what_is_frozen_is_not_updated() -> None:
  network = Network()
  network.conv.weight.requires_grad_(False)
  for name in names_in(OPTIMIZERS, "torch"):
    groups = in_torch.build(Optimizer(name=name), network).param_groups
    chosen = [p for group in groups for p in group["params"]]
    assert len(chosen) == 5
    assert all(p is not network.conv.weight for p in chosen)


@pytest.mark.parametrize("name", names_in(OPTIMIZERS, "torch"))
def test_the_backbone_s_rate_multiplies_its_updates_alone(name: str) -> None:
  rule = Optimizer(name=name, weight_decay=0.1)
  moves = []
  for rate in (1.0, 0.25):
    torch.manual_seed(0)
    network = Network().double()
    heads.add_log_variances(network, 2)
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    update = in_torch.build(rule, network, rate)
    for p in network.parameters():
      p.grad = torch.randn_like(p)
    in_torch.set_rate(update, 0.5)
    # A state may come from elsewhere between two updates.
    state = update.state_dict()
    update = in_torch.build(rule, network, rate)
    update.load_state_dict(state)
    in_torch.set_rate(update, 0.1)
    update.step()
    moves.append(
      {n: p.detach() - before[n] for n, p in network.named_parameters()}
    )
  whole, slow = moves
  for part, move in whole.items():
    factor = 1 if part.startswith("head.") else 0.25
    assert move.abs().max() > 1e-4
    torch.testing.assert_close(slow[part], factor * move, rtol=1e-9, atol=1e-12)
