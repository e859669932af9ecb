"""Update rules that PyTorch has not, or not the same: Lion, LAMB and Muon.

Each is a few operations over all weights at once (`torch._foreach_*`, one
kernel for many tensors where the device has them), equal to optax's rule of
the name with optax's constants. Where these are no rules for numbers that are
no weights, such as the log-variances of tasks, those follow Adam undecayed.
"""

# Operations over lists of tensors have no other name in PyTorch.
# pyright: reportPrivateImportUsage=false

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan 2024
NEWTON_SCHULZ_STEPS = 5
MUON_BETA = 0.95
MUON_RMS = 0.2  # the size of Adam's updates (Liu et al. 2025)
TINY = 1e-8


class Lion(Optimizer):
  """The sign of a mixture of gradient and momentum (Chen et al. 2023)."""

  def __init__(self, weights: Iterable[dict[str, Any]], weight_decay: float):
    super().__init__(weights, {"lr": 0.0, "weight_decay": weight_decay})

  @torch.no_grad()
  def step(self, closure: Any = None) -> None:  # type: ignore[override]
    """One update from the gradients at hand."""
    del closure
    for group in self.param_groups:
      weights, grads, (means,) = _gathered(self, group, "mean")
      updates = list(torch._foreach_lerp(means, grads, 1 - 0.9))
      torch._foreach_sign_(updates)
      torch._foreach_lerp_(means, grads, 1 - 0.99)
      _descend(weights, updates, group)


class Lamb(Optimizer):
  """Adam, each layer's update scaled to its weights (You et al. 2020)."""

  def __init__(
    self,
    weights: Iterable[Tensor],
    no_weights: Iterable[Tensor],
    weight_decay: float,
  ):
    groups = [_group("lamb", weights), _undecayed(no_weights)]
    defaults = {"lr": 0.0, "weight_decay": weight_decay}
    super().__init__([g for g in groups if g["params"]], defaults)

  @torch.no_grad()
  def step(self, closure: Any = None) -> None:  # type: ignore[override]
    """One update from the gradients at hand."""
    del closure
    for group in self.param_groups:
      if group["rule"] == "adam":
        _step_of_adam(self, group)
        continue
      weights, grads, moments = _gathered(self, group, "mean", "square")
      updates = _adam(grads, moments, _count(group), epsilon=1e-6)
      torch._foreach_add_(updates, weights, alpha=group["weight_decay"])
      sizes = torch._foreach_norm(weights)
      update_sizes = torch._foreach_norm(updates)
      ratios = [
        torch.where((size == 0) | (update == 0), 1.0, size / update)
        for size, update in zip(sizes, update_sizes, strict=True)
      ]
      torch._foreach_mul_(updates, ratios)
      torch._foreach_add_(weights, updates, alpha=-group["lr"])


class Muon(Optimizer):
  """Momentum made orthogonal for matrices (Jordan 2024), for the rest AdamW.

  PyTorch's own works in bfloat16; the JAX wing's, and so this, in float32.
  The AdamW of the rest looks ahead as Nesterov does, as optax has it.
  """

  def __init__(
    self,
    matrices: Iterable[Tensor],
    others: Iterable[Tensor],
    no_weights: Iterable[Tensor],
    weight_decay: float,
  ):
    groups = [
      _group("muon", matrices),
      _group("nesterov", others),
      _undecayed(no_weights),
    ]
    defaults = {"lr": 0.0, "weight_decay": weight_decay}
    super().__init__([g for g in groups if g["params"]], defaults)

  @torch.no_grad()
  def step(self, closure: Any = None) -> None:  # type: ignore[override]
    """One update from the gradients at hand."""
    del closure
    for group in self.param_groups:
      if group["rule"] != "muon":
        _step_of_adam(self, group, nesterov=group["rule"] == "nesterov")
        continue
      weights, grads, (means,) = _gathered(self, group, "mean")
      torch._foreach_lerp_(means, grads, 1 - MUON_BETA)
      ahead = _look_ahead(means, grads, MUON_BETA, _count(group))
      _descend(weights, [_orthogonal(update) for update in ahead], group)


