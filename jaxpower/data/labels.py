"""The labels that are asked for, out of all that a set has."""

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
