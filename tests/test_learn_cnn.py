import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower import config
from jaxpower.learn import cnn, networks


def count(network, shape) -> int:
  variables = jax.eval_shape(
    lambda: network.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
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
  ],
)
def test_networks_have_their_published_size(
  name: str, width: float, shape: tuple[int, ...], parameters: int
) -> None:
  network = networks.build(config.Model(name=name, width=width), 10, "float32")
  assert count(network, shape) == parameters


@pytest.mark.parametrize("name", config.MODELS)
@pytest.mark.parametrize("precision", config.PRECISIONS)
def test_every_named_network_gives_logits(name: str, precision: str) -> None:
  network = networks.build(config.Model(name=name, width=0.1), 7, precision)
  images = jax.random.normal(jax.random.key(0), (3, 16, 16, 3))
  variables = network.init(jax.random.key(1), images, train=False)
  logits = network.apply(variables, images, train=False)
  assert isinstance(logits, jax.Array)
  assert logits.shape == (3, 7)
  assert logits.dtype == jnp.dtype(precision)
  assert np.isfinite(np.asarray(logits, np.float32)).all()


def test_a_residual_block_begins_as_the_identity() -> None:
  # With the last scale at zero a stage of plain blocks passes its input on.
  network = cnn.ResNet(classes=4, stages=(2,), channels=8)
  images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  variables = network.init(jax.random.key(1), images, train=False)
  shallow = cnn.ResNet(classes=4, stages=(0,), channels=8)
  kept = {"stem", "stem_norm", "head"}
  fewer = {
    kind: {name: part for name, part in parts.items() if name in kept}
    for kind, parts in variables.items()
  }
  np.testing.assert_allclose(
    np.asarray(network.apply(variables, images, train=False)),
    np.asarray(shallow.apply(fewer, images, train=False)),
    rtol=1e-6,
  )


def test_batch_statistics_are_those_of_the_whole_batch() -> None:
  network = cnn.ResNet(classes=2, stages=(1,), channels=4)
  images = jax.random.normal(jax.random.key(0), (8, 6, 6, 3))
  variables = network.init(jax.random.key(1), images, train=False)
  _, updated = network.apply(
    variables, images, train=True, mutable=["batch_stats"]
  )
  bound = network.bind(variables)
  del bound
  from jaxpower.learn.layers import convolve

  stem = convolve(images, variables["params"]["stem"]["kernel"])
  expected = 0.1 * jnp.mean(stem, axis=(0, 1, 2))  # running mean from zero
  found = updated["batch_stats"]["stem_norm"]["mean"]
  np.testing.assert_allclose(
    np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-6
  )
