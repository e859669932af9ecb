import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxpower.data import DataError, DataSet, bundled, debian, load, views
from jaxpower.data.facts import channel_moments

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module", params=sorted(bundled.BUNDLED))
def data(request: pytest.FixtureRequest) -> DataSet:
  return load(request.param)


def test_the_file_is_what_its_facts_say(data: DataSet):
  facts = data.facts
  for split, examples in (
    (data.train, facts.train_examples),
    (data.test, facts.test_examples),
  ):
    assert split["input"].shape == (examples, *facts.input_shape)
    assert split["input"].dtype == facts.input_dtype
    assert split.keys() == {"input", *facts.labels}
    for name, classes in facts.labels.items():
      assert split[name].dtype == np.int32
      assert len(split[name]) == examples
      assert split[name].min() >= 0
      # Every class is there; of characters some are in one split only.
      if name == "label" and split[name].ndim == 2:
        assert split[name].max() < classes
      else:
        assert set(split[name]) == set(range(classes))
  assert facts.fingerprint == f"sha256:{data.sha256}"
  assert facts.classes == facts.labels["label"]


def test_the_kind_of_an_input_is_its_shape(data: DataSet):
  facts = data.facts
  rank = {"image": 3, "window": 2, "tokens": 1}[facts.kind]
  assert len(facts.input_shape) == rank
  if facts.kind == "tokens":
    assert facts.vocabulary is not None
    seen = {*np.unique(data.train["input"]), *np.unique(data.test["input"])}
    # No passage is padded, and in all six novels every character occurs.
    assert seen <= set(range(1, facts.vocabulary))
    if facts.name in ("austen", "austen_novels"):
      assert seen == set(range(1, facts.vocabulary))
  else:
    assert facts.vocabulary is None


def test_no_test_example_is_a_training_example(data: DataSet):
  train = {example.tobytes() for example in data.train["input"]}
  test = {example.tobytes() for example in data.test["input"]}
  assert not train & test


def test_any_first_share_of_the_training_set_is_a_fair_sample(data: DataSet):
  label = data.train["label"].reshape(len(data.train["label"]), -1)[:, 0]
  share = len(label) // 8
  classes = np.unique(label)
  for c in classes[np.argsort([-(label == c).sum() for c in classes])][:3]:
    whole, first = (label == c).mean(), (label[:share] == c).mean()
    deviation = np.sqrt(whole * (1 - whole) / share)
    assert abs(first - whole) < 4 * deviation