def _group(rule: str, params: Iterable[Tensor]) -> dict[str, Any]:
  """Parameters that follow one rule of several."""
  return {"params": list(params), "rule": rule}


def _undecayed(params: Iterable[Tensor]) -> dict[str, Any]:
  """Parameters that are no weights: Adam, and no decay."""
  return _group("adam", params) | {"weight_decay": 0.0}


def _step_of_adam(
  rule: Optimizer, group: dict[str, Any], *, nesterov: bool = False
) -> None:
  """AdamW on one group, with or without looking ahead."""
  weights, grads, moments = _gathered(rule, group, "mean", "square")
  count = _count(group)
  updates = _adam(grads, moments, count, epsilon=TINY, nesterov=nesterov)
  _descend(weights, updates, group)


def _gathered(
  rule: Optimizer, group: dict[str, Any], *names: str
) -> tuple[list[Tensor], list[Tensor], list[list[Tensor]]]:
  """The weights that have a gradient, the gradients, and what is kept."""
  weights = [p for p in group["params"] if p.grad is not None]
  grads: list[Tensor] = [p.grad for p in weights]
  for weight in weights:
    kept = rule.state[weight]
    for name in names:
      if name not in kept:
        kept[name] = torch.zeros_like(weight)
  kept = [[rule.state[weight][name] for weight in weights] for name in names]
  return weights, grads, kept


def _count(group: dict[str, Any]) -> int:
  """The number of this update, from 1; kept on the host."""
  group["count"] = group.get("count", 0) + 1
  return group["count"]


def _adam(
  grads: list[Tensor],
  moments: list[list[Tensor]],
  count: int,
  *,
  epsilon: float,
  nesterov: bool = False,
) -> list[Tensor]:
  """Adam's direction (Kingma and Ba 2015), with or without looking ahead."""
  means, squares = moments
  torch._foreach_lerp_(means, grads, 1 - 0.9)
  torch._foreach_mul_(squares, 0.999)
  torch._foreach_addcmul_(squares, grads, grads, 1 - 0.999)
  if nesterov:
    updates = _look_ahead(means, grads, 0.9, count)
  else:
    updates = list(torch._foreach_div(means, 1 - 0.9**count))
  sizes = torch._foreach_div(squares, 1 - 0.999**count)
  torch._foreach_sqrt_(sizes)
  torch._foreach_add_(sizes, epsilon)
  torch._foreach_div_(updates, sizes)
  return updates


def _look_ahead(
  means: list[Tensor], grads: list[Tensor], beta: float, count: int
) -> list[Tensor]:
  """The mean that the next update would have on the same gradients."""
  ahead = list(torch._foreach_mul(means, beta / (1 - beta ** (count + 1))))
  torch._foreach_add_(ahead, grads, alpha=(1 - beta) / (1 - beta**count))
  return ahead


def _orthogonal(update: Tensor) -> Tensor:
  """The nearest orthogonal matrix, roughly, of the size of Adam's updates."""
  matrix = update.flatten(1)
  rows, columns = matrix.shape
  x = matrix.T if columns < rows else matrix
  x = x / (torch.linalg.matrix_norm(x) + TINY)
  a, b, c = NEWTON_SCHULZ
  for _ in range(NEWTON_SCHULZ_STEPS):
    gram = x @ x.T
    x = torch.addmm(
      x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a
    )
  x = x.T if columns < rows else x
  return (x * (MUON_RMS * math.sqrt(max(rows, columns)))).view_as(update)


def _descend(
  weights: list[Tensor], updates: list[Tensor], group: dict[str, Any]
) -> None:
  """Takes the step, and with it the decay of the weights."""
  if group["weight_decay"]:
    torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
  torch._foreach_add_(weights, updates, alpha=-group["lr"])
