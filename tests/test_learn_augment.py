import jax
import numpy as np
import pytest

from jaxpower import config, data
from jaxpower.learn import augment

IMAGES = np.random.default_rng(0).integers(1, 256, (64, 16, 12, 3), np.uint8)


def shifted(image: np.ndarray, down: int, across: int) -> np.ndarray:
  """What lies down and across from each pixel, 0 outside."""
  height, width, _ = image.shape
  padded = np.pad(image, ((height,) * 2, (width,) * 2, (0, 0)))
  down, across = height + down, width + across
  return padded[down : down + height, across : across + width]


@pytest.mark.parametrize("flip", [False, True])
def test_every_image_is_moved_as_drawn(flip: bool) -> None:
  (draws,) = data.augmentation_draws(
    seed=0,
    first_step=0,
    steps=1,
    batch_size=len(IMAGES),
    height=16,
    width=12,
    flip=flip,
  )
  moved = np.asarray(jax.jit(augment.crop)(IMAGES, draws))
  assert (moved.dtype, moved.shape) == (np.float32, IMAGES.shape)
  for image, found, draw in zip(IMAGES, moved, draws, strict=True):
    down, across, mirrored = draw.tolist()
    expected = shifted(image, down, across)
    if mirrored:
      expected = expected[:, ::-1]
    np.testing.assert_array_equal(found, expected)


def test_draws_are_those_of_the_trial() -> None:
  trial = config.Trial(augmentation="crop_flip", batch_size=8, seed=3)
  (draws,) = augment.draws_of(trial, (28, 32, 1), 5, 2)
  numbers = {"height": 28, "width": 32, "first_step": 5, "steps": 2}
  expected = data.augmentation_draws(seed=3, batch_size=8, flip=True, **numbers)
  np.testing.assert_array_equal(draws, expected)
  trial = config.Trial(augmentation="crop", batch_size=8, seed=3)
  (draws,) = augment.draws_of(trial, (28, 32, 1), 5, 2)
  np.testing.assert_array_equal(draws[..., :2], expected[..., :2])
  assert not draws[..., 2].any()
  assert augment.draws_of(config.Trial(), (28, 28, 1), 0, 2) == ()
