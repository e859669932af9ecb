"""Chooses which features of a prepared set are learned from, and how.

tensorflow-datasets has hundreds of sets, and a table of what to take from each
would never be whole. So one rule reads any of them off the types of its
features: what the set recommends (`supervised_keys`), else its only image,
tensor or text and its only ClassLabel. Where that leaves a choice, nothing is
guessed: the error lists what the set has.

What is read here are the facts of features.json alone; `inputs` makes the
arrays.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpower.data.facts import DataError

# What texts and photos of many sizes are cut to. Chosen; `name@size` overrides.
SIDE = 128  # pixels of a photo
LENGTH = 256  # bytes of a text

_BYTES = 257  # tokens of a text: its bytes as 1 to 256, and 0 for padding
_NUMBERS = (
  "uint8",
  "uint16",
  "int8",
  "int16",
  "int32",
  "int64",
  "float16",
  "float32",
  "float64",
)


@dataclasses.dataclass(frozen=True)
class ChosenFeatures:
  """The features that are taken of a set, and what an input becomes.

  `form` says how an input is made: an 'array' is taken as it is, a 'photo' is
  cut to `size` x `size` pixels, a 'text' to `size` bytes; 'passages' are cut
  from one long text, and their label is the next byte. `label_keys` names the
  feature of each label in `labels`, which gives their classes.
  """

  form: str
  input_key: str
  label_keys: Mapping[str, str]
  labels: Mapping[str, int]
  kind: str
  input_shape: tuple[int, ...]
  input_dtype: str
  vocabulary: int | None = None
  size: int | None = None


def choose_features(
  name: str,
  features: Mapping[str, Any],
  preferred: tuple[str, str] | None,
  size: int | None = None,
) -> ChosenFeatures:
  """Chooses input and labels of a set with these features, of features.json.

  The input and label the set recommends, `preferred`, else its only Image or
  Tensor, else its only Text, and its only ClassLabel. Other ClassLabels are
  further labels. A text without any is read for its next byte. `size`
  overrides SIDE or LENGTH. Raises DataError that says what does not fit.
  """
  members = features.get("featuresDict", {}).get("features", {})
  inputs = {
    key: form for key in sorted(members) if (form := _input_form(members[key]))
  }
  classes = {
    key: count
    for key in sorted(members)
    if (count := _class_count(members[key]))
  }
  key = _choose_input(inputs, preferred)
  if key is None:
    raise _misfit(name, members)
  main = preferred[1] if preferred and preferred[1] in classes else None
  main = main or (next(iter(classes)) if len(classes) == 1 else None)
  if main is None and (classes or inputs[key] != "text"):
    raise _misfit(name, members)
  if inputs[key] == "array" and size:
    raise DataError(
      f"data set {name!r} has inputs of fixed shape; name it without @{size}"
    )
  label_keys = {"label": main} if main else {}
  label_keys |= {
    other: other for other in classes if other not in (main, "label", "input")
  }
  return _chosen(
    "passages" if main is None else inputs[key],
    key,
    label_keys,
    {label: classes[feature] for label, feature in label_keys.items()},
    *_shape_and_dtype(members[key]),
    size,
  )


def _choose_input(
  inputs: Mapping[str, str], preferred: tuple[str, str] | None
) -> str | None:
  if preferred and preferred[0] in inputs:
    return preferred[0]
  texts = [key for key, form in inputs.items() if form == "text"]
  arrays = [key for key in inputs if key not in texts]
  candidates = arrays or texts
  return candidates[0] if len(candidates) == 1 else None


def _chosen(
  form: str,
  key: str,
  label_keys: Mapping[str, str],
  labels: Mapping[str, int],
  shape: tuple[int, ...],
  dtype: str,
  size: int | None,
) -> ChosenFeatures:
  """Says what shape and type an input of this form has."""
  if form in ("text", "passages"):
    size = size or LENGTH
    labels = labels or {"label": _BYTES}
    return ChosenFeatures(
      form, key, label_keys, labels, "tokens", (size,), "uint16", _BYTES, size
    )
  if form == "photo":
    size = size or SIDE
    square = (size, size, shape[-1])
    return ChosenFeatures(
      form, key, label_keys, labels, "image", square, dtype, size=size
    )
  if len(shape) == 3:
    return ChosenFeatures(form, key, label_keys, labels, "image", shape, dtype)
  window = shape if len(shape) == 2 else (*shape, 1)
  return ChosenFeatures(
    form, key, label_keys, labels, "window", window, "float32"
  )


def _input_form(feature: Mapping[str, Any]) -> str | None:
  """Returns the form of an input of this feature; None if it can be none."""
  class_name = _class_name(feature)
  if class_name == "Text":
    return "text"
  if class_name not in ("Image", "Tensor"):
    return None
  shape, dtype = _shape_and_dtype(feature)
  if _is_photo(class_name, shape, dtype):
    return "photo"
  fits = 1 <= len(shape) <= 3 and min(shape) >= 1 and dtype in _NUMBERS
  return "array" if fits else None


def _is_photo(class_name: str, shape: Sequence[int], dtype: str) -> bool:
  """Tells whether only height and width of an image are open."""
  return (
    class_name == "Image"
    and dtype == "uint8"
    and len(shape) == 3
    and min(shape[:2]) < 1
    and shape[2] in (1, 3)
  )


def _class_count(feature: Mapping[str, Any]) -> int:
  """Returns the classes of a ClassLabel; 0 if unknown or no ClassLabel."""
  if _class_name(feature) != "ClassLabel":
    return 0
  return max(0, int(feature["classLabel"].get("numClasses", 0)))


def _misfit(name: str, members: Mapping[str, Any]) -> DataError:
  listed = ", ".join(
    f"{key} ({_format_feature(members[key])})" for key in sorted(members)
  )
  return DataError(
    f"data set {name!r} does not fit: jaxpower needs one Image, Tensor of "
    "fixed shape or Text and one ClassLabel, or one Text alone; the set has "
    f"{listed or 'no named features'}"
  )


def _format_feature(feature: Mapping[str, Any]) -> str:
  class_name = _class_name(feature)
  if class_name == "ClassLabel":
    sized = _class_count(feature) > 0
    return "ClassLabel" if sized else "ClassLabel of unknown size"
  if class_name not in ("Image", "Tensor"):
    return class_name
  shape, dtype = _shape_and_dtype(feature)
  sides = " x ".join(str(n) if n > 0 else "?" for n in shape)
  return f"{class_name} of {dtype} {sides or 'scalar'}"


def _class_name(feature: Mapping[str, Any]) -> str:
  return feature.get("pythonClassName", "?").rsplit(".", 1)[-1]


def _shape_and_dtype(
  feature: Mapping[str, Any],
) -> tuple[tuple[int, ...], str]:
  """Returns shape and type of an Image or Tensor; an unknown length is -1."""
  content = feature.get("image") or feature.get("tensor") or {}
  shape = content.get("shape", {}).get("dimensions", ())
  return tuple(int(length) for length in shape), content.get("dtype", "?")
