"""Builds the update rule that a config names, equal to the JAX wing's.

PyTorch's own fused rules where they are the same arithmetic. PyTorch has no
Lion and no LAMB, and its Muon works in bfloat16, the JAX wing's in float32: so
these three are written here, with optax's constants. Each is a few operations
over all weights at once (`torch._foreach_*`, one kernel for many tensors where
the device has them). Ten updates of every rule agree with the JAX wing's to
1e-11 in float64 (tested).

To add a rule: an entry in `jaxpower.config.OPTIMIZERS`, a case in
`jaxpower.learn.optimizer` and one in `_rule` here.
"""

# Operations over lists of tensors have no public name in PyTorch.
# pyright: reportPrivateImportUsage=false

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from jaxpower import config
from jaxpower.learn_torch.backbone import in_backbone
from jaxpower.learn_torch.heads import LOG_VARIANCES

FACTOR = "backbone_rate"  # of a group, where its rate is not the head's

# The constants below are optax's defaults.
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
LAMB_EPSILON = 1e-6
LION_BETAS = (0.9, 0.99)
MUON_BETA = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan 2024
NEWTON_SCHULZ_STEPS = 5
NEWTON_SCHULZ_EPSILON = 1e-8
# Muon's updates are scaled to this root mean square, about that of Adam's (Liu
# et al. 2025), so that one list of rates serves both.
MUON_RMS = 0.2

# Names of the layer that reads the inputs: of the CNN, the ResNets and the
# transformers.
FIRST_LAYERS = ("convs.0", "stem", "embed")


def build(
  rule: config.Optimizer, network: nn.Module, backbone_rate: float = 1.0
) -> Optimizer:
  """Builds the update rule of a config for the trained part of a network.

  The rate is set before each update with `set_rate`. The backbone's is
  `backbone_rate` times the head's; that is exact, since every rule's update,
  decay included, is proportional to its rate.

  Weight decay is decoupled from the gradient for "adamw", "lion", "lamb" and
  "muon", and added to it for the others. Log-variances of tasks are no weights
  of the network and follow the rule without its decay, or Adam with "lamb",
  whose scaling by a parameter's size nearly freezes a value near 0, and with
  "muon", which is for matrices. With `decay` "weights" only the weights of
  layers decay: no biases, no norms, no positions and no class token.
  """
  optimizer = _rule(rule, network)
  if backbone_rate != 1:
    _set_backbone_rate(optimizer, network, backbone_rate)
  return optimizer


def set_rate(optimizer: Optimizer, rate: float) -> None:
  """Sets the learning rate of the next update; waits for no device."""
  for group in optimizer.param_groups:
    group["lr"] = rate * group.get(FACTOR, 1.0)


def matrices(network: nn.Module, hidden: bool = False) -> list[Tensor]:
  """Selects the weights that Muon takes as matrices: kernels, not a head's.

  If only those of `hidden` layers, not the first layer's either.
  Those of dense layers are [outputs, inputs], those of convolutions [outputs,
  inputs, height, width] and taken as one matrix from all inputs of the window
  to the outputs.
  """
  return [
    module.weight
    for name, module in network.named_modules()
    if isinstance(module, nn.Linear | nn.Conv2d)
    and "head" not in name.split(".")
    and not (hidden and name in FIRST_LAYERS)
    and module.weight.requires_grad
  ]


def _rule(rule: config.Optimizer, network: nn.Module) -> Optimizer:
  """Builds the rule that a config names, at one rate for all weights."""
  trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
  variances = [p for n, p in trained.items() if n.endswith(LOG_VARIANCES)]
  weights = [p for n, p in trained.items() if not n.endswith(LOG_VARIANCES)]
  plain: list[Tensor] = []  # what has no decay, and else follows the rule
  if rule.decay == "weights":
    layers = {id(weight) for weight in _layer_weights(network)}
    plain = [p for p in weights if id(p) not in layers]
    weights = [p for p in weights if id(p) in layers]
  groups: list[dict[str, Any]] = [{"params": weights}]
  if undecayed := plain + variances:
    groups.append({"params": undecayed, "weight_decay": 0.0})
  decay = rule.weight_decay
  # PyTorch 2.13 has no fused descent for parts of divided arrays (FSDP).
  fused = not any(hasattr(weight, "to_local") for weight in trained.values())
  match rule.name:
    case "sgd":
      return torch.optim.SGD(groups, lr=0.0, weight_decay=decay, fused=fused)
    case "momentum" | "nesterov":
      return torch.optim.SGD(
        groups,
        lr=0.0,
        momentum=rule.momentum,
        # Without momentum both rules are plain descent; PyTorch refuses.
        nesterov=rule.name == "nesterov" and rule.momentum > 0,
        weight_decay=decay,
        fused=fused,
      )
    case "adam":
      return torch.optim.Adam(groups, lr=0.0, weight_decay=decay, fused=True)
    case "adamw":
      return torch.optim.AdamW(groups, lr=0.0, weight_decay=decay, fused=True)
    case "lion":
      return Lion(groups, weight_decay=decay)
    case "lamb":
      return Lamb(weights, plain, variances, weight_decay=decay)
    case "muon":
      chosen = matrices(network, hidden=rule.muon_matrices == "hidden")
      others = [p for p in weights if all(p is not m for m in chosen)]
      return Muon(chosen, others, plain, variances, weight_decay=decay)
  raise ValueError(f"no optimizer is named {rule.name}")


