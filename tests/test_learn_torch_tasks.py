"""Losses, accuracies and evaluations are those of the other wing."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jaxpower.learn import tasks as jax_tasks
from jaxpower.learn_torch import tasks
from jaxpower.learn_torch.evaluation import CHUNK, evaluate

RANDOM = np.random.default_rng(0)
LOGITS = 3 * RANDOM.standard_normal((6, 9, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, (6, 9)).astype(np.int32)
LABELS[2, 4:] = 0  # padding
LABELS[3] = 0  # nothing else


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("text", [False, True])
def test_losses_and_hits_are_those_of_jax(text: bool, smoothing: float) -> None:
  values = (LOGITS, LABELS) if text else (LOGITS[0], LABELS[0])
  logits, labels = (torch.tensor(array) for array in values)
  there = jnp.asarray(values[0]), jnp.asarray(values[1])
  expected = jax_tasks.losses(*there, smoothing)
  found = tasks.losses(logits, labels, smoothing)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  expected = jax_tasks.correct(*there)
  np.testing.assert_allclose(tasks.correct(logits, labels), expected, rtol=1e-6)


def test_losses_are_as_precise_as_they_are_asked_to_be() -> None:
  labels = torch.tensor(LABELS)
  logits = torch.tensor(LOGITS)
  assert tasks.losses(logits.bfloat16(), labels).dtype == torch.float32
  assert tasks.losses(logits.double(), labels).dtype == torch.float64


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_inputs_are_scaled_as_in_jax(kind: str) -> None:
  inputs = RANDOM.integers(0, 256, (3, 4, 4, 2)).astype(kind)
  values = inputs, np.array([90, 120], "f4"), np.array([60, 50], "f4")
  image, mean, std = (torch.tensor(array) for array in values)
  found = tasks.normalise(image, mean, std, torch.float32)
  image, mean, std = (jnp.asarray(array) for array in values)
  expected = jax_tasks.normalise(image, mean, std, jnp.dtype("float32"))
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_tokens_are_not_scaled() -> None:
  tokens, one = torch.tensor([[1, 2, 3]]), torch.tensor(5.0)
  assert tasks.normalise(tokens, one, one, torch.bfloat16) is tokens


@pytest.mark.parametrize("examples", [1, 7, CHUNK, CHUNK + 1, 3 * CHUNK - 9])
def test_every_example_counts_once(examples: int) -> None:
  inputs = torch.tensor(RANDOM.standard_normal((examples, 5)))
  labels = torch.tensor(RANDOM.integers(0, 5, examples))
  shapes = set()

  def logits_of(values: Any) -> Any:
    shapes.add(values.shape)
    return values

  found = evaluate(logits_of, {"input": inputs, "label": labels})
  losses = torch.nn.functional.cross_entropy(inputs, labels)
  assert float(found["loss"]) == pytest.approx(float(losses), rel=1e-5)
  right = (inputs.argmax(1) == labels).double().mean()
  assert float(found["accuracy"]) == pytest.approx(float(right), rel=1e-6)
  assert len(shapes) == 1, "another shape would be compiled anew"
