"""Defines layers that networks share: convolution, batch norm and dropout."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxpower.architectures import BATCH_NORM_EPSILON, BATCH_NORM_STEP

# Products of an output value up to which a CPU adds them up one after another:
# those of a 3x3 window over a colour image. A first convolution of 16 features
# took 0.2 to 0.5 of the time of patches so, one of 64 as long (BUILD_NOTES.md);
# longer sums were not measured.
FEW_PRODUCTS = 27


def convolve(
  inputs: jax.Array, kernel: jax.Array, strides: tuple[int, int] = (1, 1)
) -> jax.Array:
  """Convolves with "SAME" padding, in the form that is fast on the platform.

  XLA's convolution on CPUs is slow, and inside a loop 10 to 20 times slower
  still (jax issue 12868), so there the patches are gathered and multiplied as
  one matrix: in a scan the small CNN trains on 22,000 images a second so,
  with XLA's convolution on 2,300 (batch 128, two CPU cores;
  `benchmarks/convolution.py`). Where the sums are short, as of a grey image,
  not even patches are made (`convolve_shifted`). Elsewhere XLA's own calls
  cuDNN and its like. The choice falls when the program is lowered.

  Args:
    inputs: [batch, height, width, channels].
    kernel: [height, width, channels, features].
    strides: Down and across.

  Returns:
    [batch, ceil(height / stride), ceil(width / stride), features].
  """
  return jax.lax.platform_dependent(
    inputs,
    kernel,
    cpu=lambda x, k: convolve_in_loop(x, k, strides),
    default=lambda x, k: convolve_xla(x, k, strides),
  )


def convolve_in_loop(
  inputs: jax.Array, kernel: jax.Array, strides: tuple[int, int]
) -> jax.Array:
  """Convolves in the form that is fast in a loop on CPUs; as `convolve`."""
  few = kernel[..., 0].size <= FEW_PRODUCTS
  form = convolve_shifted if few else convolve_patches
  return form(inputs, kernel, strides)


def convolve_xla(
  inputs: jax.Array, kernel: jax.Array, strides: tuple[int, int]
) -> jax.Array:
  """Convolves by XLA's own operation; arguments as of `convolve`."""
  return jax.lax.conv_general_dilated(
    inputs,
    kernel,
    strides,
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def convolve_patches(
  inputs: jax.Array, kernel: jax.Array, strides: tuple[int, int]
) -> jax.Array:
  """Convolves by one matrix product over patches; as `convolve`."""
  slices = _shifted(inputs, kernel.shape[:2], strides)
  patches = jnp.concatenate(slices, axis=-1)
  rows = patches.reshape(-1, patches.shape[-1])
  outputs = _multiply(rows, kernel.reshape(-1, kernel.shape[-1]))
  return outputs.reshape(*patches.shape[:-1], -1)


@jax.custom_vjp
def _multiply(rows: jax.Array, matrix: jax.Array) -> jax.Array:
  """Multiplies [rows, in] by [in, out], with a faster gradient on CPUs.

  XLA gives products to its fast library where what is summed over lies in
  rows of the left and columns of the right, and folds transposes into a
  product, after which those of a weight gradient do not; barriers keep them
  apart. The small CNN's step took 6 % less so (BUILD_NOTES.md).
  """
  return rows @ matrix


def _multiply_forwards(
  rows: jax.Array, matrix: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return rows @ matrix, (rows, matrix)


def _multiply_backwards(
  given: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
  rows, matrix = given
  alone = jax.lax.optimization_barrier
  return gradient @ matrix.T, alone(alone(gradient.T) @ rows).T


_multiply.defvjp(_multiply_forwards, _multiply_backwards)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_shifted(
  inputs: jax.Array, kernel: jax.Array, strides: tuple[int, int]
) -> jax.Array:
  """Convolves by a weighted sum of shifted slices; as `convolve`.

  Forwards nothing is written but the result, which XLA would otherwise
  compute again for each use of it: hence the barrier. Backwards the sums are
  long, and a matrix product over patches is the faster. Sums are of float32.
  """
  slices = _shifted(inputs.astype(jnp.float32), kernel.shape[:2], strides)
  weights = kernel.astype(jnp.float32).reshape(-1, *kernel.shape[2:])
  outputs = jnp.float32(0.0)
  for part, weight in zip(slices, weights, strict=True):
    for channel in range(kernel.shape[2]):
      outputs += part[..., channel : channel + 1] * weight[channel]
  return jax.lax.optimization_barrier(outputs.astype(inputs.dtype))


def _convolve_forwards(
  inputs: jax.Array, kernel: jax.Array, strides: tuple[int, int]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return convolve_shifted(inputs, kernel, strides), (inputs, kernel)


def _convolve_backwards(
  strides: tuple[int, int],
  given: tuple[jax.Array, jax.Array],
  gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Returns the gradients of inputs and kernel, by patches."""
  _, pull_back = jax.vjp(
    lambda inputs, kernel: convolve_patches(inputs, kernel, strides), *given
  )
  return pull_back(gradient)


convolve_shifted.defvjp(_convolve_forwards, _convolve_backwards)


def _shifted(
  inputs: jax.Array, window: Sequence[int], strides: tuple[int, int]
) -> list[jax.Array]:
  """Returns what each place of a window meets: slices of the padded inputs."""
  padding = jax.lax.padtype_to_pads(inputs.shape[1:3], window, strides, "SAME")
  height, width = (
    -(-size // stride)
    for size, stride in zip(inputs.shape[1:3], strides, strict=True)
  )
  down, across = strides
  padded = jnp.pad(inputs, ((0, 0), *padding, (0, 0)))
  return [
    padded[
      :,
      y : y + (height - 1) * down + 1 : down,
      x : x + (width - 1) * across + 1 : across,
    ]
    for y in range(window[0])
    for x in range(window[1])
  ]


class Conv(nn.Module):
  """A two-dimensional convolution with "SAME" padding.

  Weights are float32 and drawn as `nn.Conv` draws them; arithmetic is in
  `dtype`. The `form` "xla" is XLA's own operation on every platform, "auto" as
  of `convolve`.
  """

  features: int
  window: Sequence[int] = (3, 3)
  strides: tuple[int, int] = (1, 1)
  use_bias: bool = True
  dtype: jnp.dtype = jnp.dtype("float32")
  form: str = "auto"

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Maps [batch, height, width, channels] to [batch, ..., features]."""
    shape = (*self.window, inputs.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    outputs = (convolve_xla if self.form == "xla" else convolve)(
      inputs.astype(self.dtype), kernel.astype(self.dtype), self.strides
    )
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
      outputs = outputs + bias.astype(self.dtype)
    return outputs


class BatchNorm(nn.Module):
  """A batch norm over each of several equal parts of a batch by itself.

  With as many parts as devices each normalises its own examples, and nothing
  is sent; the running statistics are those of the first part, as with PyTorch's
  DDP. Otherwise as `nn.BatchNorm`, whose name it has so that weights are named
  alike.
  """

  parts: int
  use_running_average: bool
  dtype: jnp.dtype = jnp.dtype("float32")
  scale_init: nn.initializers.Initializer = nn.initializers.ones_init()

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Normalises [batch, ..., features] over all but the features."""
    shape = inputs.shape[-1:]
    scale = self.param("scale", self.scale_init, shape)
    bias = self.param("bias", nn.initializers.zeros_init(), shape)
    kept = {
      name: self.variable("batch_stats", name, start, shape, jnp.float32)
      for name, start in (("mean", jnp.zeros), ("var", jnp.ones))
    }
    values = inputs.astype(jnp.float32)
    if self.use_running_average:
      mean, var = kept["mean"].value, kept["var"].value
    else:
      # [parts, examples, features]: of a divided batch each device has a part.
      values = values.reshape(self.parts, -1, *shape)
      mean = values.mean(1, keepdims=True)
      squares = jnp.square(values).mean(1, keepdims=True)
      var = jnp.maximum(0.0, squares - jnp.square(mean))
      self._keep(kept, {"mean": mean, "var": var})
    values = (values - mean) * (jax.lax.rsqrt(var + BATCH_NORM_EPSILON) * scale)
    return (values + bias).astype(self.dtype).reshape(inputs.shape)

  def _keep(self, kept: dict[str, Any], found: dict[str, jax.Array]) -> None:
    """Moves the running statistics a step to those of the first part.

    By a sum over all parts, which XLA makes one all-reduce with the gradients;
    a slice would be a broadcast of its own.
    """
    first = (jnp.arange(self.parts) == 0).astype(jnp.float32)
    for name, values in found.items():
      of_first = first @ values.reshape(self.parts, -1)
      old = kept[name].value
      kept[name].value = old + BATCH_NORM_STEP * (of_first - old)


class Head(nn.Module):
  """The last layer of every network, without what comes before it."""

  classes: int
  dtype: jnp.dtype = jnp.dtype("float32")

  @nn.compact
  def __call__(self, features: jax.Array, *, train: bool) -> jax.Array:
    """Maps what a backbone gives, [batch, ..., features], to logits."""
    del train
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(features)


class Dropout(nn.Module):
  """Zeroes values at random and scales up the others (Srivastava et al. 2014).

  The rate may be traced, so that a sweep over rates shares one executable;
  Flax's own layer would be compiled for each.
  """

  @nn.compact
  def __call__(self, inputs: jax.Array, rate: jax.Array | None) -> jax.Array:
    """Drops values of an array of any shape; a rate of None drops nothing."""
    if rate is None:
      return inputs
    # Threefry: 1.1 ms for 262,144 values on a CPU; `rbg` took 3.4.
    kept = jax.random.bernoulli(
      self.make_rng("dropout"), 1 - rate, inputs.shape
    )
    scaled = inputs / (1 - rate).astype(inputs.dtype)
    return jnp.where(kept, scaled, jnp.zeros_like(inputs))
