"""Every network computes what its Flax twin computes."""

from typing import Any

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower.learn import tasks as jax_tasks
from jaxpower.learn_torch import networks, tasks, weights
from tests import twins

CASES = twins.cases(depth=0.3)


def torch_network(case: twins.Case, **given: Any) -> Any:
  return networks.build(
    case.model, twins.CLASSES, case.vocabulary, case.shape, **given
  )


@pytest.mark.parametrize("depth", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("width", [0.25, 1.0, 1.5])
def test_both_learn_as_many_numbers(width: float, depth: float) -> None:
  for case in twins.cases(width, depth):
    expected = sum(
      leaf.size for leaf in jax.tree.leaves(twins.shapes(case)["params"])
    )
    with torch.device("meta"):
      assert networks.count_parameters(torch_network(case)) == expected, case


def jax_pass(case: twins.Case, variables: Any, inputs: Any, labels: Any) -> Any:
  """Logits in evaluation; logits, statistics, loss, gradients in training."""
  network = twins.flax_network(case)
  stats = {"batch_stats": variables["batch_stats"]}

  def loss_of(params: Any) -> Any:
    logits, updated = network.apply(
      {"params": params, **stats}, inputs, train=True, mutable=["batch_stats"]
    )
    loss = jax_tasks.losses(logits, labels, 0.1).mean()
    return loss, (logits, updated.get("batch_stats", {}))

  params = variables["params"]
  (loss, aux), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
  evaluated = network.apply({"params": params, **stats}, inputs, train=False)
  return evaluated, *aux, loss, grads


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_gradients_are_those_of_flax(case: twins.Case) -> None:
  variables, (inputs, labels) = twins.drawn(case), twins.batch(case)
  given = (variables, inputs, labels)
  program = jax.jit(lambda *given: jax_pass(case, *given)).lower(*given)
  # Compiled as fast as can be, not to run fast.
  expected = program.compile({"xla_backend_optimization_level": 0})(*given)
  evaluated, trained, batch_stats, loss, grads = expected
  network = torch_network(case)
  network.load_state_dict(weights.from_jax(network, **variables))
  there = torch.tensor(inputs)
  close = {"rtol": 1e-5, "atol": 1e-5}
  with torch.inference_mode():
    found = network.eval()(there)
  np.testing.assert_allclose(found, evaluated, **close)
  logits = network.train()(there)
  np.testing.assert_allclose(logits.detach(), trained, **close)
  found_loss = tasks.losses(logits, torch.tensor(labels), 0.1).mean()
  found_loss.backward()
  np.testing.assert_allclose(found_loss.detach(), loss, rtol=1e-5)
  found_grads, _ = weights.to_jax(
    network, {name: p.grad for name, p in network.named_parameters()}
  )
  equal(found_grads, grads, rtol=1e-3, atol=2e-5)
  _, found_stats = weights.to_jax(network, network.state_dict())
  equal(found_stats, batch_stats, rtol=1e-5, atol=1e-5)


def equal(found: Any, expected: Any, **close: float) -> None:
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree_util.tree_map_with_path(
    lambda path, a, b: np.testing.assert_allclose(
      a, b, err_msg=str(path), **close
    ),
    found,
    expected,
  )
