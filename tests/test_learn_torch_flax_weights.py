"""Weights come over exactly, and what does not fit is named."""

import copy
from typing import Any

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower import config
from jaxpower.learn import state as jax_state
from jaxpower.learn_torch import flax_weights, networks
from tests import twins

CNN = twins.Case(config.Model(name="cnn", width=0.25), "image")


def torch_network(case: twins.Case) -> Any:
  return networks.build(
    case.model, twins.CLASSES, case.vocabulary, input_shape=case.shape
  )


def same_bits(found: Any, expected: Any) -> None:
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
  for a, b in pairs:
    assert a.dtype == b.dtype
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("case", twins.cases(), ids=str)
def test_there_and_back_no_bit_changes(case: twins.Case) -> None:
  network, variables = torch_network(case), twins.drawn(case)
  state = flax_weights.from_jax(network, **variables)
  network.load_state_dict(state)
  params, batch_stats = flax_weights.to_jax(network, network.state_dict())
  same_bits(params, variables["params"])
  same_bits(batch_stats, variables["batch_stats"])
  network.load_state_dict(flax_weights.from_jax(network, params, batch_stats))
  for name, values in state.items():
    assert torch.equal(network.state_dict()[name], values), name


def test_first_weights_come_over_from_jax() -> None:
  state = jax_state.init_state(
    np.uint32(3),
    model=CNN.model,
    classes=twins.CLASSES,
    vocabulary=None,
    precision="float32",
    rule="sgd",
    shape=CNN.shape,
    freeze=False,
  )
  network = torch_network(CNN)
  given = jax.device_get(state.params), jax.device_get(state.batch_stats)
  network.load_state_dict(flax_weights.from_jax(network, *given))
  params, _ = flax_weights.to_jax(network, network.state_dict())
  same_bits(params, given[0])
  kernel = given[0]["head"]["kernel"]
  np.testing.assert_array_equal(network.head.weight.detach(), kernel.T)


def test_weights_that_do_not_fit_are_named() -> None:
  network, params = (
    torch_network(CNN),
    copy.deepcopy(twins.drawn(CNN)["params"]),
  )
  params["tail"] = {"kernel": params["head"]["kernel"]}
  del params["Conv_0"]["bias"]
  params["head"]["bias"] = np.zeros(3, np.float32)
  params["Dense_0"]["kernel"] = np.zeros((9, 16), np.float32)
  with pytest.raises(ValueError) as raised:
    flax_weights.from_jax(network, params, {})
  assert str(raised.value) == (
    "weights do not fit: params/Conv_0/bias is missing; "
    "params/tail/kernel is unknown; "
    "params/Dense_0/kernel is (9, 16), not (32, 16), as hidden.weight; "
    "params/head/bias is (3,), not (7,), as head.bias"
  )
  with pytest.raises(ValueError, match=r"do not fit: tail\.weight unknown"):
    flax_weights.to_jax(network, {"tail.weight": torch.zeros(2)})


def test_gradients_of_some_weights_go_back() -> None:
  gradients = {"head.weight": torch.ones(7, 16)}
  params, batch_stats = flax_weights.to_jax(torch_network(CNN), gradients)
  assert list(params) == ["head"]
  assert params["head"]["kernel"].shape == (16, 7)
  assert batch_stats == {}
