import numpy as np
import pytest

from jaxpower import data
from jaxpower.data.facts import channel_moments
from jaxpower.data.labels import classes_of

NAMES = ("mnist_5k", "digits_28")


@pytest.fixture(scope="module")
def mixed() -> data.DataSet:
  return data.load("+".join(NAMES))


def test_facts_are_those_of_the_arrays(mixed: data.DataSet) -> None:
  facts = data.describe("mnist_5k+digits_28")
  assert facts == mixed.facts
  assert facts.labels == {"mnist_5k": 10, "digits_28": 10}
  assert facts.train_examples == len(mixed.train["input"]) == 4000 + 1437
  assert facts.test_examples == len(mixed.test["input"]) == 1000 + 360
  assert facts.input_shape == mixed.train["input"].shape[1:]
  # One hash for each list of sets, in their order.
  other = data.describe("digits_28+mnist_5k")
  assert other.fingerprint != facts.fingerprint
  assert list(other.labels) == ["digits_28", "mnist_5k"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_example_is_there_once_with_its_own_label(
  mixed: data.DataSet, split: str
) -> None:
  arrays = getattr(mixed, split)
  labels = np.stack([arrays[name] for name in NAMES])
  assert ((labels >= 0).sum(axis=0) == 1).all()
  for name in NAMES:
    single = getattr(data.load(name), split)
    here = arrays[name] >= 0
    assert _sorted(arrays["input"][here], arrays[name][here]) == _sorted(
      single["input"], single["label"]
    )


def test_any_first_share_is_a_fair_sample(mixed: data.DataSet) -> None:
  first = (mixed.train["digits_28"] >= 0)[:1000].mean()
  assert first == pytest.approx(1437 / 5437, abs=0.05)


def test_moments_are_over_all_training_inputs(mixed: data.DataSet) -> None:
  inputs = np.concatenate([data.load(n).train["input"] for n in NAMES])
  mean, std = channel_moments(inputs)
  np.testing.assert_array_equal(mixed.mean, mean)
  np.testing.assert_array_equal(mixed.std, std)


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("mnist_5k+mnist_5k", "names a set twice"),
    ("mnist_5k+imu", "inputs of another kind, mnist_5k has image and imu"),
    ("digits+mnist_5k", "another shape, digits has 8 x 8 x 1 and mnist_5k 28"),
    ("austen_novels+austen", "the label of austen is the next token"),
    ("mnist_5k+digitz", "did you mean 'digits'?"),
    ("mnist_5k+", "'' is not the name of a data set"),
  ],
)
def test_what_cannot_be_mixed_is_refused(name: str, message: str) -> None:
  with pytest.raises(data.DataError) as refused:
    data.describe(name)
  assert message in str(refused.value)
  assert "\n" not in str(refused.value)


def test_one_task_of_a_mixed_set_is_its_own_set(mixed: data.DataSet) -> None:
  narrowed = data.for_tasks(mixed, ("digits_28",))
  single = data.load("digits_28")
  assert narrowed.facts.labels == {"label": 10}
  assert narrowed.facts.train_examples == 1437
  assert narrowed.facts.test_examples == 360
  assert set(narrowed.train) == {"input", "label"}
  assert _sorted(narrowed.train["input"], narrowed.train["label"]) == _sorted(
    single.train["input"], single.train["label"]
  )
  np.testing.assert_array_equal(narrowed.mean, mixed.mean)


def test_several_tasks_are_columns_in_their_order(mixed: data.DataSet) -> None:
  narrowed = data.for_tasks(mixed, ("digits_28", "mnist_5k"))
  assert list(narrowed.facts.labels) == ["digits_28", "mnist_5k"]
  assert classes_of(narrowed.facts, ("digits_28", "mnist_5k")) == (10, 10)
  assert narrowed.train["label"].shape == (5437, 2)
  np.testing.assert_array_equal(
    narrowed.train["label"][:, 0], mixed.train["digits_28"]
  )


def _sorted(inputs: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
  return sorted(
    (image.tobytes(), int(label))
    for image, label in zip(inputs, labels, strict=True)
  )
