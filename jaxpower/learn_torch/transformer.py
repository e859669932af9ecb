"""Builds transformers: an encoder to classify, a ViT, a decoder for text.

The twins of those in `jaxpower.learn.transformer`: stacks of one block with
its norms before attention and perceptron.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from jaxpower.architectures import (
  MLP_RATIO,
  TransformerSizes,
  patch_side,
  sinusoids,
)
from jaxpower.learn_torch.layers import LayerNorm, arithmetic


def build(
  name: str,
  sizes: TransformerSizes,
  classes: int,
  vocabulary: int | None,
  input_shape: Sequence[int],
  dropout: float,
) -> nn.Module:
  """Builds the network of a name, for inputs of a shape."""
  layers, features, heads = sizes.layers, sizes.features, sizes.heads
  match name:
    case "transformer":
      return Encoder(
        classes, vocabulary, input_shape, layers, features, heads, dropout
      )
    case "decoder":
      vocabulary, length = vocabulary or classes, input_shape[0]
      return Decoder(vocabulary, length, layers, features, heads, dropout)
    case "vit":
      return ViT(classes, input_shape, layers, features, heads, dropout=dropout)
  raise ValueError(f"no transformer is named {name}")


class Attention(nn.Module):
  """Multi-head self-attention (Vaswani et al. 2017)."""

  def __init__(self, features: int, heads: int) -> None:
    super().__init__()
    self.heads = heads
    self.qkv = nn.Linear(features, 3 * features)
    self.out = nn.Linear(features, features)

  def forward(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Maps [batch, length, features] to the same shape.

    `mask` broadcasts to [batch, heads, length, length] and is added to the
    scores; where `causal`, no position looks at a later one.
    """
    batch, length, features = x.shape
    qkv = self.qkv(x).view(batch, length, 3, self.heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind()
    mixed = F.scaled_dot_product_attention(
      query, key, value, attn_mask=mask, is_causal=causal
    )
    return self.out(mixed.transpose(1, 2).reshape(batch, length, features))


class Block(nn.Module):
  """A layer of `Blocks`: attention and a perceptron, each behind a norm."""

  def __init__(self, features: int, heads: int, dropout: float) -> None:
    super().__init__()
    self.norm_a = LayerNorm(features)
    self.attention = Attention(features, heads)
    self.norm_b = LayerNorm(features)
    self.up = nn.Linear(features, MLP_RATIO * features)
    self.down = nn.Linear(MLP_RATIO * features, features)
    self.dropout = nn.Dropout(dropout)

  def forward(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Maps [batch, length, features] to the same; as in `Attention`."""
    x = x + self.dropout(self.attention(self.norm_a(x), mask, causal))
    # Flax's GELU is the approximation by tanh.
    y = F.gelu(self.up(self.norm_b(x)), approximate="tanh")
    return x + self.dropout(self.down(y))


class Blocks(nn.Module):
  """A stack of attention and two-layer perceptrons, and a last norm."""

  def __init__(
    self, layers: int, features: int, heads: int, dropout: float
  ) -> None:
    super().__init__()
    self.dropout = nn.Dropout(dropout)
    self.layers = nn.ModuleList(
      Block(features, heads, dropout) for _ in range(layers)
    )
    self.norm = LayerNorm(features)

  def forward(
    self, x: Tensor, mask: Tensor | None = None, causal: bool = False
  ) -> Tensor:
    """Maps [batch, length, features] to the same, in the arithmetic's type.

    `mask` is of that type; otherwise as in `Attention`.
    """
    x = self.dropout(x.to(arithmetic(x)))
    for layer in self.layers:
      x = layer(x, mask, causal)
    return self.norm(x)


class Encoder(nn.Module):
  """Classifies texts or the windows of a sensor.

  Fixed sinusoidal positions, and the mean over all that is not padding under
  the head. Token 0 is padding: no position looks at it, and the mean leaves it
  out.
  """

  sinusoids: Tensor

  def __init__(
    self,
    classes: int,
    vocabulary: int | None,
    input_shape: Sequence[int],
    layers: int,
    features: int,
    heads: int,
    dropout: float = 0.0,
  ) -> None:
    super().__init__()
    self.embed = (
      nn.Linear(input_shape[-1], features)
      if vocabulary is None
      else nn.Embedding(vocabulary, features)
    )
    table = torch.from_numpy(sinusoids(input_shape[0], features))
    self.register_buffer("sinusoids", table, persistent=False)
    self.blocks = Blocks(layers, features, heads, dropout)
    self.head = nn.Linear(features, classes)

  def forward(self, inputs: Tensor) -> Tensor:
    """Maps tokens [batch, length], or [batch, time, channels], to logits.

    Logits are [batch, classes].
    """
    return self.head(self.features(inputs))

  def features(self, inputs: Tensor) -> Tensor:
    """Maps inputs to what the head is given, [batch, features]."""
    if isinstance(self.embed, nn.Linear):
      x = self.blocks(self.embed(inputs) + self.sinusoids)
      return x.mean(1)
    real = inputs > 0
    x = embed(self.embed, inputs, self.sinusoids)
    dtype = arithmetic(x)
    # The lowest number, as in Flax, and not minus infinity: for a text of
    # padding alone some kernels would give NaN.
    mask = torch.zeros_like(real, dtype=dtype)
    mask = mask.masked_fill_(~real, torch.finfo(dtype).min)[:, None, None]
    x = self.blocks(x, mask)
    weights = real.to(dtype)[:, :, None]
    return (x * weights).sum(1) / weights.sum(1).clamp_min(1)


class Decoder(nn.Module):
  """Predicts each next token of a text from those before it.

  Learned positions.
  """

  def __init__(
    self,
    vocabulary: int,
    length: int,
    layers: int,
    features: int,
    heads: int,
    dropout: float = 0.0,
  ) -> None:
    super().__init__()
    self.embed = nn.Embedding(vocabulary, features)
    self.positions = nn.Parameter(torch.zeros(length, features))
    self.blocks = Blocks(layers, features, heads, dropout)
    self.head = nn.Linear(features, vocabulary)

  def forward(self, tokens: Tensor) -> Tensor:
    """Maps [batch, length] to logits [batch, length, vocabulary]."""
    return self.head(self.features(tokens))

  def features(self, tokens: Tensor) -> Tensor:
    """Maps tokens to what the head is given, [batch, length, features]."""
    x = embed(self.embed, tokens, self.positions)
    return self.blocks(x, causal=True)


class ViT(nn.Module):
  """Vision transformer (Dosovitskiy et al. 2021) with a class token."""

  def __init__(
    self,
    classes: int,
    input_shape: Sequence[int],
    layers: int,
    features: int,
    heads: int,
    patch: int | None = None,
    dropout: float = 0.0,
  ) -> None:
    super().__init__()
    height, width, channels = input_shape
    side = patch or patch_side(height)
    patches = -(-height // side) * -(-width // side)
    # Flax's "SAME" padding of images that are no whole number of patches:
    # zeros, half before and half after.
    down, across = -height % side, -width % side
    self.frame = (
      *(across // 2, across - across // 2),
      *(down // 2, down - down // 2),
    )
    self.embed = nn.Conv2d(channels, features, side, side)
    self.class_token = nn.Parameter(torch.zeros(1, 1, features))
    self.positions = nn.Parameter(torch.zeros(1 + patches, features))
    self.blocks = Blocks(layers, features, heads, dropout)
    self.head = nn.Linear(features, classes)

  def forward(self, images: Tensor) -> Tensor:
    """Maps [batch, height, width, channels] to logits [batch, classes]."""
    return self.head(self.features(images))

  def features(self, images: Tensor) -> Tensor:
    """Maps images to what the head is given, [batch, features]."""
    x = images.permute(0, 3, 1, 2)
    if any(self.frame):
      x = F.pad(x, self.frame)
    x = self.embed(x).flatten(2).transpose(1, 2)
    first = self.class_token.to(x.dtype).expand(len(x), -1, -1)
    x = torch.cat([first, x], 1) + self.positions.to(x.dtype)
    return self.blocks(x)[:, 0]


def embed(table: nn.Embedding, tokens: Tensor, positions: Tensor) -> Tensor:
  """Looks up the learned vectors of tokens [batch, length], positions added.

  Scaled as in the JAX wing, in one operation with the sum.
  """
  scale = math.sqrt(table.embedding_dim)
  return torch.add(positions, table(tokens.int()), alpha=scale)
