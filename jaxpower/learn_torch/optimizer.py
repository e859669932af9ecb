"""From the name of an update rule to the rule, equal to the JAX wing's.

PyTorch's own fused rules where they are the same arithmetic; for Lion, LAMB
and Muon, `jaxpower.learn_torch.rules`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from jaxpower import config
from jaxpower.learn_torch.backbone import in_backbone
from jaxpower.learn_torch.heads import LOG_VARIANCES
from jaxpower.learn_torch.rules import Lamb, Lion, Muon

FACTOR = "backbone_rate"  # of a group, where its rate is not the head's


def build(
  rule: config.Optimizer, network: nn.Module, backbone_rate: float = 1.0
) -> torch.optim.Optimizer:
  """The update rule of a config for what of a network is trained.

  The backbone's rate is `backbone_rate` times the head's; every rule's update,
  decay included, is proportional to its rate.

  Weight decay is decoupled from the gradient for "adamw", "lion", "lamb" and
  "muon", and added to it for the others, as in the JAX wing. Log-variances of
  tasks are no weights of the network: they follow the rule without its decay,
  or Adam where the rule is one for matrices or scales by a parameter's own
  size. The rate is set before each update with `set_rate`.
  """
  update = _rule(rule, network)
  if backbone_rate != 1:
    _slow_down(update, network, backbone_rate)
  return update


def _rule(rule: config.Optimizer, network: nn.Module) -> torch.optim.Optimizer:
  trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
  noises = [p for n, p in trained.items() if n.endswith(LOG_VARIANCES)]
  plain = [p for n, p in trained.items() if not n.endswith(LOG_VARIANCES)]
  weights: list[dict[str, Any]] = [{"params": plain}]
  if noises:
    weights.append({"params": noises, "weight_decay": 0.0})
  decay = rule.weight_decay
  match rule.name:
    case "sgd":
      return torch.optim.SGD(weights, lr=0.0, weight_decay=decay, fused=True)
    case "momentum" | "nesterov":
      return torch.optim.SGD(
        weights,
        lr=0.0,
        momentum=rule.momentum,
        # With none of it both rules are plain descent; PyTorch refuses.
        nesterov=rule.name == "nesterov" and rule.momentum > 0,
        weight_decay=decay,
        fused=True,
      )
    case "adam":
      return torch.optim.Adam(weights, lr=0.0, weight_decay=decay, fused=True)
    case "adamw":
      return torch.optim.AdamW(weights, lr=0.0, weight_decay=decay, fused=True)
    case "lion":
      return Lion(weights, weight_decay=decay)
    case "lamb":
      return Lamb(plain, noises, weight_decay=decay)
    case "muon":
      chosen = matrices(network)
      others = [p for p in plain if all(p is not m for m in chosen)]
      return Muon(chosen, others, noises, weight_decay=decay)
  raise ValueError(f"no optimizer is named {rule.name}")


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
  """The learning rate of the next update; nothing waits for a device."""
  for group in optimizer.param_groups:
    group["lr"] = rate * group.get(FACTOR, 1.0)


def matrices(network: nn.Module) -> list[Tensor]:
  """The weights that Muon takes: kernels, but for a head's.

  Those of dense layers are [outputs, inputs], those of convolutions [outputs,
  inputs, height, width] and taken as one matrix from all inputs of the window
  to the outputs.
  """
  return [
    module.weight
    for name, module in network.named_modules()
    if isinstance(module, nn.Linear | nn.Conv2d)
    and "head" not in name.split(".")
    and module.weight.requires_grad
  ]


def _slow_down(
  update: torch.optim.Optimizer, network: nn.Module, rate: float
) -> None:
  """Gives the backbone's part of each group a rate of its own."""
  backbone = {id(p) for n, p in network.named_parameters() if in_backbone(n)}
  for group in tuple(update.param_groups):
    slow = [p for p in group["params"] if id(p) in backbone]
    rest = [p for p in group["params"] if id(p) not in backbone]
    if not slow:
      continue
    group["params"] = slow
    if rest:
      update.add_param_group({**group, "params": rest})
    group[FACTOR] = rate
