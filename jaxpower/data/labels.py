"""A share of a training set, the same for every seed.

The labels that are asked for, out of all that a set has.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jaxpower.data.facts import DataSet, Facts


def for_tasks(found: DataSet, tasks: Sequence[str]) -> DataSet:
  """The set with 'label' alone: what `tasks` name, and nothing else.

  For one task 'label' is as the set has it, and `facts.labels` names it
  'label'. For several it is int32 [n, tasks], -1 where an example has none,
  and `facts.labels` has each under its own name, in their order. Examples that
  have none of the labels are left out; mean, deviation and hash stay those of
  the whole set.
  """
  train, test = (_narrow(split, tasks) for split in (found.train, found.test))
  labels = {
    name: found.facts.labels[task]
    for name, task in zip(_names(tasks), tasks, strict=True)
  }
  facts = dataclasses.replace(
    found.facts,
    labels=labels,
    train_examples=len(train["input"]),
    test_examples=len(test["input"]),
  )
  return dataclasses.replace(found, facts=facts, train=train, test=test)


def classes_of(facts: Facts, tasks: Sequence[str]) -> tuple[int, ...]:
  """The classes of each task, of facts that `for_tasks` has narrowed."""
  return tuple(facts.labels[name] for name in _names(tasks))


def _names(tasks: Sequence[str]) -> Sequence[str]:
  """What the labels of tasks are called once they alone are left."""
  return ("label",) if len(tasks) == 1 else tasks


def _narrow(
  split: Mapping[str, np.ndarray], tasks: Sequence[str]
) -> dict[str, np.ndarray]:
  inputs = split["input"]
  if len(tasks) > 1:
    label = np.stack([split[task] for task in tasks], axis=1)
    asked = (label >= 0).any(axis=1)
  else:
    label = split[tasks[0]]
    asked = label >= 0 if label.ndim == 1 else np.ones(len(label), bool)
  if asked.all():  # no copy of a set that may lie on disk
    return {"input": inputs, "label": label}
  return {"input": inputs[asked], "label": label[asked]}


def examples_of(labels: np.ndarray, share: float) -> np.ndarray:
  """Which examples belong to a share of a set: int32, in rising order.

  Taken at even distances from the examples sorted by class, so that every
  class keeps its proportion to within one example; where labels are [n,
  length], from the examples as they lie. At least one example.
  """
  count = max(1, round(share * len(labels)))
  order = np.arange(len(labels))
  if labels.ndim == 1:
    order = np.argsort(labels, kind="stable")
  places = np.arange(count) * len(labels) // count
  return np.sort(order[places]).astype(np.int32)


def kinds_of(labels: np.ndarray, tasks: int) -> np.ndarray:
  """What a share of the data holds in proportion: [n], or text as it is.

  With several tasks, labels [n, tasks], each combination of them is a kind.
  """
  if tasks == 1:
    return labels
  return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
