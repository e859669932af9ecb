"""Training images moved and mirrored on the device, as drawn on the host."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower import data
from jaxpower.config import Trial


def crop(images: jax.Array, draws: jax.Array) -> jax.Array:
  """Moves and mirrors each image of a batch.

  What moves in from outside is 0, as after padding and cropping. Each shift is
  a product with a matrix of zeros and ones: on CPUs inside a loop 1.4 to 2
  times faster than gathering, 2 to 4 times faster than slicing example by
  example, and exact for pixels of one byte in any precision.

  Args:
    images: uint8 [batch, height, width, channels], in raw units.
    draws: int8 [batch, 3], as `jaxpower.data.augmentation_draws` gives them.

  Returns:
    float32, of the same shape and units.
  """
  _, height, width, _ = images.shape
  down, across, mirrored = jnp.split(draws.astype(jnp.int32), 3, axis=1)
  rows = jnp.arange(height) + down
  columns = jnp.arange(width) + across
  columns = jnp.where(mirrored > 0, columns[:, ::-1], columns)
  moved = images.astype(jnp.float32)
  moved = jnp.einsum("bij,bjkc->bikc", _pick(rows, height), moved)
  return jnp.einsum("bij,bkjc->bkic", _pick(columns, width), moved)


def draws_of(
  trial: Trial, shape: tuple[int, ...], first_step: int, steps: int
) -> tuple[np.ndarray, ...]:
  """What the programs of a trial take of draws for some steps.

  One array, int8 [steps, batch, 3], or nothing where the trial augments
  nothing. `shape` is that of one image.
  """
  if trial.augmentation == "none":
    return ()
  draws = data.augmentation_draws(
    seed=trial.seed,
    first_step=first_step,
    steps=steps,
    batch_size=trial.batch_size,
    height=shape[0],
    width=shape[1],
    flip=trial.augmentation == "crop_flip",
  )
  return (draws,)


def _pick(index: jax.Array, side: int) -> jax.Array:
  """[batch, n] indices to a matrix that picks them; none where outside."""
  return (index[:, :, None] == jnp.arange(side)).astype(jnp.float32)
