"""Makes a data set of arrays that anybody gives, or says what is wrong.

One line names the split, the first example that is wrong and the fix. What is
found is what silently spoils an experiment: inputs that are not finite, labels
that begin at 1, test examples that were trained on.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxpower.data.facts import DataError, DataSet, Facts, hash_arrays, make_set
from jaxpower.data.validation import TEST_SHARE, drawn

SPLITS = ("train", "test", "validation")
GIVEN = ("kind", "vocabulary")  # what may stand beside the splits
KINDS = ("image", "window", "tokens")
# Of a split's examples that are in another one too: up to here a record warns,
# above no trial is run. Chosen: published sets have a few such images.
MOST_SHARED = 0.01
ROWS = 1024  # that are looked at together; chosen

Arrays = dict[str, np.ndarray]


def make(name: str, given: Mapping[str, Any]) -> DataSet:
  """Makes a data set of splits, each of "input", "label" and other labels.

  Without a test split a fifth of the training set is the test set, as of other
  sets. Raises DataError where the arrays do not fit together.
  """
  _check_names(name, given)
  splits: dict[str, Arrays] = {}
  kind = given.get("kind") or _kind(name, given["train"]["input"])
  for split in SPLITS:
    if split in given:
      splits[split] = _split(name, split, given[split], kind)
  _check_alike(name, splits)
  test_split = "test" if "test" in splits else "train"
  if "test" not in splits:
    splits |= _divided(splits["train"])
  labels = {
    label: _classes(name, label, splits)
    for label in splits["train"]
    if label != "input"
  }
  vocabulary = None
  if kind == "tokens":
    vocabulary = _vocabulary(name, given.get("vocabulary"), splits, labels)
    if splits["train"]["label"].ndim > 1:
      labels["label"] = vocabulary
  train = splits["train"]
  facts = Facts(
    name=name,
    kind=kind,
    train_examples=len(train["input"]),
    test_examples=len(splits["test"]["input"]),
    input_shape=train["input"].shape[1:],
    input_dtype=str(train["input"].dtype),
    labels=labels,
    source=name,
    licence="the user's own",
    version="",
    fingerprint=f"own:sha256:{hash_arrays(splits.values())}",
    test_split=test_split,
    validation_examples=len(splits.get("validation", {}).get("input", ())),
    vocabulary=vocabulary,
    cautions=_shared(name, splits),
  )
  return make_set(
    facts, train, splits["test"], validation=splits.get("validation")
  )


def _check_names(name: str, given: Mapping[str, Any]) -> None:
  unknown = [key for key in given if key not in (*SPLITS, *GIVEN)]
  if "train" not in given or unknown:
    what = f"what is {unknown[0]!r}?" if unknown else "there is no train split;"
    raise DataError(
      f"{name}: {what} give train, test and, if you like, validation, kind and"
      " vocabulary"
    )
  if given.get("kind", KINDS[0]) not in KINDS:
    raise DataError(
      f"{name}: kind {given['kind']!r} is none of {', '.join(KINDS)}"
    )
  for split in SPLITS:
    for part in ("input", "label"):
      if split in given and part not in given[split]:
        held = ", ".join(given[split]) or "nothing"
        raise DataError(f"{name}: {split} has no {part}; it has {held}")


def _kind(name: str, values: Any) -> str:
  """Tells from shape and type what one input is."""
  inputs = np.asanyarray(values)
  match inputs.ndim, inputs.dtype.kind:
    case 4, _:
      return "image"
    case 3, _:
      return "image" if inputs.dtype == np.uint8 else "window"
    case 2, "u" | "i":
      return "tokens"
    case 2, _:
      return "window"
  raise DataError(
    f"{name}: inputs are {inputs.shape}, type {inputs.dtype}; give images [n,"
    " height, width, channels], windows [n, time, channels], values [n,"
    " features] or tokens [n, length]"
  )


def _split(
  name: str, split: str, parts: Mapping[str, Any], kind: str
) -> Arrays:
  """Converts the arrays of one split, and checks each alone."""
  inputs = _inputs(name, split, np.asanyarray(parts["input"]), kind)
  found = {"input": inputs}
  for label, values in parts.items():
    if label != "input":
      found[str(label)] = _labels(name, split, str(label), values, inputs, kind)
  return found


def _inputs(name: str, split: str, inputs: np.ndarray, kind: str) -> np.ndarray:
  if inputs.dtype.kind not in "buif":
    raise DataError(
      f"{name}: {split} inputs are of type {inputs.dtype}; give numbers, all"
      " examples of one shape"
    )
  if not len(inputs):
    raise DataError(f"{name}: {split} has no examples")
  if kind == "tokens":
    if inputs.ndim != 2 or inputs.dtype.kind not in "ui" or inputs.min() < 0:
      raise DataError(
        f"{name}: {split} tokens are {inputs.shape}, {inputs.dtype}; give whole"
        " numbers from 0, the padding, [n, length]"
      )
    small = inputs.dtype in (np.uint8, np.uint16)
    return inputs if small else inputs.astype(np.int32)
  if inputs.dtype != np.uint8:
    inputs = inputs.astype(np.float32, copy=False)
    _check_finite(name, split, inputs)
  axes = 4 if kind == "image" else 3
  if inputs.ndim == axes - 1:  # of one channel
    inputs = inputs[..., None]
  if inputs.ndim != axes:
    raise DataError(
      f"{name}: {split} inputs are {inputs.shape}, which is no {kind}"
    )
  return inputs


def _check_finite(name: str, split: str, inputs: np.ndarray) -> None:
  for start in range(0, len(inputs), ROWS):
    rows = inputs[start : start + ROWS].reshape(len(inputs[start:][:ROWS]), -1)
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
      raise DataError(
        f"{name}: {split} example {start + wrong[0]} holds numbers that are not"
        " finite, and no network learns from them; leave it out or fill it"
      )


def _labels(
  name: str,
  split: str,
  label: str,
  given: Any,
  inputs: np.ndarray,
  kind: str,
) -> np.ndarray:
  values = np.asanyarray(given)
  where = f"{name}: {split} {label}"
  if values.ndim == 2 and values.shape[1] == 1:
    values = values[:, 0]
  next_tokens = kind == "tokens" and values.shape == inputs.shape
  if len(values) != len(inputs):
    raise DataError(
      f"{where} has {len(values)} examples, the inputs {len(inputs)}"
    )
  if values.ndim != 1 and not next_tokens:
    raise DataError(
      f"{where} is {values.shape}; give one class of each example, as"
      " y.argmax(axis=1) makes of one-hot labels"
    )
  if values.dtype.kind not in "uib":
    raise DataError(
      f"{where} is of type {values.dtype}; number the classes 0, 1, 2, ..."
    )
  if values.min() < -1:
    at = int(np.argmin(values.reshape(len(values), -1).min(axis=1)))
    raise DataError(
      f"{where} of example {at} is {values.min()}; classes are 0, 1, 2, ...,"
      " and -1 is no label"
    )
  return values.astype(np.int32)


def _check_alike(name: str, splits: Mapping[str, Arrays]) -> None:
  """Raises DataError where splits differ in shape, type or labels."""
  first = splits["train"]
  for split, arrays in splits.items():
    for what, here, there in (
      ("labels", sorted(arrays), sorted(first)),
      ("inputs", arrays["input"].shape[1:], first["input"].shape[1:]),
      ("inputs", str(arrays["input"].dtype), str(first["input"].dtype)),
    ):
      if here != there:
        raise DataError(
          f"{name}: {what} of {split} are {here}, those of train {there}"
        )


def _divided(train: Arrays) -> dict[str, Arrays]:
  """Gives a share of a training set to the test set, classes in proportion."""
  held = drawn(train, TEST_SHARE)
  left = np.setdiff1d(np.arange(len(train["input"])), held)
  return {
    split: {part: values[rows] for part, values in train.items()}
    for split, rows in (("train", left), ("test", held))
  }


def _classes(name: str, label: str, splits: Mapping[str, Arrays]) -> int:
  """Counts the classes; each of them has to have a training example."""
  top = max(int(arrays[label].max()) for arrays in splits.values()) + 1
  if splits["train"][label].ndim > 1:
    return top
  counts = np.bincount(splits["train"][label][splits["train"][label] >= 0])
  seen = np.zeros(top, bool)
  seen[: len(counts)] = counts > 0
  if not top or not seen.all():
    missing = np.flatnonzero(~seen)
    shown = ", ".join(map(str, missing[:3])) + (
      "" if len(missing) < 4 else ", ..."
    )
    raise DataError(
      f"{name}: {label} goes up to {top - 1}, and no training example is of"
      f" class {shown}; number the classes 0, 1, 2, ..."
    )
  return top


def _vocabulary(
  name: str,
  given: Any,
  splits: Mapping[str, Arrays],
  labels: Mapping[str, int],
) -> int:
  """Counts the tokens, the padding and those of next tokens among them."""
  needed = max(int(arrays["input"].max()) for arrays in splits.values()) + 1
  if splits["train"]["label"].ndim > 1:
    needed = max(needed, labels["label"])
  if given is not None and int(given) < needed:
    raise DataError(
      f"{name}: vocabulary {given}, and there is a token {needed - 1}"
    )
  return int(given or needed)


def _shared(name: str, splits: Mapping[str, Arrays]) -> tuple[str, ...]:
  """Says which examples are in two splits, as far as that is no reason to stop.

  Raises DataError where they are more than MOST_SHARED of the smaller one.
  """
  seen = {s: _by_hash(arrays["input"]) for s, arrays in splits.items()}
  cautions = []
  for one, other in (
    ("test", "train"),
    ("validation", "train"),
    ("validation", "test"),
  ):
    both = seen.get(one, {}).keys() & seen.get(other, {}).keys()
    if not both:
      continue
    first = min(both, key=lambda digest: seen[one][digest])
    line = (
      f"{name}: {len(both)} of {len(seen[one])} inputs of {one} are in {other}"
      f" too (the first: {one} {seen[one][first]} is {other}"
      f" {seen[other][first]})"
    )
    if len(both) > MOST_SHARED * len(seen[one]):
      raise DataError(f"{line}; leave them out of one of the two")
    cautions.append(line)
  return tuple(cautions)


def _by_hash(inputs: np.ndarray) -> dict[bytes, int]:
  """Maps the hash of each input to the first example that has it."""
  found: dict[bytes, int] = {}
  for number, row in enumerate(inputs):
    content = np.ascontiguousarray(row)
    digest = hashlib.blake2b(content.data, digest_size=16).digest()
    found.setdefault(digest, number)
  return found
