"""Selects what of a set a trial learns: labels of its tasks, share of examples.

A share is stratified: every class keeps its proportion, so that less data is
not also other data. It is chosen from the labels alone, without a seed, so that
the seeds of a trial differ in order and weights and not in the data; and it is
indices on the host, so that no shape changes and nothing compiles anew.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jaxpower.data.facts import DataSet, Facts


def for_tasks(sets: DataSet, tasks: Sequence[str]) -> DataSet:
  """Narrows a data set to the labels of `tasks`, as one array 'label'.

  For one task 'label' is as the set has it, and `facts.labels` names it
  'label'. For several it is int32 [n, tasks], -1 where an example has none,
  and `facts.labels` has each under its own name, in their order. Examples that
  have none of the labels are left out; mean, deviation and hash stay those of
  the whole set.
  """
  (train, kept), (test, _) = (
    _narrow(split, tasks) for split in (sets.train, sets.test)
  )
  validation, left = sets.validation, sets.left
  if validation is not None:
    validation, _ = _narrow(validation, tasks)
  if left is not None and kept is not None:
    left = (np.cumsum(kept) - 1)[left[kept[left]]].astype(np.int32)
  labels = {
    name: sets.facts.labels[task]
    for name, task in zip(_label_names(tasks), tasks, strict=True)
  }
  facts = dataclasses.replace(
    sets.facts,
    labels=labels,
    train_examples=len(train["input"]),
    test_examples=len(test["input"]),
  )
  return dataclasses.replace(
    sets, facts=facts, train=train, test=test, validation=validation, left=left
  )


def classes_of(facts: Facts, tasks: Sequence[str]) -> tuple[int, ...]:
  """Returns the number of classes of each task, of facts from `for_tasks`."""
  return tuple(facts.labels[name] for name in _label_names(tasks))


def _label_names(tasks: Sequence[str]) -> Sequence[str]:
  """Returns the names of the tasks' labels in a set that was narrowed."""
  return ("label",) if len(tasks) == 1 else tasks


def _narrow(
  split: Mapping[str, np.ndarray], tasks: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
  """Returns "input" and "label", and which examples these are; None: all."""
  inputs = split["input"]
  if len(tasks) > 1:
    label = np.stack([split[task] for task in tasks], axis=1)
    labelled = np.asarray((label >= 0).any(axis=1))
  else:
    label = split[tasks[0]]
    labelled = np.ones(len(label), bool)
    if label.ndim == 1:
      np.greater_equal(label, 0, out=labelled)
  if labelled.all():  # no copy of a set that may lie on disk
    return {"input": inputs, "label": label}, None
  return {"input": inputs[labelled], "label": label[labelled]}, labelled


def strata(labels: np.ndarray, tasks: int) -> np.ndarray:
  """Returns the stratum of each example, int [n], for a stratified share.

  With one task it is the label, with several, labels [n, tasks], the
  combination of them. Labels of text, [n, length], come back as they are.
  """
  if tasks == 1:
    return labels
  return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)


def chosen_indices(sets: DataSet, tasks: int, share: float) -> np.ndarray:
  """Chooses what a trial trains on: a share of what is not held back.

  Args:
    sets: From `for_tasks`.
    tasks: How many.
    share: Of the examples that are left, stratified.

  Returns:
    int32 indices of training examples, which rise.
  """
  stratum = strata(sets.train["label"], tasks)
  if sets.left is None:
    return subset_indices(stratum, share)
  return sets.left[subset_indices(stratum[sets.left], share)]


def subset_indices(stratum: np.ndarray, share: float) -> np.ndarray:
  """Chooses a share of the examples, stratified: int32 indices that rise.

  Takes examples at even distances from all of them sorted by `stratum` [n], so
  that every stratum keeps its proportion to within one example; where it is
  [n, length], the labels of text, from the examples as they lie. At least one.
  """
  count = max(1, round(share * len(stratum)))
  order = np.arange(len(stratum))
  if stratum.ndim == 1:
    order = np.argsort(stratum, kind="stable")
  places = np.arange(count) * len(stratum) // count
  return np.sort(order[places]).astype(np.int32)
