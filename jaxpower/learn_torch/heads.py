"""Trains several tasks in one network: a head for each, one loss from theirs.

The twin of `jaxpower.learn.heads`: the outputs of the one last layer are split
at the tasks' borders. Labels are int32 [batch, tasks], -1 where an example has
none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jaxpower.config import Trial
from jaxpower.learn_torch import tasks

# Learned weights of the tasks: kept beside the head's parameters, since they
# are no part of a backbone.
LOG_VARIANCES = "log_variances"


def losses(
  logits: Tensor,
  labels: Tensor,
  classes: Sequence[int],
  smoothing: float = 0.0,
) -> Tensor:
  """Computes the cross entropy of each example and task in nats.

  Returns:
    float32 [batch, tasks], 0 without a label.
  """
  entropies = [
    tasks.losses(scores, labels[:, task], smoothing)
    for task, scores in enumerate(split(logits, classes))
  ]
  return torch.stack(entropies, dim=1)


def correct(logits: Tensor, labels: Tensor, classes: Sequence[int]) -> Tensor:
  """Tells whether the largest logit of a task's head is its label's.

  Returns:
    float32 [batch, tasks] of 0 and 1, 0 without a label.
  """
  hits = [
    tasks.correct(scores, labels[:, task])
    for task, scores in enumerate(split(logits, classes))
  ]
  return torch.stack(hits, dim=1)


def by_uncertainty(losses: Tensor, log_variances: Tensor) -> Tensor:
  """Weighs the tasks' losses [tasks] by the learned uncertainty of each.

  With s = log(sigma ** 2) of each task it is the sum of exp(-s) * loss + s / 2,
  the form for classification of Kendall, Gal and Cipolla (2018), equation 10.
  """
  return (torch.exp(-log_variances) * losses + log_variances / 2).sum()


def shares(
  labels: np.ndarray, trial: Trial, accumulation: int, processes: int = 1
) -> np.ndarray:
  """Computes what an example's loss of each task counts in its micro-batch.

  A task's weight over its labels in the whole batch, so that micro-batches
  with few labels of a task weigh what they hold, times the micro-batches of
  all processes, whose losses are averaged.

  Args:
    labels: int32 [steps, batch, tasks], of each update, over all processes.
    trial: Its weights; 1 where it says nothing, or learns them.
    accumulation: Micro-batches of each process in an update.
    processes: Those that each batch is divided over.

  Returns:
    float32 [steps * accumulation, tasks].
  """
  fixed = trial.task_weights if trial.task_weighting == "fixed" else {}
  weights = [fixed.get(task, 1.0) for task in trial.tasks]
  counts = np.maximum((labels >= 0).sum(axis=1), 1)
  per_example = accumulation * processes * np.array(weights) / counts
  return np.repeat(per_example.astype(np.float32), accumulation, axis=0)


def add_log_variances(network: nn.Module, count: int) -> None:
  """Gives a network's head learned weights of `count` tasks, from 1 on."""
  head: Any = network.get_submodule("head")
  head.register_parameter(LOG_VARIANCES, nn.Parameter(torch.zeros(count)))


def log_variances(network: nn.Module) -> Tensor:
  """Returns a network's learned log-variances, [tasks]."""
  head: Any = network.head
  return head.log_variances


def split(logits: Tensor, classes: Sequence[int]) -> Sequence[Tensor]:
  """Splits logits [batch, sum of classes] into those of each task's head."""
  return logits.split(list(classes), dim=-1)
