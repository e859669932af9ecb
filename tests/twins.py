"""What tests of both wings share: networks of the same weights, small sets."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpower import config, data
from jaxpower.architectures import NETWORKS
from jaxpower.learn import networks

CLASSES = 7
SHAPES = {
  "image": (8, 8, 3),
  "window": (10, 6),
  "tokens": (9,),
  "text": (9,),
}
VOCABULARIES = {"tokens": 20, "text": CLASSES}


@dataclasses.dataclass(frozen=True)
class Case:
  """A model of the config and the kind of data that it reads."""

  model: config.Model
  kind: str

  def __str__(self) -> str:
    return f"{self.model.name}-{self.kind}"

  @property
  def shape(self) -> tuple[int, ...]:
    return SHAPES[self.kind]

  @property
  def vocabulary(self) -> int | None:
    return VOCABULARIES.get(self.kind)


def names_in(table: Mapping[str, Any], *frameworks: str) -> list[str]:
  """Names of networks or update rules that the wings of all these have."""
  return [
    name
    for name, entry in table.items()
    if set(frameworks) <= set(entry.frameworks)
  ]


def cases(width: float = 0.25, depth: float = 1.0) -> list[Case]:
  """Every network of both wings with each kind of data that it reads."""
  return [
    Case(config.Model(name=name, width=width, depth=depth), kind)
    for name in names_in(NETWORKS, "jax", "torch")
    for kind in NETWORKS[name].reads
  ]


def flax_network(case: Case) -> Any:
  return networks.build(
    case.model, CLASSES, case.vocabulary, precision="float32"
  )


@functools.cache
def shapes(case: Case) -> dict[str, Any]:
  """Shapes of "params" and "batch_stats"; nothing is compiled for them."""
  kind = jnp.float32 if case.vocabulary is None else jnp.int32
  found = jax.eval_shape(
    lambda: flax_network(case).init(
      jax.random.key(0), jnp.zeros((1, *case.shape), kind), train=False
    )
  )
  return {"batch_stats": {}, **found}


def drawn(case: Case) -> dict[str, Any]:
  """Weights and batch statistics that are all at work, none of them 0 or 1."""
  random = np.random.default_rng(0)

  def draw(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
    values = random.standard_normal(leaf.shape).astype(np.float32)
    if path[-1].key in ("scale", "var"):
      return 1 + 0.1 * np.abs(values)
    fan_in = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 100
    return values * np.float32(fan_in**-0.5)

  return jax.tree_util.tree_map_with_path(draw, shapes(case))


def batch(case: Case, examples: int = 5) -> tuple[np.ndarray, np.ndarray]:
  """Inputs as a network is given them, and labels."""
  random = np.random.default_rng(1)
  shape = (examples, *case.shape)
  if case.vocabulary is None:
    inputs = random.standard_normal(shape).astype(np.float32)
  else:
    inputs = random.integers(1, case.vocabulary, shape).astype(np.int32)
    inputs[0, 5:] = 0  # padding
  label_shape = shape if case.kind == "text" else shape[:1]
  labels = random.integers(0, CLASSES, label_shape).astype(np.int32)
  return inputs, labels


@functools.cache
def windows() -> data.DataSet:
  """A few short windows; a third has no subject, as if of another set."""
  found = data.load("imu")

  def few(split: Any, examples: int) -> dict[str, np.ndarray]:
    part = {name: values[:examples] for name, values in split.items()}
    part["subject"] = np.where(np.arange(examples) % 3, part["subject"], -1)
    return part | {"input": part["input"][:, :20]}

  return dataclasses.replace(
    found, train=few(found.train, 256), test=few(found.test, 100)
  )
