"""The loop that a user of PyTorch writes: the straw man's opposite.

Layers of torch.nn at the bundled sizes, tensors in memory and normalised, the
fused Adam, channels last, autocast for bfloat16.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from throughput_cases import resident_mib, split_of
from torch import Tensor, nn

from jaxpower.architectures import patch_side, sizes_of

EVALUATED_AT_ONCE = 250


class Residual(nn.Module):
  """A basic block of a ResNet."""

  def __init__(self, inputs: int, outputs: int, stride: int) -> None:
    super().__init__()
    self.body = nn.Sequential(
      nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
      nn.BatchNorm2d(outputs),
      nn.ReLU(inplace=True),
      nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
      nn.BatchNorm2d(outputs),
    )
    self.around = nn.Identity()
    if stride > 1 or inputs != outputs:
      self.around = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs),
      )

  def forward(self, x: Tensor) -> Tensor:
    return F.relu(self.body(x) + self.around(x), inplace=True)


class Sequence(nn.Module):
  """A transformer of torch.nn's layers, for windows, images or text."""

  def __init__(self, name: str, sizes: Any, shape: Any, classes: int) -> None:
    super().__init__()
    self.name, features = name, sizes.features
    length = shape[0]
    if name == "vit":
      side = patch_side(shape[0])
      self.embed: Any = nn.Conv2d(shape[-1], features, side, side)
      length = (shape[0] // side) * (shape[1] // side) + 1
      self.token = nn.Parameter(torch.zeros(1, 1, features))
    elif name == "decoder":
      self.embed = nn.Embedding(classes, features)
    else:
      self.embed = nn.Linear(shape[-1], features)
    self.positions = nn.Parameter(torch.zeros(length, features))
    layer = nn.TransformerEncoderLayer(
      features,
      sizes.heads,
      4 * features,
      dropout=0.0,
      activation="gelu",
      batch_first=True,
      norm_first=True,
    )
    self.blocks = nn.TransformerEncoder(
      layer, sizes.layers, nn.LayerNorm(features), enable_nested_tensor=False
    )
    self.head = nn.Linear(features, classes)
    mask = nn.Transformer.generate_square_subsequent_mask(length)
    self.mask: Any
    self.register_buffer("mask", mask if name == "decoder" else None)

  def forward(self, x: Tensor) -> Tensor:
    x = self.embed(x)
    if self.name == "vit":
      x = x.flatten(2).transpose(1, 2)
      x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
    causal = self.name == "decoder"
    x = self.blocks(x + self.positions, mask=self.mask, is_causal=causal)
    if self.name == "decoder":
      return self.head(x)
    return self.head(x[:, 0] if self.name == "vit" else x.mean(1))


def network_of(trial: Any, shape: Any, classes: int) -> nn.Module:
  """Builds the network of a trial."""
  name = trial.model.name
  sizes: Any = sizes_of(trial.model)
  if name == "cnn":
    first, second = sizes.channels
    pixels = -(-shape[0] // 4) * -(-shape[1] // 4)
    return nn.Sequential(
      nn.Conv2d(shape[-1], first, 3, 2, 1),
      nn.ReLU(inplace=True),
      nn.Conv2d(first, second, 3, 2, 1),
      nn.ReLU(inplace=True),
      nn.Flatten(),
      nn.Linear(second * pixels, sizes.hidden),
      nn.ReLU(inplace=True),
      nn.Linear(sizes.hidden, classes),
    )
  if name == "resnet18":
    width = sizes.channels
    layers: list[nn.Module] = [
      nn.Conv2d(shape[-1], width, 3, 1, 1, bias=False),
      nn.BatchNorm2d(width),
      nn.ReLU(inplace=True),
    ]
    inputs = width
    for stage, count in enumerate(sizes.stages):
      for block in range(count):
        stride = 2 if stage and not block else 1
        layers.append(Residual(inputs, width * 2**stage, stride))
        inputs = width * 2**stage
    layers += [
      nn.AdaptiveAvgPool2d(1),
      nn.Flatten(),
      nn.Linear(inputs, classes),
    ]
    return nn.Sequential(*layers)
  return Sequence(name, sizes, shape, classes)


def loops(trial: Any) -> tuple[Any, Any, float]:
  """Returns what trains and what evaluates, and the memory before."""
  device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
  inputs, labels, test_inputs, test_labels, facts = split_of(trial)
  before = resident_mib()
  network = network_of(trial, inputs.shape[1:], facts.labels["label"])
  network = network.to(device)
  network.to(memory_format=torch.channels_last)  # pyright: ignore
  image = inputs.ndim == 4

  def to_device(values: Any) -> Tensor:
    moved = torch.from_numpy(values).to(device)
    if image:
      moved = moved.permute(0, 3, 1, 2)  # channels last, as they lie
    return moved

  x, test_x = to_device(inputs), to_device(test_inputs)
  y = torch.from_numpy(labels).to(device, torch.long)
  test_y = torch.from_numpy(test_labels).to(device, torch.long)
  optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
  half = trial.precision == "bfloat16"
  batch, order = trial.batch_size, torch.randperm(len(x), device=device)
  place = [0]

  def loss_of(part: Tensor, target: Tensor) -> Tensor:
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
      logits = network(part)
    return F.cross_entropy(logits.flatten(0, -2).float(), target.flatten())

  def train() -> int:
    network.train()
    for _ in range(trial.evaluate_every_examples // batch):
      if place[0] + batch > len(order):
        place[0] = 0
      picked = order[place[0] : place[0] + batch]
      place[0] += batch
      loss = loss_of(x[picked], y[picked])
      loss.backward()
      optimizer.step()
      optimizer.zero_grad()
    if device.type == "cuda":
      torch.cuda.synchronize()
    return trial.evaluate_every_examples

  def evaluate() -> int:
    network.eval()
    total = torch.zeros((), device=device)
    with torch.inference_mode():
      for first in range(0, len(test_x), EVALUATED_AT_ONCE):
        part = slice(first, first + EVALUATED_AT_ONCE)
        total += loss_of(test_x[part], test_y[part])
    total.item()
    return len(test_x)

  return train, evaluate, before
