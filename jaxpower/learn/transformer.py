"""Builds transformers: an encoder to classify, a ViT, a decoder for text.

All three are stacks of one block with its norms before attention and
perceptron, which trains without a warm-up of the learning rate (Xiong et al.
2020).
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxpower.architectures import (
  LAYER_NORM_EPSILON,
  MLP_RATIO,
  TransformerSizes,
  patch_side,
  sinusoids,
)
from jaxpower.learn.layers import Conv, Dropout

# Of learned positions; the usual start since BERT (Devlin et al. 2019).
POSITIONS_STD = 0.02


def build(
  name: str,
  sizes: TransformerSizes,
  classes: int,
  vocabulary: int | None,
  dtype: jnp.dtype,
) -> nn.Module:
  """Builds the network of a name; `dtype` is that of the arithmetic."""
  layers, features, heads = sizes.layers, sizes.features, sizes.heads
  match name:
    case "transformer":
      return Encoder(classes, vocabulary, layers, features, heads, dtype)
    case "decoder":
      return Decoder(vocabulary or classes, layers, features, heads, dtype)
    case "vit":
      return ViT(classes, layers, features, heads, dtype=dtype)
  raise ValueError(f"no transformer is named {name}")


class Attention(nn.Module):
  """Multi-head self-attention (Vaswani et al. 2017)."""

  heads: int
  dtype: jnp.dtype = jnp.dtype("float32")
  attention: str = "plain"  # or what `jax.nn.dot_product_attention` is to call

  @nn.compact
  def __call__(
    self, x: jax.Array, seen: jax.Array | None, causal: bool = False
  ) -> jax.Array:
    """Maps [batch, length, features] to the same shape.

    `seen` broadcasts to [batch, heads, length, length]: whether a position
    (third axis) may look at another (fourth); None: all at all, or where
    `causal` at itself and those before it. The softmax is taken in float32.
    """
    batch, length, features = x.shape
    size = features // self.heads
    qkv = nn.Dense(3 * features, dtype=self.dtype, name="qkv")(x)
    qkv = qkv.reshape(batch, length, 3, self.heads, size)
    out = nn.Dense(features, dtype=self.dtype, name="out")
    if self.attention != "plain":
      mixed = fused_attention(qkv, seen, causal, self.attention)
      return out(mixed.reshape(batch, length, features))
    if causal:
      seen = jnp.tril(jnp.ones((length, length), bool))
    # Heads before positions, so that both products are plain batched ones: on
    # CPUs up to 1.6 times faster than the other order (two cores, with the
    # gradient, inside a scan; `jax.nn.dot_product_attention` took as long as
    # the other order).
    query, key, value = jnp.transpose(qkv, (2, 0, 3, 1, 4))
    # Scores are many: queries are scaled in their place, and what they mix is
    # divided by the softmax's sum, not they.
    query = query * size**-0.5
    scores = (query @ jnp.swapaxes(key, -1, -2)).astype(jnp.float32)
    if seen is not None:
      scores = jnp.where(seen, scores, jnp.finfo(jnp.float32).min)
    largest = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))
    weights = jnp.exp(scores - largest)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    mixed = weights.astype(self.dtype) @ value
    mixed = mixed / total.astype(self.dtype)
    mixed = jnp.swapaxes(mixed, 1, 2).reshape(batch, length, features)
    return out(mixed)


def fused_attention(
  qkv: jax.Array, seen: jax.Array | None, causal: bool, implementation: str
) -> jax.Array:
  """Mixes values by attention in one call, which need not make the scores.

  Args:
    qkv: Queries, keys and values [batch, length, 3, heads, size].
    seen: As in `Attention`.
    causal: As in `Attention`.
    implementation: "cudnn" or "xla".

  Returns:
    [batch, length, heads, size].
  """
  query, key, value = jnp.moveaxis(qkv, 2, 0)
  if seen is not None:
    batch, length = query.shape[:2]
    seen = jnp.broadcast_to(seen, (batch, 1, length, length))
  name: Any = implementation
  return jax.nn.dot_product_attention(
    query, key, value, mask=seen, is_causal=causal, implementation=name
  )


class Blocks(nn.Module):
  """A stack of attention and two-layer perceptrons, and a last norm.

  Checkpoints, imported weights and the PyTorch twin know the layers by these
  names.
  """

  layers: int
  heads: int
  dtype: jnp.dtype = jnp.dtype("float32")
  attention: str = "plain"

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    seen: jax.Array | None,
    dropout: jax.Array | None,
    causal: bool = False,
  ) -> jax.Array:
    """Maps [batch, length, features] to the same; as in `Attention`."""
    features = x.shape[-1]
    norm = functools.partial(
      nn.LayerNorm, epsilon=LAYER_NORM_EPSILON, dtype=self.dtype
    )
    dense = functools.partial(nn.Dense, dtype=self.dtype)
    x = Dropout()(x, dropout)
    for layer in range(self.layers):
      y = norm(name=f"norm_{layer}a")(x)
      name = f"attention_{layer}"
      attend = Attention(self.heads, self.dtype, self.attention, name=name)
      x = x + Dropout()(attend(y, seen, causal), dropout)
      y = norm(name=f"norm_{layer}b")(x)
      y = nn.gelu(dense(MLP_RATIO * features, name=f"up_{layer}")(y))
      y = dense(features, name=f"down_{layer}")(y)
      x = x + Dropout()(y, dropout)
    return norm(name="norm")(x)


class Encoder(nn.Module):
  """Classifies texts or the windows of a sensor.

  Fixed sinusoidal positions, and the mean over all that is not padding under
  the head. Token 0 is padding: no position looks at it, and the mean leaves it
  out.
  """

  classes: int
  vocabulary: int | None  # None: windows, each time step embedded linearly
  layers: int
  features: int
  heads: int
  dtype: jnp.dtype = jnp.dtype("float32")
  attention: str = "plain"

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    *,
    train: bool,
    dropout: jax.Array | None = None,
    logits: bool = True,
  ) -> jax.Array:
    """Maps tokens [batch, length], or [batch, time, channels], to logits.

    Logits are [batch, classes]; `dropout` is the rate, None: no dropout.
    Without `logits` to what the head is given.
    """
    del train
    if self.vocabulary is None:
      real = jnp.ones(inputs.shape[:2], bool)
      seen = None
      x = nn.Dense(self.features, dtype=self.dtype, name="embed")(inputs)
    else:
      real = inputs > 0
      seen = real[:, None, None, :]
      x = embed(inputs, self.vocabulary, self.features, self.dtype)
    x = x + sinusoids(x.shape[1], self.features).astype(self.dtype)
    blocks = Blocks(
      self.layers, self.heads, self.dtype, self.attention, name="blocks"
    )
    x = blocks(x, seen, dropout)
    weights = real.astype(self.dtype)[:, :, None]
    count = jnp.maximum(jnp.sum(weights, axis=1), 1)
    x = jnp.sum(x * weights, axis=1) / count
    if not logits:
      return x
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)


class Decoder(nn.Module):
  """Predicts each next token of a text from those before it.

  Learned positions.
  """

  vocabulary: int
  layers: int
  features: int
  heads: int
  dtype: jnp.dtype = jnp.dtype("float32")
  attention: str = "plain"

  @nn.compact
  def __call__(
    self,
    tokens: jax.Array,
    *,
    train: bool,
    dropout: jax.Array | None = None,
    logits: bool = True,
  ) -> jax.Array:
    """Maps [batch, length] to logits [batch, length, vocabulary].

    Without `logits` to what the head is given.
    """
    del train
    length = tokens.shape[1]
    x = embed(tokens, self.vocabulary, self.features, self.dtype)
    x = x + _positions(self, length, self.features).astype(self.dtype)
    blocks = Blocks(
      self.layers, self.heads, self.dtype, self.attention, name="blocks"
    )
    x = blocks(x, None, dropout, causal=True)
    if not logits:
      return x
    return nn.Dense(self.vocabulary, dtype=self.dtype, name="head")(x)


class ViT(nn.Module):
  """Vision transformer (Dosovitskiy et al. 2021) with a class token.

  With 12 layers, 192 features, 3 heads and patches of 16 it is ViT-Ti/16:
  5,717,416 parameters for 1,000 classes of 224 x 224 colour images.
  """

  classes: int
  layers: int
  features: int
  heads: int
  patch: int | None = None  # side in pixels; None: by the image's height
  dtype: jnp.dtype = jnp.dtype("float32")
  attention: str = "plain"

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    *,
    train: bool,
    dropout: jax.Array | None = None,
    logits: bool = True,
  ) -> jax.Array:
    """Maps [batch, height, width, channels] to logits [batch, classes].

    Without `logits` to what the head is given.
    """
    del train
    side = self.patch or patch_side(images.shape[1])
    window = (side, side)
    patches = Conv(
      self.features, window, strides=window, dtype=self.dtype, name="embed"
    )
    x = patches(images).reshape(images.shape[0], -1, self.features)
    first = self.param(
      "class_token", nn.initializers.zeros_init(), (1, 1, self.features)
    )
    first = jnp.broadcast_to(
      first.astype(self.dtype), (x.shape[0], 1, self.features)
    )
    x = jnp.concatenate([first, x], axis=1)
    x = x + _positions(self, x.shape[1], self.features).astype(self.dtype)
    blocks = Blocks(
      self.layers, self.heads, self.dtype, self.attention, name="blocks"
    )
    x = blocks(x, None, dropout)
    x = x[:, 0]
    if not logits:
      return x
    return nn.Dense(self.classes, dtype=self.dtype, name="head")(x)


def embed(
  tokens: jax.Array, vocabulary: int, features: int, dtype: jnp.dtype
) -> jax.Array:
  """Looks up the learned vectors of tokens [batch, length].

  Flax draws them with a variance of 1 / features. Scaled by its root they are
  of the size of the positions added to them (Vaswani et al. 2017, section
  3.4).
  """
  table = nn.Embed(vocabulary, features, dtype=dtype, name="embed")
  return table(tokens.astype(jnp.int32)) * math.sqrt(features)


def _positions(module: nn.Module, length: int, features: int) -> jax.Array:
  """Makes learned positions [length, features] a weight of the module."""
  init = nn.initializers.normal(POSITIONS_STD)
  return module.param("positions", init, (length, features))
