import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxpower.architectures import positions_of
from jaxpower.config import Model
from jaxpower.learn import networks, transformer
from jaxpower.learn.transformer import Decoder, Encoder, ViT

TOKENS = jnp.array([[3, 1, 4, 1, 5, 0, 0, 0], [2, 6, 5, 3, 5, 8, 9, 7]])


def count(network: nn.Module, inputs: jax.Array) -> int:
  variables = jax.eval_shape(
    lambda: network.init(jax.random.key(0), inputs, train=False)
  )
  return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def start(network: nn.Module, inputs: jax.Array, seed: int = 0) -> Any:
  init = jax.jit(functools.partial(network.init, train=False))
  variables = init(jax.random.key(seed), inputs)
  # Nothing at zero, so that no part of the network is without effect.
  return jax.tree.map(
    lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape),
    variables,
  )


def logits(network: nn.Module, variables: Any, inputs: jax.Array) -> Any:
  apply = jax.jit(functools.partial(network.apply, train=False))
  return np.asarray(apply(variables, inputs))


@pytest.mark.parametrize(
  ("layers", "features", "heads", "parameters"),
  [
    (12, 192, 3, 5_717_416),  # ViT-Ti/16
    (12, 384, 6, 22_050_664),  # ViT-S/16
    (12, 768, 12, 86_567_656),  # ViT-B/16
  ],
)
def test_vits_have_their_published_size(
  layers: int, features: int, heads: int, parameters: int
) -> None:
  network = ViT(1000, layers, features, heads, patch=16)
  assert count(network, jnp.zeros((1, 224, 224, 3))) == parameters


@pytest.mark.parametrize("shape", [(28, 28, 1), (30, 18, 3), (32, 32, 3)])
def test_positions_are_counted_as_a_vit_has_them(
  shape: tuple[int, ...],
) -> None:
  network, images = ViT(10, 1, 8, 1), jnp.zeros((1, *shape))
  variables = jax.eval_shape(
    lambda: network.init(jax.random.key(0), images, train=False)
  )
  assert len(variables["params"]["positions"]) == positions_of(shape)


def test_a_decoder_has_the_size_of_its_parts() -> None:
  # GPT-2 small without its shared head, of the same blocks: 124,439,808.
  network = Decoder(50_257, layers=12, features=768, heads=12)
  found = count(network, jnp.zeros((1, 1024), jnp.int32))
  assert found - (768 * 50_257 + 50_257) == 124_439_808


def test_attention_is_that_of_jax() -> None:
  x = jax.random.normal(jax.random.key(0), (2, 8, 12))
  seen = jnp.tril(jnp.ones((8, 8), bool))
  layer = transformer.Attention(heads=3)
  variables = jax.jit(layer.init)(jax.random.key(1), x, seen)
  parts = variables["params"]
  qkv = x @ parts["qkv"]["kernel"] + parts["qkv"]["bias"]
  query, key, value = jnp.moveaxis(qkv.reshape(2, 8, 3, 3, 4), 2, 0)
  mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True)
  mixed = mixed.reshape(2, 8, 12)
  expected = mixed @ parts["out"]["kernel"] + parts["out"]["bias"]
  found = jax.jit(layer.apply)(variables, x, seen)
  np.testing.assert_allclose(
    np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-5
  )


def test_padding_changes_nothing() -> None:
  network = Encoder(4, 10, layers=1, features=16, heads=2)
  variables = start(network, TOKENS)
  short = logits(network, variables, TOKENS[:1, :5])
  long = logits(network, variables, TOKENS[:1])
  np.testing.assert_allclose(short, long, rtol=1e-4, atol=1e-5)
  other = TOKENS[:1].at[0, 4].set(6)
  assert abs(logits(network, variables, other) - long).max() > 1e-3


def test_a_text_of_padding_alone_gives_numbers() -> None:
  network = Encoder(4, 10, layers=1, features=16, heads=2)
  variables = start(network, TOKENS)
  found = logits(network, variables, jnp.zeros_like(TOKENS))
  assert np.isfinite(found).all()


def test_the_order_of_tokens_counts() -> None:
  network = Encoder(4, 10, layers=1, features=16, heads=2)
  variables = start(network, TOKENS)
  found = logits(network, variables, TOKENS[1:])
  turned = logits(network, variables, TOKENS[1:, ::-1])
  assert abs(found - turned).max() > 1e-3


def test_a_decoder_does_not_see_what_it_predicts() -> None:
  network = Decoder(10, layers=1, features=16, heads=2)
  variables = start(network, TOKENS)
  before = logits(network, variables, TOKENS)
  after = logits(network, variables, TOKENS.at[:, 5].set(9))
  np.testing.assert_allclose(before[:, :5], after[:, :5], atol=1e-5)
  assert (abs(before - after).max(axis=(0, 2))[5:] > 1e-3).all()


@pytest.mark.parametrize("network", ["decoder", "transformer", "vit"])
def test_fused_attention_equals_the_plain_one(network: str) -> None:
  tokens = network != "vit"
  inputs = (
    jnp.asarray([[1, 2, 3, 4, 5, 0, 0, 0], [5, 4, 3, 2, 1, 1, 2, 0]])
    if tokens
    else jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
  )
  vocabulary = 6 if tokens else None

  def built(attention: str) -> nn.Module:
    return networks.build(
      Model(name=network),
      6,
      vocabulary,
      precision="float32",
      attention=attention,
    )

  plain, fused = built("plain"), built("xla")
  params = plain.init(jax.random.key(1), inputs, train=False)

  def loss(module: nn.Module, params: Any) -> jax.Array:
    logits = module.apply(params, inputs, train=False)
    return jnp.sin(jnp.asarray(logits)).sum()

  lowered = [
    jax.jit(jax.value_and_grad(functools.partial(loss, module))).lower(params)
    for module in (plain, fused)
  ]
  assert lowered[0].as_text() != lowered[1].as_text()
  found, expected = (
    jax.tree.leaves(program.compile()(params)) for program in lowered
  )
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
