import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower import data
from jaxpower.learn import augment as jax_augment
from jaxpower.learn_torch import augment


@pytest.mark.parametrize("shape", [(28, 28, 1), (16, 12, 3), (5, 9, 2)])
def test_images_move_as_in_the_other_wing_to_the_byte(
  shape: tuple[int, ...],
) -> None:
  random = np.random.default_rng(0)
  images = random.integers(1, 256, (64, *shape), np.uint8)
  (draws,) = data.augmentation_draws(
    seed=0,
    first_step=3,
    steps=1,
    batch_size=len(images),
    height=shape[0],
    width=shape[1],
    flip=True,
  )
  found = augment.crop(torch.tensor(images), torch.tensor(draws))
  expected = np.asarray(jax.jit(jax_augment.crop)(images, draws))
  assert found.dtype == torch.uint8
  np.testing.assert_array_equal(found, expected)
  assert (expected != images).any()
