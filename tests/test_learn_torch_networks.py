"""Every network computes what its Flax twin computes."""

from typing import Any

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower import config
from jaxpower.architectures import NETWORKS
from jaxpower.learn import tasks as jax_tasks
from jaxpower.learn_torch import flax_weights, networks, tasks
from tests import twins

# Shallow, but for one where convolutions without strides follow.
DEEPER = config.Model(name="cnn", width=0.25, depth=2.0)
CASES = [*twins.cases(depth=0.3), twins.Case(DEEPER, "image")]


def torch_network(case: twins.Case, **given: Any) -> Any:
  return networks.build(
    case.model,
    twins.CLASSES,
    case.vocabulary,
    input_shape=case.shape,
    **given,
  )


@pytest.mark.parametrize(("width", "depth"), [(0.25, 1.0), (1.5, 0.3)])
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


def close(found: Any, expected: Any) -> None:
  """Holds logits to 1e-5 of themselves, or of the largest of them."""
  atol = 1e-5 * max(1.0, float(np.abs(np.asarray(expected)).max()))
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_gradients_are_those_of_flax(case: twins.Case) -> None:
  variables, (inputs, labels) = twins.drawn(case), twins.batch(case)
  program = jax.jit(jax_pass, static_argnames="case")
  expected = program(case, variables, inputs, labels)
  evaluated, trained, batch_stats, loss, grads = expected
  network = torch_network(case)
  before = flax_weights.from_jax(network, **variables)
  network.load_state_dict(before)
  with torch.inference_mode():
    found = network.eval()(torch.tensor(inputs))
  close(found, evaluated)
  sizes = watch_sizes(network)
  logits = network.train()(torch.tensor(inputs))
  close(logits.detach(), trained)
  found_loss = tasks.losses(logits, torch.tensor(labels), 0.1).mean()
  found_loss.backward()
  np.testing.assert_allclose(found_loss.detach(), loss, rtol=1e-5)
  found_grads, _ = flax_weights.to_jax(
    network, {name: p.grad for name, p in network.named_parameters()}
  )
  equal(found_grads, grads, 2e-4)
  state = network.state_dict()
  for name, values in sizes.items():
    # The one thing that differs by nature: the variance kept is unbiased.
    taken = state[f"{name}.running_var"] - 0.9 * before[f"{name}.running_var"]
    state[f"{name}.running_var"] -= taken / values
  equal(flax_weights.to_jax(network, state)[1], batch_stats, 1e-5)


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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_lower_precision_is_near_and_stays_low(case: twins.Case) -> None:
  network, inputs = torch_network(case), torch.tensor(twins.batch(case)[0])
  network.load_state_dict(flax_weights.from_jax(network, **twins.drawn(case)))
  kinds = {}
  for name, module in network.named_modules():
    if not list(module.children()) and list(module.parameters()):
      module.register_forward_hook(
        lambda _, given, found, name=name: kinds.update({name: found.dtype})
      )
  with torch.inference_mode():
    expected = network.eval()(inputs)
    with torch.autocast("cpu", torch.bfloat16):
      found = network(inputs)
  # Looking tokens up is no arithmetic.
  lookup = {"embed"} if case.vocabulary else set()
  low = {name for name, kind in kinds.items() if kind == torch.bfloat16}
  assert low == kinds.keys() - lookup
  assert {weight.dtype for weight in network.parameters()} == {torch.float32}
  away = (found.float() - expected).abs().max() / expected.abs().max()
  assert 0 < away < 0.05


def test_a_text_of_padding_alone_gives_numbers() -> None:
  case = twins.Case(config.Model(name="transformer", width=0.25), "tokens")
  network = torch_network(case)
  tokens = torch.zeros((2, *case.shape), dtype=torch.int32)
  for dtype in (torch.float32, torch.bfloat16):
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
      logits = network(tokens)
    logits.float().sum().backward()
    assert logits.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("name", ["cnn", "transformer", "vit", "decoder"])
def test_dropout_is_for_training_alone(name: str) -> None:
  kind = NETWORKS[name].reads[0]
  case = twins.Case(config.Model(name=name, width=0.25), kind)
  network, inputs = torch_network(case, dropout=0.5), twins.batch(case)[0]
  inputs = torch.tensor(inputs)
  with torch.inference_mode():
    assert not torch.equal(network(inputs), network(inputs))
    network.eval()
    assert torch.equal(network(inputs), network(inputs))


def test_images_are_not_copied_into_another_order() -> None:
  case = twins.Case(config.Model(name="resnet18", width=0.25), "image")
  network, seen = torch_network(case), []
  network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(*inputs))
  network(torch.zeros(2, *case.shape))
  (images,) = seen
  for values in (images, network.stem.weight, network.blocks[2].conv_1.weight):
    assert values.is_contiguous(memory_format=torch.channels_last)


def test_images_of_no_whole_number_of_patches_have_a_frame() -> None:
  case = twins.Case(config.Model(name="vit", width=0.25), "image")
  network: Any = networks.build(case.model, 3, input_shape=(17, 19, 2))
  assert network(torch.ones(1, 17, 19, 2)).shape == (1, 3)
  assert network.positions.shape[0] == 1 + 5 * 5
