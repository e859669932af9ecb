from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxpower.data import DataError
from jaxpower.data.features import choose_features

IMAGE = tfds.features.Image(shape=(8, 8, 3))
SIGNAL = tfds.features.Tensor(shape=(4,), dtype=np.float32)
WINDOW = tfds.features.Tensor(shape=(4, 2), dtype=np.float64)
VIDEO = tfds.features.Tensor(shape=(4, 8, 8, 3), dtype=np.uint8)
PHOTO = tfds.features.Image()
DEPTH = tfds.features.Image(shape=(None, None, 1), dtype=np.uint16)
TEXT = tfds.features.Text()
LABEL = tfds.features.ClassLabel(num_classes=5)
OTHER = tfds.features.ClassLabel(num_classes=3)
UNSIZED = tfds.features.ClassLabel()
NUMBER = tfds.features.Scalar(dtype=np.int64)


def as_stored(**features: Any) -> dict[str, Any]:
  stored = tfds.features.FeaturesDict(features).to_json()["content"]
  return {"featuresDict": stored}


@pytest.mark.parametrize(
  ("features", "preferred", "key", "labels"),
  [
    ({"a": IMAGE, "b": LABEL}, None, "a", {"label": "b"}),
    (
      {"a": SIGNAL, "b": LABEL, "c": TEXT, "d": NUMBER},
      None,
      "a",
      {"label": "b"},
    ),
    (
      {"a": IMAGE, "b": OTHER, "c": LABEL},
      ("a", "c"),
      "a",
      {"label": "c", "b": "b"},
    ),
    (
      {"a": IMAGE, "b": IMAGE, "c": LABEL},
      ("b", "c"),
      "b",
      {"label": "c"},
    ),
    ({"a": IMAGE, "b": LABEL, "c": TEXT}, ("c", "b"), "c", {"label": "b"}),
    ({"a": IMAGE, "b": LABEL, "c": UNSIZED}, None, "a", {"label": "b"}),
    ({"a": TEXT, "b": LABEL, "c": NUMBER}, None, "a", {"label": "b"}),
    ({"a": PHOTO, "b": LABEL}, None, "a", {"label": "b"}),
    ({"a": TEXT, "b": NUMBER}, None, "a", {}),
    # A further label must not take the place of an input or of the main one.
    (
      {"a": IMAGE, "input": OTHER, "label": OTHER, "c": LABEL},
      ("a", "c"),
      "a",
      {"label": "c"},
    ),
  ],
)
def test_input_and_labels_are_chosen(
  features: dict[str, Any],
  preferred: tuple[str, str] | None,
  key: str,
  labels: dict[str, str],
):
  chosen = choose_features("small", as_stored(**features), preferred)
  assert chosen.input_key == key
  assert chosen.label_keys == labels


@pytest.mark.parametrize(
  ("feature", "size", "kind", "form", "shape", "dtype", "vocabulary"),
  [
    (IMAGE, None, "image", "array", (8, 8, 3), "uint8", None),
    (PHOTO, None, "image", "photo", (128, 128, 3), "uint8", None),
    (PHOTO, 64, "image", "photo", (64, 64, 3), "uint8", None),
    (SIGNAL, None, "window", "array", (4, 1), "float32", None),
    (WINDOW, None, "window", "array", (4, 2), "float32", None),
    (TEXT, None, "tokens", "text", (256,), "uint16", 257),
    (TEXT, 512, "tokens", "text", (512,), "uint16", 257),
  ],
)
def test_what_an_input_becomes(
  feature: Any,
  size: int | None,
  kind: str,
  form: str,
  shape: tuple[int, ...],
  dtype: str,
  vocabulary: int | None,
):
  features = as_stored(x=feature, y=LABEL, z=OTHER)
  chosen = choose_features("small", features, ("x", "y"), size)
  assert (chosen.kind, chosen.form) == (kind, form)
  assert (chosen.input_shape, chosen.input_dtype) == (shape, dtype)
  assert chosen.vocabulary == vocabulary
  assert chosen.labels == {"label": 5, "z": 3}


def test_a_text_alone_is_read_on():
  chosen = choose_features("small", as_stored(text=TEXT), None)
  assert chosen.form == "passages"
  assert (chosen.labels, chosen.input_shape) == ({"label": 257}, (256,))


@pytest.mark.parametrize(
  ("features", "message"),
  [
    (
      {"a": IMAGE, "b": LABEL, "c": LABEL},
      r"a \(Image of uint8 8 x 8 x 3\), b \(ClassLabel\), c \(ClassLabel\)",
    ),
    (
      {"depth": DEPTH, "kind": LABEL},
      r"depth \(Image of uint16 \? x \? x 1\), kind \(ClassLabel\)",
    ),
    ({"a": TEXT, "b": TEXT, "c": LABEL}, r"a \(Text\), b \(Text\)"),
    ({"a": IMAGE, "b": UNSIZED}, r"b \(ClassLabel of unknown size\)"),
    ({"a": IMAGE, "b": NUMBER}, r"b \(Tensor of int64 scalar|b \(Scalar"),
    ({"a": VIDEO, "b": LABEL}, r"a \(Tensor of uint8 4 x 8 x 8 x 3\)"),
    ({"b": LABEL}, r"the set has b \(ClassLabel\)"),
  ],
)
def test_features_that_do_not_fit_are_listed(
  features: dict[str, Any], message: str
):
  with pytest.raises(DataError, match=f"'small' does not fit.*{message}"):
    choose_features("small", as_stored(**features), None)


def test_a_size_for_a_fixed_shape_is_refused():
  with pytest.raises(DataError, match="fixed shape; name it without @64"):
    choose_features("small", as_stored(a=IMAGE, b=LABEL), None, 64)
