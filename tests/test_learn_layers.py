import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxpower.learn import layers

CASES = [
  # height, width, channels, window, strides, features
  (28, 28, 1, (3, 3), (2, 2), 16),
  (7, 9, 4, (3, 3), (1, 1), 5),
  (8, 8, 3, (1, 1), (2, 2), 6),
  (5, 6, 2, (5, 3), (2, 1), 3),
]


def random(key: int, *shape: int) -> jax.Array:
  return jax.random.normal(jax.random.key(key), shape)


@pytest.mark.parametrize("case", CASES)
def test_all_forms_agree_in_values_and_gradients(case: tuple) -> None:
  height, width, channels, window, strides, features = case
  inputs = random(0, 2, height, width, channels)
  kernel = random(1, *window, channels, features)

  def total(form, inputs, kernel):
    outputs = form(inputs, kernel, strides)
    return jnp.sum(jnp.sin(outputs)), outputs

  results = [
    jax.jit(
      jax.value_and_grad(functools.partial(total, form), (0, 1), has_aux=True)
    )(inputs, kernel)
    for form in (
      layers.convolve_xla,
      layers.convolve_patches,
      layers.convolve_shifted,
      layers.convolve,
    )
  ]
  for other in results[1:]:
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4),
      results[0],
      other,
    )


def test_the_convolution_for_cpus_holds_no_xla_convolution() -> None:
  for channels, by_a_product in ((3, False), (4, True)):
    lowered = jax.jit(layers.convolve).lower(
      random(0, 2, 8, 8, channels), random(1, 3, 3, channels, 4)
    )
    text = lowered.compile().as_text()
    assert text is not None
    assert (" dot(" in text) == by_a_product
    assert " convolution(" not in text


def test_a_short_sum_is_of_float32_whatever_the_arithmetic() -> None:
  inputs = random(0, 2, 9, 9, 3).astype(jnp.bfloat16)
  kernel = random(1, 3, 3, 3, 4).astype(jnp.bfloat16)
  exact = layers.convolve_xla(
    inputs.astype(jnp.float32), kernel.astype(jnp.float32), (1, 1)
  )
  outputs = layers.convolve_shifted(inputs, kernel, (1, 1))
  assert isinstance(outputs, jax.Array)
  assert outputs.dtype == jnp.bfloat16
  np.testing.assert_array_equal(outputs, exact.astype(jnp.bfloat16))


def test_conv_is_flax_conv() -> None:
  inputs = random(0, 2, 9, 9, 3)
  ours = layers.Conv(4, strides=(2, 2))
  theirs = nn.Conv(4, (3, 3), strides=(2, 2))
  params = jax.jit(ours.init)(jax.random.key(3), inputs)
  expected = jax.jit(theirs.init)(jax.random.key(3), inputs)
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  np.testing.assert_allclose(
    np.asarray(ours.apply(params, inputs)),
    np.asarray(theirs.apply(params, inputs)),
    rtol=1e-5,
    atol=1e-5,
  )


def test_arithmetic_in_bfloat16_keeps_weights_in_float32() -> None:
  layer = layers.Conv(4, dtype=jnp.dtype("bfloat16"))
  params = jax.jit(layer.init)(jax.random.key(0), random(0, 1, 4, 4, 2))
  outputs = layer.apply(params, random(1, 1, 4, 4, 2))
  assert isinstance(outputs, jax.Array)
  assert outputs.dtype == jnp.bfloat16
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {
    jnp.dtype("float32")
  }


def test_dropout_keeps_the_mean_and_takes_a_traced_rate() -> None:
  layer, inputs = layers.Dropout(), jnp.full((100, 200), 3.0)
  traces = []

  @jax.jit
  def drop(rate: jax.Array, seed: int) -> jax.Array:
    traces.append(rate)
    rngs = {"dropout": jax.random.key(seed)}
    found = layer.apply({}, inputs, rate, rngs=rngs)
    assert isinstance(found, jax.Array)
    return found

  for rate in (0.1, 0.5):
    found = np.asarray(drop(jnp.float32(rate), 0))
    np.testing.assert_allclose(np.unique(found), [0, 3 / (1 - rate)], rtol=1e-6)
    assert (found == 0).mean() == pytest.approx(rate, abs=0.02)
    assert (found != np.asarray(drop(jnp.float32(rate), 1))).any()
  assert len(traces) == 1
  assert layer.apply({}, inputs, None) is inputs
