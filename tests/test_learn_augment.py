import jax
import numpy as np
import pytest

from jaxpower.learn import augment

IMAGES = np.random.default_rng(0).integers(1, 256, (64, 16, 12, 3), np.uint8)


def shifted(image: np.ndarray, down: int, across: int) -> np.ndarray:
  """What lies down and across from each pixel, 0 outside."""
  height, width, _ = image.shape
  padded = np.pad(image, ((height,) * 2, (width,) * 2, (0, 0)))
  down, across = height + down, width + across
  return padded[down : down + height, across : across + width]


def candidates(image: np.ndarray) -> dict[tuple[int, int, bool], np.ndarray]:
  return {
    (down, across, flip): moved[:, ::-1] if flip else moved
    for down in (-2, -1, 0, 1, 2)
    for across in (-1, 0, 1)
    for moved in [shifted(image, down, across)]
    for flip in (False, True)
  }


@pytest.mark.parametrize("flip", [False, True])
def test_every_image_is_a_shift_of_itself(flip: bool) -> None:
  crop = jax.jit(augment.crop, static_argnames="flip")
  moved = np.asarray(crop(IMAGES, jax.random.key(0), flip=flip))
  assert (moved.dtype, moved.shape) == (np.float32, IMAGES.shape)
  drawn = []
  for image, found in zip(IMAGES, moved, strict=True):
    drawn += [
      move
      for move, expected in candidates(image).items()
      if np.array_equal(found, expected)
    ]
  assert len(drawn) == len(IMAGES)
  assert {down for down, _, _ in drawn} == {-2, -1, 0, 1, 2}
  assert {across for _, across, _ in drawn} == {-1, 0, 1}
  mirrored = sum(flipped for _, _, flipped in drawn)
  assert (16 < mirrored < 48) if flip else mirrored == 0


def test_another_key_moves_otherwise() -> None:
  crop = jax.jit(augment.crop, static_argnames="flip")
  first = crop(IMAGES, jax.random.key(0), flip=True)
  second = crop(IMAGES, jax.random.key(1), flip=True)
  assert (np.asarray(first) != np.asarray(second)).any()
