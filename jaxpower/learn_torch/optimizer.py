"""From the name of an update rule to the rule, equal to the JAX wing's.

PyTorch's own fused rules where they are the same arithmetic; for Lion, LAMB
and Muon, `jaxpower.learn_torch.rules`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from jaxpower import config
from jaxpower.learn_torch.heads import LOG_VARIANCES
from jaxpower.learn_torch.rules import Lamb, Lion, Muon


def build(rule: config.Optimizer, network: nn.Module) -> torch.optim.Optimizer:
  """The update rule of a config for the weights of a network.

  Weight decay is decoupled from the gradient for "adamw", "lion", "lamb" and
  "muon", and added to it for the others, as in the JAX wing. Log-variances of
  tasks are no weights of the network: they follow the rule without its decay,
  or Adam where the rule is one for matrices or scales by a parameter's own
  size. The rate is set before each update with `set_rate`.
  """
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
    group["lr"] = rate


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