@pytest.mark.parametrize("name", ["fashion_mnist_6k", "mnist_5k"])
def test_the_classes_are_balanced(name: str):
  data = load(name)
  for split in (data.train, data.test):
    counts = np.bincount(split["label"])
    assert counts.tolist() == [len(split["label"]) // 10] * 10


def test_mean_and_deviation_are_those_of_the_training_inputs(data: DataSet):
  if data.facts.kind == "tokens":
    assert (data.mean.shape, data.std.shape) == ((), ())
    assert (data.mean, data.std) == (0, 1)
    return
  inputs = data.train["input"].astype(np.float64)
  axes = tuple(range(inputs.ndim - 1))
  assert data.mean.dtype == data.std.dtype == np.float32
  np.testing.assert_allclose(data.mean, inputs.mean(axes), rtol=1e-5)
  np.testing.assert_allclose(data.std, inputs.std(axes), rtol=1e-5)


def test_the_bundle_stays_small_and_its_licence_is_kept():
  assert sum(f.stat().st_size for f in bundled.FILES.iterdir()) < 10e6
  licences = (bundled.FILES / "LICENSES.md").read_text()
  for file in bundled.FILES.glob("*.npz"):
    assert f"## {file.name}" in licences
  for holder in ("2017 Zalando SE", "2018, David M. Burns", "2016-2017 Julia"):
    assert f"Copyright (c) {holder}" in licences
  assert "Attribution 4.0 International" in licences


def test_no_set_takes_long_to_load(data: DataSet):
  # Half a second is promised; the clock here is that of this process alone.
  begin = time.process_time()
  load(data.facts.name)
  assert time.process_time() - begin < 2


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "other"])
def test_a_damaged_file_is_told(
  damage: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  name = "fashion_mnist_6k"
  content = bytearray((bundled.FILES / f"{name}.npz").read_bytes())
  if damage == "cut":
    del content[len(content) // 2 :]
  if damage == "flipped":
    content[len(content) // 2] ^= 1
  file = tmp_path / f"{name}.npz"
  if damage == "other":
    data = load(name)
    arrays = {
      f"{split}_{part}": array[::-1]
      for split, parts in (("train", data.train), ("test", data.test))
      for part, array in parts.items()
    }
    np.savez(file, allow_pickle=False, **arrays)
  elif damage != "gone":
    file.write_bytes(content)
  monkeypatch.setattr(bundled, "FILES", tmp_path)
  with pytest.raises(DataError, match=r"is damaged.*fix: install jaxpower"):
    load(name)


def test_moments_of_numbers_that_are_not_bytes():
  inputs = np.array([[[1.0, 5.0]], [[3.0, 5.0]]], np.float32)
  mean, std = channel_moments(inputs)
  assert mean.tolist() == [2.0, 5.0]
  assert std.tolist() == [1.0, 1.0]  # 1 for the constant channel


def test_digits_keep_their_shape_when_enlarged():
  small, large = load("digits"), load("digits_28")
  np.testing.assert_array_equal(small.train["label"], large.train["label"])
  image, pixels = large.train["input"][7], small.train["input"][7]
  inside = image[2:26:3, 2:26:3]
  np.testing.assert_array_equal(inside, pixels.astype(int) * 255 // 16)
  assert image.sum() == 9 * inside.sum(dtype=int)


def test_windows_stay_in_their_recording_and_on_their_side_of_the_split():
  stored = {
    "signal": np.arange(2 * 430, dtype=np.float16).reshape(430, 2) / 2,
    "samples": np.array([230, 99, 101], np.int32),
    "label": np.array([5, 6, 7], np.uint8),
  }
  cut = views.windows(stored)
  starts = sorted(zip(cut["input"][:, 0, 0], cut["label"], strict=True))
  # 230 samples hold windows at 0, 50 and 100; 99 none; 101 one.
  assert starts == [(0, 5), (50, 5), (100, 5), (329, 7)]
  assert cut["input"].shape == (4, views.WINDOW, 2)
  assert cut["input"].dtype == np.float32
  steps = np.diff(cut["input"][..., 0], axis=1)
  assert (steps == 1).all()


def test_no_sample_of_a_recording_is_on_both_sides():
  data = load("imu")
  # Six channels of noise: equal samples would be the same sample.
  train, test = (
    {sample.tobytes() for sample in split["input"].reshape(-1, 6)}
    for split in (data.train, data.test)
  )
  assert len(train) > 150_000
  assert not train & test


def test_the_label_of_a_character_is_the_next_one():
  data = load("austen")
  for split in (data.train, data.test):
    np.testing.assert_array_equal(split["input"][:, 1:], split["label"][:, :-1])


def test_the_views_of_the_novels_agree():
  novel_of = {
    passage.tobytes(): novel
    for data in [load("austen")]
    for passage, novel in zip(
      data.train["input"], data.train["novel"], strict=True
    )
  }
  for name, novels in (
    ("austen_novels", (0, 1, 2, 3, 4, 5)),
    ("austen_novels_early", (0, 1, 4)),
    ("austen_novels_late", (2, 3, 5)),
  ):
    train = load(name).train
    novels_seen = [novels[label] for label in train["label"]]
    assert novels_seen == [
      novel_of[passage.tobytes()] for passage in train["input"]
    ]


@pytest.mark.parametrize(
  "name", ["fashion_mnist_6k", "mnist_5k", "digits", "imu", "austen"]
)
def test_the_script_makes_this_very_file(name: str):
  sources = os.environ.get("JAXPOWER_SOURCES", "")
  if name == "fashion_mnist_6k" and debian.find_files():
    sources = ""
  elif not sources:
    pytest.skip("$JAXPOWER_SOURCES names no folder of the published files")
  done = subprocess.run(
    [
      sys.executable,
      "scripts/make_bundled_data.py",
      f"--data={name}",
      "--check",
      *([f"--from={sources}"] if sources else []),
    ],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  assert "the arrays are those of" in done.stdout
