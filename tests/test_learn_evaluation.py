import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxpower.learn.devices import make_mesh
from jaxpower.learn.evaluation import CPU_CHUNK, evaluate, in_chunks


class Linear(nn.Module):
  """Scores from the raw pixels, so that the truth is known."""

  @nn.compact
  def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
    del train
    return nn.Dense(3)(inputs.reshape(inputs.shape[0], -1))


def make(examples: int) -> dict[str, np.ndarray]:
  random = np.random.default_rng(0)
  return {
    "input": random.integers(0, 256, (examples, 2, 2, 1), np.uint8),
    "label": random.integers(0, 3, examples).astype(np.int32),
  }


@pytest.mark.parametrize("examples", [1, 7, CPU_CHUNK, CPU_CHUNK + 1, 999])
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_every_example_counts_once(examples: int, devices: int) -> None:
  test = make(examples)
  mean, std = np.full(1, 90.0, np.float32), np.full(1, 50.0, np.float32)
  network = Linear()
  variables = network.init(
    jax.random.key(0), jnp.zeros((1, 2, 2, 1)), train=False
  )
  chunks = in_chunks(test, make_mesh(devices))
  assert chunks["input"].shape[1] % devices == 0
  metrics = evaluate(
    network,
    jnp.dtype("float32"),
    dict(variables),
    {**chunks, "mean": mean, "std": std},
  )
  logits = network.apply(
    variables, (test["input"].astype(np.float32) - mean) / std, train=False
  )
  assert isinstance(logits, jax.Array)
  losses = optax.softmax_cross_entropy_with_integer_labels(
    logits, jnp.asarray(test["label"])
  )
  hits = np.argmax(np.asarray(logits), axis=1) == test["label"]
  assert float(metrics["accuracy"]) == pytest.approx(hits.mean(), rel=1e-6)
  assert float(metrics["loss"]) == pytest.approx(float(losses.mean()), rel=1e-4)
