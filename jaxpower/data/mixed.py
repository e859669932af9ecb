"""Mixes several sets into one: 'mnist_5k+digits_28', for multitask training.

Each set gives one label under its own name; an example has it -1 where it is
of another set. -1 is in the arrays of labels themselves, and not beside them
in a mask, so that whatever gathers, cuts, streams or shards one label array
does the same with several.

The sets are shuffled together once, in the order of epoch 0 of seed 0, so that
any first share of a mixed set is a fair sample, as of every bundled one.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from jaxpower.data.facts import DataError, DataSet, Facts, make_set
from jaxpower.data.order import epoch_permutation

JOIN = "+"
ABSENT = -1


def set_names(name: str) -> tuple[str, ...]:
  """Splits the name of a mixed set into those of its sets."""
  return tuple(part.strip() for part in name.split(JOIN))


def describe_mixed(name: str, describe: Callable[[str], Facts]) -> Facts:
  """Returns the facts of a mixed set, from those of its sets.

  The fingerprint is the hash of theirs. Raises DataError where a set is named
  twice, is read for its next token, or has other inputs than the first.
  """
  names = set_names(name)
  if len(set(names)) < len(names):
    raise DataError(f"data set {name!r} names a set twice; name it once")
  described = [describe(each) for each in names]
  first = described[0]
  for facts in described:
    _check_fit(name, first, facts)
  fingerprints = "\n".join(facts.fingerprint for facts in described).encode()
  return dataclasses.replace(
    first,
    name=JOIN.join(names),
    train_examples=sum(facts.train_examples for facts in described),
    test_examples=sum(facts.test_examples for facts in described),
    validation_examples=sum(facts.validation_examples for facts in described),
    labels={
      each: facts.classes for each, facts in zip(names, described, strict=True)
    },
    source=_join_distinct(facts.source for facts in described),
    licence=_join_distinct(facts.licence for facts in described),
    version=JOIN.join(facts.version for facts in described),
    fingerprint=f"mixed:sha256:{hashlib.sha256(fingerprints).hexdigest()}",
    test_split=JOIN.join(
      dict.fromkeys(facts.test_split for facts in described)
    ),
    cautions=tuple(c for facts in described for c in facts.cautions),
  )


def _check_fit(name: str, first: Facts, other: Facts) -> None:
  # Labels that are the next tokens are as many as the tokens.
  if other.kind == "tokens" and other.classes == other.vocabulary:
    raise DataError(
      f"data set {name!r}: the label of {other.name} is the next token at"
      " every position; it cannot be mixed with another"
    )
  for what, expected, value in (
    ("kind", first.kind, other.kind),
    ("shape", first.input_shape, other.input_shape),
    ("type", first.input_dtype, other.input_dtype),
    ("vocabulary", first.vocabulary, other.vocabulary),
  ):
    if expected != value:
      raise DataError(
        f"data set {name!r}: inputs of another {what}, {first.name} has"
        f" {_format_fact(expected)} and {other.name} {_format_fact(value)};"
        " mix sets of equal ones"
      )


def _format_fact(value: object) -> str:
  if isinstance(value, tuple):
    return " x ".join(map(str, value))
  return str(value)


def _join_distinct(texts: Iterable[str]) -> str:
  return "; ".join(dict.fromkeys(texts))


def load_mixed(facts: Facts, load: Callable[[str], DataSet]) -> DataSet:
  """Loads the splits of a mixed set, in one fixed order, always in memory.

  Mean and deviation are over all training inputs. Its validation set is those
  of its sets, so that each is decided by the same examples as by itself.
  """
  sets, names = [load(n) for n in set_names(facts.name)], tuple(facts.labels)
  train, test = (
    _mix(names, splits)
    for splits in ([s.train for s in sets], [s.test for s in sets])
  )
  validations = [s.validation for s in sets if s.validation is not None]
  if not validations:
    return make_set(facts, train, test)
  return make_set(
    facts,
    train,
    test,
    validation=_mix(names, validations),
    left=_mix_left(sets),
  )


def _mix_left(sets: Sequence[DataSet]) -> np.ndarray:
  """Returns the places in the mixed training set that are left to train on."""
  masks = []
  for each in sets:
    mask = np.full(len(each.train["input"]), each.left is None)
    mask[[] if each.left is None else each.left] = True
    masks.append(mask)
  kept = np.concatenate(masks)
  order = epoch_permutation(seed=0, epoch=0, examples=len(kept))
  return np.flatnonzero(kept[order]).astype(np.int32)


def _mix(
  names: Sequence[str], splits: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
  """Shuffles splits together; the label of each set is ABSENT elsewhere."""
  counts = [len(split["input"]) for split in splits]
  set_number = np.repeat(np.arange(len(splits)), counts)
  order = epoch_permutation(seed=0, epoch=0, examples=len(set_number))
  mixed = {"input": np.concatenate([split["input"] for split in splits])[order]}
  for number, (name, split) in enumerate(zip(names, splits, strict=True)):
    label = np.full(len(set_number), ABSENT, np.int32)
    label[set_number == number] = split["label"]
    mixed[name] = label[order]
  return mixed
