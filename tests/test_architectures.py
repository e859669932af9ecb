"""Sizes of networks at a width and a depth, and which wing builds which."""

import dataclasses

import numpy as np
import pytest

from jaxpower import architectures
from jaxpower.architectures import (
  NETWORKS,
  CnnSizes,
  ResNetSizes,
  TransformerSizes,
  sizes_of,
)
from jaxpower.config import OPTIMIZERS, ConfigError, Model, Sweep
from jaxpower.plan import grid


@pytest.mark.parametrize(
  ("model", "sizes"),
  [
    (Model(name="cnn"), CnnSizes((16, 32), layers=1, hidden=64)),
    (
      Model(name="cnn", width=0.1, depth=2),
      CnnSizes((2, 3), layers=2, hidden=6),
    ),
    (Model(name="resnet18"), ResNetSizes((2, 2, 2, 2), channels=64)),
    (
      Model(name="resnet50", width=0.25, depth=2),
      ResNetSizes((6, 8, 12, 6), channels=16, bottleneck=True),
    ),
    (
      Model(name="vit", width=3, depth=6, heads=3),
      TransformerSizes(layers=12, features=192, heads=3),
    ),
    # Features stay a multiple of the heads.
    (
      Model(name="decoder", width=1.1, heads=6),
      TransformerSizes(layers=2, features=72, heads=6),
    ),
  ],
)
def test_width_and_depth_multiply_sizes(
  model: Model, sizes: architectures.Sizes
) -> None:
  assert sizes_of(model) == sizes


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_vanishes_however_narrow(name: str) -> None:
  sizes = sizes_of(Model(name=name, width=1e-9, depth=1e-9))
  assert min(sizes.depths) == 1
  assert sizes == sizes_of(Model(name=name, width=1e-6, depth=1e-6))


@pytest.mark.parametrize(
  ("name", "layers"),
  [
    ("cnn", 1),
    ("decoder", 2),
    ("resnet18", 2),
    ("resnet50", 1),  # of 3, 4 and 6
    ("transformer", 2),
    ("vit", 2),
  ],
)
def test_depth_multiplies_a_whole_number_of_layers(
  name: str, layers: int
) -> None:
  assert NETWORKS[name].layers == layers


@pytest.mark.parametrize("framework", ["torch", "torch_compile"])
def test_what_a_wing_lacks_is_refused_there(
  framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  asked = Sweep(vary={"framework": ("jax", framework)})
  assert len(grid.expand(asked)) == 6
  for table, name, field in (
    (NETWORKS, "cnn", "model.name cnn"),
    (OPTIMIZERS, "adam", "optimizer.name adam"),
  ):
    with monkeypatch.context() as patch:
      entry = dataclasses.replace(table[name], frameworks=("jax",))
      patch.setitem(table, name, entry)
      with pytest.raises(ConfigError) as raised:
        grid.expand(asked)
      assert str(raised.value) == (
        f"{field}: only in jax, not in {framework}; change it or framework"
      )
      assert len(grid.expand(Sweep())) == 3


def test_sinusoids_are_those_of_the_paper() -> None:
  found = architectures.sinusoids(50, 8)
  assert (found.shape, found.dtype) == ((50, 8), np.float32)
  np.testing.assert_allclose(found[7, 1], np.sin(7 / 10_000 ** (1 / 4)))
  np.testing.assert_allclose(found[7, 6], np.cos(7 / 10_000 ** (2 / 4)))


@pytest.mark.parametrize(
  ("height", "patch"), [(8, 2), (28, 4), (32, 4), (64, 16), (160, 16)]
)
def test_patches_follow_the_size_of_the_image(height: int, patch: int) -> None:
  assert architectures.patch_side(height) == patch
  assert height % patch == 0