def _layer_weights(network: nn.Module) -> list[Tensor]:
  """Lists the weights of dense layers, convolutions and embeddings."""
  return [
    module.weight
    for module in network.modules()
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding)
  ]


def _set_backbone_rate(
  optimizer: Optimizer, network: nn.Module, rate: float
) -> None:
  """Splits each group, and gives the backbone's part a rate of its own."""
  backbone = {id(p) for n, p in network.named_parameters() if in_backbone(n)}
  for group in tuple(optimizer.param_groups):
    inside = [p for p in group["params"] if id(p) in backbone]
    outside = [p for p in group["params"] if id(p) not in backbone]
    if not inside:
      continue
    group["params"] = inside
    if outside:
      optimizer.add_param_group({**group, "params": outside})
    group[FACTOR] = rate


class Lion(Optimizer):
  """The sign of a mixture of gradient and momentum (Chen et al. 2023)."""

  def __init__(self, groups: Iterable[dict[str, Any]], weight_decay: float):
    super().__init__(groups, {"lr": 0.0, "weight_decay": weight_decay})

  @torch.no_grad()
  def step(self, closure: Any = None) -> None:  # type: ignore[override]
    """Makes one update from the gradients of the weights."""
    del closure
    for group in self.param_groups:
      weights, grads, (means,) = _gather(self, group, "mean")
      updates = list(torch._foreach_lerp(means, grads, 1 - LION_BETAS[0]))
      torch._foreach_sign_(updates)
      torch._foreach_lerp_(means, grads, 1 - LION_BETAS[1])
      _descend(weights, updates, group)


class Lamb(Optimizer):
  """Adam, each layer's update scaled to its weights (You et al. 2020)."""

  def __init__(
    self,
    weights: Iterable[Tensor],
    plain: Iterable[Tensor],
    variances: Iterable[Tensor],
    weight_decay: float,
  ):
    groups = [
      _group("lamb", weights),
      _undecayed("lamb", plain),
      _undecayed("adam", variances),
    ]
    defaults = {"lr": 0.0, "weight_decay": weight_decay}
    super().__init__([g for g in groups if g["params"]], defaults)

  @torch.no_grad()
  def step(self, closure: Any = None) -> None:  # type: ignore[override]
    """Makes one update from the gradients of the weights."""
    del closure
    for group in self.param_groups:
      if group["rule"] == "adam":
        _step_of_adam(self, group)
        continue
      weights, grads, moments = _gather(self, group, "mean", "square")
      updates = _adam(grads, moments, _count(group), epsilon=LAMB_EPSILON)
      torch._foreach_add_(updates, weights, alpha=group["weight_decay"])
      norms = _norms([*weights, *updates], group)
      sizes, update_sizes = norms[: len(weights)], norms[len(weights) :]
      ratios = [
        torch.where((size == 0) | (update == 0), 1.0, size / update)
        for size, update in zip(sizes, update_sizes, strict=True)
      ]
      torch._foreach_mul_(updates, ratios)
      torch._foreach_add_(weights, updates, alpha=-group["lr"])


class Muon(Optimizer):
  """Momentum made orthogonal for matrices (Jordan 2024), for the rest AdamW.

  In float32. The AdamW of the rest looks ahead as Nesterov does, as in optax.
  """

  def __init__(
    self,
    matrices: Iterable[Tensor],
    others: Iterable[Tensor],
    plain: Iterable[Tensor],
    variances: Iterable[Tensor],
    weight_decay: float,
  ):
    groups = [
      _group("muon", matrices),
      _group("nesterov", others),
      _undecayed("nesterov", plain),
      _undecayed("adam", variances),
    ]
    defaults = {"lr": 0.0, "weight_decay": weight_decay}
    super().__init__([g for g in groups if g["params"]], defaults)

  @torch.no_grad()
  def step(self, closure: Any = None) -> None:  # type: ignore[override]
    """Makes one update from the gradients of the weights."""
    del closure
    for group in self.param_groups:
      if group["rule"] != "muon":
        _step_of_adam(self, group, nesterov=group["rule"] == "nesterov")
        continue
      weights, grads, (means,) = _gather(self, group, "mean")
      torch._foreach_lerp_(means, grads, 1 - MUON_BETA)
      ahead = _look_ahead(means, grads, MUON_BETA, _count(group))
      _descend(weights, _orthogonal_of_all(ahead, group), group)


