from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpower import config
from jaxpower.learn import optimizer

RATES = np.array([0.1, 0.05, 0.2], np.float32)
DECAY, MOMENTUM = 0.01, 0.8


def reference(name: str, rate: float) -> optax.GradientTransformation:
  """The rule as a user of optax would write it, with constants."""
  match name:
    case "sgd":
      return optax.chain(optax.add_decayed_weights(DECAY), optax.sgd(rate))
    case "momentum":
      return optax.chain(
        optax.add_decayed_weights(DECAY), optax.sgd(rate, momentum=MOMENTUM)
      )
    case "adam":
      return optax.chain(optax.add_decayed_weights(DECAY), optax.adam(rate))
    case "adamw":
      return optax.adamw(rate, weight_decay=DECAY)
  raise AssertionError(name)


@pytest.fixture(autouse=True)
def promotion_as_optax_needs_it() -> Iterator[None]:
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_rules_with_traced_numbers_are_those_of_optax(name: str) -> None:
  params = {"w": jnp.array([1.0, -2.0, 3.0])}
  traces = []

  @jax.jit
  def update(params, state, grads, numbers):
    traces.append(name)
    updates, state = optimizer.rule(name, numbers).update(grads, state, params)
    return optax.apply_updates(params, updates), state

  ours, state = params, optimizer.init(name, params)
  theirs, their_state = params, reference(name, 0.0).init(params)
  for step, rate in enumerate(RATES):
    grads = {"w": jnp.cos(ours["w"] + step)}
    numbers = optimizer.Hyperparameters(
      rate, np.float32(MOMENTUM), np.float32(DECAY)
    )
    ours, state = update(ours, state, grads, numbers)
    updates, their_state = reference(name, float(rate)).update(
      grads, their_state, theirs
    )
    theirs = optax.apply_updates(theirs, updates)
    (mine,), (expected,) = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    np.testing.assert_allclose(mine, expected, rtol=1e-5)
  assert traces == [name], "a new number must not trace anew"
