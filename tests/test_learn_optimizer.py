from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from jaxpower.config import OPTIMIZERS, Optimizer, Trial
from jaxpower.learn import optimizer
from tests.twins import names_in

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
    case "nesterov":
      return optax.chain(
        optax.add_decayed_weights(DECAY),
        optax.sgd(rate, momentum=MOMENTUM, nesterov=True),
      )
    case "adamw":
      return optax.adamw(rate, weight_decay=DECAY)
    case "lion":
      return optax.lion(rate, weight_decay=DECAY)
    case "lamb":
      return optax.lamb(rate, weight_decay=DECAY)
    case "muon":
      return optax.contrib.muon(
        rate,
        weight_decay=DECAY,
        adam_weight_decay=DECAY,
        consistent_rms=0.2,
      )
  raise AssertionError(name)


@pytest.fixture(autouse=True)
def promotion_as_optax_needs_it() -> Iterator[None]:
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.mark.parametrize("name", names_in(OPTIMIZERS, "jax"))
def test_rules_with_traced_numbers_are_those_of_optax(name: str) -> None:
  params = {
    "dense": {
      "kernel": jnp.array([[1.0, -2.0, 3.0], [0.5, 1.5, -1.0]]),
      "bias": jnp.array([0.5, -1.0, 2.0]),
    }
  }
  traces = []

  @jax.jit
  def update(params, state, grads, numbers):
    traces.append(name)
    updates, state = optimizer.build(name, numbers).update(grads, state, params)
    return optax.apply_updates(params, updates), state

  ours, state = params, optimizer.init(name, params)
  theirs, their_state = params, reference(name, 0.0).init(params)
  for step, rate in enumerate(RATES):
    grads = jax.tree.map(lambda w: jnp.cos(w + step), ours)  # noqa: B023
    rules = Optimizer(momentum=MOMENTUM, weight_decay=DECAY)
    numbers = optimizer.hyperparameters(Trial(optimizer=rules), rate)
    ours, state = update(ours, state, grads, numbers)
    updates, their_state = reference(name, float(rate)).update(
      grads, their_state, theirs
    )
    theirs = optax.apply_updates(theirs, updates)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5), ours, theirs
    )
  assert traces == [name], "a new number must not trace anew"


def test_muon_takes_a_convolution_as_one_matrix_and_leaves_the_head() -> None:
  params = {
    "Conv_0": {"kernel": jnp.zeros((3, 3, 2, 8)), "bias": jnp.zeros(8)},
    "embed": {"embedding": jnp.zeros((50, 8))},
    "head": {"kernel": jnp.zeros((8, 4)), "bias": jnp.zeros(4)},
  }
  assert optimizer.matrices(params) == {
    "Conv_0": {"kernel": ((0, 1, 2), (3,)), "bias": None},
    "embed": {"embedding": None},
    "head": {"kernel": None, "bias": None},
  }
