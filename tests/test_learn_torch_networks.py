"""Every network computes what its Flax twin computes."""

from typing import Any

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower import config
from jaxpower.learn import tasks as jax_tasks
from jaxpower.learn_torch import networks, tasks, weights
from tests import twins

# Shallow, but for one where convolutions without strides follow.
DEEPER = config.Model(name="cnn", width=0.25, depth=2.0)
CASES = [*twins.cases(depth=0.3), twins.Case(DEEPER, "image")]


def torch_network(case: twins.Case, **given: Any) -> Any:
  return networks.build(
    case.model, twins.CLASSES, case.vocabulary, case.shape, **given
  )


@pytest.mark.parametrize(
  ("width", "depth"), [(0.25, 1.0), (1.0, 1.0), (1.5, 0.3)]
)
def test_both_learn_as_many_numbers(width: float, depth: float) -> None:
  for case in twins.cases(width, depth):
    expected = sum(
      leaf.size for leaf in jax.tree.leaves(twins.shapes(case)["params"])
    )
    with torch.device("meta"):
      network = torch_network(case)
    found = sum(weights.numel() for weights in network.parameters())
    assert found == expected, case


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
  program = jax.jit(
    jax_pass,
    static_argnames="case",
    compiler_options=twins.COMPILER_OPTIONS,
  )
  expected = program(case, variables, inputs, labels)
  evaluated, trained, batch_stats, loss, grads = expected
  network = torch_network(case)
  before = weights.from_jax(network, **variables)
  network.load_state_dict(before)
  close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
  with torch.inference_mode():
    found = network.eval()(torch.tensor(inputs))
  np.testing.assert_allclose(found, evaluated, **close)
  sizes = watch_sizes(network)
  logits = network.train()(torch.tensor(inputs))
  np.testing.assert_allclose(logits.detach(), trained, **close)
  found_loss = tasks.losses(logits, torch.tensor(labels), 0.1).mean()
  found_loss.backward()
  np.testing.assert_allclose(found_loss.detach(), loss, rtol=1e-5)
  found_grads, _ = weights.to_jax(
    network, {name: p.grad for name, p in network.named_parameters()}
  )
  equal(found_grads, grads, 2e-4)
  state = network.state_dict()
  for name, values in sizes.items():
    # The one thing that differs by nature: the variance kept is unbiased.
    taken = state[f"{name}.running_var"] - 0.9 * before[f"{name}.running_var"]
    state[f"{name}.running_var"] -= taken / values
  equal(weights.to_jax(network, state)[1], batch_stats, 1e-5)


def watch_sizes(network: Any) -> dict[str, int]:
  """How many values a channel each batch norm sees, filled in by a pass."""
  sizes = {}

  def see(name: str, inputs: Any) -> None:
    sizes[name] = inputs[0][:, 0].numel()

  for name, module in network.named_modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      module.register_forward_pre_hook(
        lambda _, inputs, name=name: see(name, inputs)
      )
  return sizes


def equal(found: Any, expected: Any, share: float) -> None:
  """The same to this share of the largest value of each array."""
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree_util.tree_map_with_path(
    lambda path, a, b: np.testing.assert_allclose(
      a, b, rtol=0, atol=share * np.abs(b).max(), err_msg=str(path)
    ),
    found,
    expected,
  )
