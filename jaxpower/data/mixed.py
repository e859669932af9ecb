"""Several sets as one: 'mnist_5k+digits_28', mixed in every batch.

Each set gives one label under its own name; an example has it -1 where it is
of another set.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from jaxpower.data.facts import DataError, DataSet, Facts, make_set
from jaxpower.data.order import epoch_permutation

JOIN = "+"
ABSENT = -1


def parts_of(name: str) -> tuple[str, ...]:
  """The names of the sets that a name joins; one for a single set."""
  return tuple(part.strip() for part in name.split(JOIN))


def describe_mixed(name: str, describe: Callable[[str], Facts]) -> Facts:
  """The facts of a mixed set, from those of its sets.

  The fingerprint is the hash of theirs. Raises DataError where a set is named
  twice, is read for its next token, or has other inputs than the first.
  """
  parts = parts_of(name)
  if len(set(parts)) < len(parts):
    raise DataError(f"data set {name!r} names a set twice; name it once")
  facts = [describe(part) for part in parts]
  for each in facts:
    _check(name, facts[0], each)
  content = "\n".join(each.fingerprint for each in facts).encode()
  first = facts[0]
  return dataclasses.replace(
    first,
    name=JOIN.join(parts),
    train_examples=sum(each.train_examples for each in facts),
    test_examples=sum(each.test_examples for each in facts),
    labels={
      part: each.classes for part, each in zip(parts, facts, strict=True)
    },
    source=_joined(each.source for each in facts),
    licence=_joined(each.licence for each in facts),
    version=JOIN.join(each.version for each in facts),
    fingerprint=f"mixed:sha256:{hashlib.sha256(content).hexdigest()}",
    test_split=JOIN.join(dict.fromkeys(each.test_split for each in facts)),
  )


def load_mixed(facts: Facts, load: Callable[[str], DataSet]) -> DataSet:
  """Both splits of a mixed set, in one fixed order, always in memory.

  Mean and deviation are over all training inputs.
  """
  sets = [load(part) for part in parts_of(facts.name)]
  train, test = (
    _mix(tuple(facts.labels), splits)
    for splits in ([s.train for s in sets], [s.test for s in sets])
  )
  return make_set(facts, train, test)


def _mix(
  names: Sequence[str], splits: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
  counts = [len(split["input"]) for split in splits]
  source = np.repeat(np.arange(len(splits)), counts)
  order = epoch_permutation(seed=0, epoch=0, examples=len(source))
  mixed = {"input": np.concatenate([split["input"] for split in splits])[order]}
  for number, (name, split) in enumerate(zip(names, splits, strict=True)):
    label = np.full(len(source), ABSENT, np.int32)
    label[source == number] = split["label"]
    mixed[name] = label[order]
  return mixed


def _check(name: str, first: Facts, other: Facts) -> None:
  # Labels that are the next tokens are as many as the tokens.
  if other.kind == "tokens" and other.classes == other.vocabulary:
    raise DataError(
      f"data set {name!r}: the label of {other.name} is the next token at"
      " every position; it cannot be mixed with another"
    )
  for what, mine, its in (
    ("kind", first.kind, other.kind),
    ("shape", first.input_shape, other.input_shape),
    ("type", first.input_dtype, other.input_dtype),
    ("vocabulary", first.vocabulary, other.vocabulary),
  ):
    if mine != its:
      raise DataError(
        f"data set {name!r}: inputs of another {what}, {first.name} has"
        f" {_told(mine)} and {other.name} {_told(its)}; mix sets of equal ones"
      )


def _told(value: object) -> str:
  if isinstance(value, tuple):
    return " x ".join(map(str, value))
  return str(value)


def _joined(texts: Iterable[str]) -> str:
  return "; ".join(dict.fromkeys(texts))
