import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower.learn import heads

CLASSES = (3, 4)
LOGITS = np.asarray(jax.random.normal(jax.random.key(0), (5, 7)))
LABELS = np.array([[0, 3], [2, -1], [-1, -1], [1, 0], [-1, 2]], np.int32)


def by_hand(smoothing: float = 0.0) -> np.ndarray:
  """Losses [example, task] in numpy, example by example."""
  found = np.zeros(LABELS.shape)
  for example, row in enumerate(LABELS):
    for task, label in enumerate(row):
      if label < 0:
        continue
      start = sum(CLASSES[:task])
      scores = LOGITS[example, start : start + CLASSES[task]].astype(np.float64)
      logs = scores - np.log(np.exp(scores).sum())
      found[example, task] = (
        -(1 - smoothing) * logs[label] - smoothing * logs.mean()
      )
  return found


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_without_a_label_are_nothing(smoothing: float) -> None:
  found = heads.losses(
    jnp.asarray(LOGITS), jnp.asarray(LABELS), CLASSES, smoothing
  )
  np.testing.assert_allclose(found, by_hand(smoothing), rtol=1e-5)
  np.testing.assert_array_equal(heads.counts(jnp.asarray(LABELS)), [3, 3])


def test_a_task_no_example_has_is_not_divided_by_zero() -> None:
  absent = jnp.full((4, 2), -1)
  np.testing.assert_array_equal(heads.counts(absent), [1, 1])


def test_only_a_labels_own_head_is_asked() -> None:
  logits = jnp.array([[0.0, 9.0, 0.0, 1.0, 0.0, 0.0, 2.0]] * 3)
  labels = jnp.array([[1, 3], [2, -1], [-1, 0]])
  found = heads.correct(logits, labels, CLASSES)
  np.testing.assert_array_equal(found, [[1, 1], [0, 0], [0, 0]])


def test_each_example_moves_its_own_head_and_no_other() -> None:
  def loss(logits: jax.Array, task: int) -> jax.Array:
    return heads.losses(logits, jnp.asarray(LABELS), CLASSES)[:, task].sum()

  for task, (start, stop) in enumerate(((0, 3), (3, 7))):
    slope = jax.jit(jax.grad(loss), static_argnums=1)
    moved = np.asarray(slope(jnp.asarray(LOGITS), task))
    there = np.zeros(moved.shape, bool)
    there[LABELS[:, task] >= 0, start:stop] = True
    assert (moved[there] != 0).all()
    assert not moved[~there].any()


def test_fixed_weights_are_a_sum() -> None:
  losses, weights = jnp.array([2.0, 3.0]), jnp.array([1.0, 0.5])
  assert float(heads.weighted_sum(losses, weights)) == 3.5


def test_uncertainty_is_as_published() -> None:
  # Kendall, Gal, Cipolla 2018, equation 10: L1 / s1**2 + L2 / s2**2
  # + log(s1) + log(s2), of standard deviations s.
  losses, sigmas = np.array([2.0, 3.0]), np.array([0.5, 4.0])
  published = (losses / sigmas**2).sum() + np.log(sigmas).sum()
  logs = jnp.asarray(np.log(sigmas**2), jnp.float32)
  found = heads.by_uncertainty(jnp.asarray(losses, jnp.float32), logs)
  assert float(found) == pytest.approx(published, rel=1e-5)


def test_uncertainty_settles_where_the_variance_is_twice_the_loss() -> None:
  # d/ds (exp(-s) L + s / 2) = 0 at exp(s) = 2 L.
  losses = jnp.array([0.2, 3.0])
  slope = jax.grad(lambda s: heads.by_uncertainty(losses, s))
  np.testing.assert_allclose(slope(jnp.log(2 * losses)), 0, atol=1e-6)
  assert (np.asarray(slope(jnp.zeros(2))) * [1, -1] > 0).all()
