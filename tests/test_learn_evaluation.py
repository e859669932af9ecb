import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxpower.learn.devices import make_mesh
from jaxpower.learn.evaluation import (
  CPU_CHUNK,
  RANGE,
  chunk_size,
  evaluate,
  in_chunks,
  together,
)


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


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_passes_are_as_many_and_as_full_as_can_be(devices: int) -> None:
  for examples in (1, 80, 81, 160, 161, 999, 1_000, 10_000):
    chunk = chunk_size(examples, make_mesh(devices))
    passes = -(-examples // chunk)
    assert passes == -(-examples // (CPU_CHUNK * devices))
    assert passes * chunk - examples < passes * devices
  assert chunk_size(1_000, make_mesh(devices), 300) == min(300 * devices, 1_000)


@pytest.mark.parametrize("sizes", [(7, 999), (CPU_CHUNK + 1, 30), (160, 160)])
@pytest.mark.parametrize("devices", [1, 4])
def test_each_of_two_splits_is_summed_alone(
  sizes: tuple[int, int], devices: int
) -> None:
  """One program for both, as for a set that lies there by itself."""
  mesh = make_mesh(devices)
  splits = {
    name: {key: values[first:end] for key, values in make(sum(sizes)).items()}
    for name, first, end in (
      ("validation", 0, sizes[0]),
      ("test", sizes[0], sum(sizes)),
    )
  }
  scale = {
    "mean": np.full(1, 90.0, np.float32),
    "std": np.full(1, 50, np.float32),
  }
  network = Linear()
  variables = network.init(
    jax.random.key(0), jnp.zeros((1, 2, 2, 1)), train=False
  )

  traced = []

  @jax.jit
  def look(test: dict[str, jax.Array]) -> dict[str, jax.Array]:
    traced.append(test)
    return evaluate(network, jnp.dtype("float32"), dict(variables), test)

  arrays, ranges = together(splits, mesh)
  assert list(ranges) == list(splits)
  found = {
    name: look(arrays | scale | {RANGE: bounds})
    for name, bounds in ranges.items()
  }
  assert len(traced) == 1
  for name, split in splits.items():
    alone = look(in_chunks(split, mesh) | scale)
    for key, value in alone.items():
      assert float(found[name][key]) == pytest.approx(float(value), rel=1e-5)


def test_a_split_alone_lies_as_it_did() -> None:
  split, mesh = make(100), make_mesh(1)
  arrays, ranges = together({"test": split}, mesh)
  assert ranges["test"].tolist() == [0, 2]
  for name, values in in_chunks(split, mesh).items():
    np.testing.assert_array_equal(arrays[name], values)