def _group(rule: str, params: Iterable[Tensor]) -> dict[str, Any]:
  """Groups parameters that follow one rule of several."""
  return {"params": list(params), "rule": rule}


def _undecayed(rule: str, params: Iterable[Tensor]) -> dict[str, Any]:
  """Groups parameters that follow a rule without decay."""
  return _group(rule, params) | {"weight_decay": 0.0}


def _step_of_adam(
  rule: Optimizer, group: dict[str, Any], *, nesterov: bool = False
) -> None:
  """Updates one group by AdamW, with or without looking ahead."""
  weights, grads, moments = _gather(rule, group, "mean", "square")
  count = _count(group)
  updates = _adam(
    grads, moments, count, epsilon=ADAM_EPSILON, nesterov=nesterov
  )
  _descend(weights, updates, group)


def _gather(
  rule: Optimizer, group: dict[str, Any], *names: str
) -> tuple[list[Tensor], list[Tensor], list[list[Tensor]]]:
  """Collects weights that have a gradient, the gradients, and named moments.

  Moments begin at 0. Of arrays that are divided over processes these are the
  parts of this one, which is enough for rules that take each number by itself;
  for the others see `_norms` and `_orthogonal_of_all`.
  """
  weights = _moved(group)
  grads = [_own(p.grad) for p in weights]
  for weight in weights:
    state = rule.state[weight]
    for name in names:
      if name not in state:
        state[name] = torch.zeros_like(weight)
  moments = [
    [_own(rule.state[weight][name]) for weight in weights] for name in names
  ]
  return [_own(weight) for weight in weights], grads, moments


def _moved(group: dict[str, Any]) -> list[Tensor]:
  """Lists the parameters of a group that have a gradient."""
  return [p for p in group["params"] if p.grad is not None]


def _is_divided(group: dict[str, Any]) -> bool:
  """Whether of a group's parameters this process has its part alone."""
  return any(hasattr(weight, "to_local") for weight in group["params"])


def _norms(parts: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
  """Computes the norm of each tensor, whole where this process has a part."""
  norms = list(torch._foreach_norm(parts))
  if not norms or not _is_divided(group):
    return norms
  from jaxpower.learn_torch.distributed import divided

  return divided.norms_of_whole(norms)


def _orthogonal_of_all(
  updates: list[Tensor], group: dict[str, Any]
) -> list[Tensor]:
  """Makes updates orthogonal, each as a whole matrix.

  Where this process has a part of each, the whole is gathered from all of them
  and its part of the result kept: as in one process, each does all of it.
  """
  if not _is_divided(group):
    return [_orthogonal(update) for update in updates]
  from jaxpower.learn_torch.distributed import divided

  return [
    divided.on_whole(_orthogonal, update, weight)
    for update, weight in zip(updates, _moved(group), strict=True)
  ]


def _own(value: Any) -> Tensor:
  """Returns this process's part of a tensor; all of it where it is whole."""
  return value.to_local() if hasattr(value, "to_local") else value


def _count(group: dict[str, Any]) -> int:
  """Counts this update, from 1; kept on the host, so nothing waits."""
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
  """Computes Adam's update at rate 1 (Kingma and Ba 2015).

  With `nesterov` it looks ahead (Dozat 2016).
  """
  means, squares = moments
  of_means, of_squares = ADAM_BETAS
  torch._foreach_lerp_(means, grads, 1 - of_means)
  torch._foreach_mul_(squares, of_squares)
  torch._foreach_addcmul_(squares, grads, grads, 1 - of_squares)
  if nesterov:
    updates = _look_ahead(means, grads, of_means, count)
  else:
    updates = list(torch._foreach_div(means, 1 - of_means**count))
  sizes = torch._foreach_div(squares, 1 - of_squares**count)
  torch._foreach_sqrt_(sizes)
  torch._foreach_add_(sizes, epsilon)
  torch._foreach_div_(updates, sizes)
  return updates


def _look_ahead(
  means: list[Tensor], grads: list[Tensor], beta: float, count: int
) -> list[Tensor]:
  """Computes the mean that the next update would have on equal gradients."""
  ahead = list(torch._foreach_mul(means, beta / (1 - beta ** (count + 1))))
  torch._foreach_add_(ahead, grads, alpha=(1 - beta) / (1 - beta**count))
  return ahead


def _orthogonal(update: Tensor) -> Tensor:
  """Computes the nearest orthogonal matrix, of the size of Adam's updates.

  Roughly: by five steps of a Newton-Schulz iteration (Jordan 2024).
  """
  matrix = update.flatten(1)
  rows, columns = matrix.shape
  x = matrix.T if columns < rows else matrix
  x = x / (torch.linalg.matrix_norm(x) + NEWTON_SCHULZ_EPSILON)
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
  """Updates the weights, which first decay by rate times weight decay."""
  if group["weight_decay"]:
    torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
  torch._foreach_add_(weights, updates, alpha=-group["lr"])
