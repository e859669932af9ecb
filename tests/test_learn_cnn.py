import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower import config
from jaxpower.architectures import NETWORKS
from jaxpower.learn import cnn, networks
from jaxpower.learn.devices import make_mesh, replicated, split
from jaxpower.learn.layers import convolve
from tests.twins import names_in


def count(network, shape, dtype=jnp.float32) -> int:
  inputs = jnp.zeros((1, *shape), dtype)
  variables = jax.eval_shape(
    lambda: network.init(jax.random.key(0), inputs, train=False)
  )
  return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
  ("name", "width", "shape", "parameters"),
  [
    # 160 + 4,640 in the convolutions, 100,416 and 650 in the dense layers.
    ("cnn", 1.0, (28, 28, 1), 105_866),
    # The count of the CIFAR literature.
    ("resnet18", 1.0, (32, 32, 3), 11_173_962),
    ("resnet18", 0.25, (32, 32, 3), 701_466),
    ("resnet50", 1.0, (32, 32, 3), 23_520_842),
  ],
)
def test_networks_have_their_published_size(
  name: str, width: float, shape: tuple[int, ...], parameters: int
) -> None:
  network = networks.build(
    config.Model(name=name, width=width), 10, precision="float32"
  )
  assert count(network, shape) == parameters


# What each kind of data looks like to a network.
INPUTS = {
  "image": jnp.zeros((3, 16, 16, 3)),
  "window": jnp.zeros((3, 20, 6)),
  "tokens": jnp.zeros((3, 12), jnp.int32),
  "text": jnp.zeros((3, 12), jnp.int32),
}
NAMES = names_in(NETWORKS, "jax")
PAIRS = [(name, kind) for name in NAMES for kind in NETWORKS[name].reads]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
@pytest.mark.parametrize("precision", config.PRECISIONS)
def test_every_named_network_gives_logits(
  name: str, kind: str, precision: str
) -> None:
  vocabulary = {"tokens": 50, "text": 7}.get(kind)
  network = networks.build(
    config.Model(name=name), 7, vocabulary, precision=precision
  )

  def logits() -> jax.Array:
    inputs = INPUTS[kind]
    if vocabulary is None:
      inputs = inputs.astype(precision)
    variables = network.init(jax.random.key(0), inputs, train=False)
    found = network.apply(variables, inputs, train=False)
    assert isinstance(found, jax.Array)
    weights = jax.tree.leaves(variables)
    assert {leaf.dtype for leaf in weights} == {jnp.dtype("float32")}
    return found

  # Flax normalises bfloat16 batches with float32 statistics on purpose.
  with jax.numpy_dtype_promotion("standard"):
    found = jax.eval_shape(logits)
  shape = (3, 12, 7) if kind == "text" else (3, 7)
  assert (found.shape, found.dtype) == (shape, jnp.dtype(precision))


@pytest.mark.parametrize("name", NAMES)
def test_every_allowed_depth_is_another_network(name: str) -> None:
  kind = NETWORKS[name].reads[0]
  shape = INPUTS[kind].shape[1:]
  vocabulary = {"tokens": 50, "text": 7}.get(kind)
  sizes = []
  for layers in (1, 2, 4):
    depth = layers / NETWORKS[name].layers
    model = config.Model(name=name, width=0.25, depth=depth)
    network = networks.build(model, 7, vocabulary, precision="float32")
    sizes.append(count(network, shape, INPUTS[kind].dtype))
  assert sizes == sorted(set(sizes))


def test_the_small_cnn_convolves_windows_over_time_alone() -> None:
  network = networks.build(config.Model(name="cnn"), 7, precision="float32")
  variables = jax.eval_shape(
    lambda: network.init(jax.random.key(0), INPUTS["window"], train=False)
  )
  assert variables["params"]["Conv_0"]["kernel"].shape == (3, 1, 6, 16)


def test_a_residual_block_begins_as_the_identity() -> None:
  # With the last scale at zero a stage of plain blocks passes its input on.
  network = cnn.ResNet(classes=4, stages=(2,), channels=8)
  images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  init = jax.jit(functools.partial(network.init, train=False))
  variables = init(jax.random.key(1), images)
  shallow = cnn.ResNet(classes=4, stages=(0,), channels=8)
  kept = {"stem", "stem_norm", "head"}
  fewer = {
    kind: {name: part for name, part in parts.items() if name in kept}
    for kind, parts in variables.items()
  }
  whole = jax.jit(functools.partial(network.apply, train=False))
  part = jax.jit(functools.partial(shallow.apply, train=False))
  np.testing.assert_allclose(
    np.asarray(whole(variables, images)),
    np.asarray(part(fewer, images)),
    rtol=1e-5,
  )


@pytest.mark.parametrize("devices", [1, 4])
def test_batch_statistics_are_those_of_the_global_batch(devices: int) -> None:
  network = cnn.ResNet(classes=2, stages=(1,), channels=4)
  images = jax.random.normal(jax.random.key(0), (8, 6, 6, 3))
  variables = jax.jit(functools.partial(network.init, train=False))(
    jax.random.key(1), images
  )
  divided = jax.device_put(images, split(make_mesh(devices)))
  whole = jax.device_put(variables, replicated(make_mesh(devices)))
  _, updated = jax.jit(
    functools.partial(network.apply, train=True, mutable=["batch_stats"])
  )(whole, divided)
  stem = convolve(images, variables["params"]["stem"]["kernel"])
  expected = 0.1 * jnp.mean(stem, axis=(0, 1, 2))  # running mean from zero
  found = updated["batch_stats"]["stem_norm"]["mean"]
  assert len(found.sharding.device_set) == devices
  np.testing.assert_allclose(
    np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-6
  )
