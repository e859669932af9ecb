import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpower.learn import tasks

LOGITS = jax.random.normal(jax.random.key(0), (6, 5))
LABELS = jnp.array([0, 4, 2, 2, 1, 3])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_losses_are_those_of_optax(smoothing: float) -> None:
  soft = optax.smooth_labels(jax.nn.one_hot(LABELS, 5), smoothing)
  expected = optax.softmax_cross_entropy(LOGITS, soft)
  found = tasks.losses(LOGITS, LABELS, smoothing)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_padding_of_text_counts_for_nothing() -> None:
  logits = LOGITS.reshape(2, 3, 5)
  labels = jnp.array([[1, 4, 0], [2, 0, 0]])
  single = tasks.losses(LOGITS, labels.reshape(-1)).reshape(2, 3)
  expected = [(single[0, 0] + single[0, 1]) / 2, single[1, 0]]
  np.testing.assert_allclose(tasks.losses(logits, labels), expected, rtol=1e-6)
  best = jnp.argmax(logits, axis=-1)
  np.testing.assert_array_equal(
    tasks.correct(logits, jnp.maximum(best, 1)), (best > 0).mean(axis=1)
  )
  assert not tasks.losses(logits, jnp.zeros((2, 3), jnp.int32)).any()


def test_tokens_are_not_scaled() -> None:
  tokens = jnp.array([[1, 2, 3]])
  scale = jnp.array([5.0])
  found = tasks.normalise(tokens, scale, scale, jnp.dtype("float32"))
  np.testing.assert_array_equal(found, tokens)
  windows = jnp.full((1, 4, 1), 10.0)
  found = tasks.normalise(windows, scale, scale, jnp.dtype("bfloat16"))
  np.testing.assert_array_equal(found, jnp.ones((1, 4, 1), "bfloat16"))
