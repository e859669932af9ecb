"""What is wrong with arrays that anybody gives, in one line."""

from typing import Any

import numpy as np
import pytest

from jaxpower.data import DataError
from jaxpower.data.checked_arrays import make


def split(examples: int, seed: int, shape: tuple[int, ...] = (5, 2)) -> Any:
  random = np.random.default_rng(seed)
  return {
    "input": random.standard_normal((examples, *shape)),
    "label": np.arange(examples) % 4,
  }


def given(**changes: Any) -> dict[str, Any]:
  return {"train": split(200, 0), "test": split(100, 1)} | changes


def changed(which: str, **parts: Any) -> dict[str, Any]:
  arrays = given()
  arrays[which] = {**arrays[which], **parts}
  return arrays


def at(values: Any, place: int, value: float) -> np.ndarray:
  copy = np.array(values)
  copy[place] = value
  return copy


WINDOWS = given()["train"]["input"]
LABELS = np.arange(200) % 4


@pytest.mark.parametrize(
  ("inputs", "kind", "shape", "dtype"),
  [
    (np.zeros((9, 4, 4, 3), np.uint8), "image", (4, 4, 3), "uint8"),
    (np.zeros((9, 4, 4), np.uint8), "image", (4, 4, 1), "uint8"),
    (np.zeros((9, 4, 4, 1), np.uint16), "image", (4, 4, 1), "float32"),
    (np.zeros((9, 50, 6)), "window", (50, 6), "float32"),
    (np.zeros((9, 50, 6), np.int16), "window", (50, 6), "float32"),
    (np.zeros((9, 30), np.float16), "window", (30, 1), "float32"),
    (np.zeros((9, 30), np.int64), "tokens", (30,), "int32"),
    (np.zeros((9, 30), np.uint16), "tokens", (30,), "uint16"),
  ],
)
def test_the_kind_is_told_from_shape_and_type(
  inputs: np.ndarray, kind: str, shape: tuple[int, ...], dtype: str
) -> None:
  inputs = inputs + np.arange(9, dtype=inputs.dtype).reshape(
    -1, *[1] * (inputs.ndim - 1)
  )
  label = np.arange(9) % 2
  facts = make("x", {"train": {"input": inputs, "label": label}}).facts
  assert (facts.kind, facts.input_shape) == (kind, shape)
  assert (facts.input_dtype, facts.test_split) == (dtype, "train")
  assert facts.train_examples + facts.test_examples == 9


def test_next_tokens_have_the_vocabulary_as_classes() -> None:
  tokens = np.random.default_rng(0).integers(1, 30, (50, 8))
  parts = {"input": tokens[:, :-1], "label": tokens[:, 1:]}
  found = make("x", {"train": parts, "vocabulary": 40})
  assert (found.facts.vocabulary, found.facts.labels) == (40, {"label": 40})
  assert make("x", {"train": parts}).facts.vocabulary == tokens.max() + 1
  with pytest.raises(DataError, match="vocabulary 7, and there is a token 29"):
    make("x", {"train": parts, "vocabulary": 7})


def test_further_labels_may_be_missing_for_some_examples() -> None:
  subject = np.where(np.arange(200) % 3, np.arange(200) % 2, -1)
  arrays = changed("train", subject=subject)
  arrays["test"]["subject"] = np.zeros(100, int)
  assert make("x", arrays).facts.labels == {"label": 4, "subject": 2}


@pytest.mark.parametrize(
  ("arrays", "line"),
  [
    ({}, "there is no train split; give train, test and"),
    (given(tset=3), "what is 'tset'? give train, test"),
    (given(kind="images"), "kind 'images' is none of image, window, tokens"),
    (
      given(test={"input": WINDOWS}),
      "test has no label; it has input",
    ),
    (
      changed("train", input=at(WINDOWS, 7, np.nan)),
      "train example 7 holds numbers that are not finite",
    ),
    (
      changed("test", input=at(given()["test"]["input"], 3, np.inf)),
      "test example 3 holds numbers that are not finite",
    ),
    (changed("train", input=np.zeros(200)), "inputs are (200,), type float64"),
    (
      changed("train", input=np.array([[1], [1, 2]], object)),
      "inputs are (2,), type object",
    ),
    (
      changed("train", input=np.full((200, 5, 2), "a")),
      "train inputs are of type <U1; give numbers",
    ),
    (
      changed("test", input=np.zeros((100, 6, 2))),
      "inputs of test are (6, 2), those of train (5, 2)",
    ),
    (
      changed("train", subject=LABELS),
      "labels of test are ['input', 'label'], those of train ['input',",
    ),
    (
      changed("train", label=LABELS[:-1]),
      "train label has 199 examples, the inputs 200",
    ),
    (
      changed("train", label=np.eye(4)[LABELS]),
      "train label is (200, 4); give one class of each example",
    ),
    (
      changed("train", label=LABELS * 1.0),
      "train label is of type float64; number the classes 0, 1, 2, ...",
    ),
    (
      changed("train", label=at(LABELS, 9, -2)),
      "train label of example 9 is -2; classes are 0, 1, 2, ...",
    ),
    (
      {"train": split(200, 0) | {"label": LABELS + 1}},
      "label goes up to 4, and no training example is of class 0; number",
    ),
    (
      changed("test", label=at(np.arange(100) % 4, 0, 9)),
      "label goes up to 9, and no training example is of class 4, 5, 6, ...;",
    ),
  ],
)
def test_what_does_not_fit_is_refused_in_one_line(
  arrays: dict[str, Any], line: str
) -> None:
  with pytest.raises(DataError) as raised:
    make("sets.py:load", arrays)
  assert str(raised.value).startswith("sets.py:load: ")
  assert line in str(raised.value)


def test_examples_in_two_splits_are_told_or_refused() -> None:
  arrays = given()
  arrays["test"]["input"][5] = arrays["train"]["input"][17]
  line = (
    "x: 1 of 100 inputs of test are in train too (the first: test 5 is train"
    " 17)"
  )
  assert make("x", arrays).facts.cautions == (line,)
  arrays["test"]["input"][8] = arrays["train"]["input"][2]
  with pytest.raises(DataError, match="2 of 100 inputs of test are in train"):
    make("x", arrays)
  arrays = given(validation=given()["test"])
  with pytest.raises(DataError, match="100 of 100 inputs of validation are in"):
    make("x", arrays)


def test_the_fingerprint_is_of_all_arrays() -> None:
  first = make("x", given()).facts.fingerprint
  assert first == make("y", given()).facts.fingerprint
  others = [
    make("x", changed("train", label=at(LABELS, 0, 1))).facts.fingerprint,
    make("x", given(validation=split(30, 5))).facts.fingerprint,
  ]
  assert len({first, *others}) == 3
